//! Moments, as told by the clock of the loop that this thread runs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use super::Source;

thread_local! {
    // Without a destructor it can be asked until the thread is gone. Whoever leaves a loop empties it.
    static CURRENT: ManuallyDrop<RefCell<Option<Source>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };

    /// Whether there is a source in `CURRENT`.
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Makes `source` the time of this thread, until it is told otherwise; `None` is real time.
pub(crate) fn tell_by(source: Option<&Source>) {
    // Real time is what a thread has without.
    let source = source.filter(|source| source.may_differ()).cloned();
    IS_TOLD.set(source.is_some());
    CURRENT.with(|current| current.replace(source));
}

/// Moves this thread's time on; `false` if it passes by itself.
#[cfg(feature = "sim")]
#[track_caller]
pub(crate) fn spend(nanos: u64) -> bool {
    CURRENT.with(|current| current.borrow().as_ref().is_some_and(|source| source.spend(nanos)))
}

/// A moment: [`std::time::Instant`], but for [`now`](Self::now) asking the clock of the loop that
/// this thread is in. In a simulation that is virtual time, and in a test it may have been paused;
/// everywhere else the two agree.
///
/// It converts from and into the one of `std` without a change of meaning.
///
/// # Examples
///
/// ```
/// use evenloop::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let later = now + Duration::from_millis(5);
/// assert_eq!(later - now, Duration::from_millis(5));
/// assert_eq!(now - later, Duration::ZERO);
/// assert_eq!(Instant::from(std::time::Instant::from(now)), now);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// Returns the present moment.
    #[must_use]
    #[inline]
    pub fn now() -> Self {
        if IS_TOLD.get() { Self::told() } else { Self(std::time::Instant::now()) }
    }

    #[inline(never)]
    fn told() -> Self {
        CURRENT.with(|current| match &*current.borrow() {
            None => Self(std::time::Instant::now()),
            Some(source) => source.instant(),
        })
    }

    /// Takes a moment of `std`.
    #[must_use]
    pub const fn from_std(at: std::time::Instant) -> Self {
        Self(at)
    }

    /// Returns it as a moment of `std`.
    #[must_use]
    pub const fn into_std(self) -> std::time::Instant {
        self.0
    }

    /// Returns the time that has passed since then; zero if it is still to come.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }

    /// Returns the time from `earlier` to this moment; zero if it is the other way round.
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// Returns the time from `earlier` to this moment; zero if it is the other way round.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// Returns the time from `earlier` to this moment, or `None` if it is the other way round.
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// Returns the moment `duration` later, or `None` if the system cannot tell it.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// Returns the moment `duration` earlier, or `None` if the system cannot tell it.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }
}

impl From<std::time::Instant> for Instant {
    fn from(at: std::time::Instant) -> Self {
        Self(at)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(at: Instant) -> Self {
        at.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::manual::Manual;
    use super::*;

    /// A thread sees the time it was told last, and its own again afterwards.
    #[test]
    fn the_last_time_told_counts() {
        let source = Source::manual(Manual::new());
        tell_by(Some(&source));
        let start = Instant::now();
        tell_by(Some(&Source::real()));
        assert!(Instant::now() >= start);
        tell_by(Some(&source));
        assert_eq!(Instant::now(), start);
        tell_by(None);
        assert!(Instant::now() > start);
    }
}
