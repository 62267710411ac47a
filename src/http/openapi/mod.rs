//! The OpenAPI 3.1 document: written next to the routes, served at `/openapi.json`, kept in `docs/openapi.json` for readers.
//!
//! It lists every built row of the route table and no other; one exhaustive match over the actions sees to that. What it says about
//! statuses follows from what a route does: a route with a key can answer 401 and 403, one with a body 400, 408, 413, 415, one that
//! writes 503, and so on, plus what is particular to it.

mod operations;
mod schemas;

use super::idempotency::KEY_BYTES_MAX;
use super::route::{ROUTES, Route};
use operations::{Operation, describe};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The document as it is served where keys are needed.
pub(crate) static TEXT: LazyLock<String> = LazyLock::new(|| print(&document()));

/// The document as it is served by `--dev`, which needs no keys.
pub(crate) static TEXT_WITHOUT_KEYS: LazyLock<String> = LazyLock::new(|| print(&without_keys(document())));

fn print(document: &Value) -> String {
    serde_json::to_string_pretty(document).expect("a tree of values always serialises")
}

/// Takes keys, and the answers that only they bring about, out of a document.
fn without_keys(mut document: Value) -> Value {
    document["security"] = json!([]);
    document["components"]["securitySchemes"] = json!({});
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(responses) = operation["responses"].as_object_mut() {
            responses.retain(|status, _| status != "401" && status != "403");
        }
    }
    document
}

/// The document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let Some(operation) = describe(route.action) else { continue };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = render(route, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "drawdown",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A prepaid-credit ledger: usage events debit wallets and are answered when they are on disk.",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "Usage", "description": "Events in, debits out: the hot path."},
            {"name": "Wallets", "description": "Balances, settings, alerts and history."},
            {"name": "Grants", "description": "Credits added."},
            {"name": "Corrections", "description": "Debits taken back, adjustments, charges, transfers."},
            {"name": "Holds", "description": "Credits set aside until it is known what something costs."},
            {"name": "Customers", "description": "Who owns wallets, and the erasure of what is personal."},
            {"name": "Catalogue", "description": "Credit currencies and meters."},
            {"name": "Money in", "description": "Packages, top-ups, automatic top-ups, invoices."},
            {"name": "Portal", "description": "What customers look at and do by themselves."},
            {"name": "Feed", "description": "What happened, in order."},
            {"name": "Webhooks", "description": "The feed, sent to whoever asked for it."},
            {"name": "Keys", "description": "API keys."},
            {"name": "Reports", "description": "What the ledger says of the past, and sums."},
            {"name": "Operations", "description": "Running the server."},
        ],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "`dd_live_<id>_<secret>` or `dd_test_<id>_<secret>`. A server started with `--dev` needs none.",
            }},
            "schemas": schemas::all(),
        },
    })
}

const INTRODUCTION: &str = "Amounts are decimal strings in credits (`\"12.5\"`); JSON numbers are accepted and read exactly from their \
    text. Times are RFC 3339. Errors are `application/problem+json` (RFC 9457) whose `type` ends in a stable slug. Unknown fields are \
    ignored, a known field given twice is refused, `null` is the same as absent. An answer to a write is sent only when what it says is \
    on disk.";

fn render(route: &Route, operation: Operation) -> Value {
    let mut responses = Map::new();
    let takes_key = route.method == "POST" && route.scopes.is_some();
    for (status, mut response) in operation.answers {
        if takes_key {
            response["headers"]["Idempotency-Replayed"] = replayed();
        }
        responses.insert(status.to_string(), response);
    }
    let mut statuses = operation.problems.to_vec();
    if route.scopes.is_some() {
        statuses.extend([401, 403, 503]);
    }
    if operation.body.is_some() {
        statuses.extend([400, 408, 413, 415, 503]);
    }
    if operation.writes {
        statuses.push(503);
    }
    let mut parameters = [path_parameters(route.path), operation.parameters].concat();
    if takes_key {
        // The body is received before its key is looked up, whether or not the operation has one.
        statuses.extend([400, 408, 409, 413, 503]);
        parameters.push(idempotency_key());
    }
    if !parameters.is_empty() {
        statuses.push(400);
    }
    for status in statuses {
        responses.entry(status.to_string()).or_insert_with(|| problem(status));
    }
    let mut out = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if !operation.description.is_empty() {
        out["description"] = json!(operation.description);
    }
    if let Some(body) = operation.body {
        out["requestBody"] = body;
    }
    match route.scopes {
        Some(scopes) => out["x-scopes"] = json!(scopes.names().collect::<Vec<_>>()),
        None => out["security"] = json!([]),
    }
    out
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "Within the idempotency window (`--idempotency-window`) the same key of the same caller, with the same method, path and \
            body, is given the first answer again, with `Idempotency-Replayed: true`. With others it is refused: 409 `idempotency_conflict`; \
            while the first request is under way: 409 `idempotency_in_progress`, with Retry-After.",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX, "pattern": "^[!-~]+$"},
    })
}

fn replayed() -> Value {
    json!({"description": "`true` when the first answer is given again.", "schema": {"type": "string", "const": "true"}})
}

/// The parameters in the braces of a path.
fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let schema = json!({"type": "string", "minLength": 1, "maxLength": 128});
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect()
}

/// The response for a problem of this status.
fn problem(status: u16) -> Value {
    let description = match status {
        400 => "The body, a field or a parameter cannot be used; nothing was applied.",
        401 => "There is no key, or it opens nothing.",
        402 => "The wallet has not enough credit.",
        403 => "The key lacks the scope.",
        404 => "There is no such object.",
        408 => "The body did not arrive in time.",
        409 => "Something else stands under the same id or key.",
        410 => "What is asked for lies before the part of the log that is kept.",
        413 => "The body or the batch is over the limit.",
        415 => "The content type is not one of those accepted.",
        422 => "Well-formed, but the rules refuse it.",
        429 => "Too many requests wait.",
        500 => "The answer would have contradicted the ledger, and is not given.",
        _ => "The server cannot take the request just now.",
    };
    let mut headers = Map::new();
    let mut header = |name: &str, description: &str| {
        headers.insert(name.to_owned(), json!({"description": description, "schema": {"type": "string"}}));
    };
    match status {
        401 => header("WWW-Authenticate", "The scheme of keys."),
        408 | 409 | 429 | 503 => header("Retry-After", "Seconds after which to try again."),
        415 => header("Accept", "The content types accepted."),
        _ => {}
    }
    json!({
        "description": description,
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::Action;
    use std::collections::BTreeSet;

    #[test]
    fn every_built_route_is_described_and_no_other() {
        let document = document();
        let built = ROUTES
            .iter()
            .filter(|route| !matches!(route.action, Action::Page(_)))
            .map(|r| (r.path.to_owned(), r.method.to_lowercase()));
        let described = document["paths"].as_object().expect("paths").iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
        });
        assert_eq!(described.collect::<BTreeSet<_>>(), built.collect::<BTreeSet<_>>());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => members.iter().for_each(|(key, value)| match (key.as_str(), value) {
                    ("$ref", Value::String(target)) => drop(found.insert(target.clone())),
                    _ => references(value, found),
                }),
                Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let known: BTreeSet<_> = schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn operation_ids_are_unique() {
        let ids: Vec<_> =
            ROUTES.iter().filter_map(|route| describe(route.action)).map(|operation| operation.id).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    /// `docs/openapi.json` is this document. After a change: `DRAWDOWN_UPDATE_DOCS=1 cargo test openapi`.
    #[test]
    fn the_document_in_docs_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let text = format!("{}\n", *TEXT);
        if std::env::var_os("DRAWDOWN_UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).expect("docs/openapi.json is writable");
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text, "docs/openapi.json is stale: run DRAWDOWN_UPDATE_DOCS=1 cargo test openapi");
    }
}
