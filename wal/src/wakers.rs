//! Who waits for what: wakers ordered by the value they wait for.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::sync::{AtomicUsize, Mutex, Ordering, Thread, current, fence, lock, park, park_timeout};

/// Wakers by (value waited for, ticket).
///
/// No wake-up is lost: the waiter registers, fences, and looks at the condition again; the waker changes the condition, fences, and
/// looks whether anyone is registered. With both fences sequentially consistent, at least one of them sees the other.
pub(crate) struct Wakers {
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    wakers: BTreeMap<(u64, u64), Waker>,
    next_ticket: u64,
}

impl Wakers {
    pub(crate) fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), queue: Mutex::new(Queue::default()) }
    }

    /// Registers `waker` for `value`, replacing what `ticket` registered before. The caller looks at its condition again afterwards.
    pub(crate) fn register(&self, value: u64, ticket: &mut Option<u64>, waker: &Waker) {
        let mut queue = lock(&self.queue);
        let number = *ticket.get_or_insert_with(|| {
            queue.next_ticket += 1;
            queue.next_ticket
        });
        queue.wakers.insert((value, number), waker.clone());
        self.waiting.store(queue.wakers.len(), Ordering::Relaxed);
        drop(queue);
        // Pairs with the fence in `wake_through`.
        fence(Ordering::SeqCst);
    }

    /// Forgets what `ticket` registered.
    pub(crate) fn cancel(&self, value: u64, ticket: &mut Option<u64>) {
        if let Some(number) = ticket.take() {
            let mut queue = lock(&self.queue);
            queue.wakers.remove(&(value, number));
            self.waiting.store(queue.wakers.len(), Ordering::Relaxed);
        }
    }

    /// Wakes everyone who waits for a value up to `value`, in that order. Called after the change they wait for was stored.
    pub(crate) fn wake_through(&self, value: u64) {
        // Pairs with the fence in `register`: either this load sees the waiter, or the waiter sees the change.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut queue = lock(&self.queue);
        let later = match value.checked_add(1) {
            Some(next) => queue.wakers.split_off(&(next, 0)),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut queue.wakers, later);
        self.waiting.store(queue.wakers.len(), Ordering::Relaxed);
        drop(queue);
        // Outside the lock: a waker may run arbitrary code.
        due.into_values().for_each(Waker::wake);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        park();
    }
}

/// As [`block_on`], for `limit` at most.
pub(crate) fn block_on_for<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let start = Instant::now();
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        park_timeout(limit.checked_sub(start.elapsed()).filter(|left| !left.is_zero())?);
    }
}
