//! Adjustments, charges and reversals.

use std::collections::BTreeMap;

use drawdown::engine::corrections::view::{
    AdjustmentRequest, AdjustmentView, ChargeRequest, ChargeView, Expired, ReversalRequest, ReversalView,
};
use drawdown::engine::view::Metadata;
use drawdown::engine::{CommandError, Engine, Ticket, Unavailable};
use drawdown::ledger::{GrantId, Rejection, Source};
use drawdown_wal::Lsn;

use crate::model::{self, Command, Outcome};

use super::step::{Correction, policy};
use super::{Books, CURRENCIES, Moment, WalletNumber, compare_command, units};

/// A debit that can be taken back.
#[derive(Clone, Debug)]
pub(super) struct Debited {
    pub(super) wallet: WalletNumber,
    pub(super) entry: Option<Lsn>,
    pub(super) identity: Option<(usize, u32)>,
    /// Its group, by its place in the wallet's.
    pub(super) group: usize,
    pub(super) paid_by: Vec<(u64, i128)>,
    pub(super) debt: i128,
}

/// A correction that was made under a key.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    /// What was asked for, and of which debit.
    pub(super) asked: (Correction, Option<Lsn>),
    pub(super) wallet: WalletNumber,
    pub(super) group: usize,
    pub(super) entry: Lsn,
    pub(super) at: Moment,
}

/// What an engine made of a correction.
#[derive(Debug)]
enum Corrected {
    Adjusted(AdjustmentView),
    Charged(ChargeView),
    Reversed(ReversalView),
}

impl Corrected {
    pub(super) fn entry(&self) -> Lsn {
        match self {
            Corrected::Adjusted(view) => view.entry,
            Corrected::Charged(view) => view.entry,
            Corrected::Reversed(view) => view.entry,
        }
    }
}

impl Books {
    /// Notes that the last group of a wallet is a debit.
    pub(super) fn enter_debit(
        &mut self,
        wallet: WalletNumber,
        entry: Option<Lsn>,
        identity: Option<(usize, u32)>,
        outcome: &Outcome,
    ) {
        let paid: i128 = outcome.paid_by.iter().map(|(_, part)| part).sum();
        let (group, paid_by, debt) = (self.groups(wallet).len() - 1, outcome.paid_by.clone(), outcome.taken - paid);
        self.debits.push(Debited { wallet, entry, identity, group, paid_by, debt });
    }

    /// What has been taken back of a debit.
    fn reversed(&self, debit: &Debited) -> i128 {
        let reversed = self.groups(debit.wallet).iter().filter_map(|group| group.reversed);
        reversed.filter(|(entry, _)| Some(*entry) == debit.entry).map(|(_, amount)| amount).sum()
    }

    pub(super) fn correct(
        &mut self,
        correction: &Correction,
        key: Option<u8>,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let key = key.map(|key| format!("key-{key}"));
        let debit = match correction {
            Correction::Reverse { debit, .. } => {
                // The last ones first, as with grants.
                let known = self.debits.iter().rev().filter(|debit| debit.entry.is_some());
                let known: Vec<_> = known.take(12).collect();
                let Some(debit) = known.get(debit % known.len().max(1)) else { return Ok(None) };
                let debit = (*debit).clone();
                let model = self.wallets[&debit.wallet].model();
                let mut grants = debit.paid_by.iter().map(|(id, _)| *id).chain(model.payers());
                let first = engine.first_lsn();
                if debit.entry.is_none_or(|entry| entry < first) || grants.any(|id| Lsn::new(id) < first) {
                    // What is left to know of them is no more than the engine is bound to.
                    return Ok(None);
                }
                Some(debit)
            }
            _ => None,
        };
        let result = ask(correction, key.clone(), debit.as_ref(), engine);
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        if let (Correction::Reverse { .. }, Err(CommandError::Retired { first })) = (correction, &result) {
            assert!(*first > Lsn::ZERO && *first == engine.first_lsn());
            return Ok(None);
        }
        let asked = (correction.clone(), debit.as_ref().and_then(|debit| debit.entry));
        let is_zero = matches!(correction, Correction::Adjust { units: 0, .. });
        let is_not_positive = match correction {
            Correction::Charge { units, .. } | Correction::Reverse { units: Some(units), .. } => *units <= 0,
            _ => is_zero,
        };
        if is_not_positive {
            assert!(matches!(result, Err(CommandError::Invalid { field: "amount", .. })), "{result:?}");
            return Ok(None);
        }
        if let Some(earlier) = key.as_ref().and_then(|key| self.corrections.get(key)) {
            if is_alike(&earlier.asked, &asked) {
                let (corrected, replayed, ticket) = result.expect("the first answer again");
                assert!(replayed);
                assert_eq!(corrected.entry(), earlier.entry);
                self.compare_corrected(earlier.wallet, earlier.group, &corrected);
                return Ok(Some(ticket));
            }
            let conflict = result.expect_err("the key was used before with other content");
            assert!(matches!(conflict, CommandError::Conflict { slug: "idempotency_conflict", .. }), "{conflict:?}");
            return Ok(None);
        }
        let made = result.as_ref().ok().map(|(corrected, ..)| corrected);
        let Some((wallet, command)) = self.command(correction, debit.as_ref(), made, result.as_ref().err()) else {
            return Ok(None);
        };
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        let expected = book.enter(&command, now, step, None);
        compare_command(result.as_ref().err(), &expected);
        let Ok((corrected, replayed, ticket)) = result else { return Ok(None) };
        assert!(!replayed);
        book.exists = true;
        let group = book.groups.last_mut().expect("the correction's");
        if let Correction::Adjust { .. } = correction {
            for line in group.lines.iter_mut().filter(|line| match (&command, line.grant) {
                (Command::Grant(grant), Some(id)) => grant.id == id && line.kind == "Grant",
                _ => line.kind == "Debit",
            }) {
                (line.kind, line.told) = ("Adjustment", Some("adjustment.created"));
            }
            group.lines.sort();
        }
        if let (Command::Reverse(reverse), Corrected::Reversed(view)) = (&command, &corrected) {
            group.reversed = Some((view.debit, reverse.amount));
            assert_eq!(units(view.forfeited), expected.forfeited, "{view:?}");
            assert_eq!(units(view.reversed), reverse.before + reverse.amount);
        }
        let entry = corrected.entry();
        if matches!(command, Command::Debit { .. } | Command::Charge { .. }) {
            self.enter_debit(wallet, Some(entry), None, &expected);
        }
        let group = self.groups(wallet).len() - 1;
        self.compare_corrected(wallet, group, &corrected);
        if let Some(key) = key {
            self.corrections.insert(key, Keyed { asked, wallet, group, entry, at: (now, step) });
        }
        Ok(Some(ticket))
    }

    /// What a correction is to the model; `None` if it is refused before the model is asked.
    fn command(
        &self,
        correction: &Correction,
        debit: Option<&Debited>,
        made: Option<&Corrected>,
        error: Option<&CommandError>,
    ) -> Option<(WalletNumber, Command)> {
        let unknown = |wallet: WalletNumber| {
            let missing = !self.exists(wallet);
            if missing {
                assert_eq!(error, Some(&CommandError::Rejected(Rejection::UnknownWallet)));
            }
            missing
        };
        Some(match correction {
            Correction::Adjust { wallet, units, .. } if *units > 0 => {
                let id = match made {
                    Some(Corrected::Adjusted(view)) => view.grant.expect("a grant was made").get(),
                    _ => u64::MAX >> 1,
                };
                let max_balance = CURRENCIES[wallet.currency_index()].2.map(i128::from);
                (*wallet, Command::Grant(adjusted(id, (*units).into(), self.now, max_balance)))
            }
            Correction::Adjust { wallet, .. } | Correction::Charge { wallet, .. } if unknown(*wallet) => return None,
            Correction::Adjust { wallet, units, policy } => {
                (*wallet, Command::Debit { amount: -i128::from(*units), policy: *policy })
            }
            Correction::Charge { wallet, units } => (*wallet, Command::Charge { amount: (*units).into() }),
            Correction::Reverse { units, regrant, .. } => {
                let debit = debit.expect("of a debit");
                let taken = debit.debt + debit.paid_by.iter().map(|(_, part)| part).sum::<i128>();
                let before = self.reversed(debit);
                let amount = units.map_or(taken - before, i128::from);
                if amount == 0 || before + amount > taken {
                    assert!(
                        matches!(error, Some(CommandError::Conflict { slug: "already_reversed", .. })),
                        "{error:?}"
                    );
                    return None;
                }
                let regrant = regrant.then(|| match made {
                    Some(Corrected::Reversed(view)) => view.regrant.map_or(u64::MAX >> 1, GrantId::get),
                    _ => u64::MAX >> 1,
                });
                let (paid_by, debt) = (debit.paid_by.clone(), debit.debt);
                (debit.wallet, Command::Reverse(model::Reverse { paid_by, debt, before, amount, regrant }))
            }
        })
    }

    /// Compares a correction's answer with its group.
    fn compare_corrected(&self, wallet: WalletNumber, group: usize, corrected: &Corrected) {
        let group = &self.groups(wallet)[group];
        let line = |kind| group.lines.iter().find(|line| line.kind == kind).expect("the correction's line");
        let (balance, available) = (group.after.balance(), group.after.available());
        match corrected {
            Corrected::Adjusted(view) => {
                assert_eq!(units(view.amount), line("Adjustment").delta);
                assert_eq!((units(view.balance), units(view.available)), (balance, available));
            }
            Corrected::Charged(view) => {
                assert_eq!(units(view.from_wallet), -line("Charge").delta);
                assert_eq!(units(view.to_pay), units(view.amount) - units(view.from_wallet));
                assert_eq!((units(view.balance), units(view.available)), (balance, available));
            }
            Corrected::Reversed(view) => {
                let line = line("Reversal");
                let mut parts: BTreeMap<u64, i128> = BTreeMap::new();
                line.parts.iter().for_each(|(id, part)| *parts.entry(*id).or_default() += part);
                let returned = view.returned.iter().map(|(id, part)| (id.get(), units(*part))).collect();
                assert_eq!(parts, returned);
                assert_eq!(units(view.debt), line.debt);
                assert_eq!(units(view.amount), line.delta + units(view.forfeited));
                assert_eq!((units(view.balance), units(view.available)), (balance, available));
            }
        }
    }
}

/// The grant that an adjustment makes, or a reversal of what nobody takes.
fn adjusted(id: u64, amount: i128, now: u64, max_balance: Option<i128>) -> model::Grant {
    let (priority, promotional) = (Source::Adjustment.default_priority(), true);
    model::Grant {
        id,
        amount,
        priority,
        promotional,
        effective_at: now,
        expires_at: None,
        cost: None,
        max_balance,
        rollover: None,
        payment: None,
    }
}

/// Whether two corrections ask for the same; of debits, which are counted from the last one, their entries tell.
fn is_alike(earlier: &(Correction, Option<Lsn>), later: &(Correction, Option<Lsn>)) -> bool {
    let plain = |correction: &Correction| match correction {
        // Giving knows no policy.
        Correction::Adjust { wallet, units, .. } if *units > 0 => {
            Correction::Adjust { wallet: *wallet, units: *units, policy: model::Policy::Reject }
        }
        Correction::Reverse { units, regrant, .. } => {
            Correction::Reverse { debit: 0, units: *units, regrant: *regrant }
        }
        other => other.clone(),
    };
    (plain(&earlier.0), earlier.1) == (plain(&later.0), later.1)
}

/// Sends a correction.
fn ask(
    correction: &Correction,
    key: Option<String>,
    debit: Option<&Debited>,
    engine: &Engine,
) -> Result<(Corrected, bool, Ticket), CommandError> {
    let of = |wallet: WalletNumber| (wallet.customer().to_owned(), Some(wallet.currency().to_owned()));
    match correction {
        Correction::Adjust { wallet, units, policy: asked } => {
            let ((customer, currency), amount) = (of(*wallet), wallet.decimal(*units));
            let (policy, reason, metadata) = (policy(*asked), "a reason".to_owned(), Metadata::new());
            let request = AdjustmentRequest { customer, currency, amount, policy, reason, key, metadata };
            engine.adjust(&request).map(|(view, replayed, ticket)| (Corrected::Adjusted(view), replayed, ticket))
        }
        Correction::Charge { wallet, units } => {
            let ((customer, currency), amount) = (of(*wallet), wallet.decimal(*units));
            let request = ChargeRequest { customer, currency, amount, invoice: Some("inv-1".to_owned()), key };
            engine.charge(&request).map(|(view, replayed, ticket)| (Corrected::Charged(view), replayed, ticket))
        }
        Correction::Reverse { units, regrant, .. } => {
            let debit = debit.expect("of a debit");
            let request = ReversalRequest {
                entry: debit.entry.expect("an entry"),
                amount: units.map(|units| debit.wallet.decimal(units)),
                expired: if *regrant { Expired::Regrant } else { Expired::Lose },
                reason: None,
                key,
            };
            engine.reverse(&request).map(|(view, replayed, ticket)| (Corrected::Reversed(view), replayed, ticket))
        }
    }
}
