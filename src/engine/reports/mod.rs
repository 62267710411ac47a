//! Reports: what the durable log says of the past. Statements of a wallet by period, its balance at a past instant, usage by meter and
//! calendar, and who holds a currency. They only read.
//!
//! Nothing is kept for them: each is computed from the records, which `timeline.rs` finds without reading what a report does not need, and
//! booked by the one table in `lines.rs`. A statement is checked before it is given out: its lines must lead from its opening to its closing
//! balance, both of which are found without them.
//!
//! All of them may take long and block their thread: they are not for threads that serve others.

mod due;
mod holders;
mod lines;
mod past;
mod statement;
mod timeline;
mod usage;

pub use holders::{Holder, HoldersPage};
pub use lines::{LineKind, QuantitySum};
pub use past::PastBalance;
pub use statement::{DebtMoved, Statement, StatementLine};
pub use usage::{UsageBucket, UsageFilter, UsagePage};

use super::Inner;
use super::catalog::CreditCurrency;
use super::view::CommandError;
use crate::journal;
use crate::journal::admin::GrantRecord;
use crate::ledger::{GrantId, Source, Timestamp};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// How far out of the order of their times records can stand in the log, more than generously: a command reads its time, waits some seconds
/// at most for room in the log, and gets its place.
const SKEW_MS: u64 = 3_600_000;

/// What a grant was declared as; of what had rolled over, the grant before it, with the source `rollover`.
pub(super) fn declaration(inner: &Inner, grant: GrantId) -> Result<GrantRecord, CommandError> {
    let Some(declared) = inner.declared_grant(grant)? else { return Err(inner.retired()) };
    let source = if declared.is_rolled_over { Source::Rollover } else { declared.record.source };
    Ok(GrantRecord { source, ..declared.record })
}

/// The currency of that id.
fn currency_of(inner: &Inner, id: &str) -> Result<Arc<CreditCurrency>, CommandError> {
    inner.catalog.snapshot().currency(id).cloned().ok_or(CommandError::NotFound { what: "credit_currency" })
}

/// Refuses an instant that lies in the future: nobody knows what will have happened by then.
fn at_most_now(inner: &Inner, field: &'static str, at: Timestamp) -> Result<(), CommandError> {
    if at > inner.now() {
        return Err(CommandError::Invalid { field, detail: "lies in the future".to_owned() });
    }
    Ok(())
}

/// Refuses a period that is none.
fn check_period(from: Timestamp, to: Timestamp) -> Result<(), CommandError> {
    if from >= to {
        return Err(CommandError::Invalid { field: "to", detail: "must be later than from".to_owned() });
    }
    Ok(())
}

/// The server's time of the first frame at or behind a position, if there is one.
fn time_at(inner: &Inner, lsn: Lsn) -> Option<Timestamp> {
    let mut reader = inner.log.reader(lsn);
    let frame = reader.next().ok()??;
    journal::records(frame.payload, frame.payload_lsn).ok().map(|records| records.prelude().time)
}

/// The ledger contradicts itself. Nobody gets a figure that may be wrong; whoever runs the server learns where to look.
#[cold]
fn inconsistent(slot: u32, what: &'static str) -> CommandError {
    tracing::error!(slot, what, "a report contradicts the ledger: run `drawdown verify`");
    CommandError::Inconsistent { what }
}
