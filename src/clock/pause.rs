//! Real time that a test may stop, move on by hand, and let go again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What timers of a loop go by: the system's time, until it is stopped.
///
/// All times are nanoseconds since the epoch of the loop. How long things take is not told by this
/// clock: the dispatcher goes by the system's.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Whether it was ever stopped: until then it need not be asked.
    touched: AtomicBool,
    state: Mutex<State>,
}

/// | state  | pause  | resume | advance |
/// |--------|--------|--------|---------|
/// | Runs   | Stands |        |         |
/// | Stands |        | Runs   | Stands  |
///
/// What is left out changes nothing.
#[derive(Clone, Copy, Debug)]
enum State {
    /// It told `told` when the system's time was `since`, and goes on with that.
    Runs {
        since: u64,
        told: u64,
    },
    Stands {
        told: u64,
    },
}

impl Default for State {
    /// The system's time.
    fn default() -> Self {
        Self::Runs { since: 0, told: 0 }
    }
}

impl State {
    fn told(self, now: u64) -> u64 {
        match self {
            Self::Runs { since, told } => told.saturating_add(now.saturating_sub(since)),
            Self::Stands { told } => told,
        }
    }
}

impl Pause {
    /// Returns what it tells when the system's time is `now`.
    #[inline]
    pub(crate) fn told(&self, now: u64) -> u64 {
        if self.is_touched() { self.lock().told(now) } else { now }
    }

    /// Whether it was ever stopped.
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        // Ordering: Relaxed; a thread that has to know was told so by some other means.
        self.touched.load(Ordering::Relaxed)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_touched() && matches!(*self.lock(), State::Stands { .. })
    }

    /// Stops it; `false` if it stands already.
    pub(crate) fn pause(&self, now: u64) -> bool {
        let mut state = self.lock();
        self.touched.store(true, Ordering::Relaxed);
        let told = state.told(now);
        let runs = matches!(*state, State::Runs { .. });
        *state = State::Stands { told };
        runs
    }

    /// Lets it go on; `false` if it does.
    pub(crate) fn resume(&self, now: u64) -> bool {
        let mut state = self.lock();
        let stands = matches!(*state, State::Stands { .. });
        if stands {
            *state = State::Runs { since: now, told: state.told(now) };
        }
        stands
    }

    /// Moves it to `time`, if it stands and that is still to come.
    pub(crate) fn advance_to(&self, time: u64) {
        if let State::Stands { told } = &mut *self.lock() {
            *told = time.max(*told);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It stands while it is stopped, goes on from there, and never goes back.
    #[test]
    fn it_goes_on_from_where_it_stood() {
        let clock = Pause::default();
        assert_eq!((clock.told(5), clock.is_touched()), (5, false));
        assert!(clock.pause(10) && !clock.pause(11));
        assert_eq!((clock.told(20), clock.is_paused()), (10, true));
        clock.advance_to(1_000);
        clock.advance_to(500);
        assert_eq!(clock.told(21), 1_000);
        assert!(clock.resume(30) && !clock.resume(31));
        assert_eq!((clock.told(35), clock.is_paused()), (1_005, false));
        clock.advance_to(9_000);
        assert_eq!(clock.told(36), 1_006);
        assert!(clock.pause(40));
        assert_eq!(clock.told(50), 1_010);
    }

    /// However far it is moved, it does not wrap.
    #[test]
    fn the_end_of_time_is_the_end() {
        let clock = Pause::default();
        clock.pause(1);
        clock.advance_to(u64::MAX);
        clock.resume(2);
        assert_eq!(clock.told(1_000), u64::MAX);
    }
}
