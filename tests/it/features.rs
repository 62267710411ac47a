//! The table of features names tests: each of them is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all tests, each with the paths of the files that have one of that name.
fn tests() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "outbound", "pages"] {
        sources(&Path::new(ROOT).join(folder), &mut files);
    }
    let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let path = file.strip_prefix(ROOT).expect("below it").to_string_lossy().replace('/', "::");
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            let line = line.strip_prefix("async ").unwrap_or(line);
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = rest.split(['(', '<']).next().expect("a name");
                tests.entry(name.to_owned()).or_default().push(path.clone());
                is_test = false;
            }
        }
    }
    tests
}

#[test]
fn every_test_that_the_table_of_features_names_is_there() {
    let table = std::fs::read_to_string(Path::new(ROOT).join("docs/features.md")).expect("it is there");
    let tests = tests();
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| What")) {
        let line = line.replace("| |", "|  |");
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 3, "what, where, by which test: {line}");
        let named: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {line}");
        for name in named {
            let (modules, test) = name.rsplit_once("::").unwrap_or_else(|| panic!("no module: {name}"));
            let files = tests.get(test).unwrap_or_else(|| panic!("there is no test {test}: {line}"));
            // The file's own name is one of the modules; `tests` may be a module within it.
            let suits = |file: &String| {
                let parts: Vec<&str> = file.trim_end_matches(".rs").split("::").filter(|part| *part != "mod").collect();
                modules.split("::").filter(|module| *module != "tests").all(|module| parts.contains(&module))
            };
            assert!(files.iter().any(suits), "{name} is not in {files:?}");
        }
        rows += 1;
    }
    assert!(rows > 80, "{rows} rows");
}
