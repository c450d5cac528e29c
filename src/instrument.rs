//! Watching a loop: hooks that tell what it does, counters that are always on, and its load.
//!
//! An [`Instrument`] is told when the loop starts and stops, when a tick begins and ends, and when
//! the loop asks the kernel for events. It is added to a running loop and taken off again at any
//! time; a loop that nobody watches pays a test of one bit an event.
//!
//! The counters behind [`PartitionMetrics`] and [`RuntimeMetrics`] need no instrument. They only
//! ever grow: take two snapshots and ask for the difference with `since`.
//!
//! | event | when | carries |
//! |---|---|---|
//! | [`LoopStart`] | the loop begins to run | |
//! | [`TickStart`] | a pass of the run loop begins | |
//! | [`IoStart`] | the loop is about to ask the kernel | how long it may sleep |
//! | [`IoEnd`] | the kernel has answered | the events it reported |
//! | [`TickEnd`] | the pass is over | the handles it ran |
//! | [`LoopStop`] | the loop has ended, or rests between two `block_on` | |
//!
//! # Examples
//!
//! Counts how often a loop went to sleep:
//!
//! ```
//! use evenloop::instrument::{Events, Instrument, IoStart};
//! use std::time::Duration;
//!
//! #[derive(Default)]
//! struct Sleeps(u64);
//!
//! impl Instrument for Sleeps {
//!     fn interests(&self) -> Events {
//!         Events::IO
//!     }
//!
//!     fn io_start(&mut self, event: &IoStart) {
//!         if event.timeout != Some(Duration::ZERO) {
//!             self.0 += 1;
//!         }
//!     }
//! }
//! # let _: Box<dyn Instrument> = Box::new(Sleeps::default());
//! ```

mod counters;
mod histogram;
mod hooks;
mod load;
mod metrics;
mod sequence;

pub(crate) use counters::{Counters, LoopCounters};
pub use histogram::Histogram;
pub(crate) use hooks::Hooks;
pub use load::LoadInstrument;
pub(crate) use load::State;
pub use metrics::{PartitionMetrics, RuntimeMetrics};

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sched::Timestamp;

/// Watches a loop.
///
/// Hooks run on the loop's thread, between handles and outside any task: keep them short and never
/// block in them. A hook may spawn tasks, which are ROOT's unless it says whose they are, and add or
/// remove instruments, itself included. One that panics is taken off the loop and reported on
/// stderr; the loop goes on.
///
/// Every event carries its time, so a hook need not read a clock.
pub trait Instrument {
    /// Returns the events this instrument wants to hear of. Asked once, when it is added; nothing
    /// is paid for the others.
    fn interests(&self) -> Events {
        Events::ALL
    }

    /// Called when the loop begins to run ([`Events::LOOP`]).
    fn loop_start(&mut self, event: &LoopStart) {
        let _ = event;
    }

    /// Called when a tick begins ([`Events::TICK`]).
    fn tick_start(&mut self, event: &TickStart) {
        let _ = event;
    }

    /// Called before the loop asks the kernel for events ([`Events::IO`]).
    fn io_start(&mut self, event: &IoStart) {
        let _ = event;
    }

    /// Called when the kernel has answered ([`Events::IO`]), before anything is delivered.
    fn io_end(&mut self, event: &IoEnd) {
        let _ = event;
    }

    /// Called when a tick is over ([`Events::TICK`]).
    fn tick_end(&mut self, event: &TickEnd) {
        let _ = event;
    }

    /// Called when the loop ends, or rests between two calls of `block_on` ([`Events::LOOP`]).
    fn loop_stop(&mut self, event: &LoopStop) {
        let _ = event;
    }
}

/// The loop begins to run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LoopStart {
    /// When it began.
    pub at: Timestamp,
}

/// A tick begins: one pass of the run loop between two harvests.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TickStart {
    /// When it began.
    pub at: Timestamp,
}

/// The loop is about to ask the kernel which file descriptors are ready.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IoStart {
    /// When it asked.
    pub at: Timestamp,
    /// How long it may sleep: zero when it only looks, `None` when it waits for an event however
    /// long that takes.
    pub timeout: Option<Duration>,
}

/// The kernel has answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IoEnd {
    /// When the loop asked.
    pub started: Timestamp,
    /// When the answer came. Between the two lies the system call and nothing else.
    pub at: Timestamp,
    /// How long it was allowed to sleep, as in [`IoStart::timeout`].
    pub timeout: Option<Duration>,
    /// How many events the kernel reported.
    pub events: usize,
}

/// A tick is over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TickEnd {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub at: Timestamp,
    /// How many handles ran in it.
    pub handles: u64,
}

/// The loop has ended, or rests until `block_on` is called again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LoopStop {
    /// When it ended.
    pub at: Timestamp,
}

/// A set of events.
///
/// # Examples
///
/// ```
/// use evenloop::instrument::Events;
///
/// let wanted = Events::TICK | Events::IO;
/// assert!(wanted.contains(Events::IO) && !wanted.contains(Events::LOOP));
/// assert!(Events::ALL.contains(wanted));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Events(u32);

impl Events {
    /// No event.
    pub const NONE: Self = Self(0);
    /// [`LoopStart`] and [`LoopStop`].
    pub const LOOP: Self = Self(1);
    /// [`TickStart`] and [`TickEnd`].
    pub const TICK: Self = Self(1 << 1);
    /// [`IoStart`] and [`IoEnd`].
    pub const IO: Self = Self(1 << 2);
    /// Every event, those included that a later version may add.
    pub const ALL: Self = Self(u32::MAX);

    /// Returns whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether this set has an event in common with `other`.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Events {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("ALL");
        }
        let named = [(Self::LOOP, "LOOP"), (Self::TICK, "TICK"), (Self::IO, "IO")];
        let names = named.iter().filter(|(event, _)| self.contains(*event)).map(|(_, name)| name);
        f.debug_set().entries(names).finish()
    }
}

/// Names an instrument, to take it off its loop again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstrumentId(u64);

impl InstrumentId {
    /// Makes an id that no other instrument of this process has.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Ordering: the numbers only have to differ.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for InstrumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
