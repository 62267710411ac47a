//! What the demo was told: every answer to every event, kept as sums.

use super::plan::{Event, METERS, Plan};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Crossings kept for the view.
const RECENT: usize = 64;

/// Contradictions kept word for word.
const CONTRADICTIONS_MAX: usize = 5;

/// Latencies up to a minute, to three digits.
const LATENCY_US_MAX: u64 = 60_000_000;

/// The books, shared by whoever sends, watches and shows.
#[derive(Debug)]
pub(super) struct Books {
    account: Mutex<Account>,
    /// Indices of wallets, by customer.
    indices: HashMap<String, usize>,
}

/// Everything in the books.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Rows sent.
    pub(super) rows: usize,
    /// Events applied.
    pub(super) applied: u64,
    /// Events sent again, all of which should be duplicates.
    pub(super) again: u64,
    /// Events answered as duplicates.
    pub(super) duplicates: u64,
    /// Events rejected for lack of credit.
    pub(super) rejected: u64,
    /// Units applied, by meter.
    pub(super) applied_units: [i64; METERS.len()],
    /// By wallet, as in the plan.
    pub(super) wallets: Vec<WalletAccount>,
    /// Levels crossed, as answers to events told.
    pub(super) crossed: u64,
    /// Levels crossed, as the feed told.
    pub(super) told: u64,
    /// The last of those, newest first.
    pub(super) crossings: VecDeque<Crossing>,
    /// What was bought, as the feed told.
    pub(super) bought: Bought,
    /// Microseconds from sending a batch to its answer, which leaves the server when the batch is on disk.
    pub(super) latency: hdrhistogram::Histogram<u64>,
    /// Batches sent.
    pub(super) batches: u64,
    /// Answers that cannot be right.
    pub(super) contradictions: Vec<String>,
    /// When the books were opened.
    pub(super) opened: Instant,
}

/// What was bought, and what was not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bought {
    /// Top-ups that were paid.
    pub(super) completed: u64,
    /// Top-ups whose card was declined.
    pub(super) declined: u64,
    /// Money, in minor units.
    pub(super) minor: i64,
}

/// One wallet.
#[derive(Clone, Debug)]
pub(super) struct WalletAccount {
    /// Units granted, as planned.
    pub(super) granted: i64,
    /// Units bought since, as told.
    pub(super) bought: i64,
    /// Units left, as last told.
    pub(super) balance: i64,
    /// Units rejected.
    pub(super) rejected: i64,
    /// Events rejected.
    pub(super) rejections: u64,
}

/// A balance that fell below a level.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    pub(super) customer: String,
    pub(super) level: String,
    pub(super) balance: i64,
    /// Since the books were opened.
    pub(super) at: Duration,
}

/// What became of one event.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: Status,
    pub(super) amount: i64,
    pub(super) balance: i64,
    pub(super) crossed: u64,
}

/// An event's status, as far as the demo expects any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Applied,
    Duplicate,
    /// For lack of credit.
    Rejected,
    /// Anything else: what the server said.
    Unexpected(String),
}

impl Books {
    pub(super) fn new(plan: &Plan) -> Books {
        let wallet = |granted| WalletAccount { granted, bought: 0, balance: granted, rejected: 0, rejections: 0 };
        let customers = plan.wallets.iter().map(|planned| planned.customer.clone());
        let indices = customers.enumerate().map(|(index, customer)| (customer, index)).collect();
        let account = Mutex::new(Account {
            rows: 0,
            applied: 0,
            again: 0,
            duplicates: 0,
            rejected: 0,
            applied_units: [0; METERS.len()],
            wallets: plan.wallets.iter().map(|planned| wallet(planned.granted())).collect(),
            crossed: 0,
            told: 0,
            crossings: VecDeque::new(),
            bought: Bought::default(),
            latency: hdrhistogram::Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are sound"),
            batches: 0,
            contradictions: Vec::new(),
            opened: Instant::now(),
        });
        Books { account, indices }
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        // Sums are whole between any two statements that can panic.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books as they are now.
    pub(super) fn snapshot(&self) -> Account {
        self.lock().clone()
    }

    /// So many rows have been handed out.
    pub(super) fn rows_sent(&self, rows: usize) {
        self.lock().rows = rows;
    }

    /// Enters the answer to a batch. The first events were sent for the first time, those from `again` on for the second.
    pub(super) fn enter(&self, events: &[Event], told: &[Told], again: usize, latency: Duration) {
        let mut account = self.lock();
        account.batches += 1;
        account.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX));
        // Within a batch the answers need not come in the order of the debits; but each debit lowers the balance, so the lowest is the last. A
        // batch of the same wallet before this one was answered before this one was sent.
        for (event, told) in events.iter().zip(told).filter(|(_, told)| told.status == Status::Applied) {
            account.wallets[event.wallet].balance = told.balance;
        }
        for (place, (event, told)) in events.iter().zip(told).enumerate() {
            account.enter(event, told, place >= again);
        }
    }

    /// Enters what the feed told.
    pub(super) fn enter_crossing(&self, customer: String, level: String, balance: i64) {
        let mut account = self.lock();
        let at = account.opened.elapsed();
        account.told += 1;
        account.crossings.push_front(Crossing { customer, level, balance, at });
        account.crossings.truncate(RECENT);
    }

    /// Enters that a balance is back above a level, as the feed told. Answers may have told of what came after that already.
    pub(super) fn enter_recovery(&self, customer: &str, balance: i64) {
        let mut account = self.lock();
        if let Some(wallet) = self.indices.get(customer).map(|&index| &mut account.wallets[index]) {
            wallet.balance = wallet.balance.max(balance);
        }
    }

    /// Enters a top-up that was paid, as the feed told.
    pub(super) fn enter_top_up(&self, customer: &str, minor: i64, credits: i64) {
        let mut account = self.lock();
        account.bought.completed += 1;
        account.bought.minor += minor;
        if let Some(wallet) = self.indices.get(customer).map(|&index| &mut account.wallets[index]) {
            wallet.bought += credits;
        }
    }

    /// Enters a top-up whose card was declined, as the feed told.
    pub(super) fn enter_decline(&self) {
        self.lock().bought.declined += 1;
    }
}

impl Account {
    fn enter(&mut self, event: &Event, told: &Told, again: bool) {
        self.again += u64::from(again);
        let wallet = &mut self.wallets[event.wallet];
        match (&told.status, again) {
            (Status::Applied, false) => {
                wallet.balance = wallet.balance.min(told.balance);
                self.applied += 1;
                self.applied_units[event.meter] += told.amount;
                self.crossed += told.crossed;
            }
            (Status::Rejected, false) => {
                wallet.rejected += told.amount;
                wallet.rejections += 1;
                self.rejected += 1;
            }
            (Status::Duplicate, true) => self.duplicates += 1,
            (status, again) => {
                let which = if again { "second" } else { "first" };
                self.contradict(format!(
                    "row {}, {}, sent for the {which} time: {status:?}",
                    event.row, METERS[event.meter].name
                ));
            }
        }
    }

    fn contradict(&mut self, what: String) {
        if self.contradictions.len() < CONTRADICTIONS_MAX {
            self.contradictions.push(what);
        }
    }

    /// Events answered.
    pub(super) fn answered(&self) -> u64 {
        self.applied + self.duplicates + self.rejected
    }

    /// Units applied, all meters.
    pub(super) fn debited(&self) -> i64 {
        self.applied_units.iter().sum()
    }

    /// A quantile of the latency.
    pub(super) fn latency(&self, percent: u8) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(f64::from(percent) / 100.0))
    }
}
