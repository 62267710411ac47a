//! Invoices as documents: a page to print, and PDF.

use crate::billing::Money;
use crate::billing::invoice::{Invoice, Payer};
use crate::engine::{Engine, Unavailable};
use crate::http::pages::page;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::billing::invoice_id;
use crate::http::wire::instant;
use drawdown_pages::invoice::{Invoice as Document, Kind, Line, PaymentLine};
use hyper::header::ACCEPT;
use hyper::{HeaderMap, StatusCode};

/// What a document is wanted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Form {
    Json,
    Page,
    Pdf,
}

/// What the client would have: `format` in the query, else the first that it accepts and there is; else JSON.
pub(super) fn wanted(format: Option<&str>, headers: &HeaderMap) -> Result<Form, Problem> {
    match format {
        None => Ok(accepted(headers)),
        Some("json") => Ok(Form::Json),
        Some("html") => Ok(Form::Page),
        Some("pdf") => Ok(Form::Pdf),
        Some(_) => Err(Problem::parameter("format", "must be json, html or pdf")),
    }
}

fn accepted(headers: &HeaderMap) -> Form {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let names = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    let mut known = names.filter_map(|name| match name {
        "application/pdf" => Some(Form::Pdf),
        "text/html" => Some(Form::Page),
        "application/json" => Some(Form::Json),
        _ => None,
    });
    known.next().unwrap_or(Form::Json)
}

/// By what something was paid, in the customer's words.
fn payer(payer: &Payer) -> String {
    match payer {
        Payer::Wallet(_) => "Wallet".to_owned(),
        Payer::Method { brand, last4, .. } => {
            let brand = brand.as_deref().unwrap_or("Card");
            let brand = brand.chars().take(1).flat_map(char::to_uppercase).chain(brand.chars().skip(1));
            let ending = last4.as_ref().map(|last4| format!(" ending in {last4}")).unwrap_or_default();
            brand.collect::<String>() + &ending
        }
        Payer::Offline => "Payment".to_owned(),
    }
}

/// What a document says that is not of the invoice: who issues it, and where the rest lies.
pub(in crate::http) struct Places<'a> {
    /// Who issues it.
    pub(in crate::http) seller: &'a str,
    /// Where the style lies.
    pub(in crate::http) base: &'a str,
    /// Where the PDF lies.
    pub(in crate::http) pdf: &'a str,
    /// Where the list lies from which it is opened.
    pub(in crate::http) back: Option<&'a str>,
}

/// An invoice as a page or as PDF.
pub(in crate::http) fn document(
    engine: &Engine,
    invoice: &Invoice,
    form: Form,
    places: &Places<'_>,
) -> Result<Reply, Problem> {
    let number = invoice.number.0.to_string();
    let (issued_at, paid_at) = (instant(invoice.issued_at), instant(invoice.paid_at.unwrap_or(invoice.issued_at)));
    let name = engine.customer(&invoice.customer).ok().and_then(|customer| customer.name);
    let buyer: Vec<&str> = name.as_deref().into_iter().chain([invoice.customer.as_str()]).collect();
    let lines: Vec<[String; 3]> = invoice
        .lines
        .iter()
        .map(|line| {
            let amount = line.amount().unwrap_or(Money::new(0, line.unit_price.code));
            [line.quantity.to_string(), line.unit_price.to_string(), amount.to_string()]
        })
        .collect();
    let lines: Vec<Line<'_>> = invoice
        .lines
        .iter()
        .zip(&lines)
        .map(|(line, [quantity, unit_price, amount])| Line { title: &line.description, quantity, unit_price, amount })
        .collect();
    let paid: Vec<[String; 2]> = invoice.paid.iter().map(|paid| [payer(&paid.by), paid.money.to_string()]).collect();
    let payments: Vec<PaymentLine<'_>> =
        paid.iter().map(|[method, amount]| PaymentLine { method, paid_at: &paid_at, amount }).collect();
    let refunded = invoice.notes.iter().map(|note| format!("Refund note {}: {}", note.number.0, note.money));
    let note = refunded.collect::<Vec<_>>().join("; ");
    let due = if invoice.is_void { Money::new(0, invoice.total.code) } else { invoice.due() };
    let document = Document {
        kind: if due.units > 0 || invoice.is_void { Kind::Invoice } else { Kind::Receipt },
        number: &number,
        refers_to: None,
        issued_at: &issued_at,
        seller: &[places.seller],
        buyer: &buyer,
        lines: &lines,
        total: &invoice.total.to_string(),
        currency: invoice.total.code.as_str(),
        payments: &payments,
        due: &due.to_string(),
        note: Some(note.as_str()).filter(|note| !note.is_empty()),
    };
    let id = invoice_id(invoice.number.0);
    if form == Form::Page {
        return Ok(page(StatusCode::OK, document.page(places.base, places.pdf, places.back)));
    }
    let pdf = document.pdf().map_err(|error| {
        tracing::error!(%error, invoice = id, "an invoice cannot be drawn");
        Problem::new(Reason::Unavailable(Unavailable::Overloaded), "the document cannot be drawn just now")
    })?;
    let reply = Reply::new(StatusCode::OK, "application/pdf", pdf).header("cache-control", "no-store");
    let reply = reply.header("x-content-type-options", "nosniff");
    Ok(reply.header("content-disposition", format!("inline; filename=\"{id}.pdf\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_known_is_given() {
        let wanted = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a header"));
            super::accepted(&headers)
        };
        assert_eq!(wanted("application/pdf"), Form::Pdf);
        assert_eq!(wanted("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Page);
        assert_eq!(wanted("*/*"), Form::Json);
        assert_eq!(wanted("image/png, application/pdf; q=0.5"), Form::Pdf);
        assert_eq!(super::accepted(&HeaderMap::new()), Form::Json);
        assert_eq!(super::wanted(Some("pdf"), &HeaderMap::new()).ok(), Some(Form::Pdf));
        assert!(super::wanted(Some("doc"), &HeaderMap::new()).is_err());
    }
}
