//! Deadlines: a heap for each partition that has any, and a heap of those partitions.
//!
//! A million timers of one partition that expire together are one event for the loop. The
//! partition pops them in its own turns, at its own cost.

use std::fmt;

use slab::Slab;

use super::heap::Heap;
use super::owners::Owners;
use super::partition::{NONE, PartitionId};
use super::units::Timestamp;

/// Equal deadlines fire in the order they were set.
type Key = (Timestamp, u64);

/// The name of a timer; never given twice while 2³² others are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

impl TimerId {
    /// Returns the id as a number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// Returns the id whose [`to_bits`](Self::to_bits) is `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Timers by partition, each with a payload.
///
/// # Examples
///
/// ```
/// use evenloop::sched::{Dispatcher, Settings, Timers, Timestamp};
///
/// let root = Dispatcher::<()>::new(Settings::default()).root();
/// let at = Timestamp::from_nanos;
/// let mut timers = Timers::new();
/// timers.insert(root, at(20), "second");
/// timers.insert(root, at(10), "first");
/// assert_eq!(timers.earliest(), Some(at(10)));
///
/// let mut due = Vec::new();
/// timers.mark_due(at(15), |partition, _| due.push(partition));
/// assert_eq!(due, [root]);
/// let mut fired = Vec::new();
/// assert!(!timers.take_due(root, at(15), 10, &mut fired));
/// assert_eq!(fired, ["first"]);
/// ```
pub struct Timers<T> {
    entries: Slab<Entry<T>>,
    owners: Owners<Owner>,
    /// Partitions that are not marked due, by their first timer.
    earliest: Heap<Key>,
    next_sequence: u64,
    /// Heaps of partitions that ran out of timers, for those that get some.
    spare: Vec<Heap<Key>>,
}

struct Entry<T> {
    key: Key,
    generation: u32,
    owner: u32,
    /// In the owner's heap.
    position: u32,
    payload: T,
}

struct Owner {
    timers: Heap<Key>,
    /// In `earliest`; [`NONE`] while it is marked due.
    position: u32,
}

/// Empty heaps kept, and the most entries one of them may have room for.
const SPARE: usize = 64;

impl<T> Timers<T> {
    /// Creates an empty set of timers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Slab::new(),
            owners: Owners::new(),
            earliest: Heap::new(),
            next_sequence: 0,
            spare: Vec::new(),
        }
    }

    /// Sets a timer. O(log n) in the timers of its owner and the partitions that have timers.
    pub fn insert(&mut self, owner: PartitionId, deadline: Timestamp, payload: T) -> TimerId {
        let key = self.key(deadline);
        let generation = key.1 as u32;
        let owner = self.owner_of(owner);
        let entry = Entry { key, generation, owner, position: NONE, payload };
        let index = self.entries.insert(entry) as u32;
        self.link(index);
        TimerId { index, generation }
    }

    /// Removes a timer and returns its payload, or `None` if it fired or was removed. O(log n).
    pub fn remove(&mut self, id: TimerId) -> Option<T> {
        self.find(id)?;
        let owner = self.unlink(id.index);
        self.release(owner);
        Some(self.entries.remove(id.index as usize).payload)
    }

    /// Returns the payload of a timer that is set.
    #[must_use]
    pub fn get(&self, id: TimerId) -> Option<&T> {
        self.find(id).map(|entry| &entry.payload)
    }

    /// Returns the payload of a timer that is set.
    #[must_use]
    pub fn get_mut(&mut self, id: TimerId) -> Option<&mut T> {
        self.find(id)?;
        Some(&mut self.entries[id.index as usize].payload)
    }

    /// Gives a timer another deadline, as if it were set now. `false` if it fired or was removed.
    /// O(log n).
    pub fn reset(&mut self, id: TimerId, deadline: Timestamp) -> bool {
        if self.find(id).is_none() {
            return false;
        }
        let key = self.key(deadline);
        let entry = &mut self.entries[id.index as usize];
        entry.key = key;
        let (owner, position) = (entry.owner, entry.position);
        let entries = &mut self.entries;
        self.owners[owner]
            .timers
            .update(position, key, |item, at| entries[item as usize].position = at);
        self.refresh(owner);
        true
    }

    /// Gives a timer to another partition. `false` if it fired or was removed. O(log n).
    pub fn set_owner(&mut self, id: TimerId, owner: PartitionId) -> bool {
        let Some(entry) = self.find(id) else { return false };
        if self.owners.id(entry.owner) == owner {
            return true;
        }
        let old = self.unlink(id.index);
        let new = self.owner_of(owner);
        self.entries[id.index as usize].owner = new;
        self.link(id.index);
        self.release(old);
        true
    }

    /// Returns the partition a timer belongs to.
    #[must_use]
    pub fn owner(&self, id: TimerId) -> Option<PartitionId> {
        self.find(id).map(|entry| self.owners.id(entry.owner))
    }

    /// Returns when a timer is due.
    #[must_use]
    pub fn deadline(&self, id: TimerId) -> Option<Timestamp> {
        self.find(id).map(|entry| entry.key.0)
    }

    /// Returns the earliest deadline of the partitions that are not marked due. O(1).
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        self.earliest.peek().map(|(key, _)| key.0)
    }

    /// Marks every partition that has a timer due at `now`, and names it with its earliest deadline
    /// to `due`, once: a marked one is not named again before its timers are taken. O(k log p) for
    /// k partitions to mark.
    pub fn mark_due(&mut self, now: Timestamp, mut due: impl FnMut(PartitionId, Timestamp)) {
        while let Some((key, owner)) = self.earliest.peek() {
            if key.0 > now {
                break;
            }
            self.leave_earliest(owner);
            due(self.owners.id(owner), key.0);
        }
    }

    /// Returns whether a partition is marked due.
    #[must_use]
    #[inline]
    pub fn is_due(&self, owner: PartitionId) -> bool {
        self.owners.find(owner).is_some_and(|owner| self.owners[owner].position == NONE)
    }

    /// Moves up to `max` timers of a partition that are due at `now` to `out`, in order of their
    /// deadlines, and returns whether more are due. Then the partition stays marked; else the
    /// mark is cleared. O(log n) a timer.
    pub fn take_due(
        &mut self,
        owner: PartitionId,
        now: Timestamp,
        max: usize,
        out: &mut Vec<T>,
    ) -> bool {
        let Some(owner) = self.owners.find(owner) else { return false };
        let mut taken = 0;
        while let Some((key, index)) = self.owners[owner].timers.peek() {
            if key.0 > now {
                break;
            }
            if taken == max {
                self.leave_earliest(owner);
                return true;
            }
            self.unlink_only(index);
            out.push(self.entries.remove(index as usize).payload);
            taken += 1;
        }
        self.enter_earliest(owner);
        self.refresh(owner);
        self.release(owner);
        false
    }

    /// Returns how many timers a partition has set.
    #[must_use]
    pub fn count(&self, owner: PartitionId) -> usize {
        self.owners.find(owner).map_or(0, |owner| self.owners[owner].timers.len())
    }

    /// Returns how many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether no timer is set. Then nothing is kept for any partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.owners.is_empty() && self.earliest.is_empty()
    }

    /// Gives every timer up and returns the payloads, in no order.
    pub fn into_payloads(self) -> impl Iterator<Item = T> {
        self.entries.into_iter().map(|(_, entry)| entry.payload)
    }

    fn key(&mut self, deadline: Timestamp) -> Key {
        self.next_sequence += 1;
        (deadline, self.next_sequence)
    }

    fn find(&self, id: TimerId) -> Option<&Entry<T>> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.generation == id.generation).then_some(entry)
    }

    fn owner_of(&mut self, id: PartitionId) -> u32 {
        let spare = &mut self.spare;
        self.owners.find_or_insert(id, || Owner {
            timers: spare.pop().unwrap_or_else(Heap::new),
            // In no heap yet, as one that is due; its first timer puts it into one.
            position: NEW,
        })
    }

    fn link(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (key, owner) = (entry.key, entry.owner);
        let entries = &mut self.entries;
        self.owners[owner].timers.push(key, index, |item, at| entries[item as usize].position = at);
        self.refresh(owner);
    }

    /// Takes a timer from its owner's heap, and returns the owner, which may have none left.
    fn unlink(&mut self, index: u32) -> u32 {
        let owner = self.unlink_only(index);
        self.refresh(owner);
        owner
    }

    fn unlink_only(&mut self, index: u32) -> u32 {
        let Entry { owner, position, .. } = self.entries[index as usize];
        let entries = &mut self.entries;
        self.owners[owner].timers.remove(position, |item, at| entries[item as usize].position = at);
        owner
    }

    /// Makes an owner's place among the earliest follow its first timer, unless it is due.
    fn refresh(&mut self, owner: u32) {
        let Owner { ref timers, position } = self.owners[owner];
        let first = timers.peek().map(|(key, _)| key);
        let owners = &mut self.owners;
        let place = |item, at| owners[item].position = at;
        match (first, position) {
            (_, NONE) | (None, NEW) => {}
            (Some(key), NEW) => self.earliest.push(key, owner, place),
            (Some(key), at) => self.earliest.update(at, key, place),
            (None, at) => {
                self.earliest.remove(at, place);
                self.owners[owner].position = NEW;
            }
        }
    }

    /// Clears the due mark; `refresh` puts the owner among the earliest.
    fn enter_earliest(&mut self, owner: u32) {
        let position = &mut self.owners[owner].position;
        if *position == NONE {
            *position = NEW;
        }
    }

    /// Marks an owner due.
    fn leave_earliest(&mut self, owner: u32) {
        let position = std::mem::replace(&mut self.owners[owner].position, NONE);
        if position != NONE {
            let owners = &mut self.owners;
            self.earliest.remove(position, |item, at| owners[item].position = at);
        }
    }

    /// Forgets an owner that has no timers.
    fn release(&mut self, owner: u32) {
        if !self.owners[owner].timers.is_empty() {
            return;
        }
        let heap = self.owners.remove(owner).timers;
        if self.spare.len() < SPARE && heap.capacity() <= SPARE {
            self.spare.push(heap);
        }
    }
}

/// The position of an owner that is in no heap and not due.
const NEW: u32 = NONE - 1;

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Timers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("len", &self.len())
            .field("earliest", &self.earliest())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
