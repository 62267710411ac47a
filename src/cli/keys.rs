//! `drawdown keys`: makes, lists and revokes API keys of a data directory that no server has open.

use clap::{Args, Subcommand};
use drawdown::engine::{ApiKeyRecord, CommandError, Engine, EngineConfig, OpenError, SystemClock, Unavailable};
use drawdown::http::auth::{NewKey, Scopes};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments of `drawdown keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print its token, which is shown this once
    Create {
        /// The data directory; no server may have it open
        #[arg(long, env = "DRAWDOWN_DATA")]
        data: PathBuf,
        /// A name for people
        #[arg(long)]
        name: String,
        #[arg(
            long,
            value_parser = Scopes::parse_list,
            help = "Comma-separated: usage, read, grants, top_ups, admin (which is all of them)"
        )]
        scopes: Scopes,
        /// Make a test key rather than a live one
        #[arg(long)]
        test: bool,
    },
    /// List the keys, without their secrets
    List {
        /// The data directory; no server may have it open
        #[arg(long, env = "DRAWDOWN_DATA")]
        data: PathBuf,
    },
    /// Revoke a key: it opens nothing any more
    Revoke {
        /// The data directory; no server may have it open
        #[arg(long, env = "DRAWDOWN_DATA")]
        data: PathBuf,
        /// The key's id, as `list` shows it
        id: String,
    },
}

/// Why a key could not be made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The ledger cannot be opened.
    #[error("cannot open the ledger in {}: {source}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// Why not.
        source: OpenError,
    },
    /// The engine refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Unavailable),
    /// The system gave no randomness for the secret.
    #[error("the system gave no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// There is no such key.
    #[error("there is no key {0}")]
    Unknown(String),
}

/// Runs `drawdown keys`.
pub(crate) fn run(args: KeysArgs) -> Result<(), KeysError> {
    match args.command {
        KeysCommand::Create { data, name, scopes, test } => {
            let engine = open(&data)?;
            let key = NewKey::generate(&name, !test, scopes, engine.now())?;
            engine.put_api_key(key.record)?.wait()?;
            engine.close()?;
            eprintln!("The token is shown this once; only a hash of it is kept:");
            println!("{}", key.token);
        }
        KeysCommand::List { data } => {
            let engine = open(&data)?;
            for key in engine.api_keys() {
                let state = if key.revoked { "revoked" } else { "active" };
                let mode = if key.live { "live" } else { "test" };
                println!("{}\t{mode}\t{state}\t{}\t{}", key.id, Scopes::from_bits(key.scopes), key.name);
            }
            engine.close()?;
        }
        KeysCommand::Revoke { data, id } => {
            let engine = open(&data)?;
            let key = engine.api_key(&id).ok_or_else(|| KeysError::Unknown(id.clone()))?;
            engine.put_api_key(ApiKeyRecord { revoked: true, ..(*key).clone() })?.wait()?;
            engine.close()?;
            println!("{id} is revoked");
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Engine, KeysError> {
    let config = EngineConfig { remembers_identities: false, keeps_recurring: false, ..EngineConfig::default() };
    match Engine::open(path, config, Arc::new(SystemClock)) {
        Ok((engine, _)) => Ok(engine),
        Err(source) => Err(KeysError::Open { path: path.to_owned(), source }),
    }
}
