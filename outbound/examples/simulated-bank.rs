//! The simulated bank as a process of its own: a provider that goes on, and remembers, while the server that asks it is killed.
//!
//! `cargo run -p drawdown-outbound --example simulated-bank -- <address> <file> [<one answer in so many is lost>]`
//!
//! Prints `listening on <address>` when it can be asked; port 0 picks one. Ends when it is killed; its file knows every charge that it
//! answered.

use drawdown_outbound::providers::simulated::{Faults, Local, serve};
use std::error::Error;
use std::io::Write;
use std::path::Path;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, file, lose) = match &arguments[..] {
        [address, file] => (address, file, 0),
        [address, file, lose] => (address, file, lose.parse()?),
        _ => return Err("usage: simulated-bank <address> <file> [<one answer in so many is lost>]".into()),
    };
    let bank = Local::open(Path::new(file))?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    serve(listener, bank, Faults { lose_answer_every: lose }).await?;
    Ok(())
}
