//! A wallet as a heap of credits.

/// Some credits that were granted together.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    /// The purchase; none of a gift.
    pub(super) buy: Option<usize>,
    pub(super) priority: u8,
    /// The first instant at which it cannot be used.
    pub(super) ends: Option<u64>,
    pub(super) cost: i64,
    pub(super) granted: i64,
    pub(super) left: i64,
    /// Beside what is left: of a payment that is disputed.
    pub(super) frozen: i64,
}

/// A wallet: credits in the order in which they are spent, and debt.
#[derive(Clone, Debug, Default)]
pub(super) struct Wallet {
    pub(super) lots: Vec<Lot>,
    pub(super) debt: i64,
}

impl Wallet {
    pub(super) fn balance(&self) -> i64 {
        self.lots.iter().map(|lot| lot.left + lot.frozen).sum::<i64>() - self.debt
    }

    pub(super) fn frozen(&self) -> i64 {
        self.lots.iter().map(|lot| lot.frozen).sum()
    }

    pub(super) fn lot_of(&mut self, buy: usize) -> Option<&mut Lot> {
        self.lots.iter_mut().find(|lot| lot.buy == Some(buy))
    }

    pub(super) fn sweep(&mut self) {
        self.lots.retain(|lot| lot.left + lot.frozen > 0);
    }

    /// What is left of a purchase's credits cannot be used.
    pub(super) fn freeze(&mut self, buy: usize) {
        if let Some(lot) = self.lot_of(buy) {
            lot.frozen += std::mem::take(&mut lot.left);
        }
    }

    /// It can be again, and pays what is owed before anything else.
    pub(super) fn thaw(&mut self, buy: usize, now: u64) {
        let debt = self.debt;
        if let Some(lot) = self.lot_of(buy).filter(|lot| lot.frozen > 0) {
            let thawed = std::mem::take(&mut lot.frozen);
            // Its end may have come meanwhile.
            lot.left += if lot.ends.is_some_and(|end| end <= now) { 0 } else { thawed };
            let repaid = lot.left.min(debt);
            lot.left -= repaid;
            self.debt -= repaid;
            self.sweep();
        }
    }

    pub(super) fn spend(&mut self, mut amount: i64) {
        for lot in &mut self.lots {
            let part = lot.left.min(amount);
            lot.left -= part;
            amount -= part;
        }
        self.sweep();
        self.debt += amount;
    }

    pub(super) fn grant(&mut self, mut lot: Lot) {
        let repaid = lot.left.min(self.debt);
        self.debt -= repaid;
        lot.left -= repaid;
        let is_later = |other: &Lot| {
            let (one, two) =
                (i128::from(other.cost) * i128::from(lot.granted), i128::from(lot.cost) * i128::from(other.granted));
            let end = |lot: &Lot| lot.ends.unwrap_or(u64::MAX);
            (other.priority, end(other), one) > (lot.priority, end(&lot), two)
        };
        let place = self.lots.iter().position(is_later).unwrap_or(self.lots.len());
        if lot.left > 0 {
            self.lots.insert(place, lot);
        }
    }
}
