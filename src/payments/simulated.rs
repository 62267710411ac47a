//! The other side of the simulated provider: its pages' deeds, and its events, which reach the ledger the way of every provider's, signed and
//! verified.

use super::{Payments, TICK, seconds};
use crate::engine::Engine;
use drawdown_outbound::providers::simulated::bank::OpenError;
use drawdown_outbound::providers::simulated::command::{Answer, Command, Hook};
use drawdown_outbound::providers::simulated::{Bank, Local, Settings, Simulated};
use drawdown_outbound::webhooks::{self, Secret};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bank's book, in the data directory.
const BOOK: &str = "simulated-bank.jsonl";
/// What the secret that signs its events follows from, beside the directory's own.
const SIGNS: &str = "drawdown simulated provider webhook v1";
/// How often it is looked whether there are events.
const LOOK: Duration = Duration::from_millis(100);
/// For how long after something was done at it time is let pass in the bank's book, seconds; after that nothing in it can change by itself.
const LIVELY_S: u64 = 900;
/// How far a signature may lie from now, seconds.
const TOLERANCE_S: u64 = 300;

/// A simulated provider and its bank.
#[derive(Clone)]
pub struct SimulatedBank {
    provider: Simulated,
    bank: Arc<dyn Bank>,
    secrets: Vec<Secret>,
    /// When something was done last, seconds. A value on its own, hence Relaxed.
    touched_s: Arc<AtomicU64>,
}

impl SimulatedBank {
    /// The one of a data directory: its book is a file there, so that cards and charges outlive a restart. Gives the book, too, for audits.
    ///
    /// Reads and writes the file. `pages` is where the server's pages begin.
    pub fn of_directory(engine: &Engine, directory: &Path, pages: String) -> Result<(Self, Local), OpenError> {
        let book = Local::open(&directory.join(BOOK))?;
        let bank = SimulatedBank::new(Arc::new(book.clone()), pages, engine.secret_for(SIGNS));
        Ok((bank, book))
    }

    /// A provider over a bank, whose pages begin at `pages`, and whose events are signed with `secret`.
    pub fn new(bank: Arc<dyn Bank>, pages: String, secret: [u8; 32]) -> Self {
        let secrets = vec![Secret::new(&secret).expect("32 bytes are between 24 and 64")];
        let settings = Settings { pages, secrets: secrets.clone(), tolerance_s: TOLERANCE_S };
        let provider = Simulated::new(Arc::clone(&bank), settings);
        SimulatedBank { provider, bank, secrets, touched_s: Arc::new(AtomicU64::new(0)) }
    }

    /// The provider.
    pub fn provider(&self) -> &Simulated {
        &self.provider
    }

    /// What signs its events.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

impl Payments {
    /// Lets happen what is due at the simulated provider, and takes in what it tells.
    pub async fn pump(&self) {
        let Some(simulated) = self.simulated() else { return };
        let now_s = seconds(self.shared.engine.now());
        simulated.touched_s.store(now_s, Ordering::Relaxed);
        self.take_hooks(simulated, now_s).await;
    }

    async fn take_hooks(&self, simulated: &SimulatedBank, now_s: u64) {
        let Ok(Answer::Hooks(hooks)) = simulated.bank.execute(Command::Due { now_s }).await else { return };
        for hook in hooks {
            let taken = self.take_hook(simulated, &hook, now_s).await;
            let event = hook.id;
            let told = if taken { Command::Delivered { event } } else { Command::NotDelivered { event, now_s } };
            // A bank that does not answer tells it again.
            let _ = simulated.bank.execute(told).await;
        }
    }

    async fn take_hook(&self, simulated: &SimulatedBank, hook: &Hook, now_s: u64) -> bool {
        let body = hook.body.as_bytes();
        let Ok(headers) = webhooks::sign(&simulated.secrets, &hook.id, now_s, body) else { return false };
        for _ in 0..hook.copies.max(1) {
            if let Err(error) = self.receive("simulated", &headers, body).await {
                tracing::warn!(event = hook.id, ?error, "an event of the simulated provider waits");
                return false;
            }
        }
        true
    }

    /// Takes events in as they become due, and lets time pass in the book while something is going on in it.
    pub(super) async fn pump_events(&self) {
        let Some(simulated) = self.simulated().cloned() else { return };
        let start_s = seconds(self.shared.engine.now());
        simulated.touched_s.store(start_s, Ordering::Relaxed);
        let mut advanced = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let now_s = seconds(self.shared.engine.now());
            if !self.is_quiet() {
                simulated.touched_s.store(now_s, Ordering::Relaxed);
            }
            let is_lively = now_s < simulated.touched_s.load(Ordering::Relaxed) + LIVELY_S;
            if is_lively && advanced.elapsed() >= TICK * 2 {
                advanced = tokio::time::Instant::now();
                let _ = simulated.bank.execute(Command::Advance { now_s }).await;
            }
            self.take_hooks(&simulated, now_s).await;
        }
    }
}
