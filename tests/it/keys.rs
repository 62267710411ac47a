//! `drawdown keys` with the real binary, on a real directory.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

fn keys(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    command.arg("keys").args(arguments).arg("--data").arg(data).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = keys(dir.path(), &["create", "--name", "gateway", "--scopes", "usage,read"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let token = text(&made.stdout).trim();
    assert!(token.starts_with("dd_live_"), "{token}");
    let id = token.split('_').nth(2).expect("the id");
    let secret = token.split('_').nth(3).expect("the secret");

    let listed = keys(dir.path(), &["list"]);
    let line = text(&listed.stdout).trim().to_owned();
    assert_eq!(line, format!("{id}\tlive\tactive\tusage,read\tgateway"));
    for file in std::fs::read_dir(dir.path()).expect("the data directory") {
        // The records of so young a log are at its beginning; the rest is prepared space.
        let mut bytes = Vec::new();
        let file = std::fs::File::open(file.expect("an entry").path()).expect("a file");
        file.take(1 << 16).read_to_end(&mut bytes).expect("a readable file");
        let stored = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!stored, "the secret is in no file");
    }

    assert!(keys(dir.path(), &["revoke", id]).status.success());
    assert!(text(&keys(dir.path(), &["list"]).stdout).contains("revoked"));
    let unknown = keys(dir.path(), &["revoke", "nobody"]);
    assert_eq!((unknown.status.code(), text(&unknown.stderr)), (Some(1), "drawdown: there is no key nobody\n"));
    let scopeless = keys(dir.path(), &["create", "--name", "x", "--scopes", "root"]);
    assert!(!scopeless.status.success() && text(&scopeless.stderr).contains("`root` is not a scope"));
}
