//! The page of metrics against its documents: what `docs/operations.md` lists and what the dashboard shows is what the server says.

use super::process::{Process, serve};
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A page as a scraper reads it.
#[derive(Debug, Default)]
struct Page {
    /// Kind of each family.
    kinds: BTreeMap<String, String>,
    /// Value of each line.
    values: BTreeMap<String, f64>,
}

impl Page {
    /// Reads a page, strictly: help, then type, then values of that family only.
    #[track_caller]
    fn read(client: &mut Client) -> Page {
        let answer = client.get("/metrics");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let text = String::from_utf8(answer.body).expect("text");
        let mut page = Page::default();
        let (mut helped, mut family, mut kind) = (String::new(), String::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.is_empty() && help.ends_with('.'), "{line}");
                name.clone_into(&mut helped);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                (family, kind) = rest.split_once(' ').map(|(name, kind)| (name.into(), kind.into())).expect("a type");
                assert_eq!(family, helped, "a type without help");
                assert!(page.kinds.insert(family.clone(), kind.clone()).is_none(), "{family} is there twice");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().expect("a name");
                let ending = name.strip_prefix(&*family).unwrap_or_else(|| panic!("{line} is not of {family}"));
                let endings: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(endings.contains(&ending), "{line} is not of {family}");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(page.values.insert(series.to_owned(), value).is_none(), "{series} is there twice");
            }
        }
        page
    }

    /// The value of a series; 0 if it is not there yet.
    fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }

    /// All values of a family together.
    fn sum(&self, family: &str) -> f64 {
        self.values.iter().filter(|(series, _)| series.split('{').next() == Some(family)).map(|(_, value)| value).sum()
    }
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A real server with keys to nothing and a wallet, and a client of it.
fn real_server(directory: &Path) -> (Process, Client) {
    let process = Process::start(serve(directory, &["--dev"]));
    let mut client = Client::new(process.address);
    client.put("/v1/credit-currencies/credits", &json!({"scale": 2})).expect_status(200);
    client.post("/v1/grants", &json!({"customer": "cus", "amount": 100})).expect_status(201);
    (process, client)
}

#[test]
fn the_documents_list_exactly_what_a_running_server_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_process, mut client) = real_server(directory.path());
    let page = Page::read(&mut client);
    // Rows of the table: | `name` | kind | meaning |
    let manual = document("operations.md");
    let section = manual.split("## Metrics").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`').split(['{', '`']).next()?.to_owned();
        Some((name, cells.next()?.to_owned()))
    });
    let documented: BTreeMap<String, String> = rows.collect();
    assert_eq!(documented, page.kinds, "docs/operations.md and /metrics differ");
}

#[test]
fn the_dashboard_shows_what_there_is_and_most_of_it() {
    fn expressions(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if name == "expr" || name == "query" => found.push(text.clone()),
                        other => expressions(other, found),
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| expressions(element, found)),
            _ => {}
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (_process, mut client) = real_server(directory.path());
    let page = Page::read(&mut client);
    let dashboard: Value = serde_json::from_str(&document("grafana/drawdown.json")).expect("JSON");
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let mut shown = BTreeSet::new();
    for expression in &found {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("drawdown_") || word.starts_with("process_")) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|ending| {
                let family = word.strip_suffix(ending)?;
                (page.kinds.get(family).map(String::as_str) == Some("histogram")).then_some(family)
            });
            let family = family.unwrap_or(word);
            assert!(page.kinds.contains_key(family), "the dashboard asks for {word}, which there is not: {expression}");
            shown.insert(family.to_owned());
        }
    }
    // What no panel needs: limits and positions that others are derived from, and what says the same again.
    let left_out: BTreeSet<_> = page.kinds.keys().filter(|name| !shown.contains(*name)).map(String::as_str).collect();
    let expected =
        BTreeSet::from(["drawdown_batches_total", "drawdown_log_durable_bytes", "process_virtual_memory_bytes"]);
    assert_eq!(left_out, expected, "metrics that no panel shows");
    // Every panel has an id and a place of its own, on a grid of 24 columns.
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let at = &panel["gridPos"];
        assert!(at["x"].as_u64().zip(at["w"].as_u64()).is_some_and(|(x, w)| x + w <= 24), "{panel}");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
    }
}

/// What should move moves, by as much as it should, and nothing else does.
#[test]
fn counters_move_when_what_they_count_happens() {
    let server = TestServer::funded();
    let mut client = server.client();
    let before = Page::read(&mut client);
    let events: Value = (0..20).map(|n| json!({"id": format!("e{n}"), "customer": "cus", "amount": 1})).collect();
    client.post("/v1/events", &events).expect_status(200);
    client.post("/v1/events", &events).expect_status(200);
    client
        .post("/v1/events", &json!({"id": "big", "customer": "cus", "amount": 1000}))
        .expect_problem(402, "insufficient_credit");
    client.post("/v1/events", &json!([{"id": "x", "customer": "nobody", "amount": 1}])).expect_status(200);
    client.post("/v1/events", &json!({"id": "all", "customer": "cus", "amount": 80})).expect_status(200);
    client.post("/v1/grants", &json!({"customer": "two", "amount": 5})).expect_status(201);
    client.get("/nothing").expect_problem(404, "not_found");
    let after = Page::read(&mut client);
    let moved = |series: &str| after.value(series) - before.value(series);
    for (series, by) in [
        ("drawdown_events_total{outcome=\"applied\"}", 21.0),
        ("drawdown_events_total{outcome=\"duplicate\"}", 20.0),
        ("drawdown_events_total{outcome=\"rejected\"}", 2.0),
        ("drawdown_events_rejected_total{reason=\"insufficient_credit\"}", 1.0),
        ("drawdown_events_rejected_total{reason=\"unknown_wallet\"}", 1.0),
        ("drawdown_batches_total", 5.0),
        ("drawdown_batch_events_count", 5.0),
        ("drawdown_batch_events_sum", 43.0),
        ("drawdown_batch_events_bucket{le=\"1\"}", 3.0),
        ("drawdown_batch_stage_duration_seconds_count{stage=\"decode\"}", 5.0),
        ("drawdown_batch_stage_duration_seconds_count{stage=\"engine\"}", 5.0),
        ("drawdown_batch_stage_duration_seconds_count{stage=\"encode\"}", 5.0),
        ("drawdown_batch_stage_duration_seconds_count{stage=\"durable\"}", 5.0),
        // The wallet is empty now, which is a line; a grant opens a generation, too.
        ("drawdown_crossings_total", 1.0),
        ("drawdown_generations_total", 2.0),
        ("drawdown_grants_total", 1.0),
        ("drawdown_wallets", 1.0),
        ("drawdown_http_requests_total{method=\"POST\",route=\"/v1/events\",status=\"200\"}", 4.0),
        ("drawdown_http_requests_total{method=\"POST\",route=\"/v1/events\",status=\"402\"}", 1.0),
        ("drawdown_http_requests_total{method=\"\",route=\"none\",status=\"404\"}", 1.0),
        ("drawdown_http_request_duration_seconds_count{method=\"POST\",route=\"/v1/events\"}", 5.0),
    ] {
        assert_eq!(moved(series), by, "{series}");
    }
    // Identities are counted in samples, so that twenty may show as none.
    for series in [
        "drawdown_log_tail_bytes",
        "drawdown_log_durable_bytes",
        "drawdown_log_syncs_total",
        "drawdown_log_synced_bytes_total",
        "drawdown_log_sync_duration_seconds_count",
        "drawdown_log_sync_duration_seconds_sum",
        "drawdown_http_body_bytes_total",
    ] {
        assert!(moved(series) > 0.0, "{series}");
    }
    assert_eq!(after.sum("drawdown_http_refusals_total"), 0.0);
    assert_eq!(after.value("drawdown_ready"), 1.0);
    assert_eq!(after.value("drawdown_identities_window_seconds"), 86400.0);
    assert_eq!(after.value("drawdown_log_durable_lag_bytes"), 0.0);
    assert_eq!(after.value("drawdown_http_connections"), 1.0);
    // The statistics say the same.
    let stats = client.get("/v1/stats").expect_status(200);
    assert_eq!((&stats["events"]["applied"], &stats["rejections"]["unknown_wallet"]), (&json!(21), &json!(1)));
    let log = &stats["log"];
    assert!(log["sync_us_total"].as_u64() >= log["last_sync_us"].as_u64() && log["syncs"].as_u64() > Some(0), "{log}");
}

/// The rows of a table in the manual whose lines begin with a code span: what stands in the cells, backticks taken away.
fn rows(manual: &str, from: &str) -> Vec<Vec<String>> {
    let section = manual.split(&format!("\n## {from}\n")).nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.unwrap_or_else(|| panic!("there is no section {from}"));
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

#[test]
fn the_manual_lists_every_setting_with_its_default() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_drawdown")).args(["serve", "--help"]).output();
    let help = String::from_utf8(output.expect("runs").stdout).expect("text");
    // A flag's line, and the lines of its help up to the next flag.
    let mut offered: BTreeMap<String, String> = BTreeMap::new();
    let mut flag = String::new();
    for line in help.lines().map(str::trim) {
        if let Some(at) = line.find("--").filter(|at| *at <= 4) {
            let name = line[at..].split([' ', '[', '=']).next().expect("a name");
            name.clone_into(&mut flag);
        }
        offered.entry(flag.clone()).or_default().push_str(line);
    }
    offered.remove("");
    offered.remove("--help");
    let manual = document("operations.md");
    let documented: BTreeMap<String, String> =
        rows(&manual, "Settings").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(documented.keys().collect::<Vec<_>>(), offered.keys().collect::<Vec<_>>());
    for (flag, help) in &offered {
        let variable = format!("DRAWDOWN_{}", flag.trim_start_matches("--").replace('-', "_").to_uppercase());
        assert!(help.contains(&format!("[env: {variable}=")), "{flag}: {help}");
        if let Some((_, rest)) = help.split_once("[default: ") {
            let default = rest.split(']').next().expect("a default");
            assert_eq!(documented[flag], default, "{flag}");
        }
    }
}

#[test]
fn the_manual_names_every_exit_of_a_refusal() {
    use drawdown::engine::Unavailable;
    use drawdown::http::Reason;
    let manual = document("operations.md");
    let server: Vec<_> = rows(&manual, "Refusals").into_iter().filter(|row| row.len() > 4).collect();
    let listed = |reason: &Reason| {
        let (status, slug, _) = reason.describe();
        server.iter().any(|row| row[0] == slug && row[1] == status.as_str())
    };
    for reason in [
        Reason::TooManyConnections,
        Reason::TooManyRequests,
        Reason::TooManyBytes,
        Reason::TooManyWaiting,
        Reason::Timeout,
        Reason::Recovering,
        Reason::Unavailable(Unavailable::Overloaded),
        Reason::Unavailable(Unavailable::NoSpace(String::new())),
        Reason::Unavailable(Unavailable::Poisoned(String::new())),
        Reason::Unavailable(Unavailable::Closed),
    ] {
        assert!(listed(&reason), "{reason:?} is not in the table of refusals");
    }
    let all: BTreeSet<String> = rows(&manual, "Refusals").into_iter().map(|row| row[0].clone()).collect();
    for slug in drawdown::ledger::Rejection::SLUGS {
        assert!(all.contains(slug), "{slug} is not in the tables of refusals");
    }
    // The labels of the metric, from a page of them.
    let server_page = TestServer::start();
    let page = Page::read(&mut server_page.client());
    let label = |series: &str| {
        Some(series.strip_prefix("drawdown_http_refusals_total{reason=\"")?.strip_suffix("\"}")?.to_owned())
    };
    let labels: BTreeSet<String> = page.values.keys().filter_map(|series| label(series)).collect();
    let told: BTreeSet<String> = server
        .iter()
        .flat_map(|row| row[4].split(", ").map(str::to_owned).collect::<Vec<_>>())
        .chain(["slow_reader".to_owned()])
        .filter(|label| !label.is_empty())
        .collect();
    assert_eq!(told, labels, "reasons of refusals");
}
