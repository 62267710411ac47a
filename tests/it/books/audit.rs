//! Comparing everything that an engine shows with the books.

use std::collections::{BTreeMap, BTreeSet};

use drawdown::engine::view::{AlertView, LotView, WalletView};
use drawdown::engine::{CommandError, Engine};
use drawdown::ledger::Status;

use crate::model::{Command, Model};

use super::step::status;
use super::told::{compare_groups, compare_told, feed, history, wallet_of};
use super::transfers::compare_side;
use super::{Books, CURRENCIES, WalletNumber, units};

impl Books {
    /// Compares everything that the engine shows with the books.
    pub(crate) fn audit(&self, engine: &Engine) {
        for wallet in WalletNumber::all() {
            self.compare_wallet(wallet, engine);
            self.compare_history(wallet, engine);
        }
        for made in &self.made {
            self.compare_grant(made, engine);
            self.compare_remainder(made, engine);
        }
        self.compare_holds(engine);
        self.compare_totals(engine);
        self.compare_lists(engine);
        self.compare_feed(engine);
    }

    /// The wallet as it must look now.
    pub(super) fn present(&self, wallet: WalletNumber) -> Model {
        let mut model = self.wallets[&wallet].model();
        model.apply(&Command::Wait, self.now);
        model
    }

    pub(crate) fn compare_wallet(&self, wallet: WalletNumber, engine: &Engine) {
        let view = engine.wallet(wallet.customer(), wallet.currency());
        if !self.exists(wallet) {
            assert_eq!(view.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return;
        }
        compare_view(&self.present(wallet), &view.expect("a wallet that there is"));
    }

    fn compare_history(&self, wallet: WalletNumber, engine: &Engine) {
        if !self.exists(wallet) {
            return;
        }
        let entries = history(engine, wallet, 3);
        let groups = self.groups(wallet);
        assert_eq!(compare_groups(groups, &entries), groups.len(), "{wallet:?}: the history is cut short");
        let recorded = groups.last().map_or(0, |group| group.after.balance());
        assert_eq!(entries.last().map_or(0, |entry| units(entry.balance_after)), recorded);
        for made in &self.moves {
            let (from, to) = (&made.view.from, &made.view.to);
            let sides = [(made.from, from, to), (made.to, to, from)];
            for (_, here, there) in sides.into_iter().filter(|(of, ..)| *of == wallet) {
                compare_side(made, here, there, &entries);
            }
            let shown = engine.transfer_view(&engine.transfer_text(from.entry));
            assert_eq!(shown.as_ref(), Ok(&made.view));
        }
    }

    /// As [`Books::audit`], for an engine whose log has lost its beginning: what does not lie in the past.
    pub(crate) fn audit_present(&self, engine: &Engine) {
        for wallet in WalletNumber::all() {
            self.compare_wallet(wallet, engine);
        }
        for made in &self.made {
            self.compare_grant(made, engine);
            self.compare_remainder(made, engine);
        }
        self.compare_holds(engine);
        self.compare_totals(engine);
        self.compare_lists(engine);
    }

    fn compare_totals(&self, engine: &Engine) {
        let totals = engine.balances(None, None);
        for (index, (id, ..)) in CURRENCIES.iter().enumerate() {
            let of_currency =
                WalletNumber::all().filter(|wallet| wallet.currency_index() == index && self.exists(*wallet));
            let models: Vec<_> = of_currency.map(|wallet| self.present(wallet)).collect();
            let total = totals.iter().find(|total| total.currency.id == *id);
            assert_eq!(total.map_or(0, |total| total.wallets), models.len() as u64);
            assert_eq!(total.map_or(0, |total| total.balance), models.iter().map(Model::balance).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.held), models.iter().map(Model::held).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.available), models.iter().map(Model::available).sum::<i128>());
            assert_eq!(total.map_or(0, |total| total.projected), models.iter().map(Model::projected).sum::<i128>());
        }
    }

    fn compare_feed(&self, engine: &Engine) {
        let events = feed(engine, 7);
        for wallet in WalletNumber::all() {
            let of_wallet: Vec<_> = events.iter().filter(|event| wallet_of(event) == Some(wallet)).collect();
            let creations = of_wallet.iter().filter(|event| event.kind == "wallet.created").count();
            assert_eq!(creations, usize::from(self.exists(wallet)), "{wallet:?}");
            compare_told(self.groups(wallet), &of_wallet, wallet, engine);
        }
    }
}

/// Everything that a wallet shows of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) balance: i128,
    pub(super) available: i128,
    pub(super) held: (i128, usize),
    floor: i128,
    pub(super) status: Status,
    /// Left, held, granted, and whether it is active.
    grants: BTreeMap<u64, (i128, i128, i128, bool)>,
    pending: (u64, i128),
    fired: BTreeSet<String>,
    muted: BTreeSet<String>,
    levels: BTreeMap<String, i128>,
    committed: i128,
    projected: i128,
}

impl Shown {
    pub(super) fn by_model(model: &Model) -> Shown {
        let left = || model.accounts().filter(|(_, account)| account.left() > 0);
        let pending: Vec<_> = left().filter(|(id, _)| model.waits(*id)).map(|(_, account)| account.remaining).collect();
        let grants = left().filter(|(id, _)| !model.waits(*id));
        Shown {
            balance: model.balance(),
            available: model.available(),
            held: (model.held(), model.open().count()),
            floor: model.balance() - model.held() - model.available(),
            status: status(model.status()),
            grants: grants
                .map(|(id, account)| (id, (account.left(), account.held, account.granted, model.is_active(id))))
                .collect(),
            pending: (pending.len() as u64, pending.iter().sum()),
            fired: model.fired(),
            muted: model.silent(),
            levels: model.amounts(),
            committed: model.committed(),
            projected: model.projected(),
        }
    }

    pub(super) fn by_view(view: &WalletView) -> Shown {
        let named = |wanted: &dyn Fn(&AlertView) -> bool| {
            view.alerts.iter().filter(|alert| wanted(alert)).map(|alert| alert.name.clone()).collect()
        };
        let grant =
            |lot: &LotView| (lot.id.get(), (units(lot.remaining), units(lot.held), units(lot.amount), !lot.scheduled));
        Shown {
            balance: units(view.balance),
            available: units(view.available),
            held: (units(view.held), view.holds),
            floor: units(view.floor),
            status: view.status,
            grants: view.grants.iter().map(grant).collect(),
            pending: (view.pending_count, view.pending_amount),
            fired: named(&|alert| alert.triggered),
            muted: named(&|alert| alert.muted),
            levels: view.alerts.iter().map(|alert| (alert.name.clone(), units(alert.amount))).collect(),
            committed: units(view.committed),
            projected: units(view.projected),
        }
    }
}

pub(crate) fn compare_view(model: &Model, view: &WalletView) {
    assert_eq!(Shown::by_view(view), Shown::by_model(model));
}
