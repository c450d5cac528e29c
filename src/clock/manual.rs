//! Where a loop's time comes from: the system, or a clock that is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "test-util")]
use super::pause::Pause;
use super::{Instant, nanos};

/// A clock that stands still until it is moved: nanoseconds since the epoch of its loop.
#[derive(Debug, Default)]
pub(crate) struct Manual {
    now: AtomicU64,
    /// How often the running handle has moved it.
    #[cfg(feature = "sim")]
    spends: AtomicU64,
}

/// How often one handle may move the clock: one that goes on and on lets nobody else run.
#[cfg(feature = "sim")]
const SPENDS_MAX: u64 = 1_000_000;

#[cfg_attr(not(feature = "sim"), allow(dead_code, reason = "who moves it is the simulation"))]
impl Manual {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Moves it to `time`, if that is still to come.
    pub(crate) fn advance_to(&self, time: u64) {
        self.now.fetch_max(time, Ordering::Relaxed);
    }

    /// Another handle may move it.
    #[cfg(feature = "sim")]
    pub(crate) fn handle_ended(&self) {
        self.spends.store(0, Ordering::Relaxed);
    }

    /// Moves it on. It stops at the end of what can be told, 584 years from the epoch.
    pub(crate) fn advance_by(&self, nanos: u64) {
        self.advance_to(self.now().saturating_add(nanos));
    }
}

/// Where the time of a loop comes from.
///
/// It is told twice: by [`now`](Self::now) to those who measure how long things take, and by
/// [`told`](Self::told) to timers and users. The two differ when a test has stopped the time.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    epoch: std::time::Instant,
    /// `None` is real time.
    manual: Option<Arc<Manual>>,
    /// Of real time.
    #[cfg(feature = "test-util")]
    pause: Arc<Pause>,
}

impl Source {
    /// The system's monotonic clock, counted from now.
    pub(crate) fn real() -> Self {
        Self::new(None)
    }

    /// A clock that is moved by hand, and seems to begin now.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn manual(clock: Arc<Manual>) -> Self {
        Self::new(Some(clock))
    }

    fn new(manual: Option<Arc<Manual>>) -> Self {
        Self {
            epoch: std::time::Instant::now(),
            manual,
            #[cfg(feature = "test-util")]
            pause: Arc::default(),
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        self.manual.is_none()
    }

    /// Whether it tells the same as the system's clock, and as those of other loops that do.
    pub(crate) fn is_the_systems(&self) -> bool {
        self.is_real() && !self.was_paused()
    }

    /// Whether it may ever tell something else than the system's clock.
    pub(crate) fn may_differ(&self) -> bool {
        cfg!(feature = "test-util") || !self.is_real()
    }

    /// The nanoseconds since the epoch, which no test stops.
    pub(crate) fn now(&self) -> u64 {
        match &self.manual {
            None => nanos(self.epoch.elapsed()),
            Some(clock) => clock.now(),
        }
    }

    /// What timers go by when it is `now`, in nanoseconds since the epoch.
    #[inline]
    pub(crate) fn told(&self, now: u64) -> u64 {
        #[cfg(feature = "test-util")]
        return self.pause.told(now);
        #[cfg(not(feature = "test-util"))]
        now
    }

    /// Tells a moment as nanoseconds since the epoch: none if it was before, and 584 years if it
    /// is later than that.
    pub(crate) fn nanos_at(&self, at: Instant) -> u64 {
        nanos(at.into_std().saturating_duration_since(self.epoch))
    }

    /// Moves a clock that is moved by hand; `false` if it is none.
    #[cfg(feature = "sim")]
    #[track_caller]
    pub(super) fn spend(&self, nanos: u64) -> bool {
        let Some(clock) = &self.manual else { return false };
        assert!(
            clock.spends.fetch_add(1, Ordering::Relaxed) < SPENDS_MAX,
            "one handle has spent virtual time {SPENDS_MAX} times over and still runs: let it wait \
             for something now and then, or use `sim::burn`, which lets others run"
        );
        clock.advance_by(nanos);
        true
    }

    /// The present moment, as timers go by it.
    pub(crate) fn instant(&self) -> Instant {
        if self.is_the_systems() {
            return std::time::Instant::now().into();
        }
        self.instant_at(self.told(self.now()))
    }

    /// Tells nanoseconds since the epoch as a moment.
    pub(crate) fn instant_at(&self, nanos: u64) -> Instant {
        let at = self.epoch.checked_add(std::time::Duration::from_nanos(nanos));
        at.expect("a clock moved by hand stays within what the system can tell").into()
    }

    fn was_paused(&self) -> bool {
        #[cfg(feature = "test-util")]
        return self.pause.is_touched();
        #[cfg(not(feature = "test-util"))]
        false
    }
}

/// Stopping the time.
#[cfg(feature = "test-util")]
impl Source {
    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_paused()
    }

    /// Stops it; `false` if it stands already.
    pub(crate) fn pause(&self) -> bool {
        self.pause.pause(self.now())
    }

    /// Lets it go on; `false` if it does.
    pub(crate) fn resume(&self) -> bool {
        self.pause.resume(self.now())
    }

    /// Moves it to `time`, if it stands and that is still to come.
    pub(crate) fn advance_to(&self, time: u64) {
        self.pause.advance_to(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Time moved by hand does not pass by itself, and never goes back.
    #[test]
    fn a_manual_clock_stands_still() {
        let clock = Manual::new();
        let source = Source::manual(clock.clone());
        let start = source.instant();
        assert_eq!((source.now(), source.instant()), (0, start));
        clock.advance_by(50);
        clock.advance_to(20);
        assert_eq!(source.now(), 50);
        assert_eq!(source.instant() - start, Duration::from_nanos(50));
        assert_eq!(source.nanos_at(start + Duration::from_nanos(7)), 7);
    }

    /// However far it is moved, it does not wrap.
    #[test]
    fn the_end_of_time_is_the_end() {
        let clock = Manual::new();
        clock.advance_by(u64::MAX);
        clock.advance_by(1);
        assert_eq!(clock.now(), u64::MAX);
    }
}
