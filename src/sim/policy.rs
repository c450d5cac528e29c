//! Policies: who runs next, as a [reference loop](super::reference) asks.
//!
//! [`Scrr`] is the dispatcher of this crate. The others are yardsticks: the rules by which other
//! loops and runtimes choose, each in as few lines as it takes, with the place where its rule can
//! be read. They choose among partitions only; queues, timers, costs and harvests are the loop's,
//! and the same for all.
//!
//! | policy | who runs next | the rule of |
//! |---|---|---|
//! | [`Fifo`] | who was queued first, whatever its partition | asyncio, tokio's `current_thread` |
//! | [`OneHandleEach`] | the next partition in a ring, for one handle | qloop, as its author meant it |
//! | [`VirtualRuntime`] | the partition that had least time for its weight, for half a millisecond | Seastar |
//! | [`DebtForgotten`] | round robin in time, and who sleeps owes nothing | glommio, as to its sleepers |
//! | [`Scrr`] | see [`sched`](crate::sched) | evenloop |

use std::fmt;

mod debt_forgotten;
mod fifo;
mod one_handle_each;
mod scrr;
mod virtual_runtime;

pub use debt_forgotten::DebtForgotten;
pub use fifo::Fifo;
pub use one_handle_each::OneHandleEach;
pub use scrr::Scrr;
pub use virtual_runtime::VirtualRuntime;

/// What a partition is entitled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Never zero.
    pub weight: u32,
    /// The number of the group it is in, for policies that know groups.
    pub group: Option<usize>,
}

/// Chooses which partition runs next.
///
/// The loop tells who has work and what handles took; the policy answers [`pick`](Self::pick) and,
/// at each boundary between two handles, [`settle`](Self::settle). Partitions are numbers which the
/// loop gives out from 0 up and never gives twice.
///
/// # Examples
///
/// A policy that always serves the newest partition there is, and so starves the others:
///
/// ```
/// use evenloop::sim::policy::{Policy, Share};
/// use evenloop::sim::reference::Reference;
/// use evenloop::sim::workload::*;
/// use std::collections::BTreeSet;
///
/// #[derive(Debug, Default)]
/// struct NewestFirst {
///     ready: BTreeSet<usize>,
///     current: usize,
/// }
///
/// impl Policy for NewestFirst {
///     fn name(&self) -> &'static str {
///         "newest first"
///     }
///     fn create(&mut self, _partition: usize, _share: Share, _maker: Option<usize>) {}
///     fn remove(&mut self, _partition: usize) {}
///     fn wake(&mut self, partition: usize) {
///         self.ready.insert(partition);
///     }
///     fn pick(&mut self) -> Option<usize> {
///         self.current = self.ready.pop_last()?;
///         Some(self.current)
///     }
///     fn charge(&mut self, _elapsed: u64) {}
///     fn settle(&mut self, more: bool) -> bool {
///         more
///     }
/// }
///
/// let load = Workload::new()
///     .with(tenant("old").runs(hog(micros(10)).rounds(5)))
///     .with(tenant("new").runs(hog(micros(10)).rounds(100)));
/// let outcome = Reference::new(&load).run(NewestFirst::default());
/// assert_eq!(outcome.waits("old").max(), millis(1));
/// ```
pub trait Policy: fmt::Debug {
    /// Returns what it is called in a table.
    fn name(&self) -> &'static str;

    /// Returns whether all partitions share one queue, the first one's. Then the others are not
    /// created.
    fn merges(&self) -> bool {
        false
    }

    /// Returns whether handles are to be timed at all.
    fn timed(&self) -> bool {
        true
    }

    /// Takes notice of a new partition. `maker` is the partition whose handle makes it.
    fn create(&mut self, partition: usize, share: Share, maker: Option<usize>);

    /// Forgets a partition, which has no work.
    fn remove(&mut self, partition: usize);

    /// Lines up a partition that had no work, and now has.
    fn wake(&mut self, partition: usize);

    /// Picks the partition whose turn it is, out of those with work.
    fn pick(&mut self) -> Option<usize>;

    /// Charges a handle of the picked partition with the nanoseconds it took. They are zero if
    /// nobody else could have wanted the thread.
    fn charge(&mut self, elapsed: u64);

    /// Decides at the boundary between two handles whether the turn goes on. `more` says whether
    /// the partition has work left. If it has and the turn does not go on, it is back in line.
    fn settle(&mut self, more: bool) -> bool;
}

#[cfg(test)]
mod tests;
