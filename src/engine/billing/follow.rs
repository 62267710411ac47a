//! From a crossing to a rule: a follower of the durable log that looks at the wallets that have rules.
//!
//! Debits do not know of it. It learns which wallets with a rule had a record among what has become durable, in the cheaper of two ways: it reads
//! that, wallet by wallet and nothing else of it; or, where there is more to read than there are rules, it takes it that all of them had one.
//! A wallet that stands above its rule's line is left at that; the rules of the others are evaluated, each once. While there is no rule that
//! is switched on nothing is looked at.
//!
//! # Nothing is missed
//! A step begins by reading how far the log is durable, `D`, and looks at no record behind that. Whatever has a record below `D` was applied before that
//! record was published, so before `D` was read; a wallet that is looked at after that shows it. Therefore it is as good to look at a wallet as to
//! know its record, and to look at all of them as to read the log.
//!
//! Only then the list of rules and lines is brought up to date ([`Tables::rules_news`]). A rule that is set or changed after that is evaluated as it is set,
//! under the lock; a debit that is applied after its evaluation is published after it, so its record lies behind `D`, and the next step
//! begins with the new line. A wallet is looked for after the records were read: whatever has a record had a slot before. Whoever else changes what a
//! verdict depends on (cards, top-ups, providers) evaluates it himself.
//!
//! An evaluation that fails, because the log takes nothing just now, is made again ([`Inner::evaluate`]). Rules that wait for an hour or a window
//! to pass are looked at when it has ([`Engine::evaluate_due`]), and all of them at the start.

use super::slots::Slots;
use super::tables::Tables;
use crate::catalog::CurrencyNumber;
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use crate::journal::{self, Corrupt, frame};
use crate::ledger::{Amount, Timestamp};
use crate::store::pin;
use drawdown_wal::{FrameRef, Lsn};
use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

/// Bytes of log that a step reads at the most.
const STEP_BYTES: u64 = 4 << 20;
/// Looking at a wallet takes about as long as reading so many bytes of log.
const LOOK_BYTES: u64 = 512;
/// Wallets that are looked at before memory that others have given up may be freed.
const LOOKS_PER_PIN: usize = 1024;

pub(super) type RuleKey = (String, CurrencyNumber);

/// Where the follower is, and which wallets it looks at.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Everything before has been followed; zero before the first step.
    cursor: u64,
    /// Rules that are switched on, by their wallets' slots.
    watched: HashMap<u32, Watched>,
    /// The keys of that.
    slots: Slots,
    /// The slots of those rules.
    slot_of: HashMap<RuleKey, u32>,
    /// Rules whose wallets were not there yet, with their lines.
    without: BTreeMap<RuleKey, Amount>,
}

/// A wallet with a rule.
#[derive(Debug)]
struct Watched {
    key: RuleKey,
    /// Below this it is low.
    line: Amount,
}

/// What a step of the follower came to.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The log was followed up to here: what to wait behind ([`Engine::feed_wait`]).
    pub position: Lsn,
    /// There is more to be followed.
    pub more: bool,
    /// There is no rule that is switched on, so nothing needs to be followed.
    pub is_idle: bool,
    /// Something waits for a provider, or until it is durable to do so ([`Engine::take_work`]).
    pub has_work: bool,
}

impl Engine {
    /// Follows the durable log and evaluates the rules of wallets that have run low. What they buy is in the outbox.
    ///
    /// An error says that some of them were not evaluated: they are by [`Engine::evaluate_due`].
    pub fn follow_rules(&self) -> Result<Step, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut followed = inner.billing.followed.lock().unwrap_or_else(PoisonError::into_inner);
        // First of all, see the module.
        let durable = inner.log.durable();
        followed.update(&mut inner.billing.lock());
        if followed.is_idle() || followed.cursor == 0 {
            followed.cursor = durable.get();
            return Ok(Step { position: durable, more: false, is_idle: followed.is_idle(), has_work: false });
        }
        let mut slots = inner.followed_slots(&mut followed, durable);
        slots.extend(followed.settle(inner));
        let low = inner.low_of(&followed, &slots);
        let mut has_work = false;
        if !low.is_empty() {
            let mut tables = inner.billing.lock();
            inner.evaluate_each(&mut tables, low)?;
            has_work = !tables.outbox.is_empty();
        }
        let position = Lsn::new(followed.cursor);
        Ok(Step { position, more: position < durable, is_idle: false, has_work })
    }

    /// Evaluates the rules that were waiting for a time that has come.
    pub fn evaluate_due(&self) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        let due = tables.take_due(inner.now());
        inner.evaluate_each(&mut tables, due)?;
        Ok(self.barrier())
    }
}

impl Tables {
    fn take_due(&mut self, now: Timestamp) -> Vec<RuleKey> {
        let due =
            std::iter::from_fn(|| if self.look_again.first()?.0 > now { None } else { self.look_again.pop_first() });
        due.map(|(_, customer, currency)| (customer, currency)).collect()
    }
}

impl Followed {
    /// Takes over what has changed about the rules. The wallets are looked for again, and so looked at.
    fn update(&mut self, tables: &mut Tables) {
        for key in std::mem::take(&mut tables.rules_news) {
            if let Some(slot) = self.slot_of.remove(&key) {
                self.watched.remove(&slot);
                self.slots.remove(slot);
            }
            let record = tables.rules.get(&key).filter(|record| !record.deleted && record.rule.enabled);
            match record.map(|record| record.rule.lowest_at_rest()) {
                Some(line) => self.without.insert(key, line),
                None => self.without.remove(&key),
            };
        }
    }

    fn is_idle(&self) -> bool {
        self.watched.is_empty() && self.without.is_empty()
    }

    /// Finds the wallets that are there by now.
    fn settle(&mut self, inner: &Inner) -> Vec<u32> {
        if self.without.is_empty() {
            return Vec::new();
        }
        let guard = pin();
        let mut found = Vec::new();
        self.without.retain(|key, line| {
            let Some(slot) = inner.find(inner.seed.wallet_hash(key.0.as_bytes(), key.1.0), &guard) else { return true };
            self.watched.insert(slot, Watched { key: key.clone(), line: *line });
            self.slots.insert(slot);
            self.slot_of.insert(key.clone(), slot);
            found.push(slot);
            false
        });
        found
    }
}

impl Inner {
    /// The wallets with rules that may have had records up to `durable`, or up to where there is more to be followed.
    fn followed_slots(&self, followed: &mut Followed, durable: Lsn) -> Vec<u32> {
        let is_retired = followed.cursor < self.log.first().get();
        let bytes = durable.get().saturating_sub(followed.cursor);
        if !is_retired && bytes <= LOOK_BYTES * followed.watched.len() as u64 {
            match self.read_followed(followed, durable) {
                Ok(slots) => return slots,
                // What is told of the log to others, they are told by the log. Wallets can be looked at without it.
                Err(error) => tracing::error!(%error, "rules are followed without the log, which cannot be read"),
            }
        }
        followed.cursor = durable.get();
        followed.watched.keys().copied().collect()
    }

    /// Reads on from the cursor: the wallets with rules that had records.
    fn read_followed(&self, followed: &mut Followed, durable: Lsn) -> Result<Vec<u32>, String> {
        let start = Lsn::new(followed.cursor);
        let end = durable.min(start.plus(STEP_BYTES));
        let mut reader = self.log.reader_behind(start);
        let mut seen = Vec::new();
        while reader.position() < end {
            match reader.next() {
                Ok(Some(frame)) if frame.lsn < durable => {
                    note(&frame, &followed.slots, &mut seen).map_err(|corrupt| corrupt.to_string())?;
                }
                // The rest was the log's own.
                Ok(_) => {
                    followed.cursor = durable.get();
                    return Ok(once_each(seen));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        followed.cursor = reader.position().get().min(durable.get());
        Ok(once_each(seen))
    }

    /// Those of the wallets that stand below their lines.
    fn low_of(&self, followed: &Followed, slots: &[u32]) -> Vec<RuleKey> {
        let mut low = Vec::new();
        let now = self.now();
        for slots in slots.chunks(LOOKS_PER_PIN) {
            let guard = pin();
            for slot in slots {
                let Some(watched) = followed.watched.get(slot) else { continue };
                // With what is on its way it stands no lower.
                if self.standing_at(*slot, now, &guard).is_some_and(|standing| standing < watched.line) {
                    low.push(watched.key.clone());
                }
            }
        }
        low
    }
}

/// Notes the wallets with rules that have records in a frame.
fn note(frame: &FrameRef<'_>, watched: &Slots, seen: &mut Vec<u32>) -> Result<(), Corrupt> {
    if frame.kind == frame::kind::ADMIN {
        return Ok(());
    }
    for slot in journal::records(frame.payload, frame.payload_lsn)?.slots() {
        let slot = slot?;
        if watched.contains(slot) {
            seen.push(slot);
        }
    }
    Ok(())
}

fn once_each(mut slots: Vec<u32>) -> Vec<u32> {
    slots.sort_unstable();
    slots.dedup();
    slots
}
