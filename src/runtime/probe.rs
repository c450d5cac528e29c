//! What a simulation sees of its loop, and does to it.
//!
//! Without the feature `sim` there is nothing in here, and nothing is paid for it. A loop that is
//! not simulated pays a test for each event.

#[cfg(feature = "sim")]
mod holdings;
#[cfg(feature = "sim")]
mod watch;

use std::time::Duration;

use crate::runtime::core::Queued;
use crate::runtime::info::PartitionInfo;
use crate::runtime::local::Local;
use crate::runtime::shared::Shared;
use crate::sched::{Dispatcher, Ended, GroupId, PartitionId, Timestamp, Turn, Weight};
use crate::task::{Header, TaskId};
#[cfg(feature = "sim")]
pub use holdings::Holdings;
#[cfg(feature = "sim")]
pub(crate) use watch::{Limits, Watch};

/// The place of a simulation in the loop.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    #[cfg(feature = "sim")]
    watch: Option<Box<Watch>>,
}

/// Declares `fn $event(&mut self, …)`, which passes the event on to a simulation if there is one.
macro_rules! events {
    ($($(#[$doc:meta])* fn $event:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $event(&mut self, $($arg: $type),*) $(-> $result)? {
            #[cfg(feature = "sim")]
            if let Some(watch) = &mut self.watch {
                return watch.$event($($arg),*);
            }
            $(let _ = $arg;)*
            Default::default()
        }
    )*};
}

impl Probe {
    /// Whether a simulation watches.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "sim")]
        return self.watch.is_some();
        #[cfg(not(feature = "sim"))]
        false
    }

    events! {
        /// The loop begins to run, and stops.
        fn started();
        fn stopped();
        /// Partitions and groups come, change and go.
        fn created(info: &PartitionInfo, group: Option<GroupId>);
        fn reweighed(partition: PartitionId, weight: Weight);
        fn freed(partition: PartitionId);
        fn group_created(group: GroupId, name: &str, weight: Weight);
        fn group_reweighed(group: GroupId, weight: Weight);
        /// Tasks come and go.
        fn spawned(header: &Header<Shared>, name: Option<&str>);
        fn ended(task: TaskId);
        /// What a handle is a poll of, for the trace.
        fn task(handle: &Queued) -> u64;
        /// A handle of `task` was queued.
        fn woken(partition: PartitionId, task: u64);
        /// A queued handle of `task` was taken back, which may have left the partition idle.
        fn withdrawn(partition: PartitionId, task: u64, idle: bool);
        /// An idle partition became runnable.
        fn roused(partition: PartitionId, sched: &Dispatcher<Queued>);
        /// A handle or a delivery was charged.
        fn charged(sched: &Dispatcher<Queued>);
        /// A source or a timer of the partition has been ready since then.
        fn ready(partition: PartitionId, since: Option<Timestamp>);
        /// A turn begins in this round of the root, and ends.
        fn turn(turn: &Turn, round: u64);
        fn turn_ended(partition: PartitionId, ended: Ended);
        /// A handle begins.
        fn runs(partition: PartitionId, handle: &Queued);
        /// It has ended, and takes its time. Returns whether too many have run in none.
        fn ran(partition: PartitionId) -> bool;
        /// So many wakers are about to be called for what was ready or due.
        fn delivers(partition: PartitionId, wakes: usize);
        fn nothing_to_deliver(partition: PartitionId);
        fn harvested(events: usize);
        /// The loop sleeps for so long at most.
        fn sleeps(timeout: Option<Duration>);
    }
}

impl Local {
    /// Ends a simulation in which time does not pass.
    #[cold]
    pub(crate) fn report_livelock(&self) -> ! {
        #[cfg(feature = "sim")]
        if let Some(watch) = &self.core.borrow().probe.watch {
            watch.report_livelock();
        }
        unreachable!("only a simulation can tell that a loop gets nowhere");
    }

    /// Ends a simulation in which nothing will ever happen again.
    #[cold]
    pub(crate) fn report_deadlock(&self) -> ! {
        let pending = self.pending();
        let shown = pending.iter().take(REPORTED).map(|task| format!("\n  {task}"));
        let shown: String = shown.collect();
        let more = match pending.len().saturating_sub(REPORTED) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        panic!(
            "the simulation is stuck at {:?}: nothing is runnable, no timer is set and no event is \
             under way, so `block_on` would wait for ever. Tasks that wait:{}{shown}{more}",
            Duration::from_nanos(self.shared.now()),
            if pending.is_empty() { " none but its own" } else { "" },
        );
    }
}

/// Tasks named in a report.
const REPORTED: usize = 20;
