//! The load: connections that send until the server is gone, each with notes of its own.

use crate::books::{Books, CURRENCY, Event, Grant, Known, LEVELS, WALLETS, customer, decimal};
use crate::client::{Answer, Client};
use crate::process::Process;
use crate::random::Random;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Connections at once.
const CONNECTIONS: usize = 6;

/// Events in a batch at most.
const BATCH_MAX: u64 = 24;

/// How a cycle ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
}

/// Sets up the currency, and wallets with a first grant and alert levels.
pub(crate) fn set_up(client: &mut Client, books: &mut Books) {
    client.send("PUT", &format!("/v1/credit-currencies/{CURRENCY}"), &json!({"scale": 2})).success();
    for wallet in 0..WALLETS {
        let key = format!("first-{wallet}");
        let mut grant = Grant { wallet, amount: 100_000, known: Known::Unanswered };
        grant.enter(&client.send("POST", "/v1/grants", &grant.body(&key)).success(), false);
        books.grants.insert(key, grant);
        let levels: Vec<Value> =
            LEVELS.iter().map(|(name, amount)| json!({"name": name, "amount": decimal(*amount)})).collect();
        let path = format!("/v1/wallets/{}/{CURRENCY}/alerts", customer(wallet));
        client.send("PUT", &path, &json!({"levels": levels})).success();
    }
}

/// Loads the server until so many requests were answered, ends it as told, and enters what the connections have noted.
pub(crate) fn run(process: &mut Process, books: &mut Books, random: &mut Random, answers: u64, end: End) {
    run_until(process, books, random, Duration::ZERO, end, |seen, _| {
        for _ in 0..answers {
            seen.answers.recv().expect("the connections go on until the server ends");
        }
    });
}

/// What is seen of a load that goes on.
pub(crate) struct Seen {
    /// A message for each answer.
    pub(crate) answers: Receiver<()>,
    notes: Vec<Notes>,
}

impl Seen {
    /// What the connections have noted so far: everything that was sent, save what is noted next, and everything that was answered, save
    /// what is on its way.
    pub(crate) fn notes(&self) -> Books {
        let mut books = Books::new();
        self.notes.iter().for_each(|notes| books.take(notes.lock().expect("no connection failed").clone()));
        books
    }
}

/// A connection's notes, which others may look at.
type Notes = Arc<Mutex<Books>>;

/// Loads the server, each connection resting a little between its requests, until `wait` has seen enough. Ends it as told, and enters what the
/// connections have noted.
pub(crate) fn run_until(
    process: &mut Process,
    books: &mut Books,
    random: &mut Random,
    rest: Duration,
    end: End,
    wait: impl FnOnce(&Seen, &mut Random),
) {
    let (answered, answers) = mpsc::channel();
    let address = process.address();
    let notes: Vec<Notes> = (0..CONNECTIONS).map(|_| Notes::default()).collect();
    let start = |notes: &Notes| {
        let (random, notes, answered) = (Random::new(random.next()), Arc::clone(notes), answered.clone());
        let lane = Lane { random, notes, applied: Vec::new(), granted: Vec::new(), answered, rest, end };
        thread::spawn(move || lane.run(address))
    };
    let lanes: Vec<_> = notes.iter().map(start).collect();
    drop(answered);
    let seen = Seen { answers, notes };
    wait(&seen, random);
    match end {
        End::Kill => process.kill(),
        End::Terminate => assert_eq!(process.terminate(), Some(0), "the server did not end well"),
    }
    for lane in lanes {
        lane.join().expect("the connection's answers were right");
    }
    books.take(seen.notes());
    books.count_unanswered();
}

/// One connection.
struct Lane {
    random: Random,
    notes: Notes,
    /// Ids of events that were applied, for sending them again.
    applied: Vec<String>,
    granted: Vec<String>,
    answered: Sender<()>,
    rest: Duration,
    end: End,
}

impl Lane {
    fn notes(&self) -> MutexGuard<'_, Books> {
        self.notes.lock().expect("nobody failed who had them")
    }

    /// Sends until there is no answer any more.
    fn run(mut self, address: SocketAddr) {
        let mut client = Client::connect(address);
        loop {
            let outcome = match self.random.below(10) {
                0 => self.one_event(&mut client),
                1 => self.one_grant(&mut client),
                2 => self.several_grants(&mut client),
                _ => self.batch(&mut client),
            };
            match outcome {
                Ok(closes) => {
                    // The test may have seen enough already.
                    let _ = self.answered.send(());
                    if closes {
                        return;
                    }
                    // Nothing waits for it: it makes a load that goes on for as long as a snapshot takes to come, and is small.
                    thread::sleep(self.rest);
                }
                Err(_) => return,
            }
        }
    }

    /// A new event, noted before it is sent.
    fn event(&mut self) -> String {
        let id = format!("evt-{:016x}", self.random.next());
        let wallet = self.random.index(WALLETS);
        let amount = 1 + self.random.below(900).cast_signed();
        self.notes().events.insert(id.clone(), Event { wallet, amount, known: Known::Unanswered });
        id
    }

    fn grant(&mut self) -> String {
        let key = format!("key-{:016x}", self.random.next());
        let wallet = self.random.index(WALLETS);
        let amount = 1 + self.random.below(12_000).cast_signed();
        self.notes().grants.insert(key.clone(), Grant { wallet, amount, known: Known::Unanswered });
        key
    }

    fn one_event(&mut self, client: &mut Client) -> io::Result<bool> {
        let id = self.event();
        let request = self.notes().events[&id].body(&id);
        let answer = client.ask("POST", "/v1/events", Some(&request))?;
        let closes = answer.closes;
        let mut notes = self.notes();
        let event = notes.events.get_mut(&id).expect("just noted");
        if answer.status == 402 {
            event.known = Known::Refused;
        } else {
            event.enter(&id, &body(answer, self.end)?["results"][0]);
            drop(notes);
            self.applied.push(id);
        }
        Ok(closes)
    }

    /// New events, some that were applied before, and some twice in the same batch.
    fn batch(&mut self, client: &mut Client) -> io::Result<bool> {
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..=self.random.below(BATCH_MAX) {
            let id = match self.random.below(8) {
                0 if !self.applied.is_empty() => self.applied[self.random.index(self.applied.len())].clone(),
                1 if !ids.is_empty() => ids[self.random.index(ids.len())].clone(),
                _ => self.event(),
            };
            ids.push(id);
        }
        let events: Vec<Value> = ids.iter().map(|id| self.notes().events[id].body(id)).collect();
        let answer = client.ask("POST", "/v1/events", Some(&Value::Array(events)))?;
        let closes = answer.closes;
        let body = body(answer, self.end)?;
        let results = body["results"].as_array().expect("results");
        assert_eq!(results.len(), ids.len());
        let mut notes = self.notes.lock().expect("nobody failed who had them");
        for (id, result) in ids.iter().zip(results) {
            let event = notes.events.get_mut(id).expect("noted");
            if event.enter(id, result) {
                self.applied.push(id.clone());
            }
        }
        drop(notes);
        Ok(closes)
    }

    /// A new grant, or one that was made before.
    fn one_grant(&mut self, client: &mut Client) -> io::Result<bool> {
        let key = match self.random.below(3) {
            0 if !self.granted.is_empty() => self.granted[self.random.index(self.granted.len())].clone(),
            _ => self.grant(),
        };
        let request = self.notes().grants[&key].body(&key);
        let answer = client.ask("POST", "/v1/grants", Some(&request))?;
        let (closes, replayed) = (answer.closes, answer.replayed);
        let body = body(answer, self.end)?;
        self.notes().grants.get_mut(&key).expect("noted").enter(&body, replayed);
        self.granted.push(key);
        Ok(closes)
    }

    fn several_grants(&mut self, client: &mut Client) -> io::Result<bool> {
        let keys: Vec<String> = (0..=self.random.below(4)).map(|_| self.grant()).collect();
        let grants: Vec<Value> = keys.iter().map(|key| self.notes().grants[key].body(key)).collect();
        let answer = client.ask("POST", "/v1/grants", Some(&Value::Array(grants)))?;
        let closes = answer.closes;
        let body = body(answer, self.end)?;
        for (key, result) in keys.into_iter().zip(body["results"].as_array().expect("results")) {
            let replayed = result["status"] == "replayed";
            self.notes().grants.get_mut(&key).expect("noted").enter(&result["grant"], replayed);
            self.granted.push(key);
        }
        Ok(closes)
    }
}

/// The body of a success. A server that is told to end may refuse, which is as good as no answer.
fn body(answer: Answer, end: End) -> io::Result<Value> {
    if answer.status == 503 && end == End::Terminate {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(answer.success())
}
