//! What the feed tells of money in.

use super::super::view::{FeedEvent, FeedValue};
use super::{Fields, Page};
use crate::billing::auto::News as RuleNews;
use crate::billing::invoice::Subject;
use crate::billing::top_up::News;
use crate::catalog::CurrencyNumber;
use crate::journal::billing::{BillingRecord, InvoiceRecord, RuleRecord, TopUpRecord};
use crate::ledger::Timestamp;
use drawdown_wal::Lsn;

/// Something to be told of a record.
struct Told {
    kind: &'static str,
    customer: String,
    currency: Option<CurrencyNumber>,
    data: Fields,
}

impl Page<'_> {
    /// What became news with a record of money in.
    pub(super) fn billing(&mut self, lsn: Lsn, time: Timestamp, record: &BillingRecord) {
        let told = match record {
            BillingRecord::TopUp(record) => self.top_up(record),
            BillingRecord::Rule(record) => rule(record),
            BillingRecord::Invoice(record) => invoice(record),
            BillingRecord::Package(_)
            | BillingRecord::Recharge(_)
            | BillingRecord::Method(_)
            | BillingRecord::Reference(_)
            | BillingRecord::Rest(_)
            | BillingRecord::Limits(_)
            | BillingRecord::Form(_) => Vec::new(),
        };
        for (index, news) in (0..).zip(told) {
            if self.kinds.is_some_and(|kinds| !kinds.contains(&news.kind)) {
                continue;
            }
            let currency = news.currency.and_then(|number| self.catalog.currency_by_number(number)).cloned();
            self.told.events.push(FeedEvent {
                id: format!("evt_{lsn}-{index}"),
                lsn,
                index,
                kind: news.kind,
                time,
                customer: Some(news.customer),
                currency,
                data: news.data,
            });
        }
    }

    fn top_up(&self, record: &TopUpRecord) -> Vec<Told> {
        let top_up = &record.top_up;
        let scale = self.catalog.currency_by_number(top_up.currency).map_or_else(Default::default, |one| one.scale);
        let text = |text: &str| FeedValue::Text(text.to_owned());
        let data = |news: News| {
            let mut data = vec![
                ("top_up", text(&top_up.id)),
                ("status", text(top_up.status().as_str())),
                ("provider", text(&top_up.provider)),
            ];
            if let Some(money) = top_up.captured.or(top_up.purchase.price) {
                data.push(("amount", text(&money.to_string())));
                data.push(("money", text(money.code.as_str())));
            }
            if news == News::Completed {
                data.push(("credits", text(&top_up.credit.amount().display(scale).to_string())));
            }
            if news == News::Refunded {
                data.push(("refunded", text(&top_up.refunded().to_string())));
            }
            if let Some(failure) = top_up.failure.as_ref().filter(|_| news == News::Failed) {
                data.push(("failure", text(&failure.code)));
            }
            if let Some(url) = top_up.checkout_url.as_ref().filter(|_| news == News::RequiresAction) {
                data.push(("url", text(url)));
            }
            data
        };
        let news = |news: &News| Told {
            kind: news.as_str(),
            customer: top_up.customer.clone(),
            currency: Some(top_up.currency),
            data: data(*news),
        };
        record.news.iter().map(news).collect()
    }
}

fn rule(record: &RuleRecord) -> Vec<Told> {
    let state = &record.state;
    let data = |news: RuleNews| {
        let mut data = Vec::new();
        if let Some(attempt) = state.in_flight.as_ref().filter(|_| news == RuleNews::Triggered) {
            data.push(("top_up", FeedValue::Text(attempt.top_up.clone())));
            data.push(("amount", FeedValue::Text(attempt.money.to_string())));
            data.push(("money", FeedValue::Text(attempt.money.code.as_str().to_owned())));
        }
        if let Some(skip) = record.skip.filter(|_| news == RuleNews::Skipped) {
            data.push(("reason", FeedValue::Text(skip.as_str().to_owned())));
            if let Some(until) = state.told.get(&skip).filter(|until| **until > Timestamp::EPOCH) {
                data.push(("until", FeedValue::Time(*until)));
            }
        }
        if let Some(retry_at) = state.retry_at.filter(|_| news == RuleNews::Failed) {
            data.push(("retry_at", FeedValue::Time(retry_at)));
        }
        data
    };
    let news = |news: &RuleNews| Told {
        kind: news.as_str(),
        customer: record.rule.customer.clone(),
        currency: Some(record.rule.currency),
        data: data(*news),
    };
    record.news.iter().map(news).collect()
}

fn invoice(InvoiceRecord { invoice, paid_now }: &InvoiceRecord) -> Vec<Told> {
    let mut data = vec![
        ("number", FeedValue::Number(invoice.number.0)),
        ("total", FeedValue::Text(invoice.total.to_string())),
        ("money", FeedValue::Text(invoice.total.code.as_str().to_owned())),
    ];
    if let Subject::TopUp(id) = &invoice.subject {
        data.push(("top_up", FeedValue::Text(id.clone())));
    }
    let told = Told { kind: "invoice.paid", customer: invoice.customer.clone(), currency: None, data };
    paid_now.then_some(told).into_iter().collect()
}
