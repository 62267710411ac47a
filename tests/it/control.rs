//! The control plane without HTTP: customers and kept answers on a disk that fails, in snapshots, and after their personal data were erased.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec};
use drawdown::engine::customers::{CollectionMethod, CustomerPatch, CustomerView, PersonalData};
use drawdown::engine::view::GrantRequest;
use drawdown::engine::{Answer, Charge, CommandError, Engine, EngineConfig, ManualClock, SystemClock, UsageEvent};
use drawdown::journal::admin::AdminRecord;
use drawdown::journal::control::AnswerBody;
use drawdown::journal::{Record, records};
use drawdown::ledger::{Category, Decimal, Source};
use drawdown_wal::sim::{Cut, Disk};
use drawdown_wal::{Archive, Files, Images};

use crate::books::{BEGIN, at, config, set_up};
use crate::snapshots::{check_cuts, seal};

const SEGMENT_BYTES: u64 = 64 << 10;
const NAME: &str = "Ada Lovelace, Countess";
const KEYS: &str = "customers.keys";

fn open(disk: &Disk, clock: &Arc<ManualClock>) -> Engine {
    Engine::open_on(disk.medium(), config(SEGMENT_BYTES), Arc::clone(clock) as _).expect("what is left can be opened").0
}

fn new_ledger() -> (Disk, Arc<ManualClock>) {
    let (disk, clock) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = open(&disk, &clock);
    set_up(&engine).expect("currencies and meters");
    engine.close().expect("a healthy log");
    (disk, clock)
}

fn named(name: &str) -> CustomerPatch {
    CustomerPatch {
        name: Some(Some(name.to_owned())),
        metadata: Some([("tier".to_owned(), name.to_lowercase())].into()),
        collection_method: Some(CollectionMethod::SendInvoice),
        ..CustomerPatch::default()
    }
}

/// Puts a customer; whether that was acknowledged.
fn put(engine: &Engine, id: &str, patch: &CustomerPatch) -> bool {
    engine.put_customer(id, patch).is_ok_and(|(_, ticket)| ticket.wait().is_ok())
}

/// Erases a customer's data as the server does; whether that was acknowledged.
fn erase(engine: &Engine, id: &str) -> bool {
    engine.erase_customer(id).is_ok_and(|(_, ticket)| ticket.wait().is_ok()) && engine.finish_erasure(id).is_ok()
}

fn file(disk: &Disk, name: &str) -> Vec<u8> {
    let Ok(contents) = disk.open_file(name) else { return Vec::new() };
    let mut bytes = vec![0; contents.size_bytes() as usize];
    contents.read_at(0, &mut bytes).expect("readable");
    bytes
}

/// Everything that is on a disk: segments and files.
fn everything(disk: &Disk) -> Vec<u8> {
    let mut all: Vec<u8> = disk.images().into_values().flatten().collect();
    for extension in ["snapshot", "keys", "ids"] {
        for name in disk.names(extension).expect("a list") {
            all.extend(file(disk, &name));
        }
    }
    all
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Keys in the file, by what their cells hold.
fn keys(disk: &Disk) -> Vec<Vec<u8>> {
    let bytes = file(disk, KEYS);
    let cells = bytes.chunks(64).skip(1).filter(|cell| cell.iter().any(|byte| *byte != 0));
    cells.map(<[u8]>::to_vec).collect()
}

#[test]
fn erased_data_are_gone_while_the_log_stays_what_it_was() {
    let (disk, clock) = new_ledger();
    let engine = open(&disk, &clock);
    assert!(put(&engine, "cus_1", &named(NAME)) && put(&engine, "cus_2", &named("Grace Hopper")));
    seal(&engine);
    engine.snapshot_now().expect("a snapshot").expect("of something");
    let patch = CustomerPatch { email: Some(Some("ada@example.com".to_owned())), ..CustomerPatch::default() };
    engine.patch_customer("cus_1", &patch).expect("there").1.wait().expect("a healthy log");
    seal(&engine);
    while engine.log().extend_chain().expect("segments can be read") {}
    let chain = engine.log().chain().write();
    let before = engine.customer("cus_1").expect("there");
    assert_eq!((before.name.as_deref(), before.email.as_deref()), (Some(NAME), Some("ada@example.com")));
    assert!(!holds(&everything(&disk), NAME.as_bytes()), "nothing on the disk says it");
    let old_keys = keys(&disk);
    assert_eq!(old_keys.len(), 2);

    assert!(erase(&engine, "cus_1"));
    let erased = |customer: &CustomerView| {
        assert_eq!((customer.personal_data, &customer.name, &customer.email), (PersonalData::Erased, &None, &None));
        assert!(customer.metadata.is_empty());
    };
    erased(&engine.customer("cus_1").expect("there"));
    let left = keys(&disk);
    assert_eq!(left.len(), 1);
    let key = old_keys.iter().find(|key| !left.contains(key)).expect("one is gone");
    assert!(!holds(&everything(&disk), &key[16..48]), "no file has a byte of the key");
    engine.close().expect("a healthy log");
    drop(engine);

    // The log verifies, with the hashes that were noted before.
    let images = Images { segments: disk.images(), chain: Some(chain) };
    let verdict = drawdown::verify::verify(&Archive::of_images(images), &|_| ()).expect("images can be read");
    assert_eq!(verdict.problems, []);
    // It replays, from the snapshot and from its beginning, to the same.
    let bare = disk.duplicate();
    for name in bare.names("snapshot").expect("a list") {
        bare.delete(&name).expect("deleted");
    }
    for disk in [&disk, &bare] {
        let engine = open(disk, &clock);
        erased(&engine.customer("cus_1").expect("there"));
        assert_eq!(engine.customer("cus_2").expect("there").name.as_deref(), Some("Grace Hopper"));
        assert_eq!(engine.customers("", None, 10).len(), 2);
    }
    // A copy of the file of keys from before brings nothing back: the next start destroys the key again.
    let restored = disk.duplicate();
    restored.overwrite(KEYS, 64, &old_keys.concat()).expect("written");
    assert_eq!(keys(&restored).len(), 2);
    erased(&open(&restored, &clock).customer("cus_1").expect("there"));
    assert_eq!(keys(&restored), left);
    // Without the file the log opens, and says what it cannot read.
    disk.delete(KEYS).expect("deleted");
    let engine = open(&disk, &clock);
    assert_eq!(engine.customer("cus_2").expect("there").personal_data, PersonalData::Unreadable);
    let partly = CustomerPatch { name: Some(None), ..CustomerPatch::default() };
    let refused = engine.patch_customer("cus_2", &partly).expect_err("the rest would be lost");
    assert!(matches!(refused, CommandError::Conflict { slug: "personal_data_unreadable", .. }));
    assert!(put(&engine, "cus_2", &CustomerPatch { email: Some(None), ..named("Grace") }));
    assert_eq!(engine.customer("cus_2").expect("there").personal_data, PersonalData::Stored);
}

/// The power is cut at every sync of a story of two customers. What was acknowledged holds, nothing becomes unreadable, and of an erasure that
/// the log tells no key is left.
#[test]
fn a_power_cut_never_loses_data_nor_keeps_what_was_erased() {
    let (fresh, clock) = new_ledger();
    let mut cuts = 0;
    for cut in [Cut::Before, Cut::During, Cut::After] {
        for sync in 1.. {
            let disk = fresh.duplicate();
            disk.cut_power_at(sync, cut, sync ^ 0xadd);
            let mut acknowledged = 0;
            if let Ok((engine, _)) = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), clock.clone()) {
                let story: [&dyn Fn() -> bool; 6] = [
                    &|| put(&engine, "one", &named(NAME)),
                    &|| put(&engine, "two", &named("Grace")),
                    &|| put(&engine, "one", &CustomerPatch { archived: Some(true), ..named("Ada") }),
                    &|| erase(&engine, "one"),
                    &|| put(&engine, "one", &named("Bea")),
                    &|| erase(&engine, "two"),
                ];
                acknowledged = story.iter().take_while(|step| step()).count();
            }
            let Some(left) = disk.left() else {
                assert_eq!(acknowledged, 6);
                break;
            };
            cuts += 1;
            let engine = open(&left, &clock);
            let name = |id: &str| engine.customer(id).ok().and_then(|customer| customer.name);
            let state = |id: &str| engine.customer(id).map_or(PersonalData::Absent, |customer| customer.personal_data);
            let (one, two) = (name("one"), name("two"));
            // What comes after the last acknowledged step may have happened or not.
            let one_after = [None, Some(NAME), Some(NAME), Some("Ada"), None, Some("Bea"), Some("Bea")];
            let two_after = [None, None, Some("Grace"), Some("Grace"), Some("Grace"), Some("Grace"), None];
            let next = (acknowledged + 1).min(6);
            let told = format!("cut {cut:?} at sync {sync}, {acknowledged} acknowledged");
            assert!([one_after[acknowledged], one_after[next]].contains(&one.as_deref()), "{told}: {one:?}");
            assert!([two_after[acknowledged], two_after[next]].contains(&two.as_deref()), "{told}: {two:?}");
            for id in ["one", "two"] {
                assert_ne!(state(id), PersonalData::Unreadable, "{told}: {id}");
            }
            let readable = [one, two].iter().flatten().count();
            let there = keys(&left).len();
            // A key whose customer the cut kept from being logged sealed nothing.
            assert!((readable..=readable + 1).contains(&there), "{told}: {there} keys, {readable} readable");
            assert!(erase(&engine, "one") || name("one").is_none());
            assert_eq!(name("one"), None);
        }
    }
    assert!(cuts > 30, "{cuts}");
}

fn answer(number: u8, body: Option<Vec<u8>>) -> Answer {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Answer { key: [number; 32], request: [1; 32], began: at(BEGIN), status: 201, headers, body }
}

/// Customers and answers are the same whatever frame of the log a snapshot was made up to, and however many passes it took.
#[test]
fn snapshots_hold_customers_and_answers_up_to_any_frame() {
    let (disk, clock) = new_ledger();
    let engine = open(&disk, &clock);
    let ids: Vec<_> = (0..12_u8).map(|number| format!("cus_{:02}", number * 7 % 12)).collect();
    for (number, id) in (0..).zip(&ids) {
        assert!(put(&engine, id, &named(NAME)));
        drop(engine.keep_answer(answer(number, Some(vec![number; 2_000])), 1 << 20).expect("kept"));
        if number % 3 == 2 {
            let earlier = &ids[usize::from(number) - 2];
            assert!(erase(&engine, earlier));
            let patch = CustomerPatch { archived: Some(true), ..CustomerPatch::default() };
            engine.patch_customer(id, &patch).expect("there").1.wait().expect("a healthy log");
        }
    }
    let all = engine.customers("", None, 100);
    let key = |engine: &Engine, number: u8| engine.find_answer(&[number; 32]).expect("a healthy log");
    engine.close().expect("a healthy log");
    drop(engine);
    check_cuts(&disk, &clock, (0..60).step_by(3), &|engine| {
        assert_eq!(engine.customers("", None, 100), all);
        for number in 0..12 {
            assert_eq!(key(engine, number), Some(answer(number, Some(vec![number; 2_000]))));
        }
        assert_eq!(key(engine, 99), None);
    });
}

#[test]
fn answers_are_found_in_files_of_spilled_identities_and_after_they_were_lost() {
    let (disk, clock) = new_ledger();
    let little = EngineConfig { idempotency_memory: 48 * 8, ..config(SEGMENT_BYTES) };
    let open = |disk: &Disk| Engine::open_on(disk.medium(), little.clone(), clock.clone()).expect("opens").0;
    let engine = open(&disk);
    for number in 0..60 {
        let body = (number % 2 == 0).then(|| format!("body {number}").into_bytes());
        engine.keep_answer(answer(number, body), 1 << 10).expect("kept").wait().expect("a healthy log");
        engine.tidy();
    }
    let check = |engine: &Engine| {
        for number in 0..60 {
            let found = engine.find_answer(&[number; 32]).expect("a healthy log").expect("it was kept");
            assert_eq!(found.body, (number % 2 == 0).then(|| format!("body {number}").into_bytes()));
        }
        assert_eq!(engine.find_answer(&[200; 32]).expect("a healthy log"), None);
    };
    assert!(!disk.names("ids").expect("a list").is_empty(), "some were spilled");
    check(&engine);
    engine.close().expect("a healthy log");
    drop(engine);
    for name in disk.names("ids").expect("a list").into_iter().step_by(2) {
        disk.delete(&name).expect("deleted");
    }
    check(&open(&disk));
}

/// What the log holds of an answer and of a customer is what may be there.
#[test]
fn the_log_knows_neither_keys_nor_names() {
    let (disk, clock) = new_ledger();
    let engine = open(&disk, &clock);
    assert!(put(&engine, "cus_1", &named(NAME)));
    engine.keep_answer(answer(1, None), 10).expect("kept").wait().expect("a healthy log");
    let mut reader = engine.log().reader(engine.log().first());
    let (mut customers, mut answers) = (0, 0);
    while let Some(frame) = reader.next().expect("a readable log") {
        for record in records(frame.payload, frame.payload_lsn).expect("records") {
            match record.expect("a record").1 {
                Record::Admin(AdminRecord::Customer(customer)) => {
                    customers += 1;
                    let sealed = customer.sealed.expect("it has a name");
                    assert!(!holds(&sealed.bytes, b"Ada"));
                }
                Record::Admin(AdminRecord::Answer(answer)) => {
                    answers += 1;
                    assert_eq!(answer.body, AnswerBody::Again);
                }
                _ => {}
            }
        }
    }
    assert_eq!((customers, answers), (1, 1));
}

/// While somebody changes the scale of a currency that nobody uses, others make its first wallet and debit it: an amount never comes to stand
/// for another one.
#[test]
fn a_scale_that_changes_meets_no_amount_of_the_old_one() {
    let mut config = config(1 << 20);
    config.log.manual = false;
    let engine = Engine::open_on(Arc::new(drawdown_wal::Heap::new()), config, Arc::new(SystemClock)).expect("opens").0;
    let one = || Decimal::parse(b"1").expect("a decimal");
    for round in 0..60 {
        let id = format!("currency-{round}");
        let put = |scale: u8| {
            engine.put_currency(CurrencySpec {
                id: id.clone(),
                name: String::new(),
                symbol: String::new(),
                scale,
                kind: CurrencyKind::Unit,
                max_balance: None,
                default_priorities: <_>::default(),
            })
        };
        let _ = put(0).expect("made");
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for scale in (0..=6).cycle().take(30) {
                    if put(scale).is_err() {
                        break;
                    }
                }
                is_done.store(true, Ordering::Release);
            });
            scope.spawn(|| {
                let request = GrantRequest {
                    customer: "cus".to_owned(),
                    currency: Some(id.clone()),
                    amount: one(),
                    source: Source::Adjustment,
                    category: Category::Paid,
                    priority: None,
                    effective_at: None,
                    expires_at: None,
                    cost_basis: None,
                    key: None,
                    metadata: <_>::default(),
                    options: <_>::default(),
                };
                for _ in 0..round % 7 {
                    std::thread::yield_now();
                }
                loop {
                    match engine.grant(std::slice::from_ref(&request)).expect("healthy").0.remove(0).result {
                        Ok(_) => return,
                        Err(CommandError::FieldConflict { slug: "currency_changed", .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            scope.spawn(|| {
                let mut outcomes = Vec::new();
                while !is_done.load(Ordering::Acquire) {
                    let event = UsageEvent {
                        id: &id,
                        source: "",
                        customer: "cus",
                        charge: Charge::Amount { currency: Some(&id), amount: Ok(one()) },
                        time: None,
                        policy: None,
                    };
                    drop(engine.submit(&[event], &mut outcomes).expect("healthy"));
                }
            });
        });
        let wallet = engine.wallet("cus", &id).expect("the grant made it");
        let shown = wallet.balance.display(wallet.currency.scale).to_string();
        assert!(["1", "0"].contains(&shown.as_str()), "granted 1 and debited 1 or nothing, and left {shown}");
    }
    engine.close().expect("a healthy log");
}
