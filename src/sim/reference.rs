//! A reference loop: one thread in virtual time, and a [`Policy`] that says who runs next.
//!
//! It knows what a loop of this crate knows (queues by partition, timers, harvests and deliveries,
//! the price of a handle), written anew and for clarity, without tasks, wakers or sockets. It
//! serves two ends: with [`Scrr`](super::policy::Scrr) it must run the same handles in the same
//! order as a runtime on a manual clock, and with another policy it shows what that policy would
//! make of the same workload.
//!
//! ```
//! use evenloop::sim::policy::{Fifo, Scrr};
//! use evenloop::sim::reference::Reference;
//! use evenloop::sim::workload::*;
//!
//! let load = Workload::new()
//!     .with(tenant("bulk").runs(hog(micros(20)).copies(100)))
//!     .with(tenant("health").runs(sleeper(millis(3), micros(5))));
//! let reference = Reference::new(&load).until(secs(1));
//!
//! // A queue for all: behind a hundred handles of 20 µs.
//! assert!(reference.run(Fifo::default()).waits("health").quantile(0.5) > millis(1));
//! // A share of its own: behind the handle that runs.
//! assert!(reference.run(Scrr::default()).waits("health").max() <= micros(160));
//! ```
//!
//! What the loop does is in [`docs/architecture.md`]; the rule for harvests is the runtime's:
//! every 100 µs, before sleeping, and when a partition runs dry 25 µs or more after the last one.
//! Harvests and deliveries take no time.
//!
//! [`docs/architecture.md`]: https://docs.rs/crate/evenloop/latest/source/docs/architecture.md

use std::time::Duration;

use crate::sim::policy::Policy;
use crate::sim::workload::Workload;

mod line;
mod outcome;
mod run;
mod stage;

pub use outcome::{Outcome, Ran};

#[cfg(test)]
mod tests;

/// A workload to be run by a reference loop, under one policy after the other.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `run`"]
pub struct Reference<'a> {
    load: &'a Workload,
    until: Option<Duration>,
    ordered: bool,
}

impl<'a> Reference<'a> {
    /// Begins to describe a run that ends when the workload does.
    ///
    /// # Panics
    ///
    /// If the workload has an actor that [needs a runtime](super::workload::Kind::needs_runtime), such as a
    /// [`flood`](super::workload::flood).
    #[track_caller]
    pub fn new(load: &'a Workload) -> Self {
        let other = load.actors().find(|actor| actor.kind().needs_runtime());
        if let Some(other) = other {
            panic!("the reference loop cannot play {other:?}; spawn it on a sim::Runtime");
        }
        Self { load, until: None, ordered: false }
    }

    /// Ends the run at the first handle boundary at or after this time, or then if it sleeps.
    pub fn until(mut self, end: Duration) -> Self {
        self.until = Some(end);
        self
    }

    /// Keeps [the order of handles](Outcome::order), which takes memory for each.
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Runs the workload. Each run begins anew, with the same draws.
    ///
    /// # Panics
    ///
    /// If the workload is endless and no end was set.
    #[track_caller]
    pub fn run(&self, policy: impl Policy) -> Outcome {
        assert!(
            self.until.is_some() || !self.load.is_endless(),
            "some actors of the workload go on for ever: give them rounds, or the run an end with \
             `until`"
        );
        run::Loop::new(self, policy).run()
    }
}
