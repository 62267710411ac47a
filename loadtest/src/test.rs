//! A load test from set-up to report: the order in which the other modules are called.

use crate::baseline;
use crate::client::{Target, TargetError};
use crate::encode::Names;
use crate::machine::{Machine, filesystem};
use crate::options::Options;
use crate::progress::bar;
use crate::report::{Findings, Parameters, Report};
use crate::run::{Answers, Limit, Plan, Run, RunError};
use crate::setup::{SetupError, prepare};
use crate::stats::{Counters, ServerWork, counters, version};
use crate::verify::{Scope, audit};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tokio::runtime::Runtime;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum Failure {
    /// There is no server to talk to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The wallets could not be made.
    #[error("cannot prepare the server: {0}")]
    Setup(#[from] SetupError),
    /// The connections could not be opened, or the requests not prepared.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The system has nothing left.
    #[error("the system gives no runtime: {0}")]
    Runtime(#[source] io::Error),
    /// The disk could not be measured.
    #[error("cannot measure synced writes in {}: {source}", path.display())]
    Baseline {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes a load test. `names` keep it apart from others on the same server.
pub fn test(options: &Options, names: &Names) -> Result<Report, Failure> {
    let (plan, machine) = (options.plan(), Machine::look());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let key = options.key.as_deref();
    let target = Target::resolve(&options.url, key, options.allow_remote, options.request_timeout())?;
    let disk_before = measure_disk(options)?;
    let findings = if plan.answers == Answers::Empty {
        empty(options, &plan, &target, names)?
    } else {
        full(options, &plan, &runtime, &target, names)?
    };
    let machine = machine.after();
    let disk = disk_before.zip(measure_disk(options)?);
    let filesystem = || options.baseline_sync.as_deref().and_then(filesystem);
    let baseline = disk.map(|(before, after)| (filesystem(), before, after));
    Ok(Report::new(Findings { baseline, ..findings }, Parameters::of(options), machine))
}

fn measure_disk(options: &Options) -> Result<Option<baseline::Syncs>, Failure> {
    let measure =
        |path: &PathBuf| baseline::measure(path).map_err(|source| Failure::Baseline { path: path.clone(), source });
    options.baseline_sync.as_ref().map(measure).transpose()
}

/// Only the requests: the server understands nothing.
fn empty(options: &Options, plan: &Plan, target: &Arc<Target>, names: &Names) -> Result<Findings, Failure> {
    let mut run = Run::connect(target, *plan, names)?;
    if options.prepare {
        run.prepare()?;
    }
    let warm_up = plan.warm_up.map(|limit| phase(&mut run, "warm-up", limit));
    let measured = phase(&mut run, "events", plan.limit);
    Ok(Findings {
        warm_up,
        measured,
        server: None,
        server_version: None,
        baseline: None,
        audit: None,
        setup_and_audit: None,
    })
}

fn full(
    options: &Options,
    plan: &Plan,
    runtime: &Runtime,
    target: &Arc<Target>,
    names: &Names,
) -> Result<Findings, Failure> {
    let wallets = Some(u64::from(options.wallets));
    let setup_begin = Instant::now();
    let total_before = prepare(runtime, target, names, options.wallets, &bar("grants", wallets))?;
    let setup_time = setup_begin.elapsed();
    let server_version = version(runtime, target);
    let mut run = Run::connect(target, *plan, names)?;
    if options.prepare {
        run.prepare()?;
    }
    let warm_up = plan.warm_up.map(|limit| phase(&mut run, "warm-up", limit));
    let before = read_counters(runtime, target);
    let measured = phase(&mut run, "events", plan.limit);
    let after = read_counters(runtime, target);
    let server = before.zip(after).and_then(|(before, after)| ServerWork::between(&before, &after));

    let scope = Scope { every_wallet: options.verify_all, connections: options.connections, total_before };
    let audit_begin = Instant::now();
    let audited = audit(runtime, target, names, run.into_books(), &scope, &bar("verify", wallets));
    let audit = audited.inspect_err(|error| eprintln!("loadtest: cannot read the wallets: {error}")).ok();
    let setup_and_audit = Some((setup_time, audit_begin.elapsed()));
    Ok(Findings { warm_up, measured, server, server_version, baseline: None, audit, setup_and_audit })
}

fn phase(run: &mut Run, name: &'static str, limit: Limit) -> crate::run::Outcome {
    let events = match limit {
        Limit::Events(events) => Some(events),
        Limit::Time(_) => None,
    };
    run.phase(limit, &bar(name, events))
}

/// A run without the server's counters is still a run.
fn read_counters(runtime: &Runtime, target: &Arc<Target>) -> Option<Counters> {
    counters(runtime, target).inspect_err(|error| eprintln!("loadtest: no server counters: {error}")).ok()
}
