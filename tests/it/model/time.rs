//! What the passing of time brings: beginnings, ends, and the ends of holds.

use super::command::Grant;
use super::grants::spent_before;
use super::{Account, Fate, Happened, Held, Model, Turn};

impl Model {
    pub(super) fn note(&mut self, turn: Turn, grant: u64, amount: i128, at: u64) {
        if amount > 0 {
            self.happened.push(Happened { turn, grant, amount, at });
        }
    }

    /// Lets dated changes happen, one at a time, the earliest first; at the same instant ends come before beginnings, and both before the ends
    /// of holds.
    pub(super) fn pass_time(&mut self, now: u64) {
        self.committed.retain(|(_, until)| until.is_none_or(|until| until > now));
        loop {
            let ends = self.grants.values().filter(|held| held.active && held.account.remaining > 0);
            let end = ends.filter_map(|held| Some((held.grant.expires_at?, 0, held.grant.id))).min();
            let waiting = self.grants.values().filter(|held| !held.active && !held.waits && held.account.remaining > 0);
            let begin = waiting.min_by(|a, b| {
                a.grant.effective_at.cmp(&b.grant.effective_at).then_with(|| spent_before(&a.grant, &b.grant))
            });
            let begin = begin.map(|held| (held.grant.effective_at, 1, held.grant.id));
            let hold = self.open().map(|kept| (kept.hold.expires_at, 2, kept.hold.id)).min();
            match [end, begin, hold].into_iter().flatten().min() {
                Some((instant, 0, id)) if instant <= now => {
                    self.end(id, instant);
                    self.count_granted();
                }
                Some((instant, 1, id)) if instant <= now => self.activate(id, instant),
                Some((instant, _, id)) if instant <= now => self.end_hold(id, Fate::Expired, instant),
                _ => return,
            }
        }
    }

    /// A grant ends: part of what is free of it goes on as another one, the rest expires. What holds have of it stays with them, and goes
    /// when they end.
    fn end(&mut self, id: u64, instant: u64) {
        let held = self.grants.get_mut(&id).expect("a grant");
        let left = std::mem::take(&mut held.account.remaining);
        let rollover = held.grant.rollover.clone();
        let part =
            rollover.as_ref().map_or(0, |terms| (left * terms.parts / terms.whole).min(terms.max.unwrap_or(left)));
        held.account.rolled_over += part;
        held.account.expired += left - part;
        self.note(Turn::RolledOver, id, part, instant);
        self.note(Turn::Expired, id, left - part, instant);
        let held = &self.grants[&id];
        let Some(terms) = rollover.filter(|_| part > 0) else { return };
        let grant = Grant {
            id: id + 1,
            amount: part,
            priority: terms.priority,
            effective_at: instant,
            expires_at: terms.lasts.map(|lasts| instant + lasts),
            cost: held.grant.cost.map(|cost| cost * part / held.grant.amount),
            max_balance: None,
            rollover: None,
            payment: None,
            ..held.grant.clone()
        };
        let account = Account { granted: part, remaining: part, ..Account::default() };
        let earlier = self
            .grants
            .insert(id + 1, Held { grant, account, active: true, voided: false, captured_out: false, waits: false });
        assert!(earlier.is_none(), "a grant rolls over once");
    }

    pub(super) fn activate(&mut self, id: u64, instant: u64) {
        let held = self.grants.get_mut(&id).expect("a grant");
        held.active = true;
        let all = std::mem::take(&mut held.account.remaining);
        self.note(Turn::Activated, id, all, instant);
        self.enter(id, all);
    }

    /// Credits of a grant become free: they pay debt first.
    pub(super) fn enter(&mut self, id: u64, amount: i128) {
        let account = &mut self.grants.get_mut(&id).expect("a grant").account;
        let paid = self.debt.min(amount);
        account.remaining += amount - paid;
        account.debt_paid += paid;
        self.debt -= paid;
        self.repayments.extend((paid > 0).then_some((id, paid)));
        self.payments.extend((paid > 0).then_some((id, paid)));
        self.count_granted();
    }

    /// Ends a hold; its credits go back to grants that have not ended by `instant`.
    pub(super) fn end_hold(&mut self, id: u64, fate: Fate, instant: u64) {
        let kept = self.holds.get_mut(&id).expect("a hold");
        let gives_back = kept.left > 0;
        kept.fate = fate;
        // Back in the order in which they would be spent.
        let mut parts = std::mem::take(&mut kept.parts);
        parts.sort_by(|(a, _), (b, _)| spent_before(&self.grants[a].grant, &self.grants[b].grant));
        self.holds.get_mut(&id).expect("a hold").returned.clone_from(&parts);
        for (grant, amount) in parts {
            let held = self.grants.get_mut(&grant).expect("a grant");
            held.account.held -= amount;
            if held.voided {
                held.account.voided += amount;
                self.note(Turn::Voided, grant, amount, instant);
            } else if held.grant.expires_at.is_some_and(|end| end <= instant) {
                held.account.expired += amount;
                self.note(Turn::Expired, grant, amount, instant);
            } else {
                self.enter(grant, amount);
            }
        }
        if gives_back {
            self.count_granted();
        }
    }
}
