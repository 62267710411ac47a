//! `drawdown verify` and `drawdown inspect` with the real binary, on real directories.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use drawdown::engine::customers::CustomerPatch;
use drawdown::engine::{Answer, ApiKeyRecord, Engine, EngineConfig, ManualClock};
use drawdown_wal::Archive;
use proptest::prelude::*;
use serde_json::Value;

use crate::books::{Ask, GrantSpec};
use crate::books::{BEGIN, Books, Step, Usage, WalletNumber, When, at, config, set_up};
use crate::engine_props::any_story;

const SEGMENT_BYTES: u64 = 64 << 10;
/// What must not be shown: the bytes of an API key's hash, as any of the usual texts.
const HASH: [u8; 32] = [0xab; 32];

fn engine_config() -> EngineConfig {
    config(SEGMENT_BYTES)
}

fn usage(id: u32, wallet: usize, units: i64) -> Usage {
    Usage { id, source: 0, wallet: WalletNumber(wallet), ask: Ask::Units(units), time: When::Unsaid, policy: None }
}

/// A ledger of some segments in a directory, closed in order if wanted.
fn make(directory: &Path, close: bool) -> Engine {
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let (engine, _) = Engine::open(directory, engine_config(), clock.clone()).expect("a fresh directory");
    set_up(&engine).expect("currencies and meters");
    let key = ApiKeyRecord {
        id: "key1".to_owned(),
        name: "gateway".to_owned(),
        live: true,
        scopes: 1,
        hash: HASH,
        created_ms: BEGIN,
        revoked: false,
    };
    engine.put_api_key(key).expect("a key").wait().expect("a healthy log");
    let mut books = Books::new();
    for wallet in [0, 2, 4] {
        let grant = GrantSpec {
            wallet: WalletNumber(wallet),
            units: 1000,
            source: 0,
            promotional: false,
            priority: None,
            effective: None,
            lasts: None,
            cost: None,
            key: None,
            note: false,
            waits: None,
            rollover: None,
        };
        books.make(&Step::Grant(grant), &engine, &clock).expect("a healthy engine");
    }
    for round in 0..60 {
        let batch = (0..40).map(|place| usage(round * 40 + place, place as usize % 3 * 2, 1)).collect();
        books.make(&Step::Batch(batch), &engine, &clock).expect("a healthy engine");
        engine.log().pump();
    }
    engine.barrier().wait().expect("a healthy log");
    while engine.log().extend_chain().expect("segments can be read") {}
    if close {
        engine.close().expect("a healthy log");
    }
    engine
}

fn drawdown(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    command.args(arguments).arg("--data").arg(directory).env_remove("NO_COLOR");
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("bytes")))
        .collect();
    all.sort();
    all
}

#[test]
fn a_sound_directory_verifies_and_is_left_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(make(directory.path(), true));
    let before = contents(directory.path());
    let output = drawdown(&["verify"], directory.path());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.ends_with("sound\n") && out.contains("ended in order") && !out.contains('\x1b'), "{out}");
    assert!(err.contains("survey: ") && err.contains("fold: ") && err.contains("audit: "), "{err}");
    let json: Value = serde_json::from_slice(&drawdown(&["verify", "--json"], directory.path()).stdout).expect("JSON");
    assert_eq!((&json["sound"], &json["damage"]), (&Value::Bool(true), &Value::Array(vec![])));
    // Three grants of 10, and 2,400 debits of 0.01.
    let credits = &json["currencies"][0];
    let figures =
        ["currency", "granted", "spent", "remaining", "expired", "voided", "written_off"].map(|name| &credits[name]);
    assert_eq!(figures, ["credits", "30", "24", "6", "0", "0", "0"]);
    assert_eq!((&credits["conserved"], &credits["whole"]), (&Value::Bool(true), &Value::Bool(true)));
    let equation = "credits: 30 granted = 24 spent + 6 remaining + 0 expired + 0 voided + 0 written off";
    assert!(out.lines().any(|line| line.ends_with(equation)), "{out}");
    let quiet = drawdown(&["verify", "--quiet"], directory.path());
    assert_eq!((text(&quiet.stdout), text(&quiet.stderr), quiet.status.code()), ("", "", Some(0)));
    assert_eq!(contents(directory.path()), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever has happened, every credit that was granted was spent, is there, expired, was voided or written off: grant by grant as the
    /// model has it.
    #[test]
    fn every_credit_is_accounted_for(story in any_story()) {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::new(at(BEGIN)));
        // The books decide a batch at once, and a log of small segments may decide it in parts: then identities that meet in it do not wait.
        let (engine, _) = Engine::open(directory.path(), config(256 << 10), clock.clone()).expect("a fresh directory");
        set_up(&engine).expect("currencies and meters");
        let mut books = Books::new();
        for step in &story {
            let ticket = books.make(step, &engine, &clock).expect("a healthy engine");
            engine.log().pump();
            if let Some(ticket) = ticket {
                ticket.wait().expect("a healthy log");
            }
        }
        engine.close().expect("a healthy log");
        drop(engine);
        let archive = Archive::open(directory.path()).expect("a ledger");
        let verdict = drawdown::verify::verify(&archive, &|_| {}).expect("it can be read");
        prop_assert!(verdict.is_sound(), "{:?}", verdict.problems);
        for currency in verdict.audit.expect("an audit").currencies {
            let mut expected = [0; 6];
            for wallet in WalletNumber::all().filter(|wallet| wallet.currency() == currency.currency.id) {
                let Some(model) = books.groups(wallet).last().map(|group| &group.after) else { continue };
                for (_, account) in model.accounts().filter(|(id, _)| model.is_active(*id)) {
                    let spent = account.spent + account.debt_paid - account.returned;
                    // What rolled over was granted once, and so was what moved between wallets.
                    let granted = account.granted - account.rolled_over - account.transferred;
                    let parts =
                        [granted, spent, account.left(), account.expired, account.voided, account.written_off];
                    expected.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
                }
            }
            let sums = &currency.sums;
            let said = [sums.granted, sums.spent, currency.remaining, sums.expired, sums.voided, sums.written_off];
            prop_assert_eq!(said, expected);
            prop_assert!(currency.is_whole && currency.is_conserved());
            prop_assert_eq!(said[0], said[1..].iter().sum::<i128>());
        }
    }
}

#[test]
fn damage_is_named_by_file_offset_and_position() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(make(directory.path(), true));
    let path = directory.path().join("0000000000000001.wal");
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[20_000] ^= 0x10;
    fs::write(&path, bytes).expect("a segment");
    let output = drawdown(&["verify"], directory.path());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    let damage = out.lines().find(|line| line.starts_with("damage: ")).expect("a line of damage");
    assert!(damage.contains("0000000000000001.wal, offset 20000, LSN ") && damage.contains("bit 4"), "{damage}");
    let json: Value = serde_json::from_slice(&drawdown(&["verify", "--json"], directory.path()).stdout).expect("JSON");
    assert_eq!((&json["sound"], &json["damage"][0]["offset"]), (&Value::Bool(false), &Value::from(20_000)));
    let quiet = drawdown(&["verify", "--quiet"], directory.path());
    assert_eq!(text(&quiet.stdout).lines().count(), 1);
}

#[test]
fn snapshots_are_checked_and_held_against_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(make(directory.path(), true));
    let made = drawdown(&["snapshot"], directory.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let before = contents(directory.path());
    let output = drawdown(&["verify"], directory.path());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("3 wallets: is what the log comes to, chain agrees"), "{out}");
    assert!(err.contains("snapshots: "), "{err}");
    let json: Value = serde_json::from_slice(&drawdown(&["verify", "--json"], directory.path()).stdout).expect("JSON");
    let snapshot = &json["snapshots"][0];
    assert_eq!((&snapshot["sound"], &snapshot["compared_with"]), (&Value::Bool(true), &"log".into()));
    assert_eq!((&snapshot["chain"], &json["identity_runs"]["runs"]), (&"agrees".into(), &0.into()));
    assert_eq!(contents(directory.path()), before, "nothing is written");

    let name = snapshot["file"].as_str().expect("a name");
    let path = directory.path().join(name);
    let mut bytes = fs::read(&path).expect("a snapshot");
    bytes[300] ^= 0x10;
    fs::write(&path, bytes).expect("a snapshot");
    let output = drawdown(&["verify", "--json"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let damage = json["damage"].as_array().expect("a list");
    assert_eq!((damage.len(), &damage[0]["offset"]), (1, &300.into()), "{damage:?}");
    assert!(damage[0]["file"].as_str().is_some_and(|file| file.ends_with(name)), "{damage:?}");
    assert_eq!((&damage[0]["found_by"], &json["snapshots"][0]["sound"]), (&"snapshots".into(), &Value::Bool(false)));
}

#[test]
fn what_cannot_be_checked_is_neither_sound_nor_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    for path in [directory.path().to_owned(), directory.path().join("nothing")] {
        let output = drawdown(&["verify"], &path);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).starts_with("drawdown: "), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0, "nothing was made");
}

#[test]
fn a_directory_in_use_is_checked_as_far_as_it_was_durable() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = make(directory.path(), false);
    let output = drawdown(&["verify"], directory.path());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(out.contains("note: a server has the directory open"), "{out}");
    engine.close().expect("a healthy log");
}

#[test]
fn a_log_that_died_verifies_with_notes() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = make(directory.path(), false);
    let left = tempfile::tempdir().expect("a directory");
    for (name, bytes) in contents(directory.path()) {
        fs::write(left.path().join(name), bytes).expect("a copy");
    }
    engine.close().expect("a healthy log");
    let output = drawdown(&["verify"], left.path());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("note: the log did not end in order"), "{out}");
}

#[test]
fn segments_records_and_wallets_are_shown_and_no_secret_is() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(make(directory.path(), true));
    let before = contents(directory.path());
    let segments = lines(&drawdown(&["inspect", "segments", "--json"], directory.path()));
    assert_eq!(segments[0]["state"], "sealed");
    assert_eq!(segments[0]["hash"], segments[0]["recorded_hash"]);
    assert_eq!(segments[0]["first_time"], "2027-01-15T08:00:00.000Z");
    assert!(segments.len() > 3 && segments.last().is_some_and(|segment| segment["state"] == "prepared"));

    let records = lines(&drawdown(&["inspect", "records", "--json", "--limit", "100000"], directory.path()));
    let of = |kind: &str| records.iter().filter(|record| record["type"] == kind).count();
    assert_eq!((of("genesis"), of("currency"), of("meter"), of("api_key")), (1, 2, 2, 1));
    assert_eq!((of("wallet"), of("grant"), of("grant_declared")), (3, 3, 3));
    assert_eq!(of("debit"), 2400);
    let total: u64 = segments.iter().map(|segment| segment["records"].as_u64().expect("a number")).sum();
    assert_eq!(records.len() as u64, total);

    let from = records[40]["lsn"].to_string();
    let some = ["inspect", "records", "--json", "--from", &from, "--limit", "3", "--wallet", "bob/credits"];
    let some = lines(&drawdown(&some, directory.path()));
    assert_eq!(some.len(), 3);
    assert!(some.iter().all(|record| record["customer"] == "bob" && record["currency"] == "credits"));
    let next = records.iter().filter(|record| record["lsn"].as_u64() >= records[40]["lsn"].as_u64());
    let expected: Vec<_> = next.filter(|r| r["customer"] == "bob" && r["currency"] == "credits").take(3).collect();
    assert_eq!(some.iter().collect::<Vec<_>>(), expected);

    let wallet = lines(&drawdown(&["inspect", "wallet", "ada", "credits", "--json"], directory.path()));
    assert_eq!((&wallet[0]["type"], &wallet[0]["balance"]), (&"wallet".into(), &"1.6".into()));
    let debits: Vec<_> = wallet.iter().filter(|line| line["kind"] == "debit").collect();
    assert_eq!(debits.len(), 840);
    assert!(debits.windows(2).all(|pair| pair[0]["lsn"].as_u64() > pair[1]["lsn"].as_u64()), "newest first");
    assert_eq!(debits[0]["allocations"][0]["amount"], "0.01");
    let few = lines(&drawdown(&["inspect", "wallet", "ada", "credits", "--json", "--limit", "7"], directory.path()));
    assert_eq!(few.len(), 8);

    let mut shown = String::new();
    for arguments in [
        &["inspect", "segments"][..],
        &["inspect", "records"],
        &["inspect", "records", "--json"],
        &["inspect", "wallet", "ada", "credits"],
    ] {
        let output = drawdown(arguments, directory.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        shown.push_str(text(&output.stdout));
    }
    let seed = seed_of(directory.path());
    for secret in [HASH, seed] {
        let hex = secret.map(|byte| format!("{byte:02x}")).concat();
        let list = format!("{secret:?}").replace(' ', "");
        assert!(!shown.contains(&hex) && !shown.replace(' ', "").contains(&list), "a secret is shown");
    }
    assert!(shown.contains("ada/credits") && shown.contains("api_key"));
    let nobody = drawdown(&["inspect", "wallet", "nobody", "credits"], directory.path());
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("there is no wallet nobody/credits"));
    assert_eq!(contents(directory.path()), before, "nothing is written");
}

/// The ledger's secret, by hand: the first record's body is an array of the seed and the time.
fn seed_of(directory: &Path) -> [u8; 32] {
    let bytes = fs::read(directory.join("0000000000000000.wal")).expect("a segment");
    let start = 4096 + 32 + 32 + 9 + 9;
    let mut body = &bytes[start..start + 200];
    let genesis: ([u8; 32], u64) = rmp_serde::from_read(&mut body).expect("the first record's body");
    assert_eq!(genesis.1, BEGIN);
    genesis.0
}

#[test]
fn a_damaged_log_is_shown_up_to_the_damage() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(make(directory.path(), true));
    let path = directory.path().join("0000000000000001.wal");
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[20_000] ^= 0x10;
    fs::write(&path, bytes).expect("a segment");
    for command in ["segments", "records"] {
        let output = drawdown(&["inspect", command, "--json"], directory.path());
        assert_eq!(output.status.code(), Some(1));
        assert!(!output.stdout.is_empty());
    }
    let before_it = drawdown(&["inspect", "records", "--limit", "9"], directory.path());
    assert_eq!((before_it.status.code(), text(&before_it.stdout).lines().count()), (Some(0), 9));
    let output = drawdown(&["inspect", "records", "--limit", "1000000"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("0000000000000001.wal, offset 20000"), "{}", text(&output.stderr));
}

#[test]
fn customers_and_answers_are_shown_without_what_is_personal() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = make(directory.path(), false);
    let patch = CustomerPatch { name: Some(Some("Ada Lovelace".to_owned())), ..CustomerPatch::default() };
    engine.put_customer("ada", &patch).expect("made").1.wait().expect("a healthy log");
    let answer = Answer {
        key: [1; 32],
        request: [2; 32],
        began: at(BEGIN),
        status: 201,
        headers: Vec::new(),
        body: Some(b"said once".to_vec()),
    };
    engine.keep_answer(answer, 1 << 10).expect("kept").wait().expect("a healthy log");
    engine.erase_customer("ada").expect("there").1.wait().expect("a healthy log");
    engine.finish_erasure("ada").expect("a healthy disk");
    engine.close().expect("a healthy log");
    drop(engine);
    let verified = drawdown(&["verify"], directory.path());
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let records = drawdown(&["inspect", "records", "--json", "--limit", "100000"], directory.path());
    let text = String::from_utf8_lossy(&records.stdout).into_owned();
    assert!(!text.contains("Lovelace") && !text.contains("said once"));
    let records = lines(&records);
    let of = |kind: &str| records.iter().filter(|record| record["type"] == kind).cloned().collect::<Vec<_>>();
    let changes: Vec<_> = of("customer").iter().map(|record| record["change"].clone()).collect();
    assert_eq!(changes, ["created", "erased"]);
    assert_eq!((of("answer").len(), &of("answer")[0]["status"]), (1, &Value::from(201)));
    let wallet = drawdown(&["inspect", "wallet", "ada", "credits"], directory.path());
    assert_eq!(wallet.status.code(), Some(0), "{wallet:?}");
}
