//! What a handle costs: virtual time that passes while it runs.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock;

/// Lets `time` pass, as if the running handle had computed for so long.
///
/// It costs nothing but virtual time. Whatever is due in between, comes when the handle has ended.
///
/// # Panics
///
/// Outside a simulation; and if one handle has spent time a million times over, which it would
/// go on to do for ever, it seems.
///
/// # Examples
///
/// ```
/// use evenloop::sim;
/// use evenloop::time::{Duration, Instant};
///
/// sim::Runtime::new(1).block_on(async {
///     let start = Instant::now();
///     sim::spend(Duration::from_millis(3));
///     assert_eq!(start.elapsed(), Duration::from_millis(3));
/// });
/// ```
#[track_caller]
pub fn spend(time: Duration) {
    assert!(
        clock::spend(clock::nanos(time)),
        "virtual time is spent inside a simulation: run this in `evenloop::sim::Runtime::block_on`"
    );
}

/// Computes for `time`, then lets others run: a handle of that length.
///
/// # Panics
///
/// When polled outside a simulation.
///
/// # Cancel safety
///
/// The time is spent at the first poll; nothing is lost when it is dropped.
///
/// # Examples
///
/// ```
/// use evenloop::sim;
/// use evenloop::time::{Duration, Instant};
///
/// sim::Runtime::new(1).block_on(async {
///     let start = Instant::now();
///     for _ in 0..1_000 {
///         sim::burn(Duration::from_secs(1)).await;
///     }
///     assert_eq!(start.elapsed(), Duration::from_secs(1_000));
/// });
/// ```
pub fn burn(time: Duration) -> Burn {
    Burn { time: Some(time) }
}

/// The future of [`burn`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Burn {
    /// Gone once it is spent.
    time: Option<Duration>,
}

impl Future for Burn {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(time) = self.time.take() else { return Poll::Ready(()) };
        spend(time);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
