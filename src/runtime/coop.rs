//! Cooperative yielding: no leaf future may hold the loop because it is always ready.
//!
//! Each handle may make a number of leaf operations progress. Then every leaf future answers
//! `Pending` and wakes its task again, which so goes to the tail of its partition's queue. The
//! number is cut short when the turn's time is spent, which is looked at every few operations.

use std::cell::Cell;
use std::task::{Context, Poll, ready};

use crate::runtime::context;

/// Leaf operations a handle may make progress with.
const OPERATIONS: u32 = 128;
/// Operations between two looks at the clock.
const LOOK_EVERY: u32 = 16;
/// Off the loop nothing is counted.
const UNLIMITED: u32 = u32::MAX;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(UNLIMITED) };
}

/// Asks whether a leaf future may go on; the first thing such a future does when it is polled.
///
/// `Pending` means that the task has had its share of this poll: its waker was called, and the
/// future should return `Pending` as well. `Ready` carries a [`Progress`], to be told with
/// [`made`](Progress::made) when the operation completes; dropped untold, it gives the unit back,
/// so that a future which then finds nothing to do costs nothing.
///
/// For authors of leaf futures: channels, pools, protocols that may always be ready. Off an
/// evenloop it always answers `Ready`. O(1).
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::task::{Poll, ready};
///
/// # evenloop::block_on(async {
/// let mut polls = 0;
/// let busy = poll_fn(|cx| {
///     polls += 1;
///     // An eager reader: it would never return to the loop by itself.
///     for read in 0..100_000 {
///         let progress = ready!(evenloop::poll_proceed(cx));
///         progress.made();
///         if read + polls > 1_000 {
///             break;
///         }
///     }
///     Poll::Ready(())
/// });
/// busy.await;
/// assert!(polls > 1, "the loop was let go in between");
/// # });
/// ```
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<Progress> {
    let left = LEFT.get();
    if left == UNLIMITED {
        return Poll::Ready(Progress { restore: UNLIMITED });
    }
    ready!(poll_left(cx));
    LEFT.set(left - 1);
    Poll::Ready(Progress { restore: left })
}

/// As [`poll_proceed`], but takes no unit yet: a future that is ready [takes](made) it.
#[inline]
pub(crate) fn poll_left(cx: &mut Context<'_>) -> Poll<()> {
    let left = LEFT.get();
    // Unlimited is no multiple.
    if left % LOOK_EVERY == 0 && left != OPERATIONS && is_spent(left) {
        LEFT.set(0);
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// Takes a unit, of which [`poll_left`] said that there is one: an operation completed.
#[inline]
pub(crate) fn made() {
    let left = LEFT.get();
    if left != UNLIMITED {
        LEFT.set(left.saturating_sub(1));
    }
}

#[cold]
fn is_spent(left: u32) -> bool {
    left == 0 || turn_is_spent()
}

/// Counts an operation that took as long as some: `more` of them besides the one that
/// [`poll_proceed`] took. Those between two looks at the clock end with a look.
pub(crate) fn spend(more: u32) {
    let left = LEFT.get();
    if left == UNLIMITED {
        return;
    }
    let after = left.saturating_sub(more);
    let looks_were_passed = left.div_ceil(LOOK_EVERY) != after.div_ceil(LOOK_EVERY);
    LEFT.set(if looks_were_passed { after.next_multiple_of(LOOK_EVERY) } else { after });
}

fn turn_is_spent() -> bool {
    context::get().is_some_and(|local| local.turn_is_spent())
}

/// The right to go on that [`poll_proceed`] gave.
#[derive(Debug)]
#[must_use = "tell it when the operation made progress, or the unit is given back"]
pub struct Progress {
    restore: u32,
}

impl Progress {
    /// Tells that the operation completed, which uses the unit up.
    #[inline]
    pub fn made(self) {
        std::mem::forget(self);
    }
}

impl Drop for Progress {
    #[inline]
    fn drop(&mut self) {
        LEFT.set(self.restore);
    }
}

/// Grants a fresh number of operations: a handle begins.
#[inline]
pub(crate) fn begin() {
    LEFT.set(OPERATIONS);
}

/// Stops counting: the loop itself runs, or has ended.
#[inline]
pub(crate) fn end() {
    LEFT.set(UNLIMITED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A handle may make a limited number of operations progress; then its task is woken instead.
    #[test]
    fn operations_are_limited_a_handle() {
        let wakes = Arc::new(Count::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        begin();
        for _ in 0..OPERATIONS {
            match poll_proceed(&mut cx) {
                Poll::Ready(progress) => progress.made(),
                Poll::Pending => panic!("refused too early"),
            }
        }
        assert!(poll_proceed(&mut cx).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        end();
    }

    /// A long operation uses up the units of many, and none of the looks at the clock.
    #[test]
    fn long_operations_count_for_many() {
        begin();
        LEFT.set(OPERATIONS - 1);
        spend(3);
        assert_eq!(LEFT.get(), OPERATIONS - 4);
        spend(LOOK_EVERY);
        assert_eq!(LEFT.get(), OPERATIONS - LOOK_EVERY, "the next operation looks");
        spend(u32::MAX);
        assert_eq!(LEFT.get(), 0, "there is none left");
        assert!(poll_proceed(&mut Context::from_waker(Waker::noop())).is_pending());
        end();
        spend(1);
        assert_eq!(LEFT.get(), UNLIMITED, "off the loop nothing is counted");
    }

    /// An operation that found nothing to do costs nothing.
    #[test]
    fn no_progress_is_given_back() {
        let mut cx = Context::from_waker(Waker::noop());
        begin();
        for _ in 0..10 * OPERATIONS {
            assert!(poll_proceed(&mut cx).is_ready());
        }
        end();
    }
}
