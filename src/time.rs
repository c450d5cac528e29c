//! Waiting for time to pass: sleeps, timeouts and intervals, with the names and the semantics of
//! `tokio::time`.
//!
//! A timer belongs to the partition of the task that waits for it, and fires in that partition's
//! own turn. A million timers of bulk work that expire together are one event for the loop, and
//! delay a health check by nothing but the handle that runs.
//!
//! Timers are never early. They are late by what the loop is late: one handle and one harvest
//! period if the partition is within its share. All types here are `Send + Sync`, and may be
//! polled, reset and dropped on any thread; on the loop's own that allocates nothing.
//!
//! Code that waits is tested in no time with feature `test-util`: `pause` stops the clock of a
//! runtime, and `advance` moves it.
//!
//! # Examples
//!
//! ```
//! use evenloop::time::{self, Duration};
//!
//! evenloop::block_on(async {
//!     time::sleep(Duration::from_millis(2)).await;
//!
//!     let never = std::future::pending::<()>();
//!     assert!(time::timeout(Duration::from_millis(2), never).await.is_err());
//!
//!     let mut ticks = time::interval(Duration::from_millis(1));
//!     ticks.tick().await;
//!     ticks.tick().await;
//! });
//! ```

mod interval;
#[cfg(feature = "test-util")]
mod pause;
mod sleep;
mod timeout;

pub use std::time::Duration;

pub use crate::clock::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
pub use pause::{Advance, advance, pause, resume};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

/// As good as never, and not so far that a clock could not tell it.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Returns the moment `duration` from now, or one decades ahead if there is none such.
fn after(duration: Duration) -> Instant {
    let now = Instant::now();
    plus(now, duration)
}

/// Adds, or answers decades from now if the sum cannot be told.
fn plus(at: Instant, duration: Duration) -> Instant {
    at.checked_add(duration).unwrap_or_else(|| Instant::now() + FAR)
}
