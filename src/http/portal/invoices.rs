//! Invoices and receipts: listed, shown, and as PDF.

use super::Stop;
use super::visit::Visit;
use crate::billing::invoice::{Invoice, Number};
use crate::engine::CommandError;
use crate::http::api::documents::{Form, Places, document};
use crate::http::reply::Reply;
use crate::http::wire::instant;
use drawdown_pages::invoices::{InvoiceRow, Invoices};
use std::sync::Arc;

/// Invoices on a page.
const INVOICES: usize = 50;

/// `GET /portal/{currency}/invoices`: of all wallets; money is not of one.
pub(super) fn list(visit: &Visit<'_>) -> Result<Reply, Stop> {
    let before = visit.query()?.number("before", 0..=u64::MAX)?.map(Number);
    let mut found: Vec<Arc<Invoice>> = visit.call.engine().invoices_of(visit.customer(), before, INVOICES + 1);
    let more = found.len() > INVOICES;
    found.truncate(INVOICES);
    let texts: Vec<[String; 4]> = found
        .iter()
        .map(|invoice| {
            let mut lines = invoice.lines.iter();
            let first = lines.next().map(|line| line.description.clone()).unwrap_or_default();
            let title = if lines.next().is_some() { format!("{first} and more") } else { first };
            [invoice.number.0.to_string(), instant(invoice.issued_at), title, invoice.total.to_string()]
        })
        .collect();
    let rows: Vec<InvoiceRow<'_>> = found
        .iter()
        .zip(&texts)
        .map(|(invoice, [number, issued_at, title, total])| InvoiceRow {
            number,
            issued_at,
            title,
            total,
            currency: invoice.total.code.as_str(),
            status: invoice.status().as_str(),
        })
        .collect();
    let older = texts.last().filter(|_| more).map(|[number, ..]| number.as_str());
    visit.show(|session| Invoices { invoices: &rows, older }.page(session))
}

/// `GET /portal/{currency}/invoices/{number}`, and the same with `.pdf`
pub(super) fn get(visit: &Visit<'_>) -> Result<Reply, Stop> {
    let named = visit.call.second();
    let (digits, form) = named.strip_suffix(".pdf").map_or((named, Form::Page), |digits| (digits, Form::Pdf));
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u64> = is_number.then(|| digits.parse().ok()).flatten();
    let number = number.ok_or(CommandError::NotFound { what: "invoice" })?;
    let engine = visit.call.engine();
    let invoice = engine.invoice_of(visit.customer(), Number(number))?;
    let list = visit.link("invoices");
    let pdf = format!("{list}/{number}.pdf");
    let portal = &visit.call.app.portal;
    let places = Places { seller: portal.merchant(), base: portal.base(), pdf: &pdf, back: Some(&list) };
    Ok(document(engine, &invoice, form, &places)?)
}
