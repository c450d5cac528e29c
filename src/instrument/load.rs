//! Load: how much of its time a loop or a partition has work.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::sequence::Sequence;
use super::{Events, Instrument, IoEnd, IoStart, LoopStart, LoopStop, TickEnd, TickStart};
use crate::sched::Timestamp;

/// What a loop or partition does at an instant: exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its handles run.
    Running,
    /// It has work, and something else runs.
    Starved,
    /// It has nothing to do.
    Waiting,
}

/// Shorter stretches are averaged together before they enter the moving average. That is off by
/// no more than ten milliseconds weigh in it, 0.7 %.
const FOLD_NS: u64 = 10_000_000;

/// A moment shares its word with a state, which leaves 62 bits: 146 years. Then the sums stand
/// still, as in a simulation they may.
const LAST_NS: u64 = u64::MAX >> 2;

/// Sums the time in each state and keeps a moving average of the share of time with work.
///
/// One thread writes; any thread reads, and counts the state in progress in. So what a reader sees
/// rises during a stall, when the writer is stuck.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Meter {
    sequence: Sequence,
    /// Nanoseconds since the epoch, shifted left by two, and the state in the low bits.
    since_state: AtomicU64,
    running: AtomicU64,
    starved: AtomicU64,
    folded_at: AtomicU64,
    folded_busy: AtomicU64,
    /// The bits of an `f64`.
    average: AtomicU64,
    born: u64,
}

impl Meter {
    pub(crate) fn new(state: State, now_ns: u64) -> Self {
        let now_ns = now_ns.min(LAST_NS);
        let reading = Reading::new(state, now_ns);
        Self {
            sequence: Sequence::new(),
            since_state: AtomicU64::new(reading.packed()),
            running: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            folded_at: AtomicU64::new(now_ns),
            folded_busy: AtomicU64::new(0),
            average: AtomicU64::new(0),
            born: now_ns,
        }
    }

    /// Tells that `state` holds from `now_ns` on. One thread alone may call this.
    #[inline]
    pub(crate) fn enter(&self, state: State, now_ns: u64) {
        let mut reading = self.load_words();
        if reading.state == state {
            return;
        }
        let folds = reading.advance(now_ns);
        reading.state = state;
        self.sequence.write(|| {
            self.since_state.store(reading.packed(), Ordering::Relaxed);
            self.running.store(reading.running, Ordering::Relaxed);
            self.starved.store(reading.starved, Ordering::Relaxed);
            if folds {
                self.folded_at.store(reading.folded_at, Ordering::Relaxed);
                self.folded_busy.store(reading.folded_busy, Ordering::Relaxed);
                self.average.store(reading.average.to_bits(), Ordering::Relaxed);
            }
        });
    }

    /// Returns the time in each state up to `now_ns`.
    pub(crate) fn times(&self, now_ns: u64) -> Times {
        let mut reading = self.sequence.read(|| self.load_words());
        reading.advance(now_ns);
        let lived = reading.since - self.born;
        Times {
            running: Duration::from_nanos(reading.running),
            starved: Duration::from_nanos(reading.starved),
            waiting: Duration::from_nanos(lived - reading.running - reading.starved),
        }
    }

    /// Returns the moving average at `now_ns`, from 0 to 1.
    pub(crate) fn load(&self, now_ns: u64) -> f64 {
        let mut reading = self.sequence.read(|| self.load_words());
        reading.advance(now_ns);
        reading.fold();
        let seen = weight_of(reading.since - self.born);
        if seen == 0.0 {
            return if reading.state == State::Waiting { 0.0 } else { 1.0 };
        }
        (reading.average / seen).clamp(0.0, 1.0)
    }

    #[inline]
    fn load_words(&self) -> Reading {
        let since_state = self.since_state.load(Ordering::Relaxed);
        Reading {
            state: state_of(since_state),
            since: since_state >> 2,
            running: self.running.load(Ordering::Relaxed),
            starved: self.starved.load(Ordering::Relaxed),
            folded_at: self.folded_at.load(Ordering::Relaxed),
            folded_busy: self.folded_busy.load(Ordering::Relaxed),
            average: f64::from_bits(self.average.load(Ordering::Relaxed)),
        }
    }
}

/// The time spent in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) running: Duration,
    pub(crate) starved: Duration,
    pub(crate) waiting: Duration,
}

/// The words of a meter, taken together. Times in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    state: State,
    /// When `state` began; the sums reach up to here.
    since: u64,
    running: u64,
    /// Time waiting is not kept: it is what is left of the wall time, so the three add up.
    starved: u64,
    /// The average reaches up to here; never after `since`, and less than `FOLD_NS` before it.
    folded_at: u64,
    /// `running + starved` as of `folded_at`.
    folded_busy: u64,
    /// `∫ busy(t) · 2^−(folded_at − t) dt`, scaled so that a loop always busy tends to one. Not
    /// yet corrected for having begun at zero.
    average: f64,
}

impl Reading {
    fn new(state: State, now: u64) -> Self {
        Self {
            state,
            since: now,
            running: 0,
            starved: 0,
            folded_at: now,
            folded_busy: 0,
            average: 0.0,
        }
    }

    /// Adds the state in progress up to `now`; returns whether the average was brought up to date.
    #[inline]
    fn advance(&mut self, now: u64) -> bool {
        // A clock that steps back counts as one that stood still.
        let now = now.clamp(self.since, LAST_NS);
        let folds = now - self.folded_at >= FOLD_NS;
        let elapsed = now - self.since;
        match self.state {
            State::Running => self.running += elapsed,
            State::Starved => self.starved += elapsed,
            State::Waiting => {}
        }
        self.since = now;
        if folds {
            self.fold();
        }
        folds
    }

    /// Brings the average up to where the sums reach.
    fn fold(&mut self) {
        let elapsed = self.since - self.folded_at;
        if elapsed == 0 {
            return;
        }
        let busy = self.running + self.starved;
        let share = (busy - self.folded_busy) as f64 / elapsed as f64;
        let weight = weight_of(elapsed);
        self.average += (share - self.average) * weight;
        self.folded_at = self.since;
        self.folded_busy = busy;
    }

    fn packed(&self) -> u64 {
        self.since << 2 | self.state as u64
    }
}

#[inline]
fn state_of(packed: u64) -> State {
    match packed & 3 {
        0 => State::Running,
        1 => State::Starved,
        _ => State::Waiting,
    }
}

/// Returns what the last `nanos` weigh in an average with a half-life of one second: `1 − 2^−t`.
fn weight_of(nanos: u64) -> f64 {
    let x = nanos as f64 * (1e-9 * std::f64::consts::LN_2);
    if x < 0.1 {
        // Most folds are short: four terms of the series, off by less than one in ten million.
        return x * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0)));
    }
    -(-x).exp_m1()
}

/// Tells the load of a loop: the share of time in which it does not sleep, from 0 to 1.
///
/// A moving average with a half-life of one second, exact from the start: a loop that was always
/// busy reads 1 at once. The state in progress counts, so the load rises while a handle stalls
/// the loop. A program sheds work when the load nears 1.
///
/// Add one clone to a loop and keep another. It watches one loop; give each loop its own.
///
/// # Examples
///
/// ```
/// use evenloop::instrument::LoadInstrument;
///
/// let load = LoadInstrument::new();
/// assert_eq!(load.load(), 0.0, "it watches no loop yet");
/// ```
#[derive(Clone, Default)]
pub struct LoadInstrument {
    shared: Arc<OnceLock<Watched>>,
}

/// What is known since the first event.
struct Watched {
    meter: Meter,
    /// The latest event, in nanoseconds of the loop's clock.
    last: AtomicU64,
    /// A moment on this machine's clock and on the loop's, to tell how long a stall has lasted.
    anchor: (Instant, u64),
}

impl LoadInstrument {
    /// Makes an instrument that watches no loop yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the load at this moment, or 0 if the loop has not run yet. From any thread.
    #[must_use]
    pub fn load(&self) -> f64 {
        let Some(watched) = self.shared.get() else { return 0.0 };
        let (real, on_loop) = watched.anchor;
        let since_anchor = u64::try_from(real.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // A simulated loop may be ahead of this machine's clock.
        let now = on_loop.saturating_add(since_anchor).max(watched.last.load(Ordering::Relaxed));
        watched.meter.load(now)
    }

    fn enter(&self, state: State, at: Timestamp) {
        let at = at.as_nanos();
        let watched = self.shared.get_or_init(|| Watched {
            meter: Meter::new(state, at),
            last: AtomicU64::new(at),
            anchor: (Instant::now(), at),
        });
        watched.meter.enter(state, at);
        watched.last.store(at, Ordering::Relaxed);
    }
}

impl Instrument for LoadInstrument {
    fn interests(&self) -> Events {
        Events::LOOP | Events::TICK | Events::IO
    }

    fn loop_start(&mut self, event: &LoopStart) {
        self.enter(State::Running, event.at);
    }

    fn tick_start(&mut self, event: &TickStart) {
        self.enter(State::Running, event.at);
    }

    fn io_start(&mut self, event: &IoStart) {
        // A look at the kernel that may not sleep is work.
        if event.timeout != Some(Duration::ZERO) {
            self.enter(State::Waiting, event.at);
        }
    }

    fn io_end(&mut self, event: &IoEnd) {
        self.enter(State::Running, event.at);
    }

    fn tick_end(&mut self, event: &TickEnd) {
        self.enter(State::Running, event.at);
    }

    fn loop_stop(&mut self, event: &LoopStop) {
        self.enter(State::Waiting, event.at);
    }
}

impl fmt::Debug for LoadInstrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadInstrument").field("load", &self.load()).finish()
    }
}

#[cfg(test)]
mod tests;
