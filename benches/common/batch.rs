//! Batches of usage events in buffers that are rewritten in place, and the clocks around submitting them.
//!
//! The state of the caches when a batch is submitted: its ids, customers and events were written just before, by the same thread, into the
//! same 170 KiB as the batch before, so they are in the second-level cache, as they are when a request has just been received and
//! decoded; so are the outcomes of the batch before, whose vector is used again. Nothing else is warmed: which wallets and which lines of
//! the table of identities an event touches is unforeseeable, so over many wallets those come from memory.

use super::{BATCH, CURRENCY, Ledger, decimal};
use drawdown::engine::{Charge, EventOutcome, EventStatus, Ticket, Unavailable, UsageEvent};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Batches after which the log's old segments are let go.
const BATCHES_PER_TRIM: u64 = 64;
/// Batches that a thread prepares before it submits them while the other threads do.
const BATCHES_PER_MEETING: usize = 4;

/// The customer of a wallet.
pub(crate) fn customer(wallet: u64) -> String {
    format!("cus_{wallet:08}")
}

/// A well-mixed function of `n`.
pub(crate) fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Writes a number over all of `out`, with leading zeroes.
pub(crate) fn write_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The texts of one event.
#[derive(Clone, Copy)]
struct Texts {
    id: [u8; 26],
    customer: [u8; 12],
}

impl Default for Texts {
    fn default() -> Self {
        Texts { id: *b"evt_0000000000000000000000", customer: *b"cus_00000000" }
    }
}

/// The texts of a batch, which its events borrow.
#[derive(Default)]
struct Buffer(Vec<Texts>);

impl Buffer {
    /// Writes the texts of the events numbered `first..`.
    fn fill(&mut self, first: u64, size: usize, wallet: impl Fn(u64) -> u64) {
        self.0.resize(size, Texts::default());
        for (number, texts) in (first..).zip(&mut self.0) {
            write_digits(&mut texts.id[4..], number);
            write_digits(&mut texts.customer[4..], wallet(number));
        }
    }

    /// The events, each of one debit of `units`, in a vector that was used before.
    fn events(&self, units: i64, used: Vec<UsageEvent<'static>>) -> Vec<UsageEvent<'_>> {
        let mut events = recycle(used);
        let text = |bytes| std::str::from_utf8(bytes).expect("digits and letters");
        let amount = Ok(decimal(units));
        events.extend(self.0.iter().map(|texts| UsageEvent {
            id: text(&texts.id),
            source: "bench",
            customer: text(&texts.customer),
            charge: Charge::Amount { currency: Some(CURRENCY), amount },
            time: None,
            policy: None,
        }));
        events
    }
}

/// A batch whose buffers live from one use to the next.
#[derive(Default)]
pub(crate) struct Batch {
    buffer: Buffer,
    events: Vec<UsageEvent<'static>>,
    outcomes: Vec<EventOutcome>,
    tickets: Vec<Ticket>,
    /// The number of the next event that was never sent.
    next: u64,
}

impl Batch {
    /// A batch whose events bear numbers from `first` on: two batches in use need numbers far apart.
    pub(crate) fn new(first: u64) -> Batch {
        Batch { next: first, ..Batch::default() }
    }

    /// The number of the next event that was never sent.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Makes this a batch of new events, over wallets that follow from their numbers.
    pub(crate) fn renew(&mut self, size: usize, wallets: u64) {
        self.renew_on(size, |number| mix(number) % wallets);
    }

    /// Makes this a batch of new events on chosen wallets.
    pub(crate) fn renew_on(&mut self, size: usize, wallet: impl Fn(u64) -> u64) {
        self.buffer.fill(self.next, size, wallet);
        self.next += size as u64;
    }

    /// Makes this the batch that once was renewed when `first` was the next number.
    pub(crate) fn repeat(&mut self, first: u64, size: usize, wallets: u64) {
        self.buffer.fill(first, size, |number| mix(number) % wallets);
    }

    /// Shows the events, each of one debit of `units`.
    fn with_events<R>(
        &mut self,
        units: i64,
        run: impl FnOnce(&[UsageEvent<'_>], &mut Vec<EventOutcome>, &mut Vec<Ticket>) -> R,
    ) -> R {
        let events = self.buffer.events(units, std::mem::take(&mut self.events));
        let result = run(&events, &mut self.outcomes, &mut self.tickets);
        self.events = recycle(events);
        result
    }

    /// Times one submission of all events as one batch.
    pub(crate) fn submit(&mut self, ledger: &Ledger, units: i64) -> Duration {
        self.try_submit(ledger, units).expect("the log keeps up")
    }

    /// Times one submission of all events as one batch, if there is room for it.
    pub(crate) fn try_submit(&mut self, ledger: &Ledger, units: i64) -> Result<Duration, Unavailable> {
        self.with_events(units, |events, outcomes, _| {
            let start = Instant::now();
            let submitted = ledger.engine.submit(black_box(events), outcomes);
            let took = start.elapsed();
            submitted.map(|_ticket| took)
        })
    }

    /// Times the submission of all events one by one. The clock is read once for all; the tickets live until it has been read.
    pub(crate) fn submit_singly(&mut self, ledger: &Ledger, units: i64) -> (Duration, Tally) {
        self.with_events(units, |events, outcomes, tickets| {
            let mut tally = Tally::default();
            tickets.reserve(events.len());
            let start = Instant::now();
            for event in events.chunks(1) {
                tickets.push(ledger.engine.submit(black_box(event), outcomes).expect("the log keeps up"));
                tally.count(outcomes);
            }
            let took = start.elapsed();
            tickets.clear();
            (took, tally)
        })
    }

    /// Times one submission until it is durable.
    pub(crate) fn submit_durably(&mut self, ledger: &Ledger) -> Duration {
        self.with_events(1, |events, outcomes, _| {
            let start = Instant::now();
            ledger.engine.submit(black_box(events), outcomes).expect("room in the log").wait().expect("a healthy log");
            start.elapsed()
        })
    }

    /// What became of the events of the last [`Batch::submit`].
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.count(&self.outcomes);
        tally
    }
}

/// How events fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) applied: usize,
    pub(crate) duplicate: usize,
    pub(crate) crossed: usize,
}

impl Tally {
    fn count(&mut self, outcomes: &[EventOutcome]) {
        for outcome in outcomes {
            self.applied += usize::from(outcome.status == EventStatus::Applied);
            self.duplicate += usize::from(outcome.status == EventStatus::Duplicate);
            self.crossed += usize::from(!outcome.crossed.is_empty());
        }
    }
}

/// Empties a vector and lets its allocation live on under another lifetime.
pub(crate) fn recycle<'b>(mut events: Vec<UsageEvent<'_>>) -> Vec<UsageEvent<'b>> {
    events.clear();
    // Collecting in place reuses the allocation; there is no element left to convert.
    events.into_iter().map(|_| unreachable!("the vector was cleared")).collect()
}

/// Times `rounds` batches of `size` new events over all wallets of the ledger.
pub(crate) fn time_batches(ledger: &Ledger, batch: &mut Batch, rounds: u64, size: usize) -> Duration {
    let mut took = Duration::ZERO;
    for round in 0..rounds {
        batch.renew(size, ledger.wallets);
        took += batch.submit(ledger, 1);
        assert_eq!(batch.tally().applied, size);
        if round % BATCHES_PER_TRIM == 0 {
            ledger.settle();
        }
    }
    ledger.debited(rounds * size as u64, 1);
    took
}

/// Times `rounds` events, each submitted alone.
pub(crate) fn time_singles(ledger: &Ledger, batch: &mut Batch, rounds: u64) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = rounds as usize;
    while left > 0 {
        let size = left.min(BATCH);
        batch.renew(size, ledger.wallets);
        let (span, tally) = batch.submit_singly(ledger, 1);
        took += span;
        assert_eq!(tally.applied, size);
        ledger.settle();
        left -= size;
    }
    ledger.debited(rounds, 1);
    took
}

/// Times `rounds` batches of [`BATCH`] events on each of the threads, of which thread `n` numbers its events from `next[n]`: from when
/// the first starts to when the last has submitted.
///
/// Threads meet, each with a few prepared batches, submit those, and meet again; so what they prepare is not timed, and what they submit
/// runs side by side.
pub(crate) fn time_threads(ledger: &Ledger, next: &mut [u64], rounds: u64) -> Duration {
    let threads = next.len();
    let (meet, started) = (Barrier::new(threads), AtomicUsize::new(0));
    let run = |next: &mut u64| {
        let mut buffers: [Buffer; BATCHES_PER_MEETING] = Default::default();
        let mut used: [Vec<UsageEvent<'static>>; BATCHES_PER_MEETING] = Default::default();
        let (mut outcomes, mut spans) = (Vec::new(), Vec::new());
        let mut left = rounds as usize;
        while left > 0 {
            let wanted = left.min(BATCHES_PER_MEETING);
            left -= wanted;
            for buffer in &mut buffers[..wanted] {
                buffer.fill(*next, BATCH, |number| mix(number) % ledger.wallets);
                *next += BATCH as u64;
            }
            let batches = std::array::from_fn::<_, BATCHES_PER_MEETING, _>(|n| {
                buffers[n].events(1, std::mem::take(&mut used[n]))
            });
            if meet.wait().is_leader() {
                ledger.settle();
            }
            // Threads wake from a barrier one after the other; those that were earlier spin until all are there.
            started.fetch_add(1, Relaxed);
            let all = threads * (spans.len() + 1);
            while started.load(Relaxed) < all {
                std::hint::spin_loop();
            }
            let start = Instant::now();
            for events in &batches[..wanted] {
                drop(ledger.engine.submit(black_box(events), &mut outcomes).expect("the log keeps up"));
            }
            spans.push((start, Instant::now()));
            assert!(outcomes.iter().all(|outcome| outcome.status == EventStatus::Applied));
            used = batches.map(recycle);
        }
        spans
    };
    let spans: Vec<Vec<(Instant, Instant)>> = std::thread::scope(|scope| {
        let run = &run;
        let running: Vec<_> = next.iter_mut().map(|next| scope.spawn(move || run(next))).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread of the bench")).collect()
    });
    ledger.debited(rounds * (threads * BATCH) as u64, 1);
    let span = |meeting: usize| {
        let start = spans.iter().map(|spans| spans[meeting].0).min().expect("a thread");
        let end = spans.iter().map(|spans| spans[meeting].1).max().expect("a thread");
        end - start
    };
    (0..spans[0].len()).map(span).sum()
}
