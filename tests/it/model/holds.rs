//! Holds that are made and captured.

use super::command::{Hold, OnExceed, Outcome, Policy, Refusal};
use super::grants::spent_before;
use super::{DEBT_MAX, Fate, HOLDS_MAX, Kept, Model, refuse};

impl Model {
    pub(super) fn make_hold(&mut self, hold: &Hold, now: u64) -> Result<(), Refusal> {
        if hold.amount <= 0 {
            return refuse("invalid_amount");
        }
        if hold.expires_at <= now {
            return refuse("expiry_in_past");
        }
        self.check_active()?;
        if self.open().count() >= HOLDS_MAX {
            return refuse("too_many_holds");
        }
        let available = self.available();
        if hold.amount > available {
            return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
        }
        let (mut parts, mut rest) = (Vec::new(), hold.amount);
        while rest > 0 {
            let Some(first) = self.first_free() else { break };
            let part = rest.min(first.account.remaining);
            first.account.remaining -= part;
            first.account.held += part;
            parts.push((first.grant.id, part));
            rest -= part;
        }
        let kept =
            Kept { hold: hold.clone(), fate: Fate::Open, left: hold.amount, captured: 0, parts, returned: Vec::new() };
        assert!(self.holds.insert(hold.id, kept).is_none(), "ids of holds are not used twice");
        Ok(())
    }

    pub(super) fn find_open(&mut self, hold: u64) -> Result<&mut Kept, Refusal> {
        match self.holds.get_mut(&hold).filter(|kept| kept.fate == Fate::Open) {
            Some(kept) => Ok(kept),
            None => refuse("hold_ended"),
        }
    }

    pub(super) fn capture(
        &mut self,
        id: u64,
        amount: i128,
        is_final: bool,
        now: u64,
        outcome: &mut Outcome,
    ) -> Result<(), Refusal> {
        let Some(kept) = self.holds.get(&id) else { return refuse("hold_ended") };
        let is_late = match kept.fate {
            Fate::Open => false,
            Fate::Expired => true,
            Fate::Captured | Fate::Released => return refuse("hold_ended"),
        };
        if amount < 0 || amount == 0 && !is_final {
            return refuse("invalid_amount");
        }
        if amount == 0 && is_late {
            return refuse("hold_ended");
        }
        let (left, on_exceed) = (kept.left, kept.hold.on_exceed);
        let within = amount.min(left);
        let beyond = match on_exceed {
            OnExceed::Overdraw => amount - within,
            OnExceed::Reject if amount > left => return refuse("capture_exceeds_hold"),
            OnExceed::Reject | OnExceed::Cap => 0,
        };
        let policy = match on_exceed {
            OnExceed::Reject => Policy::Reject,
            OnExceed::Cap => Policy::Partial,
            OnExceed::Overdraw => Policy::Overdraft,
        };
        if is_late {
            if within + beyond == 0 {
                return refuse("capture_exceeds_hold");
            }
            if kept.captured + within + beyond > i128::from(i64::MAX) {
                return refuse("balance_overflow");
            }
            self.check_active()?;
            self.take(within + beyond, policy, outcome)?;
            outcome.shortfall += amount - within - beyond;
            let kept = self.holds.get_mut(&id).expect("a hold");
            kept.left = (kept.left - outcome.taken).max(0);
            kept.captured += outcome.taken;
            return Ok(());
        }
        if kept.hold.amount + beyond > i128::from(i64::MAX) {
            return refuse("balance_overflow");
        }
        if beyond > self.available().max(0) && self.balance() - self.held() - beyond < -DEBT_MAX {
            return refuse("balance_overflow");
        }
        outcome.shortfall = amount - within - beyond;
        outcome.taken = within;
        let unbacked = self.take_parts(id, within, outcome);
        let kept = self.holds.get_mut(&id).expect("a hold");
        kept.left -= within;
        kept.captured += within + beyond;
        let is_over = kept.left == 0 || is_final;
        if beyond > 0 {
            // Nothing of it is left to be held.
            self.end_hold(id, Fate::Captured, now);
        }
        let paid_late = outcome.paid_by.len();
        self.spend(unbacked, outcome);
        if beyond > 0 {
            self.take(beyond, Policy::Overdraft, outcome)?;
        } else if is_over {
            self.end_hold(id, if amount == 0 { Fate::Released } else { Fate::Captured }, now);
        }
        // What the wallet paid beside the hold, it paid at once.
        let (_, beside) = outcome.paid_by.split_at(paid_late);
        let mut merged: Vec<(u64, i128)> = Vec::new();
        for (grant, part) in beside {
            match merged.last_mut() {
                Some((last, sum)) if last == grant => *sum += part,
                _ => merged.push((*grant, *part)),
            }
        }
        outcome.paid_by.truncate(paid_late);
        outcome.paid_by.extend(merged);
        Ok(())
    }

    /// Takes from a hold's own credits, in spend order; answers what they do not have.
    fn take_parts(&mut self, id: u64, amount: i128, outcome: &mut Outcome) -> i128 {
        let mut rest = amount;
        while rest > 0 {
            let parts = &mut self.holds.get_mut(&id).expect("a hold").parts;
            let first = (0..parts.len())
                .min_by(|a, b| spent_before(&self.grants[&parts[*a].0].grant, &self.grants[&parts[*b].0].grant));
            let Some(first) = first else { return rest };
            let (grant, has) = parts[first];
            let part = rest.min(has);
            if part == has {
                parts.remove(first);
            } else {
                parts[first].1 -= part;
            }
            let account = &mut self.grants.get_mut(&grant).expect("a grant").account;
            account.held -= part;
            account.spent += part;
            let is_out = account.left() == 0;
            self.grants.get_mut(&grant).expect("a grant").captured_out |= is_out;
            outcome.paid_by.push((grant, part));
            rest -= part;
        }
        0
    }
}
