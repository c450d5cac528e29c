//! What came of a run.

use std::time::Duration;

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
        let mut nanos = self.record(partition).waits.clone();
        nanos.sort_unstable();
        Waits { nanos }
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

/// Waits, the shortest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    nanos: Vec<u64>,
}

impl Waits {
    /// Returns the wait that a part `q` of all do not exceed: 0.5 for the median. Zero if there
    /// are none.
    ///
    /// # Panics
    ///
    /// If `q` is not between 0 and 1.
    #[must_use]
    #[track_caller]
    pub fn quantile(&self, q: f64) -> Duration {
        assert!((0.0..=1.0).contains(&q), "{q} is no part of a whole; ask for 0 to 1");
        let rank = (q * self.nanos.len() as f64).ceil() as usize;
        let wait = self.nanos.get(rank.max(1) - 1);
        Duration::from_nanos(wait.copied().unwrap_or_default())
    }

    /// Returns the longest, or zero if there are none.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.nanos.last().copied().unwrap_or_default())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nanos.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }
}
