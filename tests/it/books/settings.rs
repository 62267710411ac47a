//! A wallet's status, floor, alert levels and commitments.

use drawdown::engine::view::{AlertSpec, WalletPatch};
use drawdown::engine::{CommandError, CommitmentSpec, CommitmentsSpec, Engine, Ticket, Unavailable};
use drawdown::ledger::Trigger;

use crate::model::{self, Command, Level};
use crate::subject::{percent, watches};

use super::step::status;
use super::{Books, WalletNumber, at, compare_command, units};

impl Books {
    pub(super) fn patch(
        &mut self,
        wallet: WalletNumber,
        to: Option<model::Status>,
        allowance: Option<i64>,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let floor = allowance.map(|allowance| wallet.decimal(-allowance));
        let patch = WalletPatch { status: to.map(status), floor, metadata: None };
        let result = engine.change_wallet(wallet.customer(), wallet.currency(), &patch);
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        if allowance.is_some_and(|allowance| allowance < 0) {
            assert!(matches!(result, Err(CommandError::Invalid { field: "floor", .. })), "{result:?}");
            return Ok(None);
        }
        let floor = allowance.map(|allowance| Command::SetAllowance(allowance.into()));
        let commands: Vec<_> = floor.into_iter().chain(to.map(Command::SetStatus)).collect();
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        let mut trial = book.clone();
        for command in &commands {
            let expected = trial.enter(command, now, step, None);
            if expected.refused.is_some() {
                compare_command(result.as_ref().err(), &expected);
                return Ok(None);
            }
        }
        *book = trial;
        Ok(Some(result.expect("nothing speaks against it").1))
    }

    pub(super) fn alerts(
        &mut self,
        wallet: WalletNumber,
        levels: &[Level],
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let spec = |level: &Level| AlertSpec {
            name: level.name.clone(),
            amount: wallet.decimal(i64::try_from(level.amount).expect("a small number")),
            trigger: if level.at_or_below { Trigger::AtOrBelow } else { Trigger::Below },
            margin: wallet.decimal(i64::try_from(level.margin).expect("a small number")),
            watches: watches(level.watches),
            percent: level.percent.map(percent),
            min_interval_ms: level.interval,
        };
        let specs: Vec<_> = levels.iter().map(spec).collect();
        let result = engine.set_alerts(wallet.customer(), wallet.currency(), &specs);
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let expected = self.book(wallet).enter(&Command::SetLevels(levels.to_vec()), now, step, None);
        compare_command(result.as_ref().err(), &expected);
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    pub(super) fn clear_alerts(
        &mut self,
        wallet: WalletNumber,
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let result = engine.clear_alerts(wallet.customer(), wallet.currency());
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let book = self.book(wallet);
        // Without levels of its own there is nothing to be done, and nothing is: not even to a closed wallet.
        if book.model().has_own_levels() {
            let expected = book.enter(&Command::ClearLevels, now, step, None);
            compare_command(result.as_ref().err(), &expected);
        }
        Ok(result.ok().map(|(_, ticket)| ticket))
    }

    pub(super) fn commit(
        &mut self,
        wallet: WalletNumber,
        commitments: &[(i64, Option<u64>)],
        engine: &Engine,
    ) -> Result<Option<Ticket>, Unavailable> {
        let due = |lasts: Option<u64>| lasts.map(|lasts| self.now + lasts);
        let item = |(units, lasts): &(i64, Option<u64>)| CommitmentSpec {
            name: "rent".to_owned(),
            amount: wallet.decimal(*units),
            due_at: due(*lasts).map(at),
        };
        let spec = CommitmentsSpec { items: commitments.iter().map(item).collect(), period: None };
        let command =
            Command::Commit(commitments.iter().map(|(units, lasts)| ((*units).into(), due(*lasts))).collect());
        let result = engine.set_commitments(wallet.customer(), wallet.currency(), &spec);
        if !self.exists(wallet) {
            assert_eq!(result.map(|_| ()), Err(CommandError::NotFound { what: "wallet" }));
            return Ok(None);
        }
        if let Err(CommandError::Unavailable(error)) = result {
            return Err(error);
        }
        let (now, step) = (self.now, self.step);
        let expected = self.book(wallet).enter(&command, now, step, None);
        compare_command(result.as_ref().err(), &expected);
        if let Ok((view, _)) = &result {
            assert_eq!(view.items.len(), commitments.len());
            assert_eq!(units(view.committed), self.present(wallet).committed());
        }
        Ok(result.ok().map(|(_, ticket)| ticket))
    }
}
