//! From a crossing to a rule: a follower of the durable log that looks at the wallets that have rules.
//!
//! It reads what has become durable, notes which wallets with a rule had a record there, and evaluates the rule of each of them once. Debits do
//! not know of it; the records of other wallets are passed over unread, and while there is no rule the log is not read at all.
//!
//! Nothing is missed. A wallet's slot is looked for after the records were read: whatever has a record had a slot before. A rule that is set is
//! evaluated as it is set, and what is applied after that is recorded behind the position from which the log is then read. Rules that wait
//! for an hour or a window to pass are looked at when it has ([`Engine::evaluate_due`]), and all of them at the start.

use super::tables::Tables;
use crate::catalog::CurrencyNumber;
use crate::engine::history::unreadable;
use crate::engine::ticket::Ticket;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::{Engine, Inner};
use crate::journal::{self, Record};
use crate::ledger::Timestamp;
use crate::store::pin;
use drawdown_wal::{FrameRef, Lsn};
use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

/// Bytes of log that a step reads at the most.
const STEP_BYTES: u64 = 4 << 20;

type RuleKey = (String, CurrencyNumber);

/// Where the follower is, and which wallets it looks at.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The frame to be read next; zero before the first step.
    cursor: u64,
    /// Rules by their wallets' slots.
    slots: HashMap<u32, RuleKey>,
    /// Rules whose wallets were not there yet.
    without: BTreeSet<RuleKey>,
    /// The count of changes that the two are of.
    changes: u64,
}

/// What a step of the follower came to.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The log was read up to here; behind it nothing was durable, unless there is more.
    pub position: Lsn,
    /// There is more to be read.
    pub more: bool,
    /// There is no rule, so nothing needs to be read.
    pub is_idle: bool,
}

impl Engine {
    /// Reads on in the durable log and evaluates the rules of the wallets that had records there. What they buy is in the outbox.
    pub fn follow_rules(&self) -> Result<Step, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut followed = inner.billing.followed.lock().unwrap_or_else(PoisonError::into_inner);
        // Before anybody is asked whether there are rules: one that is set after this is evaluated then, and what follows lies behind it.
        let durable = inner.log.durable();
        followed.update(&inner.billing.lock());
        if followed.is_idle() || followed.cursor == 0 {
            followed.cursor = durable.get();
            return Ok(Step { position: durable, more: false, is_idle: followed.is_idle() });
        }
        let (mut seen, more) = inner.read_followed(&mut followed)?;
        seen.extend(followed.settle(inner));
        for (customer, currency) in seen {
            inner.evaluate(&mut inner.billing.lock(), &customer, currency, inner.now())?;
        }
        Ok(Step { position: Lsn::new(followed.cursor), more, is_idle: false })
    }

    /// Evaluates the rules that were waiting for a time that has come.
    pub fn evaluate_due(&self) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut tables = inner.billing.lock();
        let now = inner.now();
        while let Some((_, customer, currency)) = tables.take_due(now) {
            inner.evaluate(&mut tables, &customer, currency, now)?;
        }
        Ok(self.barrier())
    }
}

impl Tables {
    fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, String, CurrencyNumber)> {
        if self.look_again.first()?.0 > now { None } else { self.look_again.pop_first() }
    }
}

impl Followed {
    /// Takes over which rules there are, if that has changed.
    fn update(&mut self, tables: &Tables) {
        if self.changes == tables.rules_changed {
            return;
        }
        self.changes = tables.rules_changed;
        self.slots.clear();
        let live = tables.rules.iter().filter(|(_, record)| !record.deleted);
        self.without = live.map(|(key, _)| key.clone()).collect();
    }

    fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.without.is_empty()
    }

    /// Finds the wallets that are there by now; their rules are to be evaluated.
    fn settle(&mut self, inner: &Inner) -> Vec<RuleKey> {
        let guard = pin();
        let mut found = Vec::new();
        self.without.retain(|key| {
            let Some(slot) = inner.find(inner.seed.wallet_hash(key.0.as_bytes(), key.1.0), &guard) else { return true };
            self.slots.insert(slot, key.clone());
            found.push(key.clone());
            false
        });
        found
    }
}

impl Inner {
    /// Reads on from the cursor: the rules whose wallets had a record there, and whether more is durable.
    fn read_followed(&self, followed: &mut Followed) -> Result<(BTreeSet<RuleKey>, bool), CommandError> {
        let start = Lsn::new(followed.cursor).max(self.log.first());
        let mut reader = self.log.reader(start);
        let mut seen = BTreeSet::new();
        let more = loop {
            match reader.next() {
                Ok(Some(frame)) => followed.note(&frame, &mut seen)?,
                Ok(None) => break false,
                Err(error) => {
                    let why = format!("the log cannot be followed for automatic top-ups: {error}");
                    return Err(CommandError::Unavailable(Unavailable::Poisoned(why)));
                }
            }
            if reader.position().get() - start.get() >= STEP_BYTES {
                break true;
            }
        };
        followed.cursor = reader.position().get();
        let keys = seen.into_iter().filter_map(|slot| followed.slots.get(&slot).cloned());
        Ok((keys.collect(), more))
    }
}

impl Followed {
    fn note(&self, frame: &FrameRef<'_>, seen: &mut BTreeSet<u32>) -> Result<(), CommandError> {
        if frame.kind == journal::frame::kind::ADMIN {
            return Ok(());
        }
        let concerns = |slot| self.slots.contains_key(&slot);
        for record in journal::records(frame.payload, frame.payload_lsn).map_err(unreadable)?.only_of(concerns) {
            match record.map_err(unreadable)?.1 {
                Record::Debit(debit) => seen.insert(debit.slot),
                Record::Operation(operation) => seen.insert(operation.slot),
                Record::Admin(_) => false,
            };
        }
        Ok(())
    }
}
