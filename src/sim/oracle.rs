//! The propositions of fairness as functions over a [`Trace`]: what must be true of every run.
//!
//! Each comes twice. `assert_…` panics, with a message that says who waited how long behind whom
//! and what the bound was; `check_…` returns that as a [`Violation`]. The letters are those of
//! `docs/fairness.md`, where the proofs are:
//!
//! | function | proposition | what must be true |
//! |---|---|---|
//! | [`assert_fifo_within`] | P0 | the handles of a partition run in the order in which they were queued |
//! | [`assert_conserved`] | | every wake leads to one run, and nothing runs that was not woken |
//! | [`assert_turns_equal`] | P2 | light handles run in turns of equal length, in a fixed order |
//! | [`assert_work_conserving`] | P7 | the thread does not rest while anyone has work |
//! | [`assert_lag_bounded`] | P3, P9 | nobody gets more than its share at the expense of one that is busy |
//! | [`assert_share`] | P4 | a busy partition has its rate, but for a bounded latency |
//! | [`assert_hierarchy`] | PH | so has a member of a group its part of the group's part |
//! | [`assert_wait_bounded`] | P5, P6 | who is roused is served within what those ahead of it may take |
//! | [`assert_no_starvation`] | P6 | so is all that has work, however many partitions are created |
//! | [`assert_delivered_within`] | P10, P11 | readiness is noticed, and delivered |
//! | [`assert_answers_within`] | | yours: handles of a partition are done within a time |
//!
//! What a handle costs is the longer of the time it took and `quantum / handles`, as the run's
//! budget has it. *Busy* means runnable throughout. A bound that speaks of a partition's costliest
//! handle takes the costliest of the trace. Where a weight changes, windows end and begin. A
//! handle so long that some of its debt may have been forgiven, over `max_debt - 1` rounds, is in
//! no window: of what is forgiven nothing is promised.
//!
//! A trace that [is cut](Trace::is_cut) is checked as far as it goes. With `n` events and `p`
//! partitions all take O(n), but for [`assert_lag_bounded`]: in the worst case O(n · p), where most
//! pairs are settled by a look at what they got in all.
//!
//! # Examples
//!
//! ```
//! use evenloop::{sim, spawn_in};
//! use std::time::Duration;
//!
//! let sim = sim::Runtime::new(1);
//! sim.block_on(async {
//!     let tasks: Vec<_> = ["a", "b", "c"]
//!         .into_iter()
//!         .map(|tenant| spawn_in(tenant, async {
//!             for _ in 0..50 {
//!                 sim::burn(Duration::from_micros(70)).await;
//!             }
//!         }))
//!         .collect();
//!     for task in tasks {
//!         task.await.unwrap();
//!     }
//! });
//! sim::oracle::assert_all(&sim.trace());
//!
//! // What the rules do not promise does not hold.
//! let strict = Duration::from_micros(70);
//! let violation = sim::oracle::check_answers_within(&sim.trace(), "c", strict).unwrap_err();
//! println!("{violation}");
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::trace::{Trace, plain};

mod delivery;
mod line;
mod order;
mod rate;
mod reference;
mod rings;
mod sharing;
mod turns;
mod waiting;

pub use delivery::{assert_delivered_within, check_delivered_within};
pub use order::{
    assert_conserved, assert_fifo_within, assert_work_conserving, check_conserved,
    check_fifo_within, check_work_conserving,
};
pub use rate::{assert_hierarchy, assert_share, check_hierarchy, check_share};
pub use sharing::{assert_lag_bounded, check_lag_bounded};
pub use turns::{assert_turns_equal, check_turns_equal};
pub use waiting::{
    assert_answers_within, assert_no_starvation, assert_wait_bounded, check_answers_within,
    check_no_starvation, check_wait_bounded,
};

/// What a run broke, where, and by how much.
///
/// # Examples
///
/// ```
/// use evenloop::sim;
/// use std::time::Duration;
///
/// let sim = sim::Runtime::new(1);
/// sim.block_on(async { sim::spend(Duration::from_millis(7)) });
/// let limit = Duration::from_millis(5);
/// let violation = sim::oracle::check_answers_within(&sim.trace(), "ROOT", limit).unwrap_err();
/// assert_eq!(violation.proposition(), "answers");
/// assert_eq!(violation.at(), Duration::from_millis(7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    proposition: &'static str,
    story: String,
    at: Duration,
    event: usize,
}

impl Violation {
    /// Returns what was broken: `P0` to `P11` or `PH`, as in `docs/fairness.md`; `conservation` or
    /// `answers` for what has no letter there.
    #[must_use]
    pub fn proposition(&self) -> &'static str {
        self.proposition
    }

    /// Returns when it was broken, since the start of the run.
    #[must_use]
    pub fn at(&self) -> Duration {
        self.at
    }

    /// Returns the place in the trace of the event that broke it.
    #[must_use]
    pub fn event(&self) -> usize {
        self.event
    }

    fn new(trace: &Trace, proposition: &'static str, event: u32, story: String) -> Self {
        let at = trace.record().events.get(event as usize).map_or(0, |event| event.at);
        Self { proposition, story, at: Duration::from_nanos(at), event: event as usize }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.proposition, self.story)
    }
}

impl Error for Violation {}

/// Asserts all that must be true of any run.
///
/// # Panics
///
/// With the first [`Violation`], if there is one.
#[track_caller]
pub fn assert_all(trace: &Trace) {
    expect(trace, check_all(trace));
}

/// Checks all that must be true of any run.
///
/// # Errors
///
/// The first [`Violation`], in the order of the table above.
pub fn check_all(trace: &Trace) -> Result<(), Violation> {
    check_fifo_within(trace)?;
    check_conserved(trace)?;
    check_turns_equal(trace)?;
    check_work_conserving(trace)?;
    check_lag_bounded(trace)?;
    check_share(trace)?;
    check_hierarchy(trace)?;
    check_wait_bounded(trace)?;
    check_no_starvation(trace)?;
    check_delivered_within(trace)
}

/// Panics with what was found, and the name of the trace.
#[track_caller]
fn expect(trace: &Trace, found: Result<(), Violation>) {
    if let Err(violation) = found {
        panic!("{violation}\ntrace {:#018x}", trace.hash());
    }
}

/// Declares `assert_…` for `check_…`.
macro_rules! asserts {
    ($($(#[$doc:meta])* $assert:ident, $check:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Panics
        ///
        /// If it is not so, with the [`Violation`](crate::sim::oracle::Violation). O(events) unless
        /// the [module](crate::sim::oracle) says more.
        #[track_caller]
        pub fn $assert(trace: &crate::sim::Trace) {
            crate::sim::oracle::expect(trace, $check(trace));
        }
    )*};
}
use asserts;

/// A moment: when, and by which event.
struct At<'a>(&'a Trace, u32);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0.event(self.1 as usize);
        write!(f, "{:?} (event {})", event.at, event.index)
    }
}

/// A partition by its name, in quotes.
fn quoted(trace: &Trace, partition: u32) -> String {
    format!("`{}`", plain(trace.name_of(partition)))
}

/// Who was served most between two events, as the end of a sentence.
fn served_most(trace: &Trace, since: u32, until: u32) -> String {
    let from = trace.record().events[since as usize].at;
    served_since(trace, (since, from), until)
}

/// Who was served most from some time after an event to another event.
fn served_since(trace: &Trace, (since, from): (u32, u64), until: u32) -> String {
    const SHOWN: usize = 3;
    let handles = &trace.history().handles;
    let begun = |event: u32| handles.partition_point(|handle| handle.event < event);
    // One that runs when the first event happens is served from there on.
    let runs = |last: &usize| handles[*last].ended > since;
    let first = begun(since).checked_sub(1).filter(runs).unwrap_or(begun(since));
    let to =
        trace.record().events.get(until as usize).map_or(trace.history().end, |event| event.at);
    let mut served: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for handle in &handles[first..begun(until).max(first)] {
        let (time, count) = served.entry(trace.name_of(handle.partition)).or_default();
        *time += handle.end.min(to).saturating_sub(handle.start.max(from));
        *count += usize::from(!handle.delivery);
    }
    let mut served: Vec<_> = served.into_iter().collect();
    served.sort_by_key(|(_, got)| Reverse(*got));
    let told = |(name, (time, handles)): &(&str, (u64, usize))| {
        let unit = if *handles == 1 { "handle" } else { "handles" };
        format!("`{}` {:?} in {handles} {unit}", plain(name), Duration::from_nanos(*time))
    };
    let mut parts: Vec<String> = served.iter().take(SHOWN).map(told).collect();
    if served.len() > SHOWN {
        parts.push(format!("and {} more", served.len() - SHOWN));
    }
    match parts.is_empty() {
        true => "nobody was served meanwhile".into(),
        false => format!("served meanwhile: {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
