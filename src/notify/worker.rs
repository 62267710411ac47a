//! The thread that drives a courier.

use super::sender::{Message, Sender};
use super::{Courier, Job};
use drawdown_outbound::http::SendErrorKind;
use drawdown_outbound::webhooks::Attempt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long it rests when there is nothing to do. What has become durable is seen after that time at the latest.
const REST: Duration = Duration::from_millis(10);
/// How long a stop waits for each of the attempts under way to end. What does not is sent again by the next start.
const PATIENCE: Duration = Duration::from_secs(3);

enum Call {
    Ended(u64, Attempt),
    Stop,
}

/// A courier at work. Dropping it stops it.
#[derive(Debug)]
pub struct Worker {
    calls: mpsc::Sender<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Sets a courier to work. Attempts are made on `runtime`, everything else on a thread of its own: reading the log may wait for the disk.
    pub fn start(courier: Courier, sender: Arc<dyn Sender>, runtime: tokio::runtime::Handle) -> io::Result<Self> {
        let (calls, called) = mpsc::channel();
        let answers = calls.clone();
        let work = move || run(courier, &sender, &runtime, &answers, &called);
        let thread = std::thread::Builder::new().name("webhooks".to_owned()).spawn(work)?;
        Ok(Worker { calls, thread: Some(thread) })
    }

    /// Begins nothing more, waits a little for what is under way, and notes how far everything has come. To be called before the engine is closed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.calls.send(Call::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of webhooks ended with a panic");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(
    mut courier: Courier,
    sender: &Arc<dyn Sender>,
    runtime: &tokio::runtime::Handle,
    answers: &mpsc::Sender<Call>,
    called: &mpsc::Receiver<Call>,
) {
    let mut rest = Duration::ZERO;
    loop {
        let first = called.recv_timeout(rest);
        let is_over = matches!(first, Err(RecvTimeoutError::Disconnected));
        let mut stop = is_over;
        for call in first.into_iter().chain(called.try_iter()) {
            match call {
                Call::Ended(ticket, attempt) => courier.settle(ticket, &attempt),
                Call::Stop => stop = true,
            }
        }
        if stop {
            break;
        }
        let step = courier.step();
        for Job { ticket, message } in step.jobs {
            spawn(runtime, Arc::clone(sender), answers.clone(), ticket, message);
        }
        rest = if step.busy { Duration::ZERO } else { REST };
    }
    while courier.in_flight() > 0 {
        match called.recv_timeout(PATIENCE) {
            Ok(Call::Ended(ticket, attempt)) => courier.settle(ticket, &attempt),
            Ok(Call::Stop) => {}
            Err(_) => break,
        }
    }
    courier.close();
}

fn spawn(
    runtime: &tokio::runtime::Handle,
    sender: Arc<dyn Sender>,
    answers: mpsc::Sender<Call>,
    ticket: u64,
    message: Message,
) {
    let answer = Answer { answers, ticket, attempt: None };
    runtime.spawn(async move {
        // All of it goes with the task, and tells its end however that comes.
        let mut answer = answer;
        answer.attempt = Some(sender.send(message).await);
    });
}

/// Tells what became of an attempt, also if its task ended without saying so.
struct Answer {
    answers: mpsc::Sender<Call>,
    ticket: u64,
    attempt: Option<Attempt>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let attempt = self.attempt.take().unwrap_or_else(|| Attempt {
            status: None,
            error: Some((SendErrorKind::Broken, "the attempt was broken off".to_owned())),
            latency: Duration::ZERO,
            excerpt: String::new(),
            retry_after_s: None,
        });
        // Whoever asked may have stopped.
        let _ = self.answers.send(Call::Ended(self.ticket, attempt));
    }
}
