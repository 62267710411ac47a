//! A promise to answer: what has been applied may be told to the client when the log is durable up to here.

use super::view::Unavailable;
use drawdown_wal::{Log, Lsn, Poisoned, WhenDurable};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Resolves when everything that an answer says is on disk. Await it, or [`Ticket::wait`] for it.
#[must_use = "an answer may leave only when what it says is durable"]
pub struct Ticket {
    log: Log,
    lsn: Lsn,
    waiting: Option<WhenDurable>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("lsn", &self.lsn).finish_non_exhaustive()
    }
}

impl Ticket {
    pub(super) fn new(log: &Log, lsn: Lsn) -> Self {
        Ticket { log: log.clone(), lsn, waiting: None }
    }

    /// The position that must be durable.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether it is durable already.
    pub fn is_durable(&self) -> bool {
        self.log.durable() >= self.lsn
    }

    /// Blocks the thread until it is durable.
    pub fn wait(self) -> Result<(), Unavailable> {
        self.log.wait_durable(self.lsn).map_err(|poisoned| poisoned_error(&poisoned))
    }
}

impl Future for Ticket {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiting.is_none() {
            if self.is_durable() {
                return Poll::Ready(Ok(()));
            }
            self.waiting = Some(self.log.when_durable(self.lsn));
        }
        let waiting = self.waiting.as_mut().expect("set above");
        Pin::new(waiting).poll(context).map_err(|poisoned| poisoned_error(&poisoned))
    }
}

pub(super) fn poisoned_error(poisoned: &Poisoned) -> Unavailable {
    Unavailable::Poisoned(poisoned.to_string())
}
