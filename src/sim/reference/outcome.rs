//! What came of a run.

use std::time::Duration;

use crate::sim::Waits;

/// How a workload fared under a policy.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(super) policy: &'static str,
    pub(super) elapsed: u64,
    pub(super) handles: u64,
    pub(super) records: Vec<Record>,
    pub(super) order: Vec<Ran>,
}

/// How one partition fared.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) weight: u32,
    /// Nanoseconds on the thread.
    pub(super) service: u64,
    /// Of each handle, in nanoseconds.
    pub(super) waits: Vec<u64>,
}

/// One handle that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// When it began, since the workload did.
    pub at: Duration,
    /// The number of the task: first the [cast](crate::sim::workload::Workload::cast), then those
    /// that were spawned, in that order.
    pub task: usize,
}

impl Outcome {
    /// Returns what the policy is called.
    #[must_use]
    pub fn policy(&self) -> &'static str {
        self.policy
    }

    /// Returns how long it took, in virtual time.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed)
    }

    /// Returns how many handles of the workload ran.
    #[must_use]
    pub fn handles(&self) -> u64 {
        self.handles
    }

    /// Returns the handles in the order in which they ran, if that was asked for.
    #[must_use]
    pub fn order(&self) -> &[Ran] {
        &self.order
    }

    /// Returns how long each handle of a partition waited: from its wake, from the deadline of its
    /// timer, or from the end of the handle before it, to its beginning. Of handles that still
    /// waited at the end it is the time up to there.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    #[must_use]
    #[track_caller]
    pub fn waits(&self, partition: &str) -> Waits {
        let waits = &self.record(partition).waits;
        Waits::new(waits.iter().copied().map(Duration::from_nanos).collect())
    }

    /// Returns how long each handle of a [`sleeper`](crate::sim::workload::sleeper) waited, and how
    /// long those would have waited that did not come because of it: one at each multiple of its
    /// period that it missed, until the same moment.
    ///
    /// Without these a long wait counts once, however many it would have met.
    ///
    /// # Panics
    ///
    /// If there is no such partition, or the period is zero.
    #[must_use]
    #[track_caller]
    pub fn waits_every(&self, period: Duration, partition: &str) -> Waits {
        assert!(!period.is_zero(), "a sleeper has a period; tell which");
        let mut waits = self.waits(partition).as_slice().to_vec();
        for place in 0..waits.len() {
            let mut rest = waits[place];
            while rest > period {
                rest -= period;
                waits.push(rest);
            }
        }
        Waits::new(waits)
    }

    /// Returns the time a partition had on the thread.
    ///
    /// # Panics
    ///
    /// If there is no such partition.
    #[must_use]
    #[track_caller]
    pub fn service(&self, partition: &str) -> Duration {
        Duration::from_nanos(self.record(partition).service)
    }

    /// Returns Jain's index of the service that partitions received by weight: 1 if all are
    /// equal, 1/n if one of n has it all.
    ///
    /// For what it says the partitions should have been backlogged throughout.
    ///
    /// # Panics
    ///
    /// If one of the partitions is not there, or none is named.
    #[must_use]
    #[track_caller]
    pub fn jain<'n>(&self, partitions: impl IntoIterator<Item = &'n str>) -> f64 {
        let mut shares = Vec::new();
        for name in partitions {
            let record = self.record(name);
            shares.push(record.service as f64 / f64::from(record.weight));
        }
        assert!(!shares.is_empty(), "Jain's index of no partitions; name those that compete");
        let sum: f64 = shares.iter().sum();
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        // Nobody was served: that is equal.
        if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
    }

    #[track_caller]
    fn record(&self, name: &str) -> &Record {
        self.records.iter().find(|record| record.name == name).unwrap_or_else(|| {
            let known: Vec<_> = self.records.iter().map(|one| &*one.name).take(20).collect();
            panic!("no partition is called {name:?}; there are {known:?}")
        })
    }
}
