//! What a crash took out of the books, what is forgotten after the window, and sending everything again.

use std::collections::{BTreeMap, BTreeSet};

use drawdown::engine::{CommandError, Engine, Unavailable};
use drawdown_wal::Pumped;

use crate::model::{Command, Model};

use super::audit::Shown;
use super::grants::{Made, state_of};
use super::lines::Group;
use super::step::{Usage, When, submit};
use super::told::{Edges, compare_groups, feed, history, wallet_of};
use super::usage::{Answer, answer};
use super::{Books, Moment, WINDOW_MS, WalletNumber, minute_end};

impl Books {
    /// What of the books an engine holds that a crash may have cut back, checked to be a beginning: within each wallet, and in
    /// the order of the steps. Every step up to `acknowledged` must be there.
    pub(crate) fn cut_back(&self, engine: &Engine, acknowledged: usize) -> Books {
        let mut left = self.clone();
        let mut there_of = BTreeMap::new();
        let (mut last_there, mut first_missing) = (0, usize::MAX);
        for wallet in WalletNumber::all() {
            let exists = engine.wallet(wallet.customer(), wallet.currency()).is_ok();
            let entries = if exists { history(engine, wallet, 100) } else { Vec::new() };
            let groups = self.groups(wallet);
            let there = compare_groups(groups, &entries);
            let there = if exists { self.without_what_was_lost(wallet, there, acknowledged, engine) } else { there };
            let steps = |groups: &[Group]| -> Vec<usize> {
                groups.iter().filter(|group| !group.lines.is_empty()).map(|group| group.step).collect()
            };
            last_there = last_there.max(steps(&groups[..there]).into_iter().max().unwrap_or(0));
            first_missing = first_missing.min(steps(&groups[there..]).into_iter().min().unwrap_or(usize::MAX));
            let missing: Vec<_> = groups[there..].iter().filter_map(|group| group.identity).collect();
            left.events.retain(|identity, _| !missing.contains(identity));
            left.together.retain(|together| together.iter().all(|(of, group)| *of != wallet || *group < there));
            there_of.insert(wallet, there);
            let book = left.book(wallet);
            book.groups.truncate(there);
            book.model = book.groups.last().map(|group| group.after.clone());
            book.exists = exists;
        }
        assert!(
            acknowledged < first_missing,
            "step {first_missing} was acknowledged (all up to {acknowledged} were) and is lost"
        );
        assert!(last_there <= first_missing, "step {last_there} is there and step {first_missing} before it is not");
        for together in &self.together {
            let there: BTreeSet<_> = together.iter().map(|(wallet, group)| *group < there_of[wallet]).collect();
            assert_eq!(there.len(), 1, "a part of what took place together is there: {together:?}");
        }
        left.made.retain(|made| {
            left.wallets[&made.wallet].model.as_ref().is_some_and(|model| model.accounts().any(|(id, _)| id == made.id))
        });
        for made in self.made.iter().filter(|made| left.made.iter().all(|there| there.id != made.id)) {
            let view = engine.grant_view(&made.text).map(|_| ());
            assert_eq!(view, Err(CommandError::NotFound { what: "grant" }), "a grant that took no effect is none");
        }
        left.holds.retain(|made| {
            left.wallets[&made.spec.wallet].model.as_ref().is_some_and(|model| model.hold(made.id).is_some())
        });
        for made in self.holds.iter().filter(|made| left.holds.iter().all(|there| there.id != made.id)) {
            let view = engine.hold_view(&made.text);
            let is_other =
                view.as_ref().is_ok_and(|view| left.holds.iter().any(|there| there.id == view.state.id.get()));
            let is_missing = matches!(view, Err(CommandError::NotFound { what: "hold" }));
            assert!(is_other || is_missing, "a hold that took no effect is none: {view:?}");
        }
        let hold_there = |at: usize| {
            let id = self.holds[at].id;
            left.holds.iter().position(|made| made.id == id)
        };
        left.hold_ids =
            self.hold_ids.iter().filter_map(|(key, (at, moment))| Some((*key, (hold_there(*at)?, *moment)))).collect();
        let there = |(at, _): (usize, Moment)| {
            let id = self.made[at].id;
            left.made.iter().position(|made| made.id == id)
        };
        left.debits.retain(|debit| debit.group < left.wallets[&debit.wallet].groups.len());
        left.corrections.retain(|_, keyed| keyed.group < left.wallets[&keyed.wallet].groups.len());
        left.transfers.retain(|_, made| made.group < left.wallets[&made.from].groups.len());
        left.moves.retain(|made| made.group < left.wallets[&made.from].groups.len());
        left.keys = self
            .keys
            .iter()
            .filter_map(|(key, (at, moment))| Some((key.clone(), (there((*at, *moment))?, *moment))))
            .collect();
        left
    }

    /// Of the groups that a history ends with as far as it tells, those that leave nothing to be seen may have been lost all the same, unless they
    /// were acknowledged: what the wallet shows, and what the feed tells of its balance, say how many are there. The engine's time may lie before
    /// that of the books: what it wrote last was lost, and the clock was set back.
    fn without_what_was_lost(&self, wallet: WalletNumber, told: usize, acknowledged: usize, engine: &Engine) -> usize {
        let groups = &self.groups(wallet)[..told];
        let is_certain = |group: &Group| !group.lines.is_empty() || !group.is_due && group.step <= acknowledged;
        let certain = groups.iter().rposition(is_certain).map_or(0, |last| last + 1);
        if certain == told {
            return told;
        }
        let Ok(view) = engine.wallet(wallet.customer(), wallet.currency()) else { return told };
        let (now, events) = (engine.now().millis(), feed(engine, 100));
        let events: Vec<_> = events.iter().filter(|event| wallet_of(event) == Some(wallet)).collect();
        let is_shown = |count: &usize| {
            let mut model = count.checked_sub(1).map_or_else(Model::new, |last| groups[last].after.clone());
            model.apply(&Command::Wait, now);
            let is_known = |made: &&Made| made.wallet == wallet && model.accounts().any(|(id, _)| id == made.id);
            let mut grants = self.made.iter().filter(is_known);
            let edges = Edges::of(&groups[..*count], &events);
            edges.told == edges.expected
                && Shown::by_model(&model) == Shown::by_view(&view)
                && grants.all(|made| {
                    let is_other = |state| state != state_of(&model, made.id, now);
                    !matches!(engine.grant_view(&made.text), Ok(view) if is_other(view.state))
                })
        };
        (certain..=told).rev().find(is_shown).unwrap_or(told)
    }

    /// Enters that the engine was opened again. It then knows the minute of everything that it remembers, and forgets what is older than
    /// the window at once.
    pub(crate) fn reopened(&mut self) {
        let moments = self.events.values().map(|applied| applied.at).chain(self.keys.values().map(|(_, at)| *at));
        let moments = moments.chain(self.corrections.values().map(|keyed| keyed.at));
        let moments = moments.chain(self.transfers.values().map(|made| made.at));
        let mut moments: Vec<_> = moments.chain(self.hold_ids.values().map(|(_, at)| *at)).collect();
        moments.sort_unstable();
        self.marks.clear();
        for (time, step) in moments {
            self.mark((minute_end(time), step));
        }
        self.forget();
    }

    pub(super) fn mark(&mut self, mark: Moment) {
        match self.marks.last_mut() {
            Some(last) if last.0 >= mark.0 => last.1 = mark.1,
            _ => self.marks.push(mark),
        }
    }

    /// Identities older than the window are free again.
    pub(super) fn forget(&mut self) {
        let past = self.marks.iter().rev().find(|(end, _)| end.saturating_add(WINDOW_MS) < self.now);
        let Some(&(_, horizon)) = past else { return };
        self.events.retain(|_, applied| applied.at.1 > horizon);
        self.keys.retain(|_, (_, at)| at.1 > horizon);
        self.corrections.retain(|_, keyed| keyed.at.1 > horizon);
        self.transfers.retain(|_, made| made.at.1 > horizon);
        self.hold_ids.retain(|_, (_, at)| at.1 > horizon);
    }

    /// Sends every event again, each by itself: what there is of them is a duplicate, the others apply.
    pub(crate) fn send_all_again(&mut self, engine: &Engine) {
        for usage in std::mem::take(&mut self.sent) {
            self.step += 1;
            // Nobody prepares segments beside this thread.
            while engine.log().pump() != (Pumped { synced: false, prepared: false }) {}
            self.batch(&[usage], engine).expect("a healthy engine").wait().expect("a healthy log");
        }
    }

    /// Sends every event again, one by one: what was applied is a duplicate with its first outcome.
    pub(crate) fn resend(&mut self, engine: &Engine) {
        self.resend_until_taken(engine, |error| panic!("{error}"));
    }

    /// The same, where an event that is refused is sent again after `refused` was told.
    pub(crate) fn resend_until_taken(&mut self, engine: &Engine, mut refused: impl FnMut(Unavailable)) {
        let applied: Vec<_> = self.sent.clone();
        for usage in applied {
            let known = self.events.get(&(usage.source, usage.id)).cloned();
            let Some(known) = known.filter(|known| known.wallet == usage.wallet && known.ask == usage.ask) else {
                continue;
            };
            let usage = Usage { time: When::Unsaid, ..usage };
            let mut outcomes = Vec::new();
            let ticket = loop {
                match submit(engine, std::slice::from_ref(&usage), self.now, &mut outcomes) {
                    Ok(ticket) => break ticket,
                    Err(error) => refused(error),
                }
            };
            ticket.wait().expect("durable");
            assert_eq!(answer(&outcomes[0]), Answer { status: "duplicate", ..known.answer }, "{usage:?}");
            assert_eq!(outcomes[0].entry, known.entry);
        }
    }
}
