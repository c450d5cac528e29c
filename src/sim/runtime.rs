//! The runtime of a simulation.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::Budget;
use crate::clock::{Manual, Source, nanos};
use crate::driver::Driver;
use crate::driver::sim::{Kernel, Link};
use crate::runtime::{Holdings, Limits};
use crate::sim::Network;

/// A [`crate::Runtime`] in virtual time.
///
/// All methods of the other one are there, and mean the same. Blocking threads and sockets of the
/// system are not: what asks for them panics, as do a simulation in which nothing will ever happen
/// again while `block_on` waits, and one in which a million handles ran without any time passing.
///
/// # Examples
///
/// ```
/// use evenloop::sim;
/// use evenloop::time::{Duration, sleep};
///
/// let sim = sim::Runtime::new(42);
/// sim.block_on(async { sleep(Duration::from_secs(3_600)).await }); // the sleep is made inside
/// assert_eq!(sim.elapsed(), Duration::from_secs(3_600));
/// ```
pub struct Runtime {
    runtime: crate::Runtime,
    clock: Arc<Manual>,
    network: Network,
    seed: u64,
}

impl Runtime {
    /// Makes a simulation with the default settings, in which `seed` decides what is left open.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::builder().seed(seed).build()
    }

    /// Begins to describe a simulation.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the number that decides what the rules leave open.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the virtual time since the simulation was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.clock.now())
    }

    /// Returns the network of the simulation, to change it.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network.clone()
    }

    /// Returns a hash of all that has happened, step by step: equal runs, equal hashes.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.runtime.with_record(|record| record.hash).unwrap_or_default()
    }

    /// Returns what the simulation holds: partitions, tasks, timers, sockets. It looks into
    /// every list of the scheduler, which is for tests.
    ///
    /// Inside a handle the running task and the place of its partition count.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let (sockets, connections) = (self.network.descriptors(), self.network.connections());
        Holdings { sockets, connections, ..self.runtime.holdings() }
    }

    /// Returns how many steps on lists and bitmaps the scheduler has taken so far, in the ring of
    /// the root and in those of the groups there are. O(groups).
    #[must_use]
    pub fn scheduler_steps(&self) -> u64 {
        self.runtime.steps()
    }

    /// Returns how often the loop has looked at its clock so far. What tasks do, does not count.
    #[must_use]
    pub fn clock_reads(&self) -> u64 {
        self.runtime.clock_reads()
    }

    /// Runs what was spawned for `time`.
    ///
    /// # Panics
    ///
    /// As [`block_on`](crate::Runtime::block_on).
    #[track_caller]
    pub fn run_for(&self, time: Duration) {
        self.block_on(async { crate::time::sleep(time).await });
    }
}

/// The methods of the runtime it is.
impl Deref for Runtime {
    type Target = crate::Runtime;

    fn deref(&self) -> &crate::Runtime {
        &self.runtime
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("seed", &self.seed)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

const LIMITS: Limits = Limits { handle_cost: 0, steps: 1_000_000, events: 10_000_000 };

/// Describes a [`Runtime`].
///
/// # Examples
///
/// ```
/// use evenloop::{Budget, sim};
/// use std::time::Duration;
///
/// let sim = sim::Runtime::builder()
///     .seed(7)
///     .budget(Budget::handles(16))
///     .handle_cost(Duration::from_micros(1))
///     .build();
/// sim.block_on(evenloop::yield_now());
/// assert_eq!(sim.elapsed(), Duration::from_micros(2));
/// ```
#[derive(Debug)]
#[must_use = "nothing is made before `build`"]
pub struct Builder {
    runtime: crate::Builder,
    seed: u64,
    link: Link,
    limits: Limits,
}

impl Default for Builder {
    fn default() -> Self {
        Self { runtime: crate::Runtime::builder(), seed: 0, link: Link::default(), limits: LIMITS }
    }
}

impl Builder {
    /// Sets the number that decides what the rules leave open; 0 if it is not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets what lies between any two sockets; see [`Link`] for the default.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Sets what one turn grants a partition of weight 1.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.runtime = self.runtime.budget(budget);
        self
    }

    /// Sets what is done with the panic of a task whose handle nobody holds; see
    /// [`crate::Builder::on_unhandled_panic`].
    pub fn on_unhandled_panic(
        mut self,
        hook: impl Fn(crate::UnhandledPanic) + Send + Sync + 'static,
    ) -> Self {
        self.runtime = self.runtime.on_unhandled_panic(hook);
        self
    }

    /// Sets the time every handle takes besides what it spends; none if it is not set.
    pub fn handle_cost(mut self, time: Duration) -> Self {
        self.limits.handle_cost = nanos(time);
        self
    }

    /// Sets how many handles may run without any time passing before the simulation panics, since
    /// none ever will, it seems; a million if it is not set.
    ///
    /// # Panics
    ///
    /// If `handles` is zero.
    #[track_caller]
    pub fn step_limit(mut self, handles: u64) -> Self {
        assert!(handles > 0, "a simulation of no steps would run nothing; allow at least one");
        self.limits.steps = handles;
        self
    }

    /// Sets how many events the trace keeps, at 24 bytes each; ten million if it is not set. What
    /// goes beyond is counted and hashed all the same.
    pub fn trace_limit(mut self, events: usize) -> Self {
        self.limits.events = events;
        self
    }

    /// Breaks the loop in one way, to show that a property can fail.
    #[cfg(feature = "mutants")]
    #[doc(hidden)]
    pub fn mutation(mut self, mutation: crate::sched::Mutation) -> Self {
        self.runtime = self.runtime.mutation(mutation);
        self
    }

    /// Makes the simulation.
    #[must_use]
    pub fn build(self) -> Runtime {
        let clock = Manual::new();
        let kernel = Kernel::new(clock.clone(), self.seed, self.link);
        let network = Network::new(kernel.clone());
        let (driver, unpark) = Driver::simulate(kernel, clock.clone());
        let runtime = self.runtime.build_on(driver, unpark, Source::manual(clock.clone()));
        runtime.watch(clock.clone(), self.limits);
        Runtime { runtime, clock, network, seed: self.seed }
    }
}
