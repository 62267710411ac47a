//! Load generator for drawdown. See the library for what it does, `--help` for how to ask for it.

use clap::Parser;
use loadtest::books::Books;
use loadtest::client::{CallError, Client, Target, TargetError};
use loadtest::encode::Names;
use loadtest::options::Options;
use loadtest::progress::bar;
use loadtest::report::{Machine, Parameters, Report};
use loadtest::run::{Limit, run};
use loadtest::setup::{SetupError, prepare};
use loadtest::verify::audit;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("cannot prepare the server: {0}")]
    Setup(#[from] SetupError),
    #[error("cannot connect: {0}")]
    Connect(#[source] CallError),
    #[error("the system gives no runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

fn main() -> ExitCode {
    let options = Options::parse();
    match execute(&options) {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.clean))
        }
        Err(failure) => {
            eprintln!("loadtest: {failure}");
            ExitCode::from(2)
        }
    }
}

fn execute(options: &Options) -> Result<Report, Failure> {
    let mut builder = match options.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(options.threads as usize).enable_all().build().map_err(Failure::Runtime)?;
    let report = runtime.block_on(test(options))?;
    if let Some(path) = &options.report {
        let text = serde_json::to_vec_pretty(&report).expect("a report is JSON");
        std::fs::write(path, text).map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    Ok(report)
}

async fn test(options: &Options) -> Result<Report, Failure> {
    let (plan, names, machine) = (options.plan(), Names::new(&run_name()), Machine::look());
    let target = Target::resolve(&options.url, options.key.as_deref(), options.allow_remote, options.request_timeout());
    let target = Arc::new(target.await?);
    let wallets = Some(u64::from(options.wallets));
    prepare(&mut Client::new(Arc::clone(&target)), &names, options.wallets, &bar("grants", wallets)).await?;

    let books = Arc::new(Books::new(options.wallets));
    let events = match plan.limit {
        Limit::Events(events) => Some(events),
        Limit::Time(_) => None,
    };
    let outcome = run(&target, plan, &names, &books, &bar("events", events)).await.map_err(Failure::Connect)?;

    let machine = machine.after();
    let audited = audit(&target, &names, &books, options.connections, &bar("verify", wallets)).await;
    if let Err(error) = &audited {
        eprintln!("loadtest: cannot read the wallets: {error}");
    }
    Ok(Report::new(outcome, audited.ok(), Parameters::of(options), machine))
}

/// Eight digits that differ from run to run.
#[expect(clippy::disallowed_methods, reason = "the name must differ between processes, and nothing is derived from it")]
fn run_name() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:08x}", (since.as_micros() as u64 ^ (u64::from(std::process::id()) << 16)) as u32)
}
