//! Credits that go from one wallet to another.

use drawdown::engine::corrections::view::{TransferRequest, TransferSide, TransferView};
use drawdown::engine::view::{CostBasis, Entry, EntryKind, GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{CommandError, Engine, Ticket, Unavailable};
use drawdown::ledger::Rejection;

use crate::model::{self, Command, Model};

use super::grants::Made;
use super::usage::{assert_too_large, is_too_large};
use super::{Books, CURRENCIES, CUSTOMERS, Moment, WalletNumber, at, compare_command, smallest_of};

/// A transfer that was made.
#[derive(Clone, Debug)]
pub(super) struct Transferred {
    pub(super) from: WalletNumber,
    pub(super) to: WalletNumber,
    pub(super) units: i64,
    pub(super) view: TransferView,
    /// Its group, by its place among those of the wallet that gave.
    pub(super) group: usize,
    pub(super) at: Moment,
}

impl Books {
    /// Moves credits, and compares what both wallets are told of it.
    pub(super) fn transfer(
        &mut self,
        from: WalletNumber,
        further: usize,
        units: i64,
        key: Option<u8>,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let owner = CUSTOMERS.iter().position(|customer| *customer == from.customer()).expect("a customer");
        let customer = CUSTOMERS[(owner + further) % CUSTOMERS.len()];
        let to = WalletNumber::of(customer, from.currency()).expect("a wallet's number");
        let key = key.map(|key| format!("trf-{key}"));
        let request = TransferRequest {
            from: from.customer().to_owned(),
            to: customer.to_owned(),
            currency: Some(from.currency().to_owned()),
            amount: from.decimal(units),
            reason: Some("a reason".to_owned()),
            key: key.clone(),
            metadata: Metadata::new(),
        };
        let result = match engine.transfer(&request) {
            Err(CommandError::Unavailable(error)) => return Err(error),
            result => result,
        };
        if from == to || units <= 0 {
            let field = if from == to { "to" } else { "amount" };
            assert!(matches!(result, Err(CommandError::Invalid { field: of, .. }) if of == field), "{result:?}");
            return Ok(None);
        }
        if let Some(earlier) = key.as_ref().and_then(|key| self.transfers.get(key)) {
            if (earlier.from, earlier.to, earlier.units) == (from, to, units) {
                let (view, replayed, ticket) = result.expect("the first answer again");
                assert!(replayed);
                assert_eq!(view, earlier.view);
                return Ok(Some(ticket));
            }
            let conflict = result.expect_err("the key was used before with other content");
            assert!(matches!(conflict, CommandError::Conflict { slug: "idempotency_conflict", .. }), "{conflict:?}");
            return Ok(None);
        }
        if let Err(CommandError::Retired { .. }) = result {
            // What one of the grants is declared as is in a part of the log that is gone, with the snapshot that had it.
            panic!("grants that a wallet holds are known: {result:?}");
        }
        if !self.exists(from) {
            assert_eq!(result.err(), Some(CommandError::Rejected(Rejection::UnknownWallet)));
            return Ok(None);
        }
        let (now, step) = (self.now, self.step);
        let amount = i128::from(units);
        let (mut giver, mut taker) = (self.book(from).model(), self.book(to).model());
        let out = giver.apply(&Command::TransferOut { amount }, now);
        if out.refused.is_some() {
            compare_command(result.as_ref().err(), &out);
            return Ok(None);
        }
        let max_balance = CURRENCIES[from.currency_index()].2.map(i128::from);
        let made = result.as_ref().ok().map(|(view, ..)| view);
        let grants: Vec<_> = (0..)
            .zip(&out.moved)
            .map(|(place, (grant, part, cost))| {
                let placeholder = (u64::MAX >> 1) + 2 * place as u64;
                let id = made.map_or(placeholder, |view| view.moved[place].to.get());
                let terms = giver.terms_of(*grant);
                let (amount, cost) = (*part, terms.cost.map(|_| *cost));
                model::Grant { id, amount, cost, max_balance, payment: None, ..terms.clone() }
            })
            .collect();
        let arrives = Command::TransferIn(grants);
        let into = taker.apply(&arrives, now);
        if is_too_large(&result) {
            assert_eq!(into.refused, None, "no matter of size");
            let parts = out.moved.len() * (20 + 300);
            assert_too_large(self.record_bound(from) + self.record_bound(to) + parts + 2 * 512, engine);
            return Ok(None);
        }
        compare_command(result.as_ref().err(), &into);
        let Ok((view, replayed, ticket)) = result else { return Ok(None) };
        assert!(!replayed);
        let book = self.book(from);
        book.enter(&Command::TransferOut { amount }, now, step, None);
        let left = (book.groups.len() - 1, book.model());
        let book = self.book(to);
        book.enter(&arrives, now, step, None);
        book.exists = true;
        let arrived = (book.groups.len() - 1, book.model());
        self.together.push(vec![(from, left.0), (to, arrived.0)]);
        assert_eq!((smallest_of(view.amount), &view.from.customer[..]), (amount, from.customer()));
        for (side, model) in [(&view.from, &left.1), (&view.to, &arrived.1)] {
            let standing = (smallest_of(side.balance), smallest_of(side.available));
            assert_eq!(standing, (model.balance(), model.available()));
        }
        let moved: Vec<_> =
            view.moved.iter().map(|moved| (moved.from.get(), smallest_of(moved.amount), moved.cost)).collect();
        let cost = |grant: u64, cost: i128| giver.terms_of(grant).cost.map(|_| i64::try_from(cost).expect("a cost"));
        let expected: Vec<_> =
            out.moved.iter().map(|(grant, part, basis)| (*grant, *part, cost(*grant, *basis))).collect();
        assert_eq!(moved, expected);
        self.enter_arrivals(&view, &giver, to, engine);
        let made = Transferred { from, to, units, view, group: left.0, at: (now, step) };
        self.transfers.extend(key.map(|key| (key, made.clone())));
        self.moves.push(made);
        Ok(Some(ticket))
    }

    /// Notes the grants that a transfer made of parts of those that are known.
    fn enter_arrivals(&mut self, view: &TransferView, giver: &Model, to: WalletNumber, engine: &Engine) {
        for moved in &view.moved {
            let Some(origin) = self.made.iter().find(|made| made.id == moved.from.get()) else { continue };
            let (cost_basis, grant) = (origin.request.cost_basis.clone(), giver.terms_of(moved.from.get()));
            let request = GrantRequest {
                customer: to.customer().to_owned(),
                amount: to.decimal(moved.amount.units()),
                priority: Some(grant.priority),
                effective_at: Some(at(grant.effective_at)),
                expires_at: grant.expires_at.map(at),
                cost_basis: cost_basis.map(|basis| CostBasis { amount: moved.cost.expect("a cost"), ..basis }),
                key: None,
                options: GrantOptions { pending: false, valid_for_ms: None, ..origin.request.options.clone() },
                ..origin.request.clone()
            };
            self.made.push(Made {
                id: moved.to.get(),
                text: engine.grant_text(moved.to),
                wallet: to,
                request,
                created_at: self.now,
                parent: Some(moved.from),
            });
        }
    }
}

/// Both wallets' entries name the transfer, and each other.
pub(super) fn compare_side(made: &Transferred, here: &TransferSide, there: &TransferSide, entries: &[Entry]) {
    let entry = entries.iter().find(|entry| {
        entry.entry == here.entry && matches!(entry.kind, EntryKind::TransferOut | EntryKind::TransferIn)
    });
    let correction = entry.and_then(|entry| entry.correction.clone()).expect("an entry of the transfer");
    let named = correction.transfer.expect("it names the other side");
    assert_eq!(
        (named.transfer, named.entry, named.customer.as_str()),
        (made.view.from.entry, there.entry, there.customer.as_str())
    );
    assert_eq!(correction.reason.as_deref(), Some("a reason"));
}
