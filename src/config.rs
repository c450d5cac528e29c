//! What a user may set: the budget of a turn, and the clock that it is measured with.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// What one turn grants a partition of weight one: a count of handles, a time, or both.
///
/// A handle is one poll of a task. With both limits set, each handle costs the longer of the time
/// it took and `quantum / handles`, so light handles are counted and heavy ones are timed.
///
/// | budget | a handle costs | who runs depends on the clock |
/// |---|---|---|
/// | [`Budget::default`], [`Budget::new`] | `max(elapsed, quantum / handles)` | yes |
/// | [`Budget::time`] | the time it took | yes |
/// | [`Budget::handles`] | 1 | no |
///
/// A partition of weight `w` is granted `w` times the budget.
///
/// # Examples
///
/// ```
/// use evenloop::Budget;
/// use std::time::Duration;
///
/// assert_eq!(Budget::default(), Budget::new(64, Duration::from_micros(100)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    handles: Option<NonZeroU32>,
    /// Nanoseconds.
    quantum: Option<NonZeroU64>,
}

impl Budget {
    /// Grants `handles` polls and `time` on the thread a turn, whichever is used up first.
    ///
    /// # Panics
    ///
    /// If either is zero: a turn that may do nothing would stop the loop. Ask for at least one
    /// handle and one nanosecond.
    #[must_use]
    pub const fn new(handles: u32, time: Duration) -> Self {
        let counted = Self::handles(handles);
        let timed = Self::time(time);
        Self { handles: counted.handles, quantum: timed.quantum }
    }

    /// Grants `n` polls a turn, however long each takes. Exact and deterministic: no clock
    /// has a say in it.
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    #[must_use]
    pub const fn handles(n: u32) -> Self {
        match NonZeroU32::new(n) {
            Some(n) => Self { handles: Some(n), quantum: None },
            None => panic!("a budget of zero handles would never run anything; grant at least one"),
        }
    }

    /// Grants `quantum` of time a turn, however many polls fit. Durations over 584 years count
    /// as that long.
    ///
    /// # Panics
    ///
    /// If `quantum` is zero.
    #[must_use]
    pub const fn time(quantum: Duration) -> Self {
        let nanos = quantum.as_nanos();
        let nanos = if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 };
        match NonZeroU64::new(nanos) {
            Some(nanos) => Self { handles: None, quantum: Some(nanos) },
            None => {
                panic!("a budget of no time would never run anything; grant a nanosecond or more")
            }
        }
    }

    /// Returns the handles a turn may run, or `None` if they are not counted.
    #[must_use]
    pub const fn handles_max(&self) -> Option<u32> {
        match self.handles {
            Some(n) => Some(n.get()),
            None => None,
        }
    }

    /// Returns the time a turn may take, or `None` if it is not measured.
    #[must_use]
    pub const fn quantum(&self) -> Option<Duration> {
        match self.quantum {
            Some(nanos) => Some(Duration::from_nanos(nanos.get())),
            None => None,
        }
    }
}

impl Default for Budget {
    /// 64 handles and 100 µs.
    fn default() -> Self {
        Self::new(64, Duration::from_micros(100))
    }
}

/// What a loop measures with how long handles take.
///
/// Deadlines always go by the system's monotonic clock, and so do all other times.
///
/// # Examples
///
/// ```
/// use evenloop::{Clock, Runtime};
///
/// let runtime = Runtime::builder().clock(Clock::Monotonic).build()?;
/// runtime.block_on(evenloop::yield_now());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The processor's counter, where the processor calls it invariant and the system keeps time by
    /// it; elsewhere the monotonic clock. A reading costs about a third of that.
    #[default]
    Fastest,
    /// The system's monotonic clock, whatever the processor says: for machines whose counter is not
    /// to be trusted all the same, such as a virtual one that moves.
    Monotonic,
}
