//! `drawdown demo`, as the README starts it: it ends well, its figures are those of the trace, its money is that of the payment provider's own
//! record, and the link that it prints opens a customer's portal.

use drawdown_outbound::providers::simulated::Local;
use drawdown_outbound::providers::simulated::book::Standing;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const TRACE: &str = include_str!("../../data/azure-llm-inference-2023-code.csv");

/// The test's own sum over the first rows: how many, context tokens, generated tokens.
fn sum(rows: usize) -> (u64, u64, u64) {
    TRACE.lines().skip(1).take(rows).fold((0, 0, 0), |(count, context, generated), line| {
        let columns: Vec<&str> = line.split(',').collect();
        let tokens = |column: usize| columns[column].parse::<u64>().expect("a number");
        (count + 1, context + tokens(1), generated + tokens(2))
    })
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawdown"));
    command.args(arguments);
    command
}

fn demo(arguments: &[&str]) -> Output {
    let mut command = command(&["demo", "--speed", "max", "--no-view"]);
    command.args(arguments).output().expect("the demo runs")
}

/// The line of the summary that begins with a name.
#[track_caller]
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
    found.unwrap_or_else(|| panic!("no line {name:?} in\n{text}")).trim_start()
}

/// The number at the beginning of a text, in units of its last decimal.
#[track_caller]
fn number(text: &str) -> u64 {
    let digits = text.split(' ').next().expect("a word").replace([',', '.'], "");
    digits.parse().unwrap_or_else(|_| panic!("no number begins {text:?}"))
}

/// Runs the demo, looks at its figures, and gives back what it said.
#[track_caller]
fn check(arguments: &[&str], rows: usize) -> String {
    let output = demo(arguments);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    let (rows, context, generated) = sum(rows);
    assert_eq!(number(line(&text, "rows ")), rows);
    assert_eq!(number(line(&text, "context ")), context);
    assert_eq!(number(line(&text, "generated ")), generated);
    let (applied, rejected) = (number(line(&text, "applied ")), number(line(&text, "rejected ")));
    assert_eq!(applied + rejected, 2 * rows);
    let cost = context * 5 + generated * 15; // in ten-thousandths of a credit
    assert_eq!(number(line(&text, "agrees     sum over the trace ")), cost);
    assert!(number(line(&text, "debited ")) <= cost);
    assert!(
        text.ends_with("The ledger agrees with the sum over the trace and the payment provider's book.\n"),
        "{text}"
    );
    assert!(!text.contains("DISAGREES"), "{text}");
    text
}

#[test]
fn the_whole_trace_agrees_with_its_sum() {
    let text = check(&[], usize::MAX);
    // Of three hundred wallets sixty buy when they are low, and one has a card that is declined.
    let completed = number(line(&text, "top-ups "));
    assert!(completed >= 60, "{text}");
    assert_eq!(number(line(&text, "agrees     top-ups ")), completed + 1, "{text}");
    let declined = line(&text, "declined ");
    assert!(declined.starts_with("cus_004: generic_decline; its rule is cooling, next attempt at 20"), "{declined}");
    assert_eq!(number(line(&text, "agrees     rules whose card was declined ")), 1, "{text}");
    let webhooks = line(&text, "webhooks ");
    // Of each top-up at least: set off, made, completed, its invoice paid.
    assert!(number(webhooks) > 4 * completed && webhooks.contains(" verified, 0 refused"), "{webhooks}");
    assert!(text.lines().any(|line| line.starts_with("  verified top_up.completed")), "{text}");
    assert!(text.lines().any(|line| line.trim() == format!("{completed}  invoice.paid")), "{text}");
}

/// An answer to a request of its own connection: status, location, cookie, body.
struct Answer {
    status: u16,
    location: Option<String>,
    cookie: Option<String>,
    body: String,
}

fn get(address: &str, path: &str, cookie: Option<&str>) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let cookie = cookie.map_or_else(String::new, |cookie| format!("cookie: {cookie}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{cookie}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    let header = |name: &str| {
        let named = |line: &str| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        };
        head.lines().find_map(named)
    };
    Answer {
        status: head[9..12].parse().expect("a status"),
        location: header("location"),
        cookie: header("set-cookie").map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned()),
        body: body.to_owned(),
    }
}

fn json(address: &str, path: &str) -> Value {
    let answer = get(address, path, None);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Opens a portal's link as a browser does, and holds its page to be the customer's.
#[track_caller]
fn check_portal(address: &str, link: &str) {
    let opened = get(address, link, None);
    assert_eq!(opened.status, 303, "{link}: {}", opened.body);
    let page = get(address, &opened.location.expect("a page"), Some(&opened.cookie.expect("a session")));
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("cus_005") && page.body.contains("Automatic top-up: Refill"), "{}", page.body);
}

/// The path of the link that was printed.
#[track_caller]
fn link(text: &str) -> &str {
    let said = line(text, "portal ");
    assert!(said.starts_with("of cus_005, "), "{said}");
    let url = said.rsplit(' ').next().expect("a link");
    &url[url.find("/portal/").unwrap_or_else(|| panic!("no link: {said}"))..]
}

/// A process of ours that says where it listens, on one of its first lines.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Process { child, output }
    }

    /// All that it says up to a line that begins so, which comes last.
    fn read_to(&mut self, beginning: &str) -> String {
        let mut text = String::new();
        loop {
            let before = text.len();
            assert_ne!(self.output.read_line(&mut text).expect("text"), 0, "it ends: {text}");
            if text[before..].starts_with(beginning) {
                return text;
            }
        }
    }

    fn end(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.child.wait().expect("waits").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address in a line of a server's.
#[track_caller]
fn address(line: &str) -> String {
    let at = line.find("http://").unwrap_or_else(|| panic!("no address: {line}"));
    let text: String = line[at + 7..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    text.trim_end_matches('.').parse::<SocketAddr>().expect("an address").to_string()
}

/// The ledger that a demo leaves, served again: what the bank has in its book is what the server says, charge by charge; the link still opens.
fn check_left_behind(data: &str, said: &str) {
    let book = Local::open(&Path::new(data).join("simulated-bank.jsonl")).expect("the bank's own record").book();
    let mut charged = BTreeMap::new();
    for charge in book.charges().values() {
        let is_taken = match &charge.standing {
            Standing::Succeeded => true,
            Standing::Declined(_) => false,
            standing => panic!("{standing:?}"),
        };
        let key = charge.ask.key.as_str().to_owned();
        assert!(charged.insert(key, (is_taken, charge.ask.money.to_string())).is_none(), "one charge a top-up");
    }
    let server = ["serve", "--dev", "--data", data, "--listen", "127.0.0.1:0", "--segment-bytes", "16MiB"];
    let mut server = Process::start(command(&server));
    let address = address(&server.read_to("drawdown listens on "));
    let page = json(&address, "/v1/top-ups?limit=100");
    assert_eq!(page["next_cursor"], Value::Null, "a page is enough");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let top_ups = page["data"].as_array().expect("a list");
    let said_of_them: BTreeMap<_, _> = top_ups
        .iter()
        .map(|one| {
            let money = format!("{} {}", text(&one["amount"]), text(&one["amount_currency"]));
            (text(&one["id"]), (one["status"] == "completed", money))
        })
        .collect();
    assert_eq!(
        said_of_them, charged,
        "each top-up is one charge in the bank's book, of the same money and with the same end"
    );
    let completed = top_ups.iter().filter(|one| one["status"] == "completed").count();
    assert_eq!(completed as u64, number(line(said, "top-ups ")));
    assert!(completed > 0 && charged.len() == completed + 1, "one card is declined: {charged:?}");
    let grants: BTreeSet<_> = top_ups.iter().filter_map(|one| one["grant"].as_str()).collect();
    assert_eq!(grants.len(), completed, "one grant a top-up");

    let rule = json(&address, "/v1/customers/cus_004/auto-topup-rules/credits");
    assert_eq!((&rule["status"], &rule["failures"]), (&Value::from("cooling"), &Value::from(1)), "{rule}");
    assert!(line(said, "declined ").ends_with(rule["retry_at"].as_str().expect("a time")), "{rule}\n{said}");
    assert_eq!(
        json(&address, "/v1/webhook-endpoints")["data"],
        Value::Array(Vec::new()),
        "the receiver has signed off"
    );
    check_portal(&address, link(said));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_part_of_the_trace_agrees_too_and_what_it_leaves_is_sound() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("UTF-8");
    let said = check(&["--limit", "500", "--wallets", "7", "--data", data], 500);
    assert!(said.contains(&format!("drawdown serve --dev --data {data} --listen 127.0.0.1:")), "{said}");
    check_left_behind(data, &said);
    let verified = command(&["verify", "--data", data]).output().expect("the binary runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn the_server_stays_for_the_link_if_it_is_asked_to() {
    let stays = ["demo", "--speed", "max", "--no-view", "--limit", "100", "--wallets", "7", "--stay"];
    let mut demo = Process::start(command(&stays));
    let said = demo.read_to("The server stays at ");
    check_portal(&address(&said[said.rfind("The server stays at ").expect("its last line")..]), link(&said));
    assert_eq!(demo.end(), Some(0));
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("UTF-8");
    check(&["--limit", "10", "--wallets", "7", "--data", data], 10);
    let second = demo(&["--limit", "10", "--data", data]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("holds a ledger already"));
}
