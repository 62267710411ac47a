//! Invoices.

use super::InvoiceRecord;
use super::parts::{WireMoney, instant, millis};
use crate::billing::invoice::{Invoice, Line, Note, Number, Paid, Payer, Subject};
use crate::journal::Corrupt;
use crate::ledger::{Amount, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum WireSubject {
    TopUp(String),
    Charge(u64, Option<String>),
}

#[derive(Serialize, Deserialize)]
enum WirePayer {
    Wallet(i64),
    /// Id, brand and last four digits.
    Method(String, Option<String>, Option<String>),
    Offline,
}

#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireInvoice {
    number: u64,
    customer: String,
    subject: WireSubject,
    /// Description, quantity and unit price.
    lines: Vec<(String, u32, WireMoney)>,
    total: WireMoney,
    paid: Vec<(WirePayer, WireMoney)>,
    /// Number, refund, money and time.
    notes: Vec<(u64, String, WireMoney, u64)>,
    is_void: bool,
    issued_at: u64,
    paid_at: Option<u64>,
    paid_now: bool,
}

impl From<&InvoiceRecord> for WireInvoice {
    fn from(record: &InvoiceRecord) -> Self {
        let invoice = &record.invoice;
        let payer = |payer: &Payer| match payer {
            Payer::Wallet(credits) => WirePayer::Wallet(credits.units()),
            Payer::Method { id, brand, last4 } => WirePayer::Method(id.clone(), brand.clone(), last4.clone()),
            Payer::Offline => WirePayer::Offline,
        };
        let note = |note: &Note| (note.number.0, note.refund.clone(), note.money.into(), note.at.millis());
        WireInvoice {
            number: invoice.number.0,
            customer: invoice.customer.clone(),
            subject: match &invoice.subject {
                Subject::TopUp(id) => WireSubject::TopUp(id.clone()),
                Subject::Charge { entry, invoice } => WireSubject::Charge(*entry, invoice.clone()),
            },
            lines: invoice
                .lines
                .iter()
                .map(|line| (line.description.clone(), line.quantity, line.unit_price.into()))
                .collect(),
            total: invoice.total.into(),
            paid: invoice.paid.iter().map(|paid| (payer(&paid.by), paid.money.into())).collect(),
            notes: invoice.notes.iter().map(note).collect(),
            is_void: invoice.is_void,
            issued_at: invoice.issued_at.millis(),
            paid_at: millis(invoice.paid_at),
            paid_now: record.paid_now,
        }
    }
}

impl TryFrom<WireInvoice> for InvoiceRecord {
    type Error = Corrupt;

    fn try_from(wire: WireInvoice) -> Result<Self, Corrupt> {
        let line = |(description, quantity, price): (String, u32, WireMoney)| {
            Ok(Line { description, quantity, unit_price: price.try_into()? })
        };
        let paid = |(by, money): (WirePayer, WireMoney)| {
            let by = match by {
                WirePayer::Wallet(credits) => Payer::Wallet(Amount::new(credits)),
                WirePayer::Method(id, brand, last4) => Payer::Method { id, brand, last4 },
                WirePayer::Offline => Payer::Offline,
            };
            Ok(Paid { by, money: money.try_into()? })
        };
        let note = |(number, refund, money, at): (u64, String, WireMoney, u64)| {
            Ok(Note { number: Number(number), refund, money: money.try_into()?, at: Timestamp::from_millis(at) })
        };
        let invoice = Invoice {
            number: Number(wire.number),
            customer: wire.customer,
            subject: match wire.subject {
                WireSubject::TopUp(id) => Subject::TopUp(id),
                WireSubject::Charge(entry, invoice) => Subject::Charge { entry, invoice },
            },
            lines: wire.lines.into_iter().map(line).collect::<Result<_, Corrupt>>()?,
            total: wire.total.try_into()?,
            paid: wire.paid.into_iter().map(paid).collect::<Result<_, Corrupt>>()?,
            notes: wire.notes.into_iter().map(note).collect::<Result<_, Corrupt>>()?,
            is_void: wire.is_void,
            issued_at: Timestamp::from_millis(wire.issued_at),
            paid_at: instant(wire.paid_at),
        };
        Ok(InvoiceRecord { invoice, paid_now: wire.paid_now })
    }
}
