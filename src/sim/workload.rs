//! Workloads as values: who lives in which partition, and what they do there.
//!
//! A [`Workload`] is a list of tenants, each a partition with actors in it. It says nothing about
//! who runs when. The same value can be started on a runtime with [`Workload::spawn`], driven
//! through a [reference loop](crate::sim::reference), drawn at random by a strategy such as
//! [`any`], and pasted back into a test from its `Debug` output:
//!
//! ```
//! use evenloop::sim::workload::*;
//!
//! let load = Workload::new()
//!     .with(tenant("bulk").weight(3).runs(hog(micros(20)).rounds(500).copies(256)))
//!     .with(tenant("health").runs(sleeper(millis(1), micros(5)).rounds(10)));
//!
//! let text = format!("{load:?}");
//! assert_eq!(
//!     text,
//!     "Workload::new()\
//!      .with(tenant(\"bulk\").weight(3).runs(hog(micros(20)).rounds(500).copies(256)))\
//!      .with(tenant(\"health\").runs(sleeper(millis(1), micros(5)).rounds(10)))"
//! );
//! ```

use std::time::Duration;

mod actor;
mod behaviour;
mod cast;
mod echo;
mod host;
mod show;
mod strategy;
mod upheaval;

pub use actor::{
    Actor, Cost, Kind, bursts, churn, closing, deadlines, dominoes, fan_in, fickle, flood, hog,
    mass_wake, nursery, ping_pong, remote, sleeper, timers, tree,
};
pub use behaviour::{Behaviour, Birth, Place, Step, Then, Who};
pub use cast::{Role, Totals};
pub use host::{Counts, Running};
pub use strategy::{
    Workloads, any, bursty, churning, crowds, floods, hogs, sleepers, talkers, timed, toppling,
    trees, upheavals,
};

/// Partitions, the actors in them, and the seed of what is left to chance.
///
/// Its `Debug` output is the Rust expression that makes it, on one line or, with `{:#?}`, on many.
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "a workload does nothing before it is spawned"]
pub struct Workload {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) seed: u64,
}

impl Workload {
    /// Begins with nobody.
    pub const fn new() -> Self {
        Self { tenants: Vec::new(), seed: 0 }
    }

    /// Adds a tenant.
    ///
    /// Tenants of the same name live in the same partition; its weight and group are those of the
    /// first. `"ROOT"` is the partition that every runtime has, in which `block_on` runs too.
    ///
    /// # Panics
    ///
    /// If it is ROOT with a weight or a group, which are not for a workload to change.
    #[track_caller]
    pub fn with(mut self, tenant: Tenant) -> Self {
        assert!(
            tenant.name != ROOT || (tenant.weight == 1 && tenant.group.is_none()),
            "ROOT has weight 1 and is in no group; give the tenant another name"
        );
        self.tenants.push(tenant);
        self
    }

    /// Sets the seed of the costs and pauses that are given as ranges; 0 if it is not set.
    ///
    /// What an actor draws depends on this, on the name of its partition and on its place there,
    /// and on nothing else: taking away one tenant leaves the others as they were.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Gives the partitions other names, those that actors name included.
    ///
    /// ```
    /// use evenloop::sim::workload::*;
    ///
    /// let load = Workload::new().with(tenant("a").runs(ping_pong("b", micros(1))));
    /// let same = Workload::new().with(tenant("my a").runs(ping_pong("my b", micros(1))));
    /// assert_eq!(load.renamed(|name| format!("my {name}")), same);
    /// ```
    pub fn renamed(mut self, mut name: impl FnMut(&str) -> String) -> Self {
        for tenant in &mut self.tenants {
            tenant.name = name(&tenant.name);
            for actor in &mut tenant.actors {
                match &mut actor.kind {
                    Kind::PingPong { peer, .. } => *peer = name(peer),
                    Kind::FanIn { from, .. } => from.iter_mut().for_each(|one| *one = name(one)),
                    _ => {}
                }
            }
        }
        self
    }

    /// Returns the tenants, in the order they were added.
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Returns the actors of all tenants; copies count as one.
    pub fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.tenants.iter().flat_map(|tenant| &tenant.actors)
    }
}

/// A partition and the actors in it.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a tenant does nothing before it is added to a workload"]
pub struct Tenant {
    pub(crate) name: String,
    pub(crate) weight: u32,
    pub(crate) group: Option<String>,
    pub(crate) isolated: bool,
    pub(crate) actors: Vec<Actor>,
}

/// Begins to describe the partition called `name`, of weight 1 and in no group.
pub fn tenant(name: impl Into<String>) -> Tenant {
    Tenant { name: name.into(), weight: 1, group: None, isolated: false, actors: Vec::new() }
}

impl Tenant {
    /// Sets the weight of the partition.
    ///
    /// # Panics
    ///
    /// If it is zero: a partition without a share would never run.
    #[track_caller]
    pub fn weight(mut self, weight: u32) -> Self {
        assert!(weight > 0, "a weight of zero would never run; give the tenant at least one");
        self.weight = weight;
        self
    }

    /// Puts the partition into a group, which has weight 1.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// Isolates the readiness of its sockets, or that of the group's; see
    /// [`isolated_io`](crate::PartitionBuilder::isolated_io).
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// Adds an actor.
    pub fn runs(mut self, actor: Actor) -> Self {
        self.actors.push(actor);
        self
    }

    /// Returns the name of the partition.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the weight of the partition.
    #[must_use]
    pub fn share(&self) -> u32 {
        self.weight
    }

    /// Returns the actors, in the order they were added.
    pub fn actors(&self) -> &[Actor] {
        &self.actors
    }
}

#[cfg(test)]
mod tests;

/// The partition of what was put into no other.
pub(crate) const ROOT: &str = "ROOT";

/// Returns a duration of so many nanoseconds.
#[must_use]
pub const fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

/// Returns a duration of so many microseconds.
#[must_use]
pub const fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// Returns a duration of so many milliseconds.
#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Returns a duration of so many seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
