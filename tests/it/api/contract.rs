//! The OpenAPI document against what the server does.

use super::*;

#[test]
fn the_document_is_served_and_every_path_in_it_answers_what_it_declares() {
    let server = TestServer::funded();
    let mut client = server.client();
    let document = client.get("/openapi.json").expect_status(200);
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let method = method.to_uppercase();
            let declared: Vec<u16> = operation["responses"]
                .as_object()
                .expect("responses")
                .keys()
                .map(|status| status.parse().expect("a status"))
                .collect();
            let actual = path.replace('{', "x-").replace('}', "");
            for body in ["{}", "[]", "[{}]", "7", ""] {
                for content_type in ["application/json", "text/plain"] {
                    let answer = client.send(&method, &actual, &[("content-type", content_type)], body.as_bytes());
                    assert!(declared.contains(&answer.status), "{method} {path} with {body}: {answer:?}");
                    let declared = &operation["responses"][answer.status.to_string()]["content"];
                    let actual =
                        answer.header("content-type").map(|full| full.split(';').next().expect("a name").to_owned());
                    assert_eq!(actual.is_some(), declared.is_object(), "{method} {path}: {answer:?}");
                    assert!(actual.is_none_or(|name| declared[name].is_object()), "{method} {path}: {answer:?}");
                }
            }
        }
    }
}
