//! The client: limits, redirects, addresses, TLS.

use crate::server::{Names, Server, client, raw, reply};
use bytes::Bytes;
use drawdown_outbound::http::{
    AddressPolicy, Client, Limits, Overflow, Request, Response, Roots, SendError, SendErrorKind, Settings, Special,
    Transport, parse_url,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

fn limits(overflow: Overflow) -> Limits {
    Limits { total: Duration::from_secs(30), body_bytes: 100, overflow }
}

async fn get(client: &Client, url: &str) -> Result<Response, SendError> {
    client.send(Request::get(parse_url(url).expect("a URL"), limits(Overflow::Refuse))).await
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

fn named(policy: AddressPolicy, answers: Vec<Vec<IpAddr>>) -> (Client, Arc<Names>) {
    let names = Arc::new(Names { answers, asked: AtomicUsize::new(0) });
    let resolver = Arc::clone(&names) as Arc<dyn drawdown_outbound::http::Resolve>;
    (Client::new(Settings { policy, resolver, ..Settings::default() }), names)
}

#[tokio::test]
async fn an_answer_is_an_answer_and_redirects_are_not_followed() {
    let server = Server::new(|seen, _| match seen.path.as_str() {
        "/moved" => {
            let mut moved = reply(302, "");
            moved.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
            moved
        }
        _ => reply(200, "hello"),
    })
    .await;
    let client = client();
    let answer = get(&client, &server.url("/moved")).await.expect("an answer");
    assert_eq!(answer.status, 302);
    let answer = get(&client, &server.url("/x?y=z")).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.body[..], answer.cut), (200, &b"hello"[..], false));
    let seen = server.seen();
    assert_eq!(seen.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(), ["/moved", "/x?y=z"]);
    assert_eq!(seen[1].headers["host"], server.address.to_string());
    assert!(seen[1].headers["user-agent"].to_str().expect("ASCII").starts_with("drawdown/"));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "the connection was used again");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let server = Server::new(|_, at| reply(200, vec![b'x'; 99 + at / 2])).await;
    let client = client();
    for (at, expected) in [(99, 99), (100, 100), (101, 100)] {
        let url = parse_url(&server.url("/")).expect("a URL");
        let refused = client.send(Request::get(url.clone(), limits(Overflow::Refuse))).await;
        assert_eq!(refused.is_ok(), at <= 100, "{at}");
        if let Err(error) = refused {
            assert_eq!((error.kind(), error.may_have_arrived()), (SendErrorKind::TooLong, true));
        }
        let cut = client.send(Request::get(url, limits(Overflow::Cut))).await.expect("an answer");
        assert_eq!((cut.body.len(), cut.cut), (expected, at > 100), "{at}");
    }
}

#[tokio::test]
async fn an_endless_body_without_a_length_is_bounded_too() {
    let (address, server) = raw(Some(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n200\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")).await;
    let error = get(&client(), &format!("http://{address}/")).await.expect_err("too long");
    assert_eq!(error.kind(), SendErrorKind::TooLong);
    server.abort();
}

/// The clock is paused: it runs to the next timer as soon as nobody has anything to do, and here only the limit is one.
#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_limit_and_may_have_been_heard() {
    let (address, server) = raw(None).await;
    let error = get(&client(), &format!("http://{address}/")).await.expect_err("no answer");
    assert!(matches!(error, SendError::Timeout(time) if time == Duration::from_secs(30)), "{error}");
    assert!(error.may_have_arrived());
    server.abort();
}

/// Half an answer: refused where it is needed whole, taken for its status where only that counts.
#[tokio::test(start_paused = true)]
async fn a_broken_answer_is_none_unless_its_status_is_enough() {
    let (address, server) = raw(Some(b"HTTP/1.1 204 No Content\r\n\r\n")).await;
    assert_eq!(get(&client(), &format!("http://{address}/")).await.expect("an answer").status, 204);
    server.abort();
    let (address, server) = raw(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf")).await;
    let url = format!("http://{address}/");
    let error = get(&client(), &url).await.expect_err("half an answer");
    assert_eq!((error.kind(), error.may_have_arrived()), (SendErrorKind::Broken, true));
    let request = Request::get(parse_url(&url).expect("a URL"), limits(Overflow::Cut));
    let answer = client().send(request).await.expect("a status");
    assert_eq!((answer.status.as_u16(), answer.cut), (200, true));
    server.abort();
    let (address, server) = raw(Some(b"this is not HTTP\r\n\r\n")).await;
    let error = get(&client(), &format!("http://{address}/")).await.expect_err("no answer");
    assert_eq!((error.kind(), error.may_have_arrived()), (SendErrorKind::Broken, true));
    server.abort();
}

#[tokio::test]
async fn where_nobody_listens_nothing_arrived() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let error = get(&client(), &format!("http://{closed}/")).await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.may_have_arrived()), (SendErrorKind::Connect, false));
}

#[tokio::test]
async fn inward_addresses_are_refused_however_they_are_written() {
    let server = Server::new(|_, _| reply(200, "inside")).await;
    let port = server.address.port();
    let client = Client::new(Settings::default());
    // The odd forms of 127.0.0.1 are no addresses to us; the system's resolver takes some of them for one, and the address is checked.
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "0.0.0.0",
    ] {
        let error = get(&client, &format!("http://{host}:{port}/")).await.expect_err(host);
        let kind = error.kind();
        assert!([SendErrorKind::AddressRefused, SendErrorKind::Resolve].contains(&kind), "{host}: {error}");
        assert!(!error.may_have_arrived());
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let server = Server::new(|_, _| reply(200, "inside")).await;
    let url = format!("http://hooks.example:{}/", server.address.port());
    // The first answer is checked and is the one connected to; what the name says later is not looked at for this connection.
    let policy = AddressPolicy::public().and("127.0.0.1".parse().expect("a range"));
    let (client, names) = named(policy.clone(), vec![vec![LOOPBACK], vec![METADATA]]);
    assert_eq!(get(&client, &url).await.expect("an answer").status, 200);
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert_eq!(get(&client, &url).await.expect("an answer").status, 200);
    assert_eq!(names.asked.load(Ordering::SeqCst), 1, "the connection that was checked is used again");
    // A new connection is a new check.
    let (client, _) = named(policy.clone(), vec![vec![METADATA], vec![LOOPBACK]]);
    let error = get(&client, &url).await.expect_err("inward");
    assert!(
        matches!(error, SendError::AddressRefused { address: METADATA, special: Special::Metadata, .. }),
        "{error}"
    );
    // Of several addresses, only those are connected to that may be.
    let (client, _) = named(policy, vec![vec![METADATA, LOOPBACK]]);
    assert_eq!(get(&client, &url).await.expect("an answer").status, 200);
    let (client, _) = named(AddressPolicy::public(), vec![vec![]]);
    assert_eq!(get(&client, &url).await.expect_err("no address").kind(), SendErrorKind::Resolve);
}

#[tokio::test]
async fn http_is_refused_where_https_is_required() {
    let client =
        Client::new(Settings { require_https: true, policy: AddressPolicy::anywhere(), ..Settings::default() });
    assert_eq!(get(&client, "http://127.0.0.1:9/").await.expect_err("plain").kind(), SendErrorKind::Invalid);
}

/// What signed the certificate of [`tls_server`]; `tests/tls/make.sh` made both.
const AUTHORITY: &[u8] = include_bytes!("../tls/authority.pem");

/// A TLS server whose certificate is for `hooks.example`.
async fn tls_server() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let chain = CertificateDer::pem_slice_iter(include_bytes!("../tls/server.pem"))
        .map(|certificate| certificate.expect("a certificate"));
    let chain = chain.collect();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tls/server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us hangs up.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(reply(200, Bytes::from_static(b"safe")))
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, task)
}

#[tokio::test]
async fn tls_trusts_whom_it_should() {
    let (address, server) = tls_server().await;
    let with = |roots: Roots| {
        let resolver = Arc::new(Names { answers: vec![vec![LOOPBACK]], asked: AtomicUsize::new(0) });
        Client::new(Settings {
            policy: AddressPolicy::anywhere(),
            roots,
            resolver,
            require_https: true,
            ..Settings::default()
        })
    };
    let ours = || Roots::public().and_pem(AUTHORITY).expect("an authority");
    let port = address.port();
    let answer = get(&with(ours()), &format!("https://hooks.example:{port}/")).await.expect("a trusted server");
    assert_eq!(&answer.body[..], b"safe");
    for (roots, host) in [(Roots::public(), "hooks.example"), (ours(), "other.example"), (ours(), "127.0.0.1")] {
        let error = get(&with(roots), &format!("https://{host}:{port}/")).await.expect_err("not to be trusted");
        assert_eq!((error.kind(), error.may_have_arrived()), (SendErrorKind::Tls, false), "{host}: {error}");
    }
    assert!(Roots::public().and_pem(b"nothing").is_err());
    server.abort();
}
