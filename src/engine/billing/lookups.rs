//! When providers are asked again how a payment stands, beside what they tell by themselves: a webhook may be lost, and a top-up must not hang for that.
//!
//! What waits for a provider is asked after a minute, then after two more, four, … six hours, as long as it waits. What was given up and
//! may be paid all the same is asked after so, too, but not for ever: a success that comes later still is told by the provider's webhook, and
//! asked after at the next start. Nothing of this is logged; a start begins anew, from the time at which each was changed last.

use super::tables::Tables;
use super::view::Work;
use crate::billing::top_up::{Command, TopUp};
use crate::engine::{Engine, Inner};
use crate::ledger::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// How long it takes until the first question, ms; each further one takes twice as long, up to [`PAUSE_MAX_MS`].
const FIRST_MS: u64 = 60_000;
/// The longest time between two questions, ms.
const PAUSE_MAX_MS: u64 = 6 * 3_600_000;
/// How often what was given up is asked after: for about a week.
const GIVEN_UP_MAX: u32 = 36;
/// Top-ups asked after in one round, at the most.
const AT_ONCE: usize = 64;

/// A top-up that is asked after.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// When it was changed last: a change begins anew.
    changed: Timestamp,
    /// When it is asked after.
    at: Timestamp,
    /// How often it has been.
    asked: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    awaited: HashMap<String, Awaited>,
    by_time: BTreeSet<(Timestamp, String)>,
}

impl Lookups {
    /// Takes over how a top-up stands.
    pub(super) fn note(&mut self, top_up: &TopUp) {
        let changed = top_up.updated_at;
        if top_up.questions().is_empty() {
            self.forget(&top_up.id);
        } else if self.awaited.get(&top_up.id).is_none_or(|known| known.changed != changed) {
            self.forget(&top_up.id);
            self.put(&top_up.id, Awaited { changed, at: changed.saturating_add(FIRST_MS), asked: 0 });
        }
    }

    fn put(&mut self, id: &str, awaited: Awaited) {
        self.by_time.insert((awaited.at, id.to_owned()));
        self.awaited.insert(id.to_owned(), awaited);
    }

    fn forget(&mut self, id: &str) {
        if let Some(known) = self.awaited.remove(id) {
            self.by_time.remove(&(known.at, id.to_owned()));
        }
    }

    /// The top-ups to be asked after by now, each put off until its next time.
    fn take_due(&mut self, now: Timestamp) -> Vec<String> {
        let due: Vec<String> =
            self.by_time.iter().take_while(|(at, _)| *at <= now).take(AT_ONCE).map(|(_, id)| id.clone()).collect();
        for id in &due {
            let known = self.awaited[id];
            self.forget(id);
            let pause = FIRST_MS.saturating_mul(1 << (known.asked + 1).min(16)).min(PAUSE_MAX_MS);
            self.put(id, Awaited { at: now.saturating_add(pause), asked: known.asked + 1, ..known });
        }
        due
    }

    /// The ids of all of them.
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.awaited.keys()
    }

    fn asked(&self, id: &str) -> u32 {
        self.awaited.get(id).map_or(0, |known| known.asked)
    }
}

impl Engine {
    /// Top-ups made before some time that a provider collects, and of whose payment nothing is known: they are waited for, or may have been paid after
    /// they were given up.
    pub fn awaited_payments(&self, provider: &str, before: Timestamp) -> Vec<String> {
        let tables = self.inner.billing.lock();
        let is_it = |id: &&String| {
            let top_up = &tables.top_ups[*id].top_up;
            top_up.provider == provider && top_up.captured.is_none() && top_up.created_at < before
        };
        tables.lookups.ids().filter(is_it).cloned().collect()
    }
}

impl Inner {
    /// Has providers asked how those payments stand of which nothing has been heard for a while.
    pub(super) fn ask_after(&self, tables: &mut Tables, now: Timestamp) {
        for id in tables.lookups.take_due(now) {
            let top_up = &tables.top_ups[&id].top_up;
            let questions = top_up.questions();
            if tables.lookups.asked(&id) > GIVEN_UP_MAX && questions == [Command::Withdraw] {
                tracing::error!(
                    top_up = id,
                    "nobody can tell whether a top-up that was given up was paid: it is not asked after any more"
                );
                tables.lookups.forget(&id);
                continue;
            }
            let behind = self.log.tail();
            let provider = top_up.provider.clone();
            let work =
                questions.into_iter().map(|command| Work { provider: provider.clone(), top_up: id.clone(), command });
            tables.outbox.extend(work.map(|work| (behind, work)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_six_hours_and_a_round_is_bounded() {
        let mut lookups = Lookups::default();
        let at = Timestamp::from_millis;
        let begun = Awaited { changed: at(0), at: at(FIRST_MS), asked: 0 };
        lookups.put("top_1", begun);
        assert!(lookups.take_due(at(FIRST_MS - 1)).is_empty());
        let mut times = Vec::new();
        while times.len() < 12 {
            let (next, _) = lookups.by_time.first().expect("it is awaited").clone();
            assert_eq!(lookups.take_due(next), ["top_1"]);
            assert!(lookups.take_due(next).is_empty());
            times.push(next.millis() / 60_000);
        }
        assert_eq!(times, [1, 3, 7, 15, 31, 63, 127, 255, 511, 871, 1_231, 1_591]);
        let mut many = Lookups::default();
        for number in 0..100 {
            many.put(&format!("top_{number:03}"), begun);
        }
        assert_eq!((many.take_due(at(FIRST_MS)).len(), many.take_due(at(FIRST_MS)).len()), (64, 36));
        assert!(many.take_due(at(FIRST_MS)).is_empty());
        many.forget("top_000");
        assert_eq!((many.awaited.len(), many.by_time.len()), (99, 99));
    }
}
