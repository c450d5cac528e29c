//! Who runs next: the partitions of a loop, their queues, and the two levels they share in.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::num::NonZeroU64;

use slab::Slab;

use super::arena::Arena;
use super::partition::{
    DELIVERED, DUE, GROUP, GroupId, Lead, MARKED, NEWBORN, NONE, PartitionId, Place, Tag, UNPRICED,
    allotment, scale,
};
use super::scrr::{GROUP_BUCKETS, Outcome, ROOT_BUCKETS, Ring};
use super::settings::Settings;
use super::units::Weight;

mod control;
mod together;

/// Shares a thread among partitions, in weighted rounds paid for after the fact.
///
/// Partitions and groups share the root's rounds by weight; the partitions of a group share what
/// the group gets. `H` is what is queued: a task to poll, or a number in a test.
///
/// Every move is O(1), however many partitions there are and however long their handles take.
#[derive(Debug)]
pub struct Dispatcher<H> {
    settings: Settings,
    nodes: Arena<H>,
    groups: Slab<Group>,
    top: Ring,
    root: PartitionId,
    /// Partitions that are not idle, the running one included.
    runnable: usize,
    /// Partitions there are.
    partitions: usize,
    /// Handles queued in all of them.
    queued: usize,
    /// Newborns the gate held back so far.
    gated: u64,
    /// Debt that was forgiven, to whomever, in cost units.
    forgiven: u64,
    lease: Option<Lease>,
    /// Tag and allotment of a partition that was removed in its own turn, for its children.
    estate: (Tag, u64),
    /// Made by the running handle; they wait for its price.
    unpriced: Vec<PartitionId>,
    /// How often handles were shuffled.
    #[cfg(feature = "mutants")]
    shuffles: u64,
}

#[derive(Debug)]
struct Group {
    /// The node that stands for it at the root.
    node: u32,
    ring: Ring,
    members: usize,
}

/// The turn that is out.
#[derive(Clone, Copy, Debug)]
struct Lease {
    partition: PartitionId,
    /// The group whose turn it is as well, or [`NONE`]. It outlives the partition, not the turn.
    group: u32,
    /// Whether the partition was removed in its own turn.
    departed: bool,
}

/// A partition's go: handles until its budget is spent, it runs dry, or it is preempted.
///
/// A turn is paid for exactly once: by [`Dispatcher::charge`], [`Dispatcher::delivered`] or
/// [`Dispatcher::finish`], each of which takes it and gives it back if it goes on.
#[must_use = "a turn has to be charged or finished before the next can be picked"]
pub struct Turn {
    /// The partition's id, and in the two bits that generations leave free how it came to its
    /// turn. One word, since it is moved at every handle.
    bits: NonZeroU64,
}

/// Set in a turn that came through the express lane.
const EXPRESS: u64 = 1 << 63;
/// Set in a turn that is the rest of one that was preempted.
const RESUMED: u64 = 1 << 62;

impl Turn {
    #[inline]
    fn new(partition: PartitionId, express: bool, fresh: bool) -> Self {
        let express = if express { EXPRESS } else { 0 };
        let resumed = if fresh { 0 } else { RESUMED };
        let bits = NonZeroU64::new(partition.to_bits() | express | resumed);
        Self { bits: bits.expect("the bits of an id are never zero") }
    }

    /// Returns the partition whose turn it is.
    #[must_use]
    #[inline]
    pub const fn partition(&self) -> PartitionId {
        PartitionId::from_bits(self.bits.get() & !(EXPRESS | RESUMED))
    }

    /// Returns whether it is the turn of `partition`.
    #[must_use]
    #[inline]
    pub const fn is_of(&self, partition: PartitionId) -> bool {
        self.bits.get() & !(EXPRESS | RESUMED) == partition.to_bits()
    }

    /// Returns whether the partition came through the express lane of its ring.
    #[must_use]
    #[inline]
    pub const fn is_express(&self) -> bool {
        self.bits.get() & EXPRESS != 0
    }

    /// Returns whether this is a new turn, not the rest of one that was preempted.
    #[must_use]
    #[inline]
    pub const fn is_fresh(&self) -> bool {
        self.bits.get() & RESUMED == 0
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("partition", &self.partition())
            .field("express", &self.is_express())
            .field("fresh", &self.is_fresh())
            .finish()
    }
}

/// What a turn does next.
#[derive(Debug)]
pub enum Step<H> {
    /// Run this handle, then [`charge`](Dispatcher::charge) for it.
    Run(H),
    /// Deliver the partition's readiness and due timers, then say
    /// [`delivered`](Dispatcher::delivered).
    Deliver,
    /// There is nothing left: [`finish`](Dispatcher::finish) the turn.
    Dry,
}

/// What becomes of a turn.
#[derive(Debug)]
#[must_use = "a turn that continues is to be run"]
pub enum Next {
    /// It goes on.
    Continues(Turn),
    /// It is over.
    Ended(Ended),
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The allotment of the partition or its group, or the express slice, is used up. The
    /// partition is back in line.
    Spent,
    /// Another partition woke with allotment left. The rest of the turn comes after it.
    Preempted,
    /// The partition has nothing left to do.
    Idle,
    /// The partition was removed in the course of it.
    Removed,
}

/// What a push or a rouse did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The partition was idle and is runnable now.
    Roused,
    /// The partition was runnable already.
    Queued,
}

/// Who creates a partition, if a handle does.
///
/// A new partition starts where its creator stands, or a partition in debt could hand its work
/// to a new one and start afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creator {
    /// The partition of the handle that creates.
    pub partition: PartitionId,
    /// The cost of that handle so far. Of no account if it is the running one: its children wait
    /// until it is charged, and bear what it cost to the end.
    pub spent: u64,
}

/// There is no such group, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownGroup(pub GroupId);

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the group was removed, or belongs to another dispatcher")
    }
}

impl Error for UnknownGroup {}

/// Running: pick, step, charge.
impl<H> Dispatcher<H> {
    /// Queues a handle at the tail of a partition, which becomes runnable. O(1).
    ///
    /// # Errors
    ///
    /// Gives the handle back if there is no such partition, or no longer.
    #[inline]
    pub fn push(&mut self, id: PartitionId, handle: H) -> Result<Wake, H> {
        let Some(index) = self.nodes.find(id) else { return Err(handle) };
        self.nodes.enqueue(index, handle);
        self.queued += 1;
        Ok(self.wake(index))
    }

    /// Makes a partition runnable because something waits for delivery. O(1).
    ///
    /// Its marker, or if it has none one for this occasion, brings the delivery: at once if
    /// nothing is queued, else after what was queued when the marker was put. Returns `None` if
    /// there is no such partition.
    #[inline]
    pub fn rouse(&mut self, id: PartitionId) -> Option<Wake> {
        let node = self.nodes.get_mut(id)?;
        if !node.has(MARKED | DUE) {
            node.marker_to_tail();
        }
        node.set(DUE, true);
        Some(self.wake(id.index))
    }

    /// Says whether a partition keeps a marker in its queue, because it has registrations or
    /// timers. A new marker goes to the tail. O(1).
    pub fn mark(&mut self, id: PartitionId, on: bool) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if on && !node.has(MARKED | DUE) {
            node.marker_to_tail();
        }
        node.set(MARKED, on);
    }

    #[inline]
    fn wake(&mut self, index: u32) -> Wake {
        let node = &mut self.nodes[index];
        if node.place != Place::Idle {
            return Wake::Queued;
        }
        self.runnable += 1;
        if node.has(UNPRICED) {
            node.place = Place::Unborn;
        } else {
            self.line_up(index);
        }
        Wake::Roused
    }

    /// Puts a partition in line, and its group if that was idle.
    #[inline]
    fn line_up(&mut self, index: u32) {
        let group = self.nodes[index].group;
        if group == NONE {
            self.gated += u64::from(self.top.wake(&mut self.nodes, index));
            return;
        }
        let group = &mut self.groups[group as usize];
        self.gated += u64::from(group.ring.wake(&mut self.nodes, index));
        if self.nodes[group.node].place == Place::Idle {
            self.gated += u64::from(self.top.wake(&mut self.nodes, group.node));
        }
    }

    /// Picks the partition to run next, or `None` if none has work.
    ///
    /// The answer may change after any other call. O(1).
    ///
    /// # Panics
    ///
    /// If the last turn was neither charged nor finished.
    #[inline]
    pub fn pick(&mut self) -> Option<Turn> {
        assert!(self.lease.is_none(), "picked a turn before the last one was settled");
        let mut picked = self.top.pick(&mut self.nodes)?;
        let mut group = NONE;
        if self.nodes[picked.index].has(GROUP) {
            group = self.nodes[picked.index].group;
            let inner = self.groups[group as usize].ring.pick(&mut self.nodes);
            picked = inner.expect("a group in line has a runnable member");
        }
        let generation = self.nodes[picked.index].generation;
        let partition = PartitionId { index: picked.index, generation };
        self.lease = Some(Lease { partition, group, departed: false });
        Some(Turn::new(partition, picked.express, picked.fresh))
    }

    /// Returns what the turn does next. O(1).
    ///
    /// A partition with a marker delivers when the marker is at the front or nothing is queued,
    /// so neither a queue that never empties nor one that is empty cuts it off.
    #[inline]
    pub fn step(&mut self, turn: &Turn) -> Step<H> {
        let Some(node) = self.nodes.get_mut(turn.partition()) else { return Step::Dry };
        if node.wants_delivery() {
            return Step::Deliver;
        }
        node.set(DELIVERED, false);
        #[cfg(feature = "mutants")]
        self.shuffle(turn.partition().index);
        match self.nodes.dequeue(turn.partition().index) {
            Some(handle) => {
                self.queued -= 1;
                Step::Run(handle)
            }
            None => Step::Dry,
        }
    }

    /// Charges what a delivery cost, before [`delivered`](Self::delivered) decides whether the
    /// turn goes on. O(1).
    pub fn spend(&mut self, turn: &Turn, cost: u64) {
        self.pay(turn, cost);
    }

    /// Puts the marker back at the tail after a delivery, and decides whether the turn goes on.
    ///
    /// `more` says that something still waits, as when a delivery stops at a limit: an empty
    /// queue then asks for another. O(1).
    #[inline]
    pub fn delivered(&mut self, turn: Turn, more: bool) -> Next {
        // The turn may end here, and what was made in it since the last charge has no other to
        // wait for.
        if !self.unpriced.is_empty() {
            self.price_newborns(0);
        }
        let Some(node) = self.nodes.get_mut(turn.partition()) else { return self.settle(turn) };
        node.marker_to_tail();
        node.set(DUE, more);
        node.set(DELIVERED, true);
        // With nothing left the turn is not over yet: `step` says so, and `finish` ends it.
        if node.is_busy() { self.settle(turn) } else { Next::Continues(turn) }
    }

    /// Charges a handle that ran, and decides whether the turn goes on.
    ///
    /// If the queue is empty and a delivery is still to come the turn goes on, spent or not: the
    /// delivery shows whether the partition is idle. O(1).
    #[inline(always)]
    pub fn charge(&mut self, turn: Turn, cost: u64) -> Next {
        self.pay(&turn, cost);
        let delivers_first = match self.nodes.get_mut(turn.partition()) {
            Some(node) => node.len == 0 && node.wants_delivery(),
            None => false,
        };
        if delivers_first { Next::Continues(turn) } else { self.settle(turn) }
    }

    /// Ends a turn that is dry, charging what its last deliveries cost. O(1).
    ///
    /// The partition is idle then, unless work came in after [`Step::Dry`].
    pub fn finish(&mut self, turn: Turn, cost: u64) -> Ended {
        self.pay(&turn, cost);
        match self.settle(turn) {
            Next::Ended(ended) => ended,
            Next::Continues(_) => {
                // Work came in. The member stays current, so the next pick resumes it.
                self.lease = None;
                Ended::Preempted
            }
        }
    }

    #[inline(always)]
    fn pay(&mut self, turn: &Turn, cost: u64) {
        let lease = self.lease.expect("settled a turn that was not picked");
        assert_eq!(lease.partition, turn.partition(), "settled another turn than was picked");
        let index = turn.partition().index;
        let present = !lease.departed;
        if lease.group == NONE {
            if present {
                let forgiven = self.top.pay(&mut self.nodes, index, cost);
                self.forgive(index, forgiven);
            }
        } else {
            let group = &mut self.groups[lease.group as usize];
            let node = group.node;
            if present {
                let forgiven = group.ring.pay(&mut self.nodes, index, cost);
                self.forgive(index, forgiven);
            }
            let forgiven = self.top.pay(&mut self.nodes, node, cost);
            self.forgive(node, forgiven);
        }
        if !self.unpriced.is_empty() {
            self.price_newborns(cost);
        }
    }

    #[inline]
    fn forgive(&mut self, index: u32, cost: u64) {
        if cost > 0 {
            let forgiven = &mut self.nodes.cold_mut(index).forgiven;
            *forgiven = forgiven.saturating_add(cost);
            self.forgiven = self.forgiven.saturating_add(cost);
        }
    }

    #[inline(always)]
    fn settle(&mut self, turn: Turn) -> Next {
        let lease = self.lease.expect("settled a turn that was not picked");
        let index = turn.partition().index;
        let present = !lease.departed;
        let busy = present && self.nodes[index].is_busy();
        let outcome = if lease.group == NONE {
            if present { self.top.settle(&mut self.nodes, index, busy) } else { Outcome::Idle }
        } else {
            self.settle_group(lease, busy)
        };
        if outcome == Outcome::Continues {
            return Next::Continues(turn);
        }
        self.lease = None;
        if !present {
            return Next::Ended(Ended::Removed);
        }
        if !busy {
            self.runnable -= 1;
        }
        Next::Ended(match outcome {
            _ if !busy => Ended::Idle,
            Outcome::Preempted => Ended::Preempted,
            _ => Ended::Spent,
        })
    }

    /// Settles a member with its group first, then the group at the root.
    ///
    /// A member whose turn would go on while its group's ends stays current in the group, so the
    /// group's next turn resumes it.
    fn settle_group(&mut self, lease: Lease, busy: bool) -> Outcome {
        let group = &mut self.groups[lease.group as usize];
        let inner = if lease.departed {
            Outcome::Idle
        } else {
            group.ring.settle(&mut self.nodes, lease.partition.index, busy)
        };
        let outer = self.top.settle(&mut self.nodes, group.node, group.ring.runnable() > 0);
        if inner == Outcome::Continues { outer } else { inner }
    }

    /// Returns whether exactly one partition is runnable; the running one counts. O(1), one
    /// comparison.
    #[must_use]
    #[inline]
    pub const fn is_sole(&self) -> bool {
        self.runnable == 1
    }
}

#[cfg(test)]
mod tests;
