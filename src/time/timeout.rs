//! A limit to how long a future may take.

use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Duration, Instant, Sleep, after};

/// Gives `future` at most `duration`; then drops out with [`Elapsed`].
///
/// The future is polled before the clock is asked, so one that is ready at once wins even with a
/// duration of zero. A future that is always busy is cut off all the same when it lets go of the
/// thread; one that never does cannot be.
///
/// # Cancel safety
///
/// As that of `future`, which is dropped with the timeout. To keep it beyond, pass `&mut future`.
///
/// # Examples
///
/// ```
/// use evenloop::time::{Duration, timeout};
///
/// evenloop::block_on(async {
///     let slow = std::future::pending::<u32>();
///     assert!(timeout(Duration::from_millis(1), slow).await.is_err());
///     assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
/// });
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { value: future.into_future(), limit: Sleep::new(after(duration)) }
}

/// Gives `future` until `deadline`; see [`timeout`].
///
/// # Cancel safety
///
/// As that of `future`, which is dropped with the timeout.
pub fn timeout_at<F: IntoFuture>(
    deadline: impl Into<Instant>,
    future: F,
) -> Timeout<F::IntoFuture> {
    Timeout { value: future.into_future(), limit: Sleep::new(deadline.into()) }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    ///
    /// # Panics
    ///
    /// Like [`Sleep`], when it has to wait on a thread that runs no evenloop.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        value: F,
        limit: Sleep,
    }
}

impl<F> Timeout<F> {
    /// Returns the future that is limited.
    pub fn get_ref(&self) -> &F {
        &self.value
    }

    /// Returns the future that is limited.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.value
    }

    /// Takes the future out and forgets the limit.
    pub fn into_inner(self) -> F {
        self.value
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.value.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // Whatever the future has used up: one that always uses up all of it would otherwise
        // never be told that its time is over.
        this.limit.poll_exempt(cx).map(|()| Err(Elapsed(())))
    }
}

/// The time was over before the future was ready. The runtime and the future are as usable as
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}
