//! What providers have to do, between the log and whoever speaks with them.
//!
//! Nothing leaves before the record that it follows from is durable: a crash can delay a charge, and can neither lose one nor send one of which
//! the log knows nothing. What was not answered when the server stopped is in the outbox again when it starts, under the same keys.

use super::carry::work;
use super::view::Work;
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::{Engine, Inner};
use drawdown_wal::Lsn;

impl Engine {
    /// Says that somebody speaks with a provider from now on: until then none of its cards is charged and none of its pages opened. Rules that
    /// waited for that are evaluated.
    pub fn connect_provider(&self, name: &str) -> Result<Ticket, CommandError> {
        self.inner.billing.lock().connected.insert(name.to_owned());
        self.evaluate_rules()
    }

    /// Says which provider is taken where nobody does.
    pub fn prefer_provider(&self, name: &str) {
        self.inner.billing.lock().usual = Some(name.to_owned());
    }

    /// Takes what providers have to do by now, in the order in which it was decided. Whoever takes it does it, as often as need be: a command that
    /// is lost is given again at the next start only.
    pub fn take_work(&self) -> Vec<Work> {
        let durable = self.inner.log.durable();
        let mut tables = self.inner.billing.lock();
        let due = tables.outbox.partition_point(|(behind, _)| *behind <= durable);
        #[cfg(drawdown_planted)]
        let due = match drawdown_wal::planted::is_planted(drawdown_wal::planted::Bug::ChargesBeforeIntent) {
            true => tables.outbox.len(),
            false => due,
        };
        tables.outbox.drain(..due).map(|(_, work)| work).collect()
    }
}

impl Inner {
    /// Puts into the outbox what providers had been told when the server stopped, and may not have done.
    pub(in crate::engine) fn fill_outbox(&self) {
        let mut tables = self.billing.lock();
        let kept = tables.top_ups.values();
        let unfinished: Vec<_> = kept
            .flat_map(|kept| {
                let effects = kept.top_up.resume();
                effects.into_iter().filter_map(|effect| work(&kept.top_up, &effect)).collect::<Vec<_>>()
            })
            .collect();
        // What this start has decided itself is there already, and waits until that is durable.
        let decided: Vec<Work> = tables.outbox.iter().map(|(_, work)| work.clone()).collect();
        let earlier = unfinished.into_iter().filter(|work| !decided.contains(work));
        let earlier: Vec<_> = earlier.map(|work| (Lsn::ZERO, work)).collect();
        earlier.into_iter().rev().for_each(|work| tables.outbox.push_front(work));
    }
}
