//! `drawdown inspect wallet`.

use super::InspectError;
use crate::cli::screen::{painted, table, wants_colours};
use crate::demo::terminal::Style;
use drawdown::engine::view::{Entry, WalletView};
use drawdown::engine::{CommandError, Engine, SystemClock};
use drawdown::http::time_text;
use drawdown::journal::{self, Record};
use drawdown::ledger::{Amount, GrantId, Scale};
use drawdown::verify::reading_config;
use drawdown_wal::{Archive, Lsn};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::Arc;

/// Entries asked of the engine at a time.
const PAGE: usize = 1000;

pub(super) fn show(
    archive: &Archive,
    json: bool,
    customer: &str,
    currency: &str,
    limit: usize,
) -> Result<(), InspectError> {
    let segment_bytes = archive.segment_bytes()?.ok_or_else(|| {
        InspectError::Damaged("no segment's header can be read; `drawdown verify` tells more".to_owned())
    })?;
    let (engine, _) = Engine::open_on(archive.overlay(), reading_config(segment_bytes), Arc::new(SystemClock))?;
    let view = engine.wallet(customer, currency).map_err(|error| match error {
        CommandError::NotFound { .. } => InspectError::NoWallet(customer.to_owned(), currency.to_owned()),
        other => other.into(),
    })?;
    let generation = view.last_entry.map_or(Ok(1), |lsn| generation_at(&engine, lsn))?;
    let mut out = io::stdout().lock();
    let shower = Shower { engine: &engine, scale: view.currency.scale, json };
    shower.wallet(&view, generation, &mut out)?;
    let (mut before, mut left) = (None, limit);
    while left > 0 {
        let page = engine.entries(customer, currency, before, left.min(PAGE))?;
        let count = left.min(page.entries.len());
        shower.entries(&page.entries[..count], before.is_none(), &mut out)?;
        left -= count;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(())
}

/// The generation of a wallet's record.
fn generation_at(engine: &Engine, lsn: Lsn) -> Result<u32, InspectError> {
    let mut view = None;
    match journal::read_at(engine.log(), lsn, &mut view) {
        Ok(Record::Debit(debit)) => Ok(debit.generation),
        Ok(Record::Operation(operation)) => Ok(operation.generation),
        Ok(Record::Admin(_)) => Ok(1),
        Err(source) => Err(InspectError::Record { lsn, source }),
    }
}

struct Shower<'a> {
    engine: &'a Engine,
    scale: Scale,
    json: bool,
}

impl Shower<'_> {
    fn amount(&self, amount: Amount) -> String {
        amount.display(self.scale).to_string()
    }

    fn allocations(&self, parts: &[(GrantId, Amount)]) -> Vec<Value> {
        parts.iter().map(|(grant, part)| json!({"grant": grant.get(), "amount": self.amount(*part)})).collect()
    }

    fn wallet(&self, view: &WalletView, generation: u32, out: &mut impl Write) -> Result<(), InspectError> {
        if self.json {
            let grants = view.grants.iter().map(|lot| {
                json!({
                    "grant": lot.id.get(),
                    "id": self.engine.grant_text(lot.id),
                    "remaining": self.amount(lot.remaining),
                    "amount": self.amount(lot.amount),
                    "priority": lot.priority,
                    "category": lot.category.as_str(),
                    "effective_at": time_text(lot.effective_at),
                    "expires_at": lot.expires_at.map(time_text),
                    "scheduled": lot.scheduled,
                })
            });
            let alerts = view.alerts.iter().map(|alert| {
                json!({
                    "name": alert.name,
                    "amount": self.amount(alert.amount),
                    "margin": self.amount(alert.margin),
                    "triggered": alert.triggered,
                })
            });
            let wallet = json!({
                "type": "wallet",
                "customer": view.customer,
                "currency": view.currency.id,
                "status": view.status.as_str(),
                "generation": generation,
                "balance": self.amount(view.balance),
                "held": self.amount(view.held),
                "available": self.amount(view.available),
                "floor": self.amount(view.floor),
                "grants": grants.collect::<Vec<_>>(),
                "alerts": alerts.collect::<Vec<_>>(),
                "last_entry": view.last_entry.map(Lsn::get),
                "metadata": view.metadata,
            });
            writeln!(out, "{wallet}")?;
            return Ok(());
        }
        let colours = wants_colours(&io::stdout());
        let name = format!("{}/{}", view.customer, view.currency.id);
        writeln!(
            out,
            "{}  {}  generation {generation}  balance {}  held {}  available {}  floor {}",
            painted(colours, Style::Bold, &name),
            view.status.as_str(),
            self.amount(view.balance),
            self.amount(view.held),
            self.amount(view.available),
            self.amount(view.floor)
        )?;
        let row = |lot: &drawdown::engine::view::LotView| {
            vec![
                lot.id.get().to_string(),
                if lot.scheduled { "scheduled" } else { "active" }.to_owned(),
                lot.category.as_str().to_owned(),
                self.amount(lot.remaining),
                self.amount(lot.amount),
                lot.priority.to_string(),
                time_text(lot.effective_at),
                lot.expires_at.map_or_else(|| "never".to_owned(), time_text),
            ]
        };
        let rows: Vec<_> = view.grants.iter().map(row).collect();
        if !rows.is_empty() {
            let head = ["grant", "state", "category", "remaining", "of", "priority", "effective", "expires"];
            writeln!(out, "\n{}", table(3, &head, &rows, colours))?;
        }
        for alert in &view.alerts {
            let state = if alert.triggered { "triggered" } else { "armed" };
            writeln!(out, "alert {} at {}: {state}", alert.name, self.amount(alert.amount))?;
        }
        Ok(())
    }

    fn entries(&self, entries: &[Entry], is_first: bool, out: &mut impl Write) -> Result<(), InspectError> {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let generation = generation_at(self.engine, entry.entry)?;
            if self.json {
                writeln!(out, "{}", self.entry_json(entry, generation))?;
            } else {
                rows.push(self.entry_row(entry, generation));
            }
        }
        if !rows.is_empty() {
            let head = ["entry", "time", "type", "what", "generation", "amount", "balance after"];
            let table = table(4, &head, &rows, wants_colours(&io::stdout()));
            let table = if is_first { &table } else { table.split_once('\n').map_or(&*table, |(_, rows)| rows) };
            writeln!(out, "{}{table}", if is_first { "\n" } else { "" })?;
        }
        Ok(())
    }

    fn entry_json(&self, entry: &Entry, generation: u32) -> Value {
        let event = entry.event.as_ref().map(|event| {
            json!({
                "id": event.id,
                "source": event.source,
                "time": time_text(event.time),
                "meter": event.metered.as_ref().map(|(meter, _)| meter),
                "quantity": event.metered.as_ref().map(|(_, quantity)| quantity.to_string()),
            })
        });
        json!({
            "type": "entry",
            "lsn": entry.entry.get(),
            "kind": entry.kind.as_str(),
            "generation": generation,
            "amount": self.amount(entry.amount),
            "balance_after": self.amount(entry.balance_after),
            "time": time_text(entry.time),
            "allocations": self.allocations(&entry.allocations),
            "debt": self.amount(entry.debt),
            "event": event,
            "grant": entry.grant.map(GrantId::get),
            "crossed": entry.crossed.iter().map(|line| &**line).collect::<Vec<_>>(),
        })
    }

    fn entry_row(&self, entry: &Entry, generation: u32) -> Vec<String> {
        let mut what = Vec::new();
        if let Some(event) = &entry.event {
            what.push(format!("{}/{}", event.source, event.id));
        }
        what.extend(entry.allocations.iter().map(|(grant, part)| format!("{} of {}", self.amount(*part), grant.get())));
        if entry.debt != Amount::ZERO {
            what.push(format!("debt {}", self.amount(entry.debt)));
        }
        what.extend(entry.crossed.iter().map(|line| format!("crossed {line}")));
        vec![
            entry.entry.to_string(),
            time_text(entry.time),
            entry.kind.as_str().to_owned(),
            what.join(", "),
            generation.to_string(),
            self.amount(entry.amount),
            self.amount(entry.balance_after),
        ]
    }
}
