//! Deadlines: a heap for each partition that has any, and a heap of those partitions.
//!
//! A million timers of one partition that expire together are one event for the loop. The
//! partition pops them in its own turns, at its own cost.
//!
//! Most timers are limits that are taken back: the answer came in time. So what has to be in order
//! is put in order as late as may be. A new timer waits unsorted until as many have come that it pays,
//! or until its partition may be the next to be due; and a partition is filed under a *bound*, a time
//! before which none of its timers is due, which is left where it is when the first one goes.

mod key;
mod places;

use std::fmt;

use slab::Slab;

use super::heap::{Heap, Index};
use super::owners::Owners;
use super::partition::{NONE, PartitionId};
use super::units::Timestamp;
use key::Key;
use places::Places;

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
    places: Places,
    owners: Owners<Owner>,
    /// Partitions that are not marked due, by their bounds.
    earliest: Heap<Key>,
    next_sequence: u64,
    /// The owner that ran out of timers last. It is kept, with its place among the earliest, as it
    /// may well get some again: no other without timers is.
    spared: u32,
    /// The owner looked for last: mostly it is asked for again.
    recent: Option<(PartitionId, u32)>,
    /// Space for those that are taken.
    popped: Vec<u32>,
    /// Heaps of partitions that ran out of timers, for those that get some.
    spare: Vec<Heap<Timestamp>>,
}

struct Entry<T> {
    generation: u32,
    owner: u32,
    payload: T,
}

/// | state  | bound               | gets an earlier timer | earliest is asked     | marked | taken |
/// |--------|---------------------|-----------------------|-----------------------|--------|-------|
/// | loose  | the last of all     | filed                 |                       |        |       |
/// | filed  | before all timers   | filed, further ahead  | filed anew, or loose  | due    | filed |
/// | due    | the first of all    | due                   |                       |        | filed |
struct Owner {
    timers: Heap<Timestamp>,
    /// What it is filed under in `earliest`.
    bound: Key,
    /// In `earliest`, or [`LOOSE`], or [`NONE`] while it is marked due.
    position: u32,
}

impl Index<Key> for Owners<Owner> {
    #[inline]
    fn precedes(&self, a: (Key, u32), b: (Key, u32)) -> bool {
        a.0 < b.0
    }

    #[inline]
    fn place(&mut self, item: u32, position: u32) {
        self[item].position = position;
    }
}

/// The position of an owner that is in no heap and not due.
const LOOSE: u32 = NONE - 1;
/// Empty heaps kept, and the most entries one of them may have room for.
const SPARE: usize = 64;
/// New timers of an owner that may wait to be sorted. Whoever sets one more sorts them, so nobody
/// else ever has more to sort.
const UNSORTED_MAX: usize = 64;

impl<T> Timers<T> {
    /// Creates an empty set of timers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Slab::new(),
            places: Places::new(),
            owners: Owners::new(),
            earliest: Heap::new(),
            next_sequence: 0,
            spared: NONE,
            recent: None,
            popped: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Sets a timer. Amortized O(log n) in the timers of its owner, and O(log p) in the partitions that
    /// have timers if it is earlier than all of its owner; O(1) if it is removed before 64 more are
    /// set or it is [`earliest`](Self::earliest).
    #[inline]
    pub fn insert(&mut self, owner: PartitionId, deadline: Timestamp, payload: T) -> TimerId {
        let id = self.reserve();
        self.keep(id, owner, deadline, payload);
        id
    }

    /// Names a timer that is to be kept before any other is set, reset or removed, or never.
    #[inline]
    pub(crate) fn reserve(&mut self) -> TimerId {
        self.next_sequence += 1;
        TimerId { index: self.entries.vacant_key() as u32, generation: self.next_sequence as u32 }
    }

    /// Sets the timer that was named last.
    #[inline]
    pub(crate) fn keep(
        &mut self,
        id: TimerId,
        owner: PartitionId,
        deadline: Timestamp,
        payload: T,
    ) {
        let owner = self.owner_of(owner);
        let generation = id.generation;
        debug_assert_eq!(generation, self.next_sequence as u32, "it was named too long ago");
        let key = Key { deadline, sequence: self.next_sequence };
        let state = &mut self.owners[owner];
        let position = state.timers.len() as u32;
        let index = self.entries.insert(Entry { generation, owner, payload }) as u32;
        debug_assert_eq!(index, id.index, "its place was taken");
        self.places.add(index, position, key.sequence);
        state.timers.append(deadline, index);
        if key < state.bound || state.timers.tail() > UNSORTED_MAX {
            self.linked(owner, key);
        }
    }

    /// Removes a timer and returns its payload, or `None` if it fired or was removed. O(log n).
    pub fn remove(&mut self, id: TimerId) -> Option<T> {
        self.take(id).map(|(payload, _)| payload)
    }

    /// As [`remove`](Self::remove), and returns whose timer it was.
    #[inline]
    pub(crate) fn take(&mut self, id: TimerId) -> Option<(T, PartitionId)> {
        let &Entry { owner, .. } = self.find(id)?;
        let Self { entries, places, owners, .. } = self;
        let position = places.positions[id.index as usize];
        let (partition, state) = owners.get_mut(owner);
        state.timers.remove(position, places);
        let left = state.timers.len();
        let is_due = state.position == NONE;
        let payload = entries.remove(id.index as usize).payload;
        if left == 0 && (owner != self.spared || is_due) {
            self.release(owner);
        }
        Some((payload, partition))
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
        let Some(&Entry { owner, .. }) = self.find(id) else { return false };
        let key = self.key(deadline);
        let Self { places, owners, .. } = self;
        places.sequences[id.index as usize] = key.sequence;
        owners[owner].timers.update(places.positions[id.index as usize], deadline, places);
        self.bring_forward(owner, key);
        true
    }

    /// Gives a timer to another partition. `false` if it fired or was removed. O(log n).
    pub fn set_owner(&mut self, id: TimerId, owner: PartitionId) -> bool {
        let Some(entry) = self.find(id) else { return false };
        if self.owners.id(entry.owner) == owner {
            return true;
        }
        let (old, key, left) = self.unlink(id.index);
        let new = self.owner_of(owner);
        self.entries[id.index as usize].owner = new;
        self.link(id.index, new, key);
        if left == 0 {
            self.release(old);
        }
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
        let timers = &self.owners[self.find(id)?.owner].timers;
        Some(timers.key(self.places.positions[id.index as usize]))
    }

    /// Returns a time before which no timer of a partition is due that is not marked, or `None` if
    /// there are no such. It may be earlier than [`earliest`](Self::earliest). O(1).
    #[must_use]
    #[inline]
    pub fn bound(&self) -> Option<Timestamp> {
        self.earliest.peek().map(|(key, _)| key.deadline)
    }

    /// Returns the earliest deadline of the partitions that are not marked due. O(1) if nothing has
    /// changed since the last time. Else each timer that was set, and each partition whose first timer
    /// went, costs O(log) once: here or in another call.
    pub fn earliest(&mut self) -> Option<Timestamp> {
        self.first().map(|(key, _)| key.deadline)
    }

    /// Marks every partition that has a timer due at `now`, and names it with its earliest deadline
    /// to `due`, once: a marked one is not named again before its timers are taken. O(k log p) for
    /// k partitions to mark, and what [`earliest`](Self::earliest) costs.
    pub fn mark_due(&mut self, now: Timestamp, mut due: impl FnMut(PartitionId, Timestamp)) {
        while self.bound().is_some_and(|bound| bound <= now) {
            let Some((key, owner)) = self.first() else { break };
            if key.deadline > now {
                break;
            }
            self.mark(owner);
            due(self.owners.id(owner), key.deadline);
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
        self.sort(owner);
        let more = self.pop_due(owner, now, max);
        // After all have left the heap, so that the processor may fetch several from memory at once.
        let entries = &mut self.entries;
        out.extend(self.popped.drain(..).map(|index| entries.remove(index as usize).payload));
        if more {
            self.mark(owner);
            return true;
        }
        if self.owners[owner].position == NONE {
            self.unfile(owner);
        }
        match self.owners[owner].timers.peek() {
            Some(first) => self.bring_forward(owner, self.places.key(first)),
            None => self.release(owner),
        }
        false
    }

    /// Moves up to `max` timers that are due from a heap to `popped`; returns whether more are.
    fn pop_due(&mut self, owner: u32, now: Timestamp, max: usize) -> bool {
        let Self { places, owners, popped, .. } = self;
        let timers = &mut owners[owner].timers;
        while let Some((_, index)) = timers.peek().filter(|(deadline, _)| *deadline <= now) {
            if popped.len() == max {
                return true;
            }
            timers.remove(0, places);
            popped.push(index);
        }
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

    /// Returns whether no timer is set. Then nothing is kept for any partition but the last one
    /// that had timers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.owners.len() <= 1 && self.earliest.len() <= 1
    }

    /// Gives every timer up and returns the payloads, in no order.
    pub fn into_payloads(self) -> impl Iterator<Item = T> {
        self.entries.into_iter().map(|(_, entry)| entry.payload)
    }

    #[inline]
    fn key(&mut self, deadline: Timestamp) -> Key {
        self.next_sequence += 1;
        Key { deadline, sequence: self.next_sequence }
    }

    #[inline]
    fn find(&self, id: TimerId) -> Option<&Entry<T>> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.generation == id.generation).then_some(entry)
    }

    #[inline]
    fn owner_of(&mut self, id: PartitionId) -> u32 {
        match self.recent {
            Some((recent, owner)) if recent == id => owner,
            _ => self.look_up(id),
        }
    }

    fn look_up(&mut self, id: PartitionId) -> u32 {
        let spare = &mut self.spare;
        let owner = self.owners.find_or_insert(id, || Owner {
            timers: spare.pop().unwrap_or_else(Heap::new),
            bound: Key::LAST,
            position: LOOSE,
        });
        self.recent = Some((id, owner));
        owner
    }

    /// Puts a timer that is in no heap into its owner's.
    fn link(&mut self, index: u32, owner: u32, key: Key) {
        let timers = &mut self.owners[owner].timers;
        self.places.positions[index as usize] = timers.len() as u32;
        timers.append(key.deadline, index);
        self.linked(owner, key);
    }

    /// Does what follows when a timer was put into a heap: most often nothing.
    fn linked(&mut self, owner: u32, key: Key) {
        if self.owners[owner].timers.tail() > UNSORTED_MAX {
            self.sort(owner);
        }
        self.bring_forward(owner, key);
    }

    /// Takes a timer from its owner's heap; returns the owner, the key, and how many it has left.
    /// The owner's bound stays, and is one no less.
    #[inline]
    fn unlink(&mut self, index: u32) -> (u32, Key, usize) {
        let owner = self.entries[index as usize].owner;
        let Self { places, owners, .. } = self;
        let timers = &mut owners[owner].timers;
        let position = places.positions[index as usize];
        let key = places.key((timers.key(position), index));
        timers.remove(position, places);
        (owner, key, timers.len())
    }

    #[inline]
    fn sort(&mut self, owner: u32) {
        self.owners[owner].timers.sort(&mut self.places);
    }

    /// Files an owner that has a timer with `key` no later than that.
    #[inline]
    fn bring_forward(&mut self, owner: u32, key: Key) {
        if key < self.owners[owner].bound {
            self.file(owner, key);
        }
    }

    /// Files an owner that is not due under `key`.
    fn file(&mut self, owner: u32, key: Key) {
        let state = &mut self.owners[owner];
        state.bound = key;
        let position = state.position;
        match position {
            LOOSE => self.earliest.push(key, owner, &mut self.owners),
            position => self.earliest.update(position, key, &mut self.owners),
        }
    }

    /// Marks an owner due.
    fn mark(&mut self, owner: u32) {
        self.unfile(owner);
        let state = &mut self.owners[owner];
        (state.position, state.bound) = (NONE, Key::FIRST);
    }

    /// Makes an owner loose, due or filed as it may be.
    fn unfile(&mut self, owner: u32) {
        let state = &mut self.owners[owner];
        state.bound = Key::LAST;
        let position = std::mem::replace(&mut state.position, LOOSE);
        if position < LOOSE {
            self.earliest.remove(position, &mut self.owners);
        }
    }

    /// Returns the first timer of those that are filed, and its owner, once that is filed under
    /// the timer itself.
    fn first(&mut self) -> Option<(Key, u32)> {
        while let Some((bound, owner)) = self.earliest.peek() {
            self.sort(owner);
            match self.owners[owner].timers.peek().map(|first| self.places.key(first)) {
                Some(first) if first == bound => return Some((first, owner)),
                Some(first) => self.file(owner, first),
                None => self.unfile(owner),
            }
        }
        None
    }

    /// Spares an owner that has run out of timers, and forgets the one spared before.
    fn release(&mut self, owner: u32) {
        if self.owners[owner].position == NONE {
            self.unfile(owner);
        }
        let before = std::mem::replace(&mut self.spared, owner);
        if before != owner {
            self.forget(before);
        }
        if self.entries.is_empty() && self.owners.is_large() {
            self.spared = NONE;
            self.forget(owner);
        }
        if self.spared == owner && self.owners[owner].timers.capacity() > SPARE {
            self.owners[owner].timers = Heap::new();
        }
    }

    /// Forgets an owner that was spared, unless it has timers again.
    fn forget(&mut self, owner: u32) {
        if owner == NONE || !self.owners[owner].timers.is_empty() {
            return;
        }
        self.unfile(owner);
        self.recent = None;
        let heap = self.owners.remove(owner).timers;
        if self.spare.len() < SPARE && heap.capacity() <= SPARE {
            self.spare.push(heap);
        }
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Timers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("len", &self.len())
            .field("bound", &self.bound())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
