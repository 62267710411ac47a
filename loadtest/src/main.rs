//! Load generator for drawdown. See the library for what it does, `--help` for how to ask for it.

use loadtest::encode::Names;
use loadtest::options::Options;
use loadtest::plot::svg;
use loadtest::report::Report;
use loadtest::test::test;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    let options = Options::of_process();
    let report = match test(&options, &Names::new(&run_name())) {
        Ok(report) => report,
        Err(failure) => {
            eprintln!("loadtest: {failure}");
            return ExitCode::from(2);
        }
    };
    // First of all to the terminal: what cannot be written to a file is not lost.
    println!("{report}");
    match write(&options, &report) {
        Ok(()) => ExitCode::from(u8::from(!report.clean)),
        Err(message) => {
            eprintln!("loadtest: {message}");
            ExitCode::from(2)
        }
    }
}

fn write(options: &Options, report: &Report) -> Result<(), String> {
    let write = |path: &Path, text: Vec<u8>| {
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    if let Some(path) = &options.report {
        write(path, serde_json::to_vec_pretty(report).expect("a report is JSON"))?;
    }
    if let Some(path) = &options.plot {
        write(path, svg(report).into_bytes())?;
    }
    Ok(())
}

/// Eight digits that differ from run to run.
#[expect(clippy::disallowed_methods, reason = "the name must differ between processes, and nothing is derived from it")]
fn run_name() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:08x}", (since.as_micros() as u64 ^ (u64::from(std::process::id()) << 16)) as u32)
}
