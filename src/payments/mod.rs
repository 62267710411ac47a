//! Payments carried out: from what the ledger has decided to what providers do, and back.
//!
//! The engine decides and records; what it wants of a provider comes as [`Work`], once that is
//! on disk ([`Engine::take_work`]). Here the work is done, and what comes of it goes back to the engine as an event. Nothing is kept here: whatever was
//! begun and not ended is handed out again at the next start, and asked again, under the same key.
//!
//! # Invariants
//! 1. A charge, a checkout or a refund is asked under a key that follows from the top-up alone, with content that does, too; so asking again,
//!    after a lost answer or a crash, is the same question.
//! 2. What became of a question is known only from the provider. A lost answer is asked after again, on a schedule that has no end, and is never
//!    taken for a no.
//! 3. Of one top-up one thing is done at a time, in the order in which it was decided; of all of them so many at a time as the settings say.
//! 4. Whatever the engine hands out as work is given to a task at once: a request that is broken off does not take it along.

mod asks;
mod carry;
mod events;
mod methods;
mod simulated;

pub(crate) use asks::with_query;
pub use events::{Receiving, refund_key};
pub use methods::{Begun, SetupAsk};
pub use simulated::SimulatedBank;

use crate::billing::OUTSIDE;
use crate::engine::Engine;
use crate::engine::billing::Work;
use crate::engine::{CommandError, Ticket, Unavailable};
use crate::ledger::Timestamp;
use drawdown_outbound::providers::{CallError, Provider};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How long the follower rests while there is no rule.
const IDLE_REST: Duration = Duration::from_millis(20);
/// Under load the log is synced several times a millisecond; so long the follower lets it be before it looks again.
const PACE: Duration = Duration::from_millis(1);
/// How often the clock is looked at: what expires, what was waiting.
const TICK: Duration = Duration::from_millis(500);

/// Which providers there are, and how they are asked.
pub struct Config {
    /// The providers, the first one the server's own choice where nobody says.
    pub providers: Vec<Arc<dyn Provider>>,
    /// The simulated provider's other side, if it is among them: its pages are this server's.
    pub simulated: Option<SimulatedBank>,
    /// Where this server's pages begin for customers, without a `/` at the end.
    pub pages: String,
    /// Questions that are under way at once.
    pub concurrency: usize,
    /// The pause before a question is asked again the first time; it doubles up to [`Config::retry_max`].
    pub retry: Duration,
    /// The longest pause.
    pub retry_max: Duration,
}

impl Config {
    /// These providers, 64 questions at once, and pauses from a second to five minutes.
    pub fn new(providers: Vec<Arc<dyn Provider>>, pages: impl Into<String>) -> Self {
        let (retry, retry_max) = (Duration::from_secs(1), Duration::from_mins(5));
        Config { providers, simulated: None, pages: pages.into(), concurrency: 64, retry, retry_max }
    }
}

/// See the [module](self). Clones share it.
#[derive(Clone)]
pub struct Payments {
    shared: Arc<Shared>,
}

impl fmt::Debug for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payments").field("providers", &self.names()).finish_non_exhaustive()
    }
}

/// A thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Task {
    work: Work,
    /// It may have been asked before.
    is_repeat: bool,
}

/// What is to be done of each top-up of which something is being done.
type Queues = HashMap<String, VecDeque<Task>>;

struct Shared {
    engine: Engine,
    providers: BTreeMap<&'static str, Arc<dyn Provider>>,
    first: Option<&'static str>,
    simulated: Option<SimulatedBank>,
    pages: String,
    places: Semaphore,
    retry: Duration,
    retry_max: Duration,
    /// What is to be done of each top-up of which something is being done.
    queues: Mutex<Queues>,
    stopped: watch::Sender<bool>,
}

/// Seconds since the epoch, rounded down.
fn seconds(time: Timestamp) -> u64 {
    time.millis() / 1_000
}

impl Payments {
    /// Begins to carry out, on the tokio runtime that this is called on: what earlier runs left, what rules find at the start, and from now on
    /// what the log tells.
    pub fn start(engine: Engine, config: Config) -> Payments {
        let first = config.providers.first().map(|provider| provider.name());
        let providers = config.providers.into_iter().map(|provider| (provider.name(), provider)).collect();
        let shared = Arc::new(Shared {
            engine,
            providers,
            first,
            simulated: config.simulated,
            pages: config.pages,
            places: Semaphore::new(config.concurrency.max(1)),
            retry: config.retry,
            retry_max: config.retry_max,
            queues: Mutex::new(HashMap::new()),
            stopped: watch::Sender::new(false),
        });
        let payments = Payments { shared };
        // What earlier runs left is asked after; only then may rules find something new.
        payments.begin(true);
        // The follower's first look comes before the rules are evaluated, so that nothing falls between the two.
        drop(payments.shared.engine.follow_rules());
        if let Some(usual) = payments.usual().filter(|name| *name != OUTSIDE) {
            payments.shared.engine.prefer_provider(usual);
        }
        for name in payments.names().into_iter().filter(|name| *name != OUTSIDE) {
            Payments::report(payments.shared.engine.connect_provider(name));
        }
        payments.employ(|payments| async move { payments.follow().await });
        payments.employ(|payments| async move { payments.keep_time().await });
        if payments.shared.simulated.is_some() {
            payments.employ(|payments| async move { payments.pump_events().await });
        }
        payments
    }

    /// Begins nothing more. What is under way is found again at the next start.
    pub fn stop(&self) {
        self.shared.stopped.send_replace(true);
    }

    /// The names of the providers.
    pub fn names(&self) -> Vec<&'static str> {
        self.shared.providers.keys().copied().collect()
    }

    /// The provider that is taken where nobody says which.
    pub fn usual(&self) -> Option<&'static str> {
        self.shared.first
    }

    /// The provider of that name.
    pub fn provider(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.shared.providers.get(name)
    }

    /// Whether a provider of that name is connected.
    pub fn knows(&self, name: &str) -> bool {
        self.shared.providers.contains_key(name)
    }

    /// The simulated provider's other side.
    pub fn simulated(&self) -> Option<&SimulatedBank> {
        self.shared.simulated.as_ref()
    }

    /// Where this server's pages begin.
    pub fn pages(&self) -> &str {
        &self.shared.pages
    }

    /// Begins with what the engine has for providers by now: what it follows from is durable.
    pub fn take_up(&self) {
        self.begin(false);
    }

    /// As [`Payments::take_up`]; `is_repeat` says that it may have been asked before.
    fn begin(&self, is_repeat: bool) {
        // Under the lock, so that two who take at the same time keep the order in which it was decided.
        let mut queues = self.queues();
        for work in self.shared.engine.take_work() {
            self.enqueue(&mut queues, work, is_repeat);
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopped = self.shared.stopped.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = task => {}
            }
        });
    }

    fn employ<F: Future<Output = ()> + Send + 'static>(&self, body: impl FnOnce(Payments) -> F) {
        self.spawn(body(self.clone()));
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work behind what is being done of the same top-up, or begins with it.
    fn enqueue(&self, queues: &mut Queues, work: Work, is_repeat: bool) {
        let top_up = work.top_up.clone();
        let task = Task { work, is_repeat };
        if let Some(queue) = queues.get_mut(&top_up) {
            if !queue.iter().any(|waiting| waiting.work == task.work) {
                queue.push_back(task);
            }
            return;
        }
        queues.insert(top_up.clone(), VecDeque::from([task]));
        let payments = self.clone();
        self.spawn(async move { payments.work_off(&top_up).await });
    }

    /// Does what is to be done of a top-up until nothing is. A task stays at the head of its queue while it is being done.
    async fn work_off(&self, top_up: &str) {
        loop {
            let Some(task) = self.queues().get(top_up).and_then(|queue| queue.front().cloned()) else { return };
            self.carry_out(task).await;
            let mut queues = self.queues();
            let is_empty = queues.get_mut(top_up).is_none_or(|queue| {
                queue.pop_front();
                queue.is_empty()
            });
            if is_empty {
                queues.remove(top_up);
                return;
            }
        }
    }

    /// Whether nothing is being done: what was handed out is done, or waits for somebody else.
    pub fn is_quiet(&self) -> bool {
        self.queues().is_empty()
    }

    /// Follows the log for the sake of rules, and takes up what becomes durable.
    async fn follow(&self) {
        let engine = &self.shared.engine;
        loop {
            let step = match engine.follow_rules() {
                Ok(step) => step,
                Err(error) => {
                    if is_over(&error) {
                        return;
                    }
                    tracing::error!(%error, "automatic top-ups wait: the log cannot be followed");
                    tokio::time::sleep(TICK).await;
                    continue;
                }
            };
            self.take_up();
            if step.is_idle {
                tokio::time::sleep(IDLE_REST).await;
                continue;
            }
            if step.more {
                tokio::task::yield_now().await;
                continue;
            }
            let looked = Instant::now();
            // Charges that were decided on are waited for; usage is synced for those who sent it, or before long.
            let woken = if step.has_work { engine.barrier().await } else { engine.feed_wait(step.position).await };
            if woken.is_err() {
                return;
            }
            if !step.has_work && looked.elapsed() < PACE {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    /// What time brings: payments that nobody waits for any more, and rules whose window has come.
    async fn keep_time(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            Self::report(self.shared.engine.expire_top_ups());
            Self::report(self.shared.engine.evaluate_due());
            self.take_up();
        }
    }

    fn report(outcome: Result<Ticket, CommandError>) {
        match outcome {
            // What follows from it is taken up when it is durable.
            Ok(ticket) => drop(ticket),
            Err(error) if is_over(&error) => {}
            Err(error) => tracing::warn!(%error, "top-ups wait for the ledger"),
        }
    }
}

/// Whether the ledger takes nothing any more, so that only another start helps.
fn is_over(error: &CommandError) -> bool {
    matches!(error, CommandError::Unavailable(Unavailable::Closed | Unavailable::Poisoned(_)))
}

/// Why something at a provider was not done.
#[derive(Debug)]
pub enum Failed {
    /// The ledger said no, or takes nothing.
    Ledger(CommandError),
    /// The provider did.
    Provider(CallError),
    /// There is no such provider.
    NoProvider,
    /// It is about a payment that is not known, and that one may be which nothing has been heard of yet.
    NotKnownYet,
}

impl From<CommandError> for Failed {
    fn from(error: CommandError) -> Self {
        Failed::Ledger(error)
    }
}

impl From<Unavailable> for Failed {
    fn from(error: Unavailable) -> Self {
        Failed::Ledger(error.into())
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Failed::Provider(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Ledger(error) => error.fmt(f),
            Failed::Provider(error) => error.fmt(f),
            Failed::NoProvider => f.write_str("no such payment provider is connected"),
            Failed::NotKnownYet => f.write_str("the payment that it is about is not known yet"),
        }
    }
}

impl std::error::Error for Failed {}
