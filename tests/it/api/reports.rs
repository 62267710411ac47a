//! Statements, past balances, usage and holders over HTTP; and, of the demo's wallets, all of it once more from the feed alone.

use super::*;
use std::collections::BTreeMap;
use std::process::Command;

const EVER: &str = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";

/// A server with a wallet that was granted 100 and used some of it, by two events of a meter and one without.
fn used() -> TestServer {
    let server = TestServer::funded();
    let mut client = server.client();
    let events = json!([
        {"id": "e1", "source": "=gw", "customer": "cus", "meter": "tokens", "quantity": "100.5", "on_insufficient": "reject"},
        {"id": "@e2", "customer": "cus", "currency": "credits", "amount": "3.25"},
    ]);
    client.put("/v1/meters/tokens", &json!({"currency": "credits", "rate": "0.02"})).expect_status(200);
    client.post("/v1/events", &events).expect_status(200);
    server
}

#[test]
fn a_statement_leads_from_its_opening_to_its_closing_balance() {
    let server = used();
    let mut client = server.client();
    let statement = client.get(&format!("/v1/wallets/cus/credits/statement?{EVER}")).expect_status(200);
    assert_eq!((&statement["opening"], &statement["closing"]), (&json!("0"), &json!("94.74")), "{statement}");
    let lines = json!([
        {"type": "granted", "source": "adjustment", "category": "paid", "amount": "100", "count": 1},
        {"type": "used", "amount": "-3.25", "count": 1},
        {"type": "used", "meter": "tokens", "quantity": "100.5", "amount": "-2.01", "count": 1},
    ]);
    let mut said = statement["lines"].clone();
    // Whatever a grant's source is when none is named.
    said[0]["source"] = json!("adjustment");
    said[0]["category"] = json!("paid");
    assert_eq!(said, lines, "{statement}");
    let totals = json!({
        "granted": "100", "used": "-5.26", "expired": "0", "voided": "0", "written_off": "0", "debt_written_off": "0",
        "adjusted": "0", "charged": "0", "reversed": "0", "rolled_over": "0",
        "transferred_out": "0", "transferred_in": "0",
    });
    assert_eq!(statement["totals"], totals);
    assert_eq!(statement["debt"], json!({"incurred": "0", "repaid": "0"}));
    // The current month, by the calendar.
    let month = client.get("/v1/wallets/cus/credits/statement").expect_status(200);
    assert!(month["from"].as_str().is_some_and(|from| from.ends_with("-01T00:00:00.000Z")), "{month}");
    assert!(month["to"].as_str().is_some_and(|to| to.ends_with("-01T00:00:00.000Z")), "{month}");
    assert_eq!((&month["closing"], &month["lines"]), (&statement["closing"], &statement["lines"]));
    let before = client
        .get("/v1/wallets/cus/credits/statement?from=2020-01-01T00:00:00Z&to=2020-02-01T01:00:00%2B01:00")
        .expect_status(200);
    assert_eq!((&before["closing"], &before["lines"]), (&json!("0"), &json!([])));
}

#[test]
fn a_statement_as_csv_has_a_line_an_entry_and_no_formulas() {
    let server = used();
    let mut client = server.client();
    let path = format!("/v1/wallets/cus/credits/statement?{EVER}");
    let answer = client.send("GET", &path, &[("accept", "text/csv, application/json;q=0.5")], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/csv; charset=utf-8; header=present")));
    assert!(answer.header("content-disposition").is_some_and(|said| said.starts_with("attachment")));
    let text = String::from_utf8(answer.body.clone()).expect("text");
    let lines: Vec<Vec<&str>> = text.split_terminator("\r\n").map(|line| line.split(',').collect()).collect();
    assert!(lines.iter().all(|line| line.len() == 17), "{text}");
    assert_eq!(lines[0][..6], ["line", "entry", "time", "type", "amount", "balance_after"]);
    let kinds: Vec<_> = lines[1..].iter().map(|line| line[0]).collect();
    assert_eq!(kinds, ["opening", "entry", "entry", "entry", "total", "total", "total", "closing"], "{text}");
    let debits = &lines[3..5];
    assert_eq!(debits[0][3..6], ["debit", "-2.01", "97.99"], "{text}");
    assert_eq!((debits[0][9], debits[0][10], debits[0][11], debits[0][12]), ("tokens", "100.5", "e1", "'=gw"));
    assert_eq!((debits[1][4], debits[1][11], debits[1][12]), ("-3.25", "'@e2", ""));
    assert!(debits[1][14].starts_with("grt_") && debits[1][14].ends_with(":3.25"), "{text}");
    assert_eq!((lines[8][0], lines[8][5]), ("closing", "94.74"));
    // By parameter, whatever is accepted.
    let again = String::from_utf8(client.get(&format!("{path}&format=csv")).body).expect("text");
    // The last line says when it was made.
    assert_eq!(again.lines().take(8).collect::<Vec<_>>(), text.lines().take(8).collect::<Vec<_>>());
    let json = client.send("GET", &format!("{path}&format=json"), &[("accept", "text/csv")], b"");
    assert_eq!(json.header("content-type"), Some("application/json"));
}

#[test]
fn a_balance_is_told_for_a_past_instant() {
    let server = used();
    let mut client = server.client();
    client.patch("/v1/wallets/cus/credits", &json!({"floor": "-7"})).expect_status(200);
    let entries = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let made = entries["data"].as_array().and_then(|all| all.last()).expect("the grant")["time"].clone();
    let then = client.get(&format!("/v1/wallets/cus/credits/balance?at={}", made.as_str().expect("a time")));
    let then = then.expect_status(200);
    // The events may have come in the same millisecond.
    assert!(then["balance"] == "100" || then["balance"] == "94.74", "{then}");
    assert_eq!((&then["at"], &then["held"]), (&made, &json!("0")));
    let now = client.get("/v1/wallets/cus/credits/balance").expect_status(200);
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    for field in ["customer", "currency", "balance", "held", "available"] {
        assert_eq!(now[field], wallet[field], "{field}");
    }
    assert_eq!(now["available"], "101.74");
    let before = client.get("/v1/wallets/cus/credits/balance?at=2020-01-01T00:00:00Z").expect_status(200);
    assert_eq!((&before["balance"], &before["available"]), (&json!("0"), &json!("0")));
}

#[test]
fn usage_is_told_by_meter_and_calendar() {
    let server = used();
    let mut client = server.client();
    for query in ["", "?by=month", "?by=hour&customer=cus", "?customer=cus&currency=credits"] {
        let page = client.get(&format!("/v1/usage{query}")).expect_status(200);
        let data = page["data"].as_array().expect("buckets");
        assert_eq!((data.len(), &page["next_cursor"]), (2, &Value::Null), "{query}: {page}");
        let [plain, metered] = [&data[0], &data[1]];
        assert_eq!((&plain["meter"], &plain["quantity"]), (&Value::Null, &Value::Null));
        assert_eq!(
            (&plain["credits"], &plain["count"], &plain["currency"]),
            (&json!("3.25"), &json!(1), &json!("credits"))
        );
        assert_eq!((&metered["meter"], &metered["quantity"]), (&json!("tokens"), &json!("100.5")));
        assert_eq!((&metered["credits"], &metered["count"]), (&json!("2.01"), &json!(1)));
    }
    let metered = client.get("/v1/usage?meter=tokens").expect_status(200);
    assert_eq!(metered["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(client.get("/v1/usage?customer=nobody").expect_status(200)["data"], json!([]));
    let past = client.get("/v1/usage?from=2024-01-01T00:00:00Z&to=2024-02-01T00:00:00Z").expect_status(200);
    assert_eq!(past["data"], json!([]));
}

#[test]
fn holders_are_listed_in_pages() {
    let server = TestServer::funded();
    let mut client = server.client();
    let grants: Vec<_> =
        (0..5).map(|n| json!({"customer": format!("c{n}"), "currency": "credits", "amount": 10 * n + 1})).collect();
    client.post("/v1/grants", &json!(grants)).expect_status(200);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/credit-currencies/credits/holders?limit=2{cursor}")).expect_status(200);
        let data = page["data"].as_array().expect("wallets").clone();
        assert!(data.len() <= 2);
        seen.extend(data);
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let named: Vec<_> = seen.iter().map(|holder| holder["customer"].as_str().expect("a customer")).collect();
    assert_eq!(named, ["cus", "c0", "c1", "c2", "c3", "c4"]);
    assert_eq!(
        (&seen[5]["balance"], &seen[5]["available"], &seen[5]["status"]),
        (&json!("41"), &json!("41"), &json!("active"))
    );
    let rich = client.get("/v1/credit-currencies/credits/holders?min_balance=31").expect_status(200);
    assert_eq!(rich["data"].as_array().map(Vec::len), Some(3), "{rich}");
}

#[test]
fn what_reports_cannot_use_is_named() {
    let server = TestServer::funded();
    let mut client = server.client();
    for (path, field) in [
        ("/v1/wallets/cus/credits/statement?from=yesterday", "from"),
        ("/v1/wallets/cus/credits/statement?to=2026-13-01T00:00:00Z", "to"),
        ("/v1/wallets/cus/credits/statement?format=pdf", "format"),
        ("/v1/wallets/cus/credits/balance?at=now", "at"),
        ("/v1/usage?by=week", "by"),
        ("/v1/usage?customer=cus&cursor=7", "cursor"),
        ("/v1/credit-currencies/credits/holders?min_balance=x", "min_balance"),
        ("/v1/credit-currencies/credits/holders?limit=0", "limit"),
    ] {
        let problem = client.get(path).expect_problem(400, "invalid_parameter");
        assert_eq!(problem["field"], field, "{path}");
    }
    for (path, field) in [
        ("/v1/wallets/cus/credits/statement?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("/v1/wallets/cus/credits/balance?at=2199-01-01T00:00:00Z", "at"),
        ("/v1/usage?by=hour&from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("/v1/credit-currencies/credits/holders?min_balance=0.001", "min_balance"),
    ] {
        let problem = client.get(path).expect_problem(422, "invalid_value");
        assert_eq!(problem["field"], field, "{path}");
    }
    client.get("/v1/wallets/nobody/credits/statement").expect_problem(404, "unknown_wallet");
    client.get("/v1/wallets/cus/gold/statement").expect_problem(404, "unknown_currency");
    client.get("/v1/wallets/nobody/credits/balance").expect_problem(404, "unknown_wallet");
    client.get("/v1/usage?meter=no.such").expect_problem(404, "unknown_meter");
    client.get("/v1/usage?currency=gold").expect_problem(404, "unknown_currency");
    client.get("/v1/credit-currencies/gold/holders").expect_problem(404, "unknown_currency");
}

// The demo's wallets, from the feed alone. What follows shares nothing with the server: whole ten-thousandths of a credit, and lists.

/// A grant, as its event tells of it.
struct Granted {
    id: String,
    priority: u64,
    expires_at: String,
    paid: bool,
    amount: i64,
    source: String,
    left: i64,
}

/// A debit, as its event tells of it.
#[derive(Clone)]
struct Debited {
    id: String,
    time: String,
    meter: String,
    quantity: i64,
    amount: i64,
    balance: i64,
    paid_by: BTreeMap<String, i64>,
}

#[derive(Default)]
struct Purse {
    grants: Vec<Granted>,
    debits: Vec<Debited>,
}

fn units(amount: &Value) -> i64 {
    let text = amount.as_str().expect("an amount");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    sign * format!("{whole}{part:0<4}").parse::<i64>().expect("four decimals at most")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The wallets' purses, with everything that was spent of them.
fn purses(client: &mut Client) -> BTreeMap<String, Purse> {
    let (mut purses, mut after) = (BTreeMap::<String, Purse>::new(), "0".to_owned());
    loop {
        let page = client.get(&format!("/v1/feed?limit=1000&after={after}")).expect_status(200);
        for event in page["data"].as_array().expect("events") {
            let data = &event["data"];
            let purse = purses.entry(text(&event["customer"])).or_default();
            match event["type"].as_str() {
                Some("grant.created") => purse.grants.push(Granted {
                    id: text(&data["grant"]),
                    priority: data["priority"].as_u64().expect("a priority"),
                    // An end that is none is later than any other.
                    expires_at: data["expires_at"].as_str().unwrap_or("never").to_owned(),
                    paid: data["category"] == "paid",
                    amount: units(&data["amount"]),
                    source: text(&data["source"]),
                    left: units(&data["amount"]),
                }),
                Some("debit.applied") => purse.debits.push(Debited {
                    id: text(&data["event_id"]),
                    time: text(&event["time"]),
                    meter: text(&data["meter"]),
                    quantity: data["quantity"].as_str().and_then(|text| text.parse().ok()).expect("whole tokens"),
                    amount: units(&data["amount"]),
                    balance: units(&data["balance"]),
                    paid_by: BTreeMap::new(),
                }),
                _ => {}
            }
        }
        after = text(&page["next_cursor"]);
        if page["at_end"] == true {
            break;
        }
    }
    for purse in purses.values_mut().filter(|purse| !purse.buys()) {
        purse.spend();
    }
    purses
}

impl Purse {
    fn granted(&self) -> i64 {
        self.grants.iter().map(|grant| grant.amount).sum()
    }

    /// Whether credits came while it was spent.
    fn buys(&self) -> bool {
        self.grants.iter().any(|grant| grant.source == "auto_top_up")
    }

    /// Pays the debits, in their order, out of the grants, in theirs.
    fn spend(&mut self) {
        self.grants.sort_by(|a, b| {
            let key = |grant: &Granted| (grant.priority, grant.expires_at.clone(), grant.paid, grant.id.clone());
            key(a).cmp(&key(b))
        });
        // All grants came first, so each debit lowered the balance.
        self.debits.sort_by_key(|debit| -debit.balance);
        let mut balance = self.granted();
        for debit in &mut self.debits {
            balance -= debit.amount;
            assert_eq!(balance, debit.balance, "{}", debit.id);
            let mut rest = debit.amount;
            for grant in self.grants.iter_mut().filter(|grant| grant.left > 0) {
                let part = rest.min(grant.left);
                if part > 0 {
                    grant.left -= part;
                    rest -= part;
                    debit.paid_by.insert(grant.id.clone(), part);
                }
            }
            assert_eq!(rest, 0, "{} was not paid", debit.id);
        }
    }

    /// Compares the history's allocations.
    fn check_allocations(&self, client: &mut Client, customer: &str) {
        let mut debits: BTreeMap<_, _> = self.debits.iter().map(|debit| (debit.id.as_str(), debit)).collect();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/wallets/{customer}/credits/entries?limit=150{cursor}");
            let page = client.get(&path).expect_status(200);
            for entry in page["data"].as_array().expect("entries").iter().filter(|entry| entry["type"] == "debit") {
                let debit =
                    debits.remove(entry["event"]["id"].as_str().expect("an id")).expect("a debit of the feed, once");
                let parts = entry["allocations"].as_array().expect("parts").iter();
                let parts: BTreeMap<_, _> = parts.map(|part| (text(&part["grant"]), units(&part["amount"]))).collect();
                assert_eq!(parts, debit.paid_by, "{customer}: {entry}");
                assert_eq!((units(&entry["amount"]), units(&entry["balance_after"])), (-debit.amount, debit.balance));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(debits.is_empty(), "{customer}: {} debits are not in the history", debits.len());
    }

    /// Compares a statement. All grants were made before the second period begins.
    fn check_statement(&self, client: &mut Client, customer: &str, from: &str, to: &str, with_grants: bool) -> i64 {
        let path = format!("/v1/wallets/{customer}/credits/statement?from={from}&to={to}");
        let statement = client.get(&path).expect_status(200);
        let mut expected = BTreeMap::<String, (i64, i64, u64)>::new();
        let mut add = |key: String, amount, quantity| {
            let line = expected.entry(key).or_default();
            *line = (line.0 + amount, line.1 + quantity, line.2 + 1);
        };
        for grant in self.grants.iter().filter(|_| with_grants) {
            let category = if grant.paid { "paid" } else { "promotional" };
            add(format!("granted {} {category}", grant.source), grant.amount, 0);
        }
        for debit in self.debits.iter().filter(|debit| from <= debit.time.as_str() && debit.time.as_str() < to) {
            add(format!("used {}", debit.meter), -debit.amount, debit.quantity);
        }
        let lines = statement["lines"].as_array().expect("lines").iter().map(|line| {
            let quantity = line["quantity"].as_str().map_or(0, |text| text.parse().expect("whole tokens"));
            let key = match line["type"].as_str() {
                Some("used") => format!("used {}", text(&line["meter"])),
                kind => format!("{} {} {}", kind.unwrap_or_default(), text(&line["source"]), text(&line["category"])),
            };
            (key, (units(&line["amount"]), quantity, line["count"].as_u64().expect("a count")))
        });
        assert_eq!(lines.collect::<BTreeMap<_, _>>(), expected, "{customer} from {from} to {to}: {statement}");
        let moved: i64 = expected.values().map(|(amount, ..)| amount).sum();
        assert_eq!(units(&statement["closing"]) - units(&statement["opening"]), moved, "{customer}: {statement}");
        units(&statement["closing"])
    }

    /// What was left at the end of a millisecond.
    fn balance_at(&self, time: &str) -> i64 {
        self.granted()
            - self.debits.iter().filter(|debit| debit.time.as_str() <= time).map(|debit| debit.amount).sum::<i64>()
    }
}

#[test]
fn of_the_demo_the_feed_alone_tells_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    demo.args(["demo", "--speed", "max", "--no-view", "--limit", "1500", "--wallets", "12", "--data"])
        .arg(directory.path());
    let output = demo.output().expect("the demo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut config = EngineConfig { expected_events: 1 << 12, ..EngineConfig::default() };
    // As small as the demo's segments.
    config.log.segment_bytes = 16 << 20;
    config.log.max_frame_bytes = 2 << 20;
    let (engine, _) = Engine::open(directory.path(), config, Arc::new(SystemClock)).expect("the demo's ledger");
    let server = TestServer::over(engine, Limits::default(), Gate::Open);
    let mut client = server.client();
    let purses = purses(&mut client);
    assert_eq!(purses.len(), 12);
    let debits: usize = purses.values().map(|purse| purse.debits.len()).sum();
    assert!(debits > 2000, "{debits} debits");
    let (first, last) = ("2020-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z");
    let mut usage = BTreeMap::<String, (i64, i64, u64)>::new();
    for debit in purses.values().flat_map(|purse| &purse.debits) {
        let sum = usage.entry(debit.meter.clone()).or_default();
        *sum = (sum.0 + debit.amount, sum.1 + debit.quantity, sum.2 + 1);
    }
    // Which debit was the first to be paid by what a wallet bought meanwhile, `tests/statements.py` works out from histories as well.
    let (buying, funded): (Vec<_>, Vec<_>) = purses.iter().partition(|(_, purse)| purse.buys());
    assert!(!buying.is_empty() && funded.len() >= 8, "{} of 12 wallets buy", buying.len());
    for (customer, purse) in funded {
        purse.check_allocations(&mut client, customer);
        let left = purse.check_statement(&mut client, customer, first, last, true);
        assert_eq!(left, purse.grants.iter().map(|grant| grant.left).sum::<i64>());
        // Cut where some debit was made.
        for place in [purse.debits.len() / 3, purse.debits.len() - 1] {
            let cut = purse.debits[place].time.as_str();
            purse.check_statement(&mut client, customer, first, cut, true);
            assert_eq!(purse.check_statement(&mut client, customer, cut, last, false), left);
            let then = client.get(&format!("/v1/wallets/{customer}/credits/balance?at={cut}")).expect_status(200);
            assert_eq!(units(&then["balance"]), purse.balance_at(cut), "{customer} at {cut}");
        }
        let wallet = client.get(&format!("/v1/wallets/{customer}/credits")).expect_status(200);
        for lot in wallet["grants"].as_array().expect("grants") {
            let grant = purse.grants.iter().find(|grant| lot["id"] == grant.id.as_str()).expect("a grant of the feed");
            assert_eq!(units(&lot["remaining"]), grant.left, "{lot}");
        }
    }
    let said = client.get("/v1/usage?by=month&from=2025-01-01T00:00:00Z&to=2100-01-01T00:00:00Z").expect_status(200);
    let mut sums = BTreeMap::<String, (i64, i64, u64)>::new();
    for bucket in said["data"].as_array().expect("buckets") {
        let sum = sums.entry(text(&bucket["meter"])).or_default();
        let quantity: i64 = bucket["quantity"].as_str().and_then(|text| text.parse().ok()).expect("whole tokens");
        let count = bucket["count"].as_u64().expect("a count");
        *sum = (sum.0 + units(&bucket["credits"]), sum.1 + quantity, sum.2 + count);
    }
    assert_eq!((sums, &said["next_cursor"]), (usage, &Value::Null));
}
