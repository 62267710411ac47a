//! A server that reads each request whole and answers an empty 200: what hyper alone can do on this machine, for drawdown to be compared
//! with. Its connections are set up as drawdown's are.

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Answers every request with an empty 200, on a loopback address that it prints, for a bounded time.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Worker threads
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Seconds after which it ends
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Port, or 0 for any
    #[arg(long, default_value = "0")]
    port: u16,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads.into()).enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(&options)));
    if let Err(error) = served {
        eprintln!("empty200: {error}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    println!("empty200 listens on http://{}", listener.local_addr()?);
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream));
        }
    };
    // That the time is over is how it is meant to end.
    timeout(Duration::from_secs(options.seconds), accept).await.unwrap_or(Ok(()))
}

async fn connection(stream: TcpStream) {
    // A connection that breaks concerns its client only.
    if stream.set_nodelay(true).is_ok() {
        let service = service_fn(answer);
        let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    Ok(Response::new(Empty::new()))
}
