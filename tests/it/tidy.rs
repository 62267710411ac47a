//! The arrows of ARCHITECTURE.md, held to by reading the `use` lines: which module may lean on which.

use std::fs;
use std::path::{Path, PathBuf};

/// Module -> what of the crate it may use besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("ledger", &[]),
    ("metrics", &[]),
    ("store", &[]),
    ("identities", &["store"]),
    ("catalog", &["ledger"]),
    ("billing", &["catalog", "ledger"]),
    ("journal", &["billing", "catalog", "ledger"]),
    ("engine", &["billing", "catalog", "identities", "ledger", "journal", "metrics", "store"]),
    ("notify", &["engine", "ledger"]),
    ("payments", &["billing", "engine", "ledger"]),
    ("http", &["billing", "engine", "ledger", "metrics", "payments"]),
    ("config", &["engine", "http", "notify"]),
    ("verify", &["engine", "identities", "journal"]),
    ("cli", &["config", "demo", "engine", "http", "journal", "ledger", "notify", "payments", "verify"]),
    ("processor", &[]),
    ("demo", &["engine", "http", "ledger", "notify", "payments"]),
];

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the sources are there") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first module of a path below `src`.
fn module_of(file: &Path, src: &Path) -> String {
    let below = file.strip_prefix(src).expect("a file of src");
    let first = below.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules of the crate that a line names, as `crate::name` or (in the binary) `drawdown::name`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    ["crate::", "drawdown::"].into_iter().flat_map(move |prefix| {
        code.match_indices(prefix).map(move |(at, _)| {
            let name = &code[at + prefix.len()..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            &name[..end]
        })
    })
}

#[test]
fn modules_lean_only_on_what_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 30, "the walk finds the sources");
    let mut broken = Vec::new();
    for file in files {
        let module = module_of(&file, &src);
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{}: module {module} has no row in the table", file.display()));
            continue;
        };
        for line in fs::read_to_string(&file).expect("a source is text").lines() {
            for name in named(line) {
                let is_module = ARROWS.iter().any(|(module, _)| *module == name);
                if is_module && name != module && !allowed.contains(&name) {
                    broken.push(format!("{}: {module} must not know {name}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_ledger_imports_std_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is text");
        // Test modules may use what tests use.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().map(str::trim).filter(|line| line.starts_with("use ")) {
            let root = line["use ".len()..].split("::").next().unwrap_or_default();
            assert!(["std", "super", "crate", "self"].contains(&root), "{}: {line}", file.display());
        }
    }
}
