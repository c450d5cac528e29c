//! What a loop holds, so that a simulation can tell what a run has left behind.

use crate::runtime::Runtime;

/// What a simulation holds at a moment. When all that ran in it is gone, nothing is left.
///
/// # Examples
///
/// ```
/// use evenloop::time::{Duration, sleep};
/// use evenloop::{sim, spawn_in};
///
/// let sim = sim::Runtime::new(1);
/// let nap = sim.block_on(async {
///     let nap = spawn_in("bulk", sleep(Duration::from_secs(1)));
///     sleep(Duration::from_millis(1)).await;
///     nap
/// });
/// let held = sim.holdings();
/// assert_eq!((held.partitions, held.tasks, held.timers), (1, 1, 1));
/// sim.block_on(nap).unwrap();
/// assert!(sim.holdings().is_empty(), "{:?}", sim.holdings());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holdings {
    /// Partitions besides ROOT.
    pub partitions: usize,
    /// Groups of partitions.
    pub groups: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Handles that are queued.
    pub queued: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Sockets that the loop watches.
    pub sources: usize,
    /// Sockets that are open.
    pub sockets: usize,
    /// Connections, those included that are closed but whose last bytes are under way.
    pub connections: usize,
    /// Whether anything is left in the lists and bitmaps of the scheduler.
    pub lined_up: bool,
}

impl Holdings {
    /// Returns whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Runtime {
    /// What the loop holds; of sockets it knows those it watches.
    pub(crate) fn holdings(&self) -> Holdings {
        let core = self.local.core.borrow();
        Holdings {
            partitions: core.sched.len() - 1,
            groups: core.directory.groups(),
            tasks: core.tasks.len(),
            queued: core.sched.queued_total(),
            timers: core.timers.len(),
            sources: core.io.len(),
            sockets: 0,
            connections: 0,
            lined_up: !core.sched.is_quiescent(),
        }
    }

    /// The steps that decisions took on the lists and bitmaps of the scheduler.
    pub(crate) fn steps(&self) -> u64 {
        self.local.core.borrow().sched.steps()
    }

    /// How often the loop looked at its clock.
    pub(crate) fn clock_reads(&self) -> u64 {
        self.local.core.borrow().clock.reads()
    }
}
