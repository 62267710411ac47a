//! The rooms of the crate lean on those before them only, and none on the rest of drawdown.

use std::fs;
use std::path::{Path, PathBuf};

/// Room -> what it may use besides itself.
const ROOMS: &[(&str, &[&str])] = &[("http", &[]), ("webhooks", &["http"]), ("providers", &["http", "webhooks"])];

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources are there") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_lean_only_on_those_before_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for (room, allowed) in ROOMS {
        let mut files = Vec::new();
        rust_files(&source.join(room), &mut files);
        assert!(files.len() > 3, "the walk finds the sources of {room}");
        for file in files {
            let text = fs::read_to_string(&file).expect("a source is text");
            let named = text
                .split("crate::")
                .skip(1)
                .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
            let rooms = ROOMS.iter().map(|(name, _)| *name);
            let wrong = rooms
                .filter(|name| name != room && !allowed.contains(name))
                .filter(|name| named.clone().any(|used| used == *name));
            broken.extend(wrong.map(|name| format!("{}: {room} must not know {name}", file.display())));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_other_crate_of_ours_is_used() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("the manifest");
    assert!(!manifest.contains("path ="), "a path leads to another crate of the workspace");
}
