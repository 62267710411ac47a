//! Waiting for an instant, to some microseconds.
//!
//! The runtime's own timers count milliseconds, which would be charged to the server: a request that starts half a millisecond late looks
//! as if it had taken as much longer. A timer of the kernel wakes the same poll that waits for the connections.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;
use tokio::io::unix::AsyncFd;

/// One timer, for one task.
#[derive(Debug)]
pub struct Pacer(AsyncFd<OwnedFd>);

impl Pacer {
    /// Within a runtime only.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned by what is registered and stays there until that is dropped, so its number means the timer, and
        // nothing else, for as long as the runtime knows it.
        Ok(Pacer(unsafe { AsyncFd::register(timer) }?))
    }

    /// Returns at the instant, or at once if it has passed.
    pub async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let value = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            // The timer is not read: setting it anew takes back what it has to say, and the poll is told of the next time all the same.
            self.0.readable().await?.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_waits_as_long_as_told_again_and_again() {
        let mut pacer = Pacer::new().expect("the system has timers");
        for micros in [300, 0, 1500, 20] {
            let due = Instant::now() + Duration::from_micros(micros);
            pacer.wait_until(due).await.expect("the timer works");
            assert!(Instant::now() >= due);
        }
    }
}
