//! `drawdown inspect`: looks into a data directory that no server needs to have open. Tables for people, or JSON, one object a line.
//!
//! What is secret is shown nowhere: neither the ledger's seed nor the hashes of API keys.

mod records;
mod segments;
mod wallet;

use clap::{Args, Subcommand};
use drawdown::engine::{CommandError, OpenError};
use drawdown::journal::Corrupt;
use drawdown_wal::{Archive, ArchiveError, Lsn};
use std::io;
use std::path::PathBuf;

/// Arguments of `drawdown inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(subcommand)]
    command: InspectCommand,
}

/// Where to look, and how to show it.
#[derive(Debug, Args)]
struct Place {
    /// The data directory, or a copy of one
    #[arg(long, env = "DRAWDOWN_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum InspectCommand {
    /// What each segment holds, and its hash
    Segments {
        #[command(flatten)]
        place: Place,
    },
    /// Records, in the order of the log
    Records {
        #[command(flatten)]
        place: Place,
        /// Begin at this position
        #[arg(long, value_name = "LSN", default_value_t = 0)]
        from: u64,
        /// Show so many at most
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: usize,
        /// Records of this wallet only, as CUSTOMER/CURRENCY
        #[arg(long, value_name = "CUSTOMER/CURRENCY", value_parser = records::parse_wallet)]
        wallet: Option<(String, String)>,
    },
    /// A wallet: its terms now, and its history, newest first
    Wallet {
        #[command(flatten)]
        place: Place,
        /// The owner
        customer: String,
        /// The currency
        currency: String,
        /// Show so many entries at most
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: usize,
    },
}

/// Why nothing can be shown, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    /// The files cannot be opened.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The files cannot be read, or what is shown goes nowhere.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The ledger cannot be folded.
    #[error("the ledger cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// A record makes no sense.
    #[error("a record at LSN {lsn}: {source}")]
    Record {
        /// Where.
        lsn: Lsn,
        /// What is wrong.
        source: Corrupt,
    },
    /// There is no such wallet, or its history cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There is no such wallet.
    #[error("there is no wallet {0}/{1}")]
    NoWallet(String, String),
    /// What is shown ends here because the log is damaged here.
    #[error("the log is damaged: {0}")]
    Damaged(String),
}

/// Runs `drawdown inspect`.
pub(crate) fn run(args: InspectArgs) -> Result<(), InspectError> {
    let shown = match args.command {
        InspectCommand::Segments { place } => segments::show(&Archive::open(&place.data)?, place.json),
        InspectCommand::Records { place, from, limit, wallet } => {
            let archive = Archive::open(&place.data)?;
            records::show(&archive, place.json, Lsn::new(from), limit, wallet)
        }
        InspectCommand::Wallet { place, customer, currency, limit } => {
            wallet::show(&Archive::open(&place.data)?, place.json, &customer, &currency, limit)
        }
    };
    match shown {
        // Whoever reads has seen enough: `inspect | head`.
        Err(InspectError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown,
    }
}

/// Says where the log is damaged, if it is.
fn check(survey: &drawdown_wal::Survey) -> Result<(), InspectError> {
    match survey.damages.first() {
        Some(damage) => Err(InspectError::Damaged(format!("{damage}; `drawdown verify` tells more"))),
        None => Ok(()),
    }
}
