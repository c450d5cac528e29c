//! Time that a test stops and moves on by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Duration;
use crate::runtime::context;
use crate::runtime::shared::Shared;

/// Stops the time of this runtime: [`Instant::now`](super::Instant::now), and every timer that is
/// set or will be, go by a clock that stands still.
///
/// Code that waits is tested in no time then: where the loop would sleep until the next timer, the
/// clock goes there at once. Before it does, what is ready runs: tasks, and sockets that the kernel
/// reports. It does not while a job of [`spawn_blocking`](crate::spawn_blocking()) is queued or
/// runs, as nobody knows how long that takes; a job that itself waits for a timer of this runtime
/// needs somebody to [`advance`] the clock, which moves it by hand.
///
/// Shares and budgets are not affected: how long handles take is measured in real time, as it is
/// for the limits of [`Runtime::shutdown`](crate::Runtime::shutdown).
///
/// Needs the feature `test-util`; without it timers know of the system's clock only.
///
/// # Panics
///
/// Outside a runtime and on other threads than the runtime's, if its time is paused already, and in
/// a simulation, whose time is virtual anyway.
///
/// # Examples
///
/// ```
/// use evenloop::time::{self, Duration, Instant};
///
/// evenloop::block_on(async {
///     time::pause();
///     let start = Instant::now();
///     let never = std::future::pending::<()>();
///     assert!(time::timeout(Duration::from_secs(3_600), never).await.is_err());
///     assert_eq!(start.elapsed(), Duration::from_secs(3_600));
/// });
/// ```
#[track_caller]
pub fn pause() {
    context::expect("time::pause").pause_time();
}

/// Lets the time of this runtime go on, from where it stands. An [`advance`] under way is over.
///
/// # Panics
///
/// Outside a runtime and on other threads than the runtime's, if its time is not paused, and in a
/// simulation.
///
/// # Examples
///
/// ```
/// use evenloop::time::{self, Duration, Instant};
///
/// evenloop::block_on(async {
///     time::pause();
///     let start = Instant::now();
///     time::advance(Duration::from_secs(60)).await;
///     time::resume();
///     time::sleep(Duration::from_millis(1)).await; // a real one
///     assert!(start.elapsed() >= Duration::from_millis(60_001));
/// });
/// ```
#[track_caller]
pub fn resume() {
    context::expect("time::resume").resume_time();
}

/// Moves the paused time of this runtime on by `duration`.
///
/// Timers that become due on the way fire in their order, each when the clock stands at its own
/// deadline, and what they wake runs before the clock goes on; a timer set meanwhile is one of them.
/// It is ready when the clock is there and nothing is left to run, so a `duration` of zero lets
/// everything else run. It waits for no blocking job, and should the loop never rest, since a task
/// wakes itself for ever, the clock goes on after ten thousand handles, or 64 for each task.
///
/// Those that are under way at the same time overlap, as sleeps do.
///
/// # Panics
///
/// When polled outside a runtime or on another thread than the runtime's, if its time is not paused,
/// and in a simulation.
///
/// # Cancel safety
///
/// Dropped before it is done, it leaves the clock where it has come to.
///
/// # Examples
///
/// ```
/// use evenloop::Runtime;
/// use evenloop::time::{Duration, Instant, advance, sleep};
///
/// let runtime = Runtime::builder().start_paused(true).build()?;
/// runtime.block_on(async {
///     let start = Instant::now();
///     let naps = evenloop::spawn(async move {
///         for _ in 0..3 {
///             sleep(Duration::from_secs(2)).await;
///         }
///         start.elapsed()
///     });
///     advance(Duration::from_secs(5)).await;
///     assert!(!naps.is_finished());
///     advance(Duration::from_secs(1)).await;
///     assert!(naps.is_finished());
///     assert_eq!(naps.await.unwrap(), Duration::from_secs(6));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn advance(duration: Duration) -> Advance {
    Advance { duration, begun: None }
}

/// The future of [`advance`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Advance {
    duration: Duration,
    /// The loop whose time it moves, and what it is known by there.
    begun: Option<(Arc<Shared>, u64)>,
}

impl Future for Advance {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let local = context::expect("time::advance");
        match &self.begun {
            Some((shared, id)) => {
                assert!(
                    Arc::ptr_eq(shared, &local.shared),
                    "an `advance` moves the time of one runtime: poll it there to its end"
                );
                local.watch_advance(*id, cx.waker())
            }
            None => {
                let id = local.advance_time(self.duration, cx.waker().clone());
                self.begun = Some((local.shared.clone(), id));
                Poll::Pending
            }
        }
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        if let Some((shared, id)) = self.begun.take() {
            shared.on_loop(move |local| local.cancel_advance(id));
        }
    }
}
