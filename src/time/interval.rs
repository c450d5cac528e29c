//! Moments that come again and again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Duration, Instant, Sleep, after, plus};

/// A tick this late or more was missed.
const MISSED_AFTER: Duration = Duration::from_millis(5);

/// Ticks at once, and then every `period`.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// use evenloop::time::{Duration, interval};
///
/// evenloop::block_on(async {
///     let mut ticks = interval(Duration::from_millis(2));
///     let first = ticks.tick().await;
///     let second = ticks.tick().await;
///     assert_eq!(second - first, Duration::from_millis(2));
/// });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    Interval::new(Instant::now(), period)
}

/// Ticks at `start`, and then every `period`.
///
/// # Panics
///
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: impl Into<Instant>, period: Duration) -> Interval {
    Interval::new(start.into(), period)
}

/// Moments a period apart; made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    next: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    #[track_caller]
    fn new(start: Instant, period: Duration) -> Self {
        assert!(
            !period.is_zero(),
            "an interval of no time would tick for ever at once; give it a period"
        );
        let next = Sleep::new(start);
        Self { next, period, missed: MissedTickBehavior::default() }
    }

    /// Waits for the next tick, and returns the moment it was meant for.
    ///
    /// # Panics
    ///
    /// Like [`Sleep`], when it has to wait on a thread that runs no evenloop.
    ///
    /// # Cancel safety
    ///
    /// No tick is lost when it is dropped.
    pub fn tick(&mut self) -> impl Future<Output = Instant> {
        Tick(self)
    }

    /// Polls for the next tick.
    ///
    /// # Panics
    ///
    /// As [`tick`](Self::tick).
    #[track_caller]
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.next).poll(cx));
        let due = self.next.deadline();
        let next = self.missed.next(due, Instant::now(), self.period);
        // The sleep has fired and waits for nothing, so this arms no timer.
        self.next.reset(next);
        Poll::Ready(due)
    }

    /// Ticks a period from now next.
    pub fn reset(&mut self) {
        self.next.reset(after(self.period));
    }

    /// Ticks at once next.
    pub fn reset_immediately(&mut self) {
        self.next.reset(Instant::now());
    }

    /// Ticks `after` from now next.
    pub fn reset_after(&mut self, after: Duration) {
        self.next.reset(super::after(after));
    }

    /// Ticks at `deadline` next.
    pub fn reset_at(&mut self, deadline: impl Into<Instant>) {
        self.next.reset(deadline);
    }

    /// Returns what is done about missed ticks.
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what is done about missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// Returns the time between ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

/// The future of [`Interval::tick`].
struct Tick<'a>(&'a mut Interval);

impl Future for Tick<'_> {
    type Output = Instant;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        self.0.poll_tick(cx)
    }
}

/// What an [`Interval`] does about ticks that nobody took in time: those taken more than 5 ms
/// late.
///
/// With ticks meant for 0, 10, 20, … and the second one taken at 25:
///
/// | behavior | further ticks at | |
/// |---|---|---|
/// | `Burst` | 25, 30, 40 | as many as time has passed for |
/// | `Delay` | 35, 45, 55 | never less than a period apart |
/// | `Skip` | 30, 40, 50 | on the beat |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTickBehavior {
    /// Ticks as fast as they are taken until it has caught up.
    #[default]
    Burst,
    /// Begins again from the moment the late tick was taken.
    Delay,
    /// Leaves out what was missed and goes on at the next multiple of the period.
    Skip,
}

impl MissedTickBehavior {
    /// Returns when the tick after the one due at `due` comes, which was taken at `now`.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        let late = now.saturating_duration_since(due);
        if late <= MISSED_AFTER {
            return plus(due, period);
        }
        match self {
            Self::Burst => plus(due, period),
            Self::Delay => plus(now, period),
            Self::Skip => plus(now, period - remainder(late, period)),
        }
    }
}

fn remainder(time: Duration, period: Duration) -> Duration {
    let nanos = time.as_nanos() % period.as_nanos();
    // Less than the period, so both parts fit.
    Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The table in the documentation holds.
    #[test]
    fn missed_ticks_are_burst_delayed_or_skipped() {
        let start = Instant::now();
        let next = |behavior: MissedTickBehavior, due, now| {
            behavior.next(start + ms(due), start + ms(now), ms(10)) - start
        };
        assert_eq!(next(MissedTickBehavior::Burst, 10, 25), ms(20));
        assert_eq!(next(MissedTickBehavior::Delay, 10, 25), ms(35));
        assert_eq!(next(MissedTickBehavior::Skip, 10, 25), ms(30));
        // A little late is not missed.
        for behavior in [MissedTickBehavior::Delay, MissedTickBehavior::Skip] {
            assert_eq!(next(behavior, 10, 15), ms(20));
        }
    }

    /// However long the period and the delay, nothing overflows.
    #[test]
    fn absurd_periods_do_not_overflow() {
        let due = Instant::now();
        let late = due + Duration::from_secs(3600);
        for behavior in
            [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip]
        {
            assert!(behavior.next(due, late, Duration::MAX) > late + ms(1));
            assert!(behavior.next(due, late, Duration::from_nanos(1)) > due);
        }
    }
}
