//! What corrections are asked for with and shown as.

use crate::catalog::{CreditCurrency, Metadata};
use crate::engine::billing::TopUpView;
use crate::ledger::{Amount, Decimal, GrantId, Policy, Timestamp};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// A debit to be taken back, or a part of it.
#[derive(Clone, Debug)]
pub struct ReversalRequest {
    /// The debit's entry.
    pub entry: Lsn,
    /// How much of it, in credits; `None` for all that has not been taken back.
    pub amount: Option<Decimal>,
    /// What becomes of credits whose grant has expired or was voided.
    pub expired: Expired,
    /// Why, up to 500 bytes.
    pub reason: Option<String>,
    /// Same key and content: the first answer again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
}

/// What becomes of credits that would go back to a grant that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expired {
    /// They are lost, as they would be had they not been spent.
    #[default]
    Lose,
    /// They are granted anew: promotional, of source `adjustment`, without an end.
    Regrant,
}

impl Expired {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Expired::Lose => "lose",
            Expired::Regrant => "regrant",
        }
    }

    /// The option of that name.
    pub fn parse(name: &str) -> Option<Expired> {
        [Expired::Lose, Expired::Regrant].into_iter().find(|option| option.as_str() == name)
    }
}

/// A reversal that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversalView {
    /// Its entry.
    pub entry: Lsn,
    /// The debit's entry.
    pub debit: Lsn,
    /// The wallet's owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// How much of the debit was taken back.
    pub amount: Amount,
    /// Grants that got credits back.
    pub returned: Vec<(GrantId, Amount)>,
    /// Debt that was taken back.
    pub debt: Amount,
    /// What nobody got back, because its grant had ended: lost, or granted anew.
    pub forfeited: Amount,
    /// The grant that was made of it.
    pub regrant: Option<GrantId>,
    /// What has been taken back of the debit in all, this included.
    pub reversed: Amount,
    /// What is left of it to take back.
    pub reversible: Amount,
    /// The balance afterwards.
    pub balance: Amount,
    /// What was available afterwards.
    pub available: Amount,
    /// Why.
    pub reason: Option<String>,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Credits to be given or taken by an operator.
#[derive(Clone, Debug)]
pub struct AdjustmentRequest {
    /// The owner; a wallet is made by the first credits given.
    pub customer: String,
    /// Currency id; `None` takes the only one.
    pub currency: Option<String>,
    /// Above zero to give, below to take, in credits.
    pub amount: Decimal,
    /// What to do if there is not as much to take.
    pub policy: Policy,
    /// Why, 1 to 500 bytes.
    pub reason: String,
    /// Same key and content: the first answer again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// An adjustment that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustmentView {
    /// Its entry.
    pub entry: Lsn,
    /// The wallet's owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// What was given; or, negated, what was taken.
    pub amount: Amount,
    /// What could not be taken.
    pub shortfall: Amount,
    /// The grant that was made of what was given.
    pub grant: Option<GrantId>,
    /// The balance afterwards.
    pub balance: Amount,
    /// What was available afterwards.
    pub available: Amount,
    /// Alert levels that it crossed.
    pub crossed: Vec<Arc<str>>,
    /// Why.
    pub reason: String,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An invoice to be paid from a wallet, as far as it reaches.
#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// The owner.
    pub customer: String,
    /// Currency id; `None` takes the only one.
    pub currency: Option<String>,
    /// What is to be paid, above zero, in credits.
    pub amount: Decimal,
    /// The caller's number of what is to be paid, up to 128 bytes.
    pub invoice: Option<String>,
    /// Same key and content: the first answer again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
}

/// A charge that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeView {
    /// Its entry.
    pub entry: Lsn,
    /// The wallet's owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// What was to be paid.
    pub amount: Amount,
    /// What the wallet paid.
    pub from_wallet: Amount,
    /// What is left to be paid otherwise.
    pub to_pay: Amount,
    /// The caller's number of what was to be paid.
    pub invoice: Option<String>,
    /// The balance afterwards.
    pub balance: Amount,
    /// What was available afterwards.
    pub available: Amount,
    /// Alert levels that it crossed.
    pub crossed: Vec<Arc<str>>,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What collects the rest, if it is collected here.
    pub payment: Option<Box<TopUpView>>,
}

/// Credits to be moved from one wallet to another of the same currency.
#[derive(Clone, Debug)]
pub struct TransferRequest {
    /// The owner of the wallet that gives.
    pub from: String,
    /// The owner of the wallet that gets; it is made if there is none.
    pub to: String,
    /// Currency id; `None` takes the only one.
    pub currency: Option<String>,
    /// Above zero, in credits.
    pub amount: Decimal,
    /// Why, up to 500 bytes.
    pub reason: Option<String>,
    /// Same key and content: the first answer again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// A transfer that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// The wallets' currency.
    pub currency: Arc<CreditCurrency>,
    /// What moved.
    pub amount: Amount,
    /// The wallet that gave. Its entry is the transfer's number.
    pub from: TransferSide,
    /// The wallet that got.
    pub to: TransferSide,
    /// What moved, grant by grant, in the order in which it would have been spent.
    pub moved: Vec<Moved>,
    /// What of it paid debt.
    pub debt_paid: Amount,
    /// Why.
    pub reason: Option<String>,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One of a transfer's two wallets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferSide {
    /// The wallet's owner.
    pub customer: String,
    /// The entry in its history.
    pub entry: Lsn,
    /// The balance afterwards.
    pub balance: Amount,
    /// What was available afterwards.
    pub available: Amount,
    /// Alert levels that it crossed.
    pub crossed: Vec<Arc<str>>,
}

/// A part of a grant that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The grant that gave.
    pub from: GrantId,
    /// The grant that was made of it.
    pub to: GrantId,
    /// How much.
    pub amount: Amount,
    /// What of the cost went with it, in minor units.
    pub cost: Option<i64>,
}
