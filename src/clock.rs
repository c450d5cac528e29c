//! Reading time: deadlines from the monotonic clock, durations from the cheapest source there is.
//!
//! A loop either lives in real time or on a clock that is moved by hand; a [`Source`] is one of the
//! two. The thread knows the source of the loop it runs, so that [`Instant::now`] tells the time of
//! that loop. Real time may be stopped by a test, for timers and `Instant` alone.

mod instant;
mod manual;
#[cfg(feature = "test-util")]
mod pause;

use std::cell::Cell;
use std::time::Duration;

use crate::config;

pub use instant::Instant;
#[cfg(feature = "sim")]
pub(crate) use instant::spend;
pub(crate) use instant::tell_by;
#[cfg(any(test, feature = "sim"))]
pub(crate) use manual::Manual;
pub(crate) use manual::Source;

/// How long the processor's counter is watched before it is believed.
const CALIBRATION: u64 = 5_000_000;

/// The loop's clock. Both readings are nanoseconds since the loop's epoch.
///
/// [`now`](Clock::now) is CLOCK_MONOTONIC and decides about deadlines. [`ticks`](Clock::ticks)
/// costs about a third of that and only measures how long things take: it reads the processor's
/// time-stamp counter where both the processor calls it invariant and the kernel itself keeps time
/// by it, and is tied to the monotonic clock again at every [`anchor`](Clock::anchor).
#[derive(Debug)]
pub(crate) struct Clock {
    source: Source,
    /// Only in real time.
    counter: Option<Counter>,
    /// How often it was read.
    #[cfg(feature = "sim")]
    reads: Cell<u64>,
}

#[derive(Debug)]
struct Counter {
    /// The counter and the time when the clock was made: the base of the measured rate.
    first: (u64, u64),
    /// The counter and the time at the last anchor.
    base: Cell<(u64, u64)>,
    /// Nanoseconds a tick as a 32.32 fixed-point number; zero until calibrated.
    rate: Cell<u64>,
}

impl Clock {
    pub(crate) fn new(source: Source, choice: config::Clock) -> Self {
        let wanted = source.is_real() && choice == config::Clock::Fastest;
        let counter = (wanted && tsc::is_trusted()).then(|| {
            let first = (tsc::read(), source.now());
            Counter { first, base: Cell::new(first), rate: Cell::new(0) }
        });
        Self {
            source,
            counter,
            #[cfg(feature = "sim")]
            reads: Cell::new(0),
        }
    }

    /// Returns where its time comes from.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Reads the monotonic clock.
    pub(crate) fn now(&self) -> u64 {
        #[cfg(feature = "sim")]
        self.reads.set(self.reads.get() + 1);
        self.source.now()
    }

    /// Returns how often a clock that is moved by hand was read.
    #[cfg(feature = "sim")]
    pub(crate) fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Returns what timers go by when it is `now`.
    #[inline]
    pub(crate) fn told(&self, now: u64) -> u64 {
        self.source.told(now)
    }

    /// Reads the cheapest clock that can measure a duration.
    #[inline]
    pub(crate) fn ticks(&self) -> u64 {
        match &self.counter {
            Some(counter) if counter.rate.get() != 0 => counter.nanos(tsc::read()),
            _ => self.now(),
        }
    }

    /// Reads the monotonic clock and ties the counter to it, so that the two never drift apart.
    pub(crate) fn anchor(&self) -> u64 {
        let now = self.now();
        if let Some(counter) = &self.counter {
            counter.anchor(tsc::read(), now);
        }
        now
    }
}

impl Counter {
    #[inline]
    fn nanos(&self, ticks: u64) -> u64 {
        let (base_ticks, base_nanos) = self.base.get();
        // A counter that stepped back (a virtual machine that moved) must not look like an age.
        let ticks = ticks.saturating_sub(base_ticks);
        base_nanos + ((u128::from(ticks) * u128::from(self.rate.get())) >> 32) as u64
    }

    fn anchor(&self, ticks: u64, now: u64) {
        let elapsed = now.saturating_sub(self.first.1);
        let counted = ticks.saturating_sub(self.first.0);
        if elapsed < CALIBRATION || counted == 0 {
            return;
        }
        self.rate.set(((u128::from(elapsed) << 32) / u128::from(counted)) as u64);
        self.base.set((ticks, now));
    }
}

/// A duration in whole nanoseconds, at most 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tsc {
    use std::sync::OnceLock;

    /// Whether the processor calls its counter invariant and the kernel keeps time by it.
    pub(super) fn is_trusted() -> bool {
        static TRUSTED: OnceLock<bool> = OnceLock::new();
        *TRUSTED.get_or_init(|| {
            let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
            invariant() && std::fs::read_to_string(source).is_ok_and(|name| name.trim() == "tsc")
        })
    }

    // Newer compilers call `__cpuid` safe, and the block needless.
    #[allow(unsafe_code, unused_unsafe)]
    fn invariant() -> bool {
        // SAFETY: `cpuid` is there on every x86-64 processor and reads no memory; the leaf asked
        // for is within the range that the first call reports.
        unsafe {
            use std::arch::x86_64::__cpuid;
            __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
        }
    }

    #[inline]
    #[allow(unsafe_code)]
    pub(super) fn read() -> u64 {
        // SAFETY: `rdtsc` is there on every x86-64 processor and only writes registers.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod tsc {
    pub(super) fn is_trusted() -> bool {
        false
    }

    pub(super) fn read() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(rate: u64) -> Counter {
        Counter { first: (1_000, 0), base: Cell::new((1_000, 0)), rate: Cell::new(rate) }
    }

    /// The counter is believed only once it has been watched for a while.
    #[test]
    fn rate_is_measured_before_it_is_used() {
        let counter = counter(0);
        counter.anchor(3_000, 1_000);
        assert_eq!(counter.rate.get(), 0);

        // Two ticks a nanosecond.
        counter.anchor(1_000 + 4 * CALIBRATION, 2 * CALIBRATION);
        assert_eq!(counter.rate.get(), 1 << 31);
        assert_eq!(counter.nanos(1_000 + 4 * CALIBRATION + 200), 2 * CALIBRATION + 100);
    }

    /// A counter that steps back reads as standing still.
    #[test]
    fn stepping_back_is_no_age() {
        let counter = counter(1 << 32);
        counter.base.set((5_000, 700));
        assert_eq!(counter.nanos(4_000), 700);
    }

    /// Ticks and the monotonic clock tell the same time.
    #[test]
    fn ticks_follow_the_monotonic_clock() {
        let clock = Clock::new(Source::real(), config::Clock::Fastest);
        std::thread::sleep(Duration::from_millis(6));
        clock.anchor();
        let before = clock.now();
        let ticks = clock.ticks();
        let after = clock.now();
        assert!(ticks + 100_000 >= before && ticks <= after + 100_000, "{before} {ticks} {after}");
    }
    /// Who does not trust the counter gets the monotonic clock, from the start.
    #[test]
    fn the_counter_is_left_alone_if_asked() {
        let clock = Clock::new(Source::real(), config::Clock::Monotonic);
        assert!(clock.counter.is_none());
        let (before, ticks) = (clock.anchor(), clock.ticks());
        assert!(before <= ticks && ticks <= clock.now());
        let fastest = Clock::new(Source::real(), config::Clock::default());
        assert_eq!(fastest.counter.is_some(), tsc::is_trusted());
        assert!(
            Clock::new(Source::manual(Manual::new()), config::Clock::Fastest).counter.is_none()
        );
    }
}
