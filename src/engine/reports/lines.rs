//! What each kind of movement is in a statement: one table, which a new kind does not compile without.

use crate::journal::note::NoteKind;
use crate::ledger::{Category, Decimal, Movement, Source};
use std::collections::BTreeMap;

/// What a line of a statement is about. A line's amount is what its movements add to the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    /// Grants that took effect.
    Granted,
    /// Debits.
    Used,
    /// Remainders of grants that ended.
    Expired,
    /// Remainders of grants that were voided.
    Voided,
    /// Remainders of grants when the wallet was closed.
    WrittenOff,
    /// Debt that was forgiven when the wallet was closed.
    DebtWrittenOff,
    /// Credits that an operator gave or took.
    Adjusted,
    /// Invoices paid from the wallet.
    Charged,
    /// Debits that were taken back, or parts of them.
    Reversed,
    /// Remainders that went on as new grants: as much out as in, so it adds nothing.
    RolledOver,
    /// Credits that went to other wallets.
    TransferredOut,
    /// Credits that came from other wallets.
    TransferredIn,
}

impl LineKind {
    /// Every kind, in the order of a statement's lines.
    pub const ALL: [LineKind; 12] = [
        LineKind::Granted,
        LineKind::Used,
        LineKind::Expired,
        LineKind::Voided,
        LineKind::WrittenOff,
        LineKind::DebtWrittenOff,
        LineKind::Adjusted,
        LineKind::Charged,
        LineKind::Reversed,
        LineKind::RolledOver,
        LineKind::TransferredOut,
        LineKind::TransferredIn,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            LineKind::Granted => "granted",
            LineKind::Used => "used",
            LineKind::Expired => "expired",
            LineKind::Voided => "voided",
            LineKind::WrittenOff => "written_off",
            LineKind::DebtWrittenOff => "debt_written_off",
            LineKind::Adjusted => "adjusted",
            LineKind::Charged => "charged",
            LineKind::Reversed => "reversed",
            LineKind::RolledOver => "rolled_over",
            LineKind::TransferredOut => "transferred_out",
            LineKind::TransferredIn => "transferred_in",
        }
    }
}

/// What a movement did to the wallet's debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DebtSide {
    Incurred,
    Repaid,
}

/// How a movement is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Booking {
    /// The line that takes its [`Movement::delta`]; `None` for those that do not move the balance.
    pub(super) line: Option<LineKind>,
    pub(super) debt: Option<DebtSide>,
}

/// The table.
pub(super) const fn booking(movement: &Movement) -> Booking {
    let (line, debt) = match movement {
        Movement::Granted { .. } | Movement::Activated { .. } => (Some(LineKind::Granted), None),
        Movement::Spent { .. } | Movement::PartSpent { .. } => (Some(LineKind::Used), None),
        Movement::Overdrawn { .. } => (Some(LineKind::Used), Some(DebtSide::Incurred)),
        Movement::Expired { .. } => (Some(LineKind::Expired), None),
        Movement::Voided { .. } => (Some(LineKind::Voided), None),
        Movement::WrittenOff { .. } => (Some(LineKind::WrittenOff), None),
        Movement::DebtWrittenOff { .. } => (Some(LineKind::DebtWrittenOff), None),
        Movement::DebtPaid { .. } => (None, Some(DebtSide::Repaid)),
        Movement::RolledOver { .. } => (Some(LineKind::RolledOver), None),
        Movement::GivenBack { .. } | Movement::Reopened { .. } => (Some(LineKind::Reversed), None),
        Movement::TransferredOut { .. } => (Some(LineKind::TransferredOut), None),
        Movement::TransferredIn { .. } => (Some(LineKind::TransferredIn), None),
        Movement::DebtReturned { .. } => (Some(LineKind::Reversed), Some(DebtSide::Repaid)),
        // A grant for later is granted when it takes effect. What is held counts in the balance.
        Movement::Scheduled { .. }
        | Movement::ScheduledVoided { .. }
        | Movement::Depleted { .. }
        | Movement::ExpiryMoved { .. }
        | Movement::AwaitsPayment { .. }
        | Movement::Paid { .. }
        | Movement::Held { .. }
        | Movement::Reserved { .. }
        | Movement::Captured { .. }
        | Movement::Released { .. }
        | Movement::HoldExpired { .. }
        | Movement::Returned { .. }
        | Movement::HoldMoved { .. }
        | Movement::Forfeited { .. } => (None, None),
    };
    Booking { line, debt }
}

/// A sum of quantities, exact: `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuantitySum {
    mantissa: i128,
    scale: u8,
    overflown: bool,
}

impl QuantitySum {
    /// Adds a quantity. A sum that 128 bits cannot hold is one no more: see [`QuantitySum::parts`].
    pub fn add(&mut self, quantity: Decimal) {
        self.add_parts(quantity.mantissa().into(), quantity.scale());
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &QuantitySum) {
        self.overflown |= other.overflown;
        self.add_parts(other.mantissa, other.scale);
    }

    fn add_parts(&mut self, mantissa: i128, scale: u8) {
        let at = |mantissa: i128, scale: u8, wanted: u8| {
            10_i128.checked_pow(u32::from(wanted - scale)).and_then(|power| mantissa.checked_mul(power))
        };
        let wanted = self.scale.max(scale);
        let sum = at(self.mantissa, self.scale, wanted)
            .zip(at(mantissa, scale, wanted))
            .and_then(|(one, other)| one.checked_add(other));
        match sum {
            Some(sum) => (self.mantissa, self.scale) = (sum, wanted),
            None => self.overflown = true,
        }
    }

    /// Mantissa and decimal places; `None` if the sum is larger than can be told.
    pub fn parts(&self) -> Option<(i128, u8)> {
        (!self.overflown).then_some((self.mantissa, self.scale))
    }
}

/// What tells the lines of a statement apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineKey {
    pub(super) kind: LineKind,
    pub(super) grant: Option<(Source, Category)>,
    /// The meter's number.
    pub(super) meter: Option<u16>,
}

/// What a line sums up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) amount: i128,
    pub(super) count: u64,
    pub(super) quantity: QuantitySum,
}

/// The lines of a statement as they fill.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) lines: BTreeMap<LineKey, Tally>,
    pub(super) incurred: i128,
    pub(super) repaid: i128,
}

impl Ledger {
    /// The line of debits of a meter, or of none.
    pub(super) fn used(&mut self, meter: Option<u16>) -> &mut Tally {
        self.lines.entry(LineKey { kind: LineKind::Used, grant: None, meter }).or_default()
    }

    /// The line of what was taken by an operation with such a note.
    pub(super) fn taken(&mut self, meter: Option<u16>, note: Option<NoteKind>) -> &mut Tally {
        match note {
            Some(NoteKind::Adjustment) => self.line(LineKind::Adjusted, None),
            Some(NoteKind::Charge) => self.line(LineKind::Charged, None),
            Some(NoteKind::Reversal | NoteKind::Transfer) | None => self.used(meter),
        }
    }

    /// Any other line.
    pub(super) fn line(&mut self, kind: LineKind, grant: Option<(Source, Category)>) -> &mut Tally {
        self.lines.entry(LineKey { kind, grant, meter: None }).or_default()
    }

    /// What all lines add to the balance.
    pub(super) fn sum(&self) -> i128 {
        self.lines.values().map(|tally| tally.amount).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Amount, GrantId, HoldId, Timestamp};

    /// Every movement that moves the balance has a line, and no other has.
    #[test]
    fn lines_take_exactly_what_moves_the_balance() {
        let (grant, amount, hold) = (GrantId::new(1), Amount::new(7), HoldId::new(9));
        let at = Timestamp::EPOCH;
        for movement in [
            Movement::Granted { grant, amount },
            Movement::Scheduled { grant, amount },
            Movement::Activated { grant, amount },
            Movement::DebtPaid { grant, amount },
            Movement::Spent { grant, amount },
            Movement::Overdrawn { amount },
            Movement::Depleted { grant },
            Movement::Expired { grant, amount },
            Movement::Voided { grant, amount },
            Movement::ScheduledVoided { grant, amount },
            Movement::ExpiryMoved { grant, amount, from: None, to: None },
            Movement::WrittenOff { grant, amount },
            Movement::DebtWrittenOff { amount },
            Movement::AwaitsPayment { grant, amount },
            Movement::Paid { grant, amount },
            Movement::Held { hold, amount },
            Movement::Reserved { hold, grant, amount },
            Movement::Captured { hold, amount },
            Movement::PartSpent { hold, grant, amount },
            Movement::Released { hold, amount },
            Movement::HoldExpired { hold, amount },
            Movement::Returned { hold, grant, amount },
            Movement::HoldMoved { hold, from: at, to: at },
            Movement::GivenBack { grant, amount },
            Movement::Reopened { grant, amount },
            Movement::DebtReturned { amount },
            Movement::Forfeited { grant: Some(grant), amount },
            Movement::TransferredOut { grant, amount },
            Movement::TransferredIn { grant, amount },
        ] {
            assert_eq!(booking(&movement).line.is_some(), movement.delta() != 0, "{movement:?}");
        }
    }

    #[test]
    fn quantities_add_up_exactly_whatever_their_decimals() {
        let mut sum = QuantitySum::default();
        for text in ["1.5", "0.000000000000000001", "-2", "40"] {
            sum.add(Decimal::parse(text.as_bytes()).expect("a decimal"));
        }
        assert_eq!(sum.parts(), Some((39_500_000_000_000_000_001, 18)));
        let mut twice = sum;
        twice.merge(&sum);
        assert_eq!(twice.parts(), Some((79_000_000_000_000_000_002, 18)));
    }

    #[test]
    fn a_sum_that_does_not_fit_is_not_told() {
        let mut sum = QuantitySum::default();
        sum.add(Decimal::parse(b"0.000000000000000001").expect("a decimal"));
        for _ in 0..20 {
            sum.add(Decimal::from_integer(i64::MAX));
        }
        assert_eq!(sum.parts(), None);
    }
}
