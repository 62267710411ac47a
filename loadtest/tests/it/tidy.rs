//! The generator knows the API and nothing else of the server: its figures are those of a customer.

use std::fs;
use std::path::Path;

#[test]
fn no_module_of_the_server_is_used() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(crate_root.join("Cargo.toml")).expect("the manifest is there");
    let depends = |line: &&str| line.starts_with("drawdown") || line.contains("path =");
    assert_eq!(manifest.lines().find(depends), None, "no dependency on a crate of this workspace");
    let directory = |path: &str| fs::read_dir(crate_root.join(path)).expect("the sources are there");
    let entries = directory("src").chain(directory("src/bin")).map(|entry| entry.expect("a directory entry").path());
    for file in entries.filter(|path| path.is_file()) {
        let text = fs::read_to_string(&file).expect("a source is text");
        assert!(!text.contains("drawdown::") && !text.contains("drawdown_"), "{}", file.display());
    }
}
