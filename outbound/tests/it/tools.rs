//! Reference implementations that others wrote, fetched once from their registries and kept under the target directory.
//!
//! Where one cannot be had (no Go, no Python, no registry), the test that needs it prints `SKIPPED` with the reason;
//! `DRAWDOWN_REQUIRE_REFERENCES=1` makes that a failure, for machines on which it must not happen.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One test fetches, the others wait for it.
static FETCHING: Mutex<()> = Mutex::new(());

/// Stripe's own mock server, of the API version that the adapter is written for.
pub(crate) const STRIPE_MOCK: &str = "github.com/stripe/stripe-mock@v0.203.0";

/// The Standard Webhooks project's library for Python.
const STANDARD_WEBHOOKS: &str = "standardwebhooks==1.1.0";

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Says why a test does not run, or fails if it must.
fn have<T>(what: &str, found: Result<T, String>) -> Option<T> {
    let why = match found {
        Ok(found) => return Some(found),
        Err(why) => why,
    };
    assert!(
        std::env::var_os("DRAWDOWN_REQUIRE_REFERENCES").is_none_or(|value| value == "0"),
        "{what} cannot be had: {why}"
    );
    // Not by `eprintln!`, which is kept from sight while a test succeeds.
    let _ = writeln!(io::stderr(), "SKIPPED: {what} cannot be had here: {why}");
    None
}

fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    program: &str,
    arguments: I,
    set: (&str, &Path),
) -> Result<(), String> {
    // A network that swallows everything must not hold the tests for ever.
    let output = Command::new("timeout").args(["300", program]).args(arguments).env(set.0, set.1).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}

/// The mock server's program.
pub(crate) fn stripe_mock() -> Option<PathBuf> {
    let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = kept(&STRIPE_MOCK.replace(['/', '@'], "-"));
    let program = directory.join("stripe-mock");
    let found = if program.exists() { Ok(()) } else { run("go", ["install", STRIPE_MOCK], ("GOBIN", &directory)) };
    have("stripe-mock", found.map(|()| program))
}

/// The directory from which Python can import `standardwebhooks`.
pub(crate) fn standard_webhooks() -> Option<PathBuf> {
    let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = kept(STANDARD_WEBHOOKS);
    if directory.join("standardwebhooks").exists() {
        return Some(directory);
    }
    // Under another name until it is whole.
    let draft = kept("standardwebhooks-draft");
    let arguments = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=1",
        "--no-deps",
        "--upgrade",
        "--target",
    ];
    let arguments = arguments.map(OsStr::new).into_iter().chain([draft.as_os_str(), OsStr::new(STANDARD_WEBHOOKS)]);
    let found = run("python3", arguments, ("PIP_NO_INPUT", Path::new("1")));
    let found = found.and_then(|()| std::fs::rename(&draft, &directory).map_err(|error| error.to_string()));
    have("Python's standardwebhooks", found.map(|()| directory))
}
