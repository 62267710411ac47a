//! Connections that send events until they are told to stop, what was refused once more, note what was answered, and tell what they see.

use crate::books::{Books, CURRENCY, Event, Grant, Known, LEVELS, WALLETS, customer, decimal};
use crate::client::{Answer, Client};
use crate::random::Random;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// After this something that must come counts as never coming.
const PATIENCE: Duration = Duration::from_mins(1);

/// Events in a batch.
const BATCH: usize = 20;

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// 200.
    Applied,
    /// 503 with this slug.
    Refused(&'static str),
    /// The server ended the connection, or there was none to be had.
    Gone,
}

/// Slugs that a lane takes for an answer.
const SLUGS: [&str; 4] = ["no_space", "overloaded", "poisoned", "shutting_down"];

/// Connections under way.
#[derive(Debug)]
pub(crate) struct Load {
    lanes: Vec<JoinHandle<Books>>,
    seen: Receiver<Seen>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts so many connections, whose events have ids that no others have.
    pub(crate) fn start(address: SocketAddr, lanes: usize) -> Load {
        let (tell, seen) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let lanes = (0..lanes)
            .map(|_| {
                let (tell, stop) = (tell.clone(), Arc::clone(&stop));
                // Ids must differ from run to run on the same ledger, so they come from the system's randomness.
                let random = Random::new(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0));
                std::thread::spawn(move || lane(address, random, &tell, &stop))
            })
            .collect();
        Load { lanes, seen, stop }
    }

    /// Waits until a connection has seen this, from now on.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: Seen) {
        while self.seen.try_recv().is_ok() {}
        let mut last = None;
        loop {
            match self.seen.recv_timeout(PATIENCE) {
                Ok(seen) if seen == what => return,
                Ok(seen) => last = Some(seen),
                // The last one told is what all have seen when they are gone.
                Err(_) if what == Seen::Gone && self.lanes.iter().all(JoinHandle::is_finished) => return,
                Err(error) => panic!("never seen: {what:?} ({error}); last {last:?}"),
            }
        }
    }

    /// Stops, and gives back what was noted.
    pub(crate) fn stop(self) -> Books {
        self.stop.store(true, Ordering::Relaxed);
        let mut books = Books::new();
        for lane in self.lanes {
            books.take(lane.join().expect("the connection's answers were right"));
        }
        books
    }
}

fn lane(address: SocketAddr, mut random: Random, tell: &Sender<Seen>, stop: &AtomicBool) -> Books {
    let mut client = Client::connect(address);
    let mut books = Books::new();
    // The batch to be sent: a new one, or the one that was refused.
    let mut ids: Vec<String> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if ids.is_empty() {
            ids = (0..BATCH).map(|_| note_event(&mut books, &mut random)).collect();
        }
        let events: Vec<Value> = ids.iter().map(|id| books.events[id].body(id)).collect();
        let Ok(answer) = client.ask("POST", "/v1/events", Some(&Value::Array(events))) else {
            let _ = tell.send(Seen::Gone);
            return books;
        };
        let seen = if answer.status == 503 {
            refusal(&answer)
        } else {
            let closes = answer.closes;
            let body = answer.success();
            for (id, result) in ids.iter().zip(body["results"].as_array().expect("results")) {
                books.events.get_mut(id).expect("noted").enter(id, result);
            }
            ids.clear();
            if closes { Seen::Gone } else { Seen::Applied }
        };
        // The test may have seen enough already.
        let _ = tell.send(seen);
        if seen == Seen::Gone {
            return books;
        }
    }
    books
}

/// What a refusal says, which must be one of those that are expected, and say when to try again.
fn refusal(answer: &Answer) -> Seen {
    assert!(answer.retry_after.is_some(), "{}", answer.body);
    let slug = answer.body["type"].as_str().expect("a type").trim_start_matches("/problems/");
    let known = SLUGS.into_iter().find(|known| *known == slug);
    Seen::Refused(known.unwrap_or_else(|| panic!("refused otherwise: {}", answer.body)))
}

/// A new event, noted before it is sent. Its id is long, so that the log fills.
fn note_event(books: &mut Books, random: &mut Random) -> String {
    let id = format!("evt-{:016x}-{:0>90}", random.next(), "");
    let (wallet, amount) = (random.index(WALLETS), 1 + random.below(20).cast_signed());
    books.events.insert(id.clone(), Event { wallet, amount, known: Known::Unanswered });
    id
}

/// Sets up the currency, and wallets with a first grant, far above what the events come to, and alert levels.
pub(crate) fn set_up(client: &mut Client, books: &mut Books) {
    client.send("PUT", &format!("/v1/credit-currencies/{CURRENCY}"), &json!({"scale": 2})).success();
    for wallet in 0..WALLETS {
        let key = format!("first-{wallet}");
        let mut grant = Grant { wallet, amount: 100_000_000, known: Known::Unanswered };
        grant.enter(&client.send("POST", "/v1/grants", &grant.body(&key)).success(), false);
        books.grants.insert(key, grant);
        let levels: Vec<Value> =
            LEVELS.iter().map(|(name, amount)| json!({"name": name, "amount": decimal(*amount)})).collect();
        let path = format!("/v1/wallets/{}/{CURRENCY}/alerts", customer(wallet));
        client.send("PUT", &path, &json!({"levels": levels})).success();
    }
}
