//! A future that is ready when a moment has come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Duration, Instant, after};
use crate::runtime::coop;
use crate::runtime::timers::Timer;

/// Waits until `duration` has passed.
///
/// Never ready early. A duration of zero is ready at the first poll; one too long for the clock to
/// tell waits for decades.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
///
/// # Examples
///
/// ```
/// use evenloop::time::{Duration, Instant, sleep};
///
/// evenloop::block_on(async {
///     let started = Instant::now();
///     sleep(Duration::from_millis(3)).await;
///     assert!(started.elapsed() >= Duration::from_millis(3));
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(after(duration))
}

/// Waits until `deadline` has come; at once if it has passed.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
pub fn sleep_until(deadline: impl Into<Instant>) -> Sleep {
    Sleep::new(deadline.into())
}

/// The future of [`sleep`] and [`sleep_until`]: ready when its deadline has come, and from then on.
///
/// A deadline a second or more ahead of the loop's last look at the clock is not compared with the
/// clock again when it is first polled: a handle that holds the thread until then is polled once more.
///
/// It is [`Unpin`], so a pinned one can be reset as well as one that is not.
///
/// # Panics
///
/// When polled before its deadline on a thread that runs no evenloop, if it was not made on one or
/// that one has shut down.
///
/// # Examples
///
/// ```
/// use evenloop::time::{Duration, Instant, sleep};
///
/// evenloop::block_on(async {
///     let mut nap = sleep(Duration::from_secs(3600));
///     nap.reset(Instant::now() + Duration::from_millis(1));
///     (&mut nap).await;
///     assert!(nap.is_elapsed());
/// });
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    timer: Timer,
}

impl Sleep {
    #[inline]
    pub(super) fn new(deadline: Instant) -> Self {
        Self { timer: Timer::new(deadline) }
    }

    /// Returns when it will be ready.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.timer.deadline()
    }

    /// Returns whether the deadline has come.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        self.timer.is_elapsed()
    }

    /// Waits for another moment instead, whether the earlier one has come or not. A task that
    /// waits is woken at the new one. O(log n) in the timers of its partition.
    pub fn reset(&mut self, deadline: impl Into<Instant>) {
        self.timer.reset(deadline.into());
    }

    /// Polls without regard to the task's budget of operations.
    #[track_caller]
    pub(super) fn poll_exempt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_elapsed(cx, "evenloop::time::timeout")
    }
}

impl Future for Sleep {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(coop::poll_left(cx));
        ready!(self.timer.poll_elapsed(cx, "evenloop::time::sleep"));
        coop::made();
        Poll::Ready(())
    }
}
