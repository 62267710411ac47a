//! Invoices and receipts, as values: what was bought, what it cost, who paid, and what went back. What they look like is others' work.
//!
//! Numbers have no gaps: one is given when an invoice is issued, in the record that issues it, and stays with it when the invoice is void.

use super::money::{Money, Worth};
use crate::ledger::{Amount, Timestamp};

/// The number of an invoice or of a refund note: each has a row of its own, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// The rows of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The last invoice's.
    pub invoices: u64,
    /// The last refund note's.
    pub notes: u64,
}

impl Numbers {
    /// The next invoice's number.
    pub fn next_invoice(&mut self) -> Number {
        self.invoices += 1;
        Number(self.invoices)
    }

    /// The next refund note's number.
    pub fn next_note(&mut self) -> Number {
        self.notes += 1;
        Number(self.notes)
    }
}

/// What an invoice is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A top-up, by its id.
    TopUp(String),
    /// A charge on the wallet, by its entry and the caller's own number.
    Charge {
        /// The entry in the wallet.
        entry: u64,
        /// The caller's number.
        invoice: Option<String>,
    },
}

/// Something that was bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub description: String,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub unit_price: Money,
}

impl Line {
    /// What it costs in all.
    pub fn amount(&self) -> Option<Money> {
        self.unit_price.times(self.quantity)
    }
}

/// Who paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer {
    /// The wallet, with so many credits.
    Wallet(Amount),
    /// A payment method.
    Method {
        /// Its id.
        id: String,
        /// As in "visa".
        brand: Option<String>,
        /// The last four digits.
        last4: Option<String>,
    },
    /// Money that was collected without any provider.
    Offline,
}

/// A part of what was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// By whom.
    pub by: Payer,
    /// How much.
    pub money: Money,
}

/// Money that went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its own number.
    pub number: Number,
    /// The refund's key.
    pub refund: String,
    /// How much.
    pub money: Money,
    /// When.
    pub at: Timestamp,
}

/// Where an invoice is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceStatus {
    /// Issued, and not paid.
    Open,
    /// Paid.
    Paid,
    /// Called off before it was paid.
    Void,
    /// Paid, and all of it paid back.
    Refunded,
}

impl InvoiceStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            InvoiceStatus::Open => "open",
            InvoiceStatus::Paid => "paid",
            InvoiceStatus::Void => "void",
            InvoiceStatus::Refunded => "refunded",
        }
    }
}

/// An invoice, or the receipt that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its number.
    pub number: Number,
    /// Whose it is.
    pub customer: String,
    /// What it is for.
    pub subject: Subject,
    /// What was bought.
    pub lines: Vec<Line>,
    /// What it comes to.
    pub total: Money,
    /// Who paid: what is missing to the total is open.
    pub paid: Vec<Paid>,
    /// What went back.
    pub notes: Vec<Note>,
    /// It was called off.
    pub is_void: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When all of it was paid.
    pub paid_at: Option<Timestamp>,
}

/// Why something is not done to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    /// There is nothing on it, or it cannot be counted.
    #[error("an invoice needs lines that can be added up in one currency")]
    Lines,
    /// It is void.
    #[error("the invoice is void")]
    Void,
    /// It is paid.
    #[error("the invoice is paid")]
    Paid,
    /// More would go back than was paid, or more be paid than is owed.
    #[error("the amount exceeds what there is")]
    Exceeds,
}

impl Invoice {
    /// Issues an invoice under a number that nobody else has.
    pub fn issue(
        number: Number,
        customer: String,
        subject: Subject,
        lines: Vec<Line>,
        at: Timestamp,
    ) -> Result<Invoice, InvoiceError> {
        let mut amounts = lines.iter().map(Line::amount);
        let first = amounts.next().flatten().ok_or(InvoiceError::Lines)?;
        let add = |sum: Option<Money>, amount: Option<Money>| sum?.checked_add(amount?);
        let total = amounts.fold(Some(first), add).filter(|total| total.units > 0).ok_or(InvoiceError::Lines)?;
        let (paid, notes) = (Vec::new(), Vec::new());
        Ok(Invoice {
            number,
            customer,
            subject,
            lines,
            total,
            paid,
            notes,
            is_void: false,
            issued_at: at,
            paid_at: None,
        })
    }

    /// Where it is in its life.
    pub fn status(&self) -> InvoiceStatus {
        match self.paid_at {
            _ if self.is_void => InvoiceStatus::Void,
            None => InvoiceStatus::Open,
            Some(_) if Self::sum(&self.noted()) == self.total.units => InvoiceStatus::Refunded,
            Some(_) => InvoiceStatus::Paid,
        }
    }

    /// What is still owed.
    pub fn due(&self) -> Money {
        let paid: Vec<_> = self.paid.iter().map(|paid| paid.money).collect();
        Money::new(self.total.units - Self::sum(&paid), self.total.code)
    }

    fn noted(&self) -> Vec<Money> {
        self.notes.iter().map(|note| note.money).collect()
    }

    /// No more than the total: checked as each was entered.
    fn sum(parts: &[Money]) -> i64 {
        parts.iter().map(|money| money.units).sum()
    }

    /// Enters a payment.
    pub fn pay(&mut self, paid: Paid, at: Timestamp) -> Result<(), InvoiceError> {
        let due = self.due();
        match self.status() {
            InvoiceStatus::Void => return Err(InvoiceError::Void),
            InvoiceStatus::Paid | InvoiceStatus::Refunded => return Err(InvoiceError::Paid),
            InvoiceStatus::Open => {}
        }
        if paid.money.code != due.code || paid.money.units <= 0 || paid.money.units > due.units {
            return Err(InvoiceError::Exceeds);
        }
        self.paid.push(paid);
        if self.due().units == 0 {
            self.paid_at = Some(at);
        }
        Ok(())
    }

    /// Calls it off. Again is success.
    pub fn void(&mut self) -> Result<(), InvoiceError> {
        if self.paid_at.is_some() || !self.paid.is_empty() {
            return Err(InvoiceError::Paid);
        }
        self.is_void = true;
        Ok(())
    }

    /// Enters what went back. The same refund again is success.
    pub fn refund(&mut self, note: Note) -> Result<(), InvoiceError> {
        if self.notes.iter().any(|known| known.refund == note.refund && known.money == note.money) {
            return Ok(());
        }
        let paid = self.total.units - self.due().units;
        let rest = paid - Self::sum(&self.noted());
        if note.money.code != self.total.code || !(1..=rest).contains(&note.money.units) {
            return Err(InvoiceError::Exceeds);
        }
        self.notes.push(note);
        Ok(())
    }
}

/// An amount that an invoice is paid with from the wallet as far as it reaches, and the money for the rest: rule 16. `None` where credits do not
/// stand for money, so that nobody can say what the rest costs.
pub fn split(amount: Amount, from_wallet: Amount, worth: Option<Worth>) -> Option<(Money, Money)> {
    let worth = worth?;
    let total = worth.money(amount);
    let rest = worth.money(amount.checked_sub(from_wallet)?);
    Some((total.checked_sub(rest)?, rest))
}

#[cfg(test)]
mod tests {
    use super::super::money::MoneyCode;
    use super::super::money::tests::euros;
    use super::super::tests::fiat;
    use super::*;

    fn line(quantity: u32, cents: i64) -> Line {
        Line { description: "Starter".to_owned(), quantity, unit_price: euros(cents) }
    }

    fn issued(lines: Vec<Line>) -> Result<Invoice, InvoiceError> {
        Invoice::issue(Number(1), "cus_1".to_owned(), Subject::TopUp("top_1".to_owned()), lines, Timestamp::EPOCH)
    }

    fn note(refund: &str, cents: i64) -> Note {
        Note { number: Number(1), refund: refund.to_owned(), money: euros(cents), at: Timestamp::EPOCH }
    }

    fn by_card(cents: i64) -> Paid {
        Paid { by: Payer::Method { id: "pm".to_owned(), brand: None, last4: None }, money: euros(cents) }
    }

    #[test]
    fn wallet_and_card_pay_one_invoice_and_refunds_end_it() {
        let mut invoice = issued(vec![line(2, 500), line(1, 99)]).expect("an invoice");
        assert_eq!((invoice.total, invoice.status()), (euros(1_099), InvoiceStatus::Open));
        assert_eq!(invoice.refund(note("r", 1)), Err(InvoiceError::Exceeds));
        invoice.pay(Paid { by: Payer::Wallet(Amount::new(600)), money: euros(600) }, Timestamp::EPOCH).expect("paid");
        assert_eq!((invoice.due(), invoice.status()), (euros(499), InvoiceStatus::Open));
        assert_eq!(invoice.pay(by_card(500), Timestamp::EPOCH), Err(InvoiceError::Exceeds));
        // No more goes back than has come.
        assert_eq!(invoice.refund(note("r", 601)), Err(InvoiceError::Exceeds));
        assert_eq!(invoice.void(), Err(InvoiceError::Paid));
        invoice.pay(by_card(499), Timestamp::EPOCH).expect("paid");
        assert_eq!(invoice.status(), InvoiceStatus::Paid);
        assert_eq!(invoice.pay(by_card(1), Timestamp::EPOCH), Err(InvoiceError::Paid));
        invoice.refund(note("r1", 99)).expect("refunded");
        invoice.refund(note("r1", 99)).expect("the same again");
        assert_eq!((invoice.notes.len(), invoice.status()), (1, InvoiceStatus::Paid));
        assert_eq!(invoice.refund(note("r2", 1_001)), Err(InvoiceError::Exceeds));
        invoice.refund(note("r2", 1_000)).expect("refunded");
        assert_eq!(invoice.status(), InvoiceStatus::Refunded);
    }

    #[test]
    fn a_void_invoice_stays_void() {
        let mut invoice = issued(vec![line(1, 5)]).expect("an invoice");
        assert_eq!((invoice.void(), invoice.void(), invoice.status()), (Ok(()), Ok(()), InvoiceStatus::Void));
        assert_eq!(invoice.pay(by_card(5), Timestamp::EPOCH), Err(InvoiceError::Void));
    }

    #[test]
    fn lines_must_add_up() {
        assert_eq!(issued(Vec::new()), Err(InvoiceError::Lines));
        assert_eq!(issued(vec![line(2, i64::MAX)]), Err(InvoiceError::Lines));
        assert_eq!(issued(vec![line(1, i64::MAX), line(1, 1)]), Err(InvoiceError::Lines));
        assert_eq!(issued(vec![line(0, 5)]), Err(InvoiceError::Lines));
        let dollars = Money::new(5, MoneyCode::iso("USD").expect("dollars"));
        assert_eq!(issued(vec![line(1, 5), Line { unit_price: dollars, ..line(1, 5) }]), Err(InvoiceError::Lines));
    }

    #[test]
    fn numbers_follow_one_another() {
        let mut numbers = Numbers::default();
        let given = [numbers.next_invoice(), numbers.next_note(), numbers.next_invoice()];
        assert_eq!(given, [Number(1), Number(1), Number(2)]);
    }

    #[test]
    fn what_the_wallet_does_not_pay_is_rounded_up_to_a_cent() {
        let worth = Worth::of_fiat(&fiat("EUR", 2));
        let split = |amount, wallet| split(Amount::new(amount), Amount::new(wallet), worth);
        assert_eq!(split(10_000, 4_000), Some((euros(40), euros(60))));
        assert_eq!(split(10_000, 0), Some((euros(0), euros(100))));
        assert_eq!(split(10_000, 10_000), Some((euros(100), euros(0))));
        assert_eq!(split(10_000, 4_001), Some((euros(40), euros(60))), "59.99 of the card's cents are 60");
        assert_eq!(super::split(Amount::new(5), Amount::ZERO, None), None);
    }
}
