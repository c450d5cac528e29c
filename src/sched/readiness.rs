//! What the kernel reported, kept by partition until that partition asks.
//!
//! A harvest marks; a delivery takes. A mark is a link in its owner's list, so a harvest of many
//! sources costs their owners nothing until it is their turn.

use std::fmt;

use slab::Slab;

use super::owners::Owners;
use super::partition::{NONE, PartitionId};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// In: readable, or closed by the peer.
    Read,
    /// Out: writable, or connected.
    Write,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Read, Self::Write];
}

/// The name of a registration; never given twice while 2³² others are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId {
    index: u32,
    generation: u32,
}

impl RegistrationId {
    /// Returns the id as a number, never zero and never `u64::MAX`. It fits a `usize` of 64 bits,
    /// such as the token of an event.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// Returns the id whose [`to_bits`](Self::to_bits) is `bits`; other bits name nothing or, by
    /// chance, something else.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Registered sources, each with an owner for reading and one for writing.
///
/// # Examples
///
/// ```
/// use evenloop::sched::{Direction, Dispatcher, Readiness, Settings};
///
/// let root = Dispatcher::<()>::new(Settings::default()).root();
/// let mut readiness = Readiness::new();
/// let socket = readiness.register(root, "socket");
/// assert_eq!(readiness.mark(socket, Direction::Read), Some(root));
/// assert_eq!(readiness.mark(socket, Direction::Read), None); // it is marked already
///
/// let mut ready = Vec::new();
/// assert!(!readiness.take(root, 16, &mut ready));
/// assert_eq!(ready, [(socket, Direction::Read)]);
/// ```
pub struct Readiness<S> {
    registrations: Slab<Registration<S>>,
    owners: Owners<Owner>,
    last_generation: u32,
}

struct Registration<S> {
    generation: u32,
    sides: [Side; 2],
    source: S,
}

/// One direction of a registration; its number is `2 * index + direction`.
#[derive(Clone, Copy)]
struct Side {
    owner: u32,
    pending: bool,
    prev: u32,
    next: u32,
}

/// Exists while a partition owns a side.
struct Owner {
    /// Sides owned.
    count: usize,
    /// The pending ones, first marked first.
    head: u32,
    tail: u32,
}

impl<S> Readiness<S> {
    /// Creates an empty set of registrations.
    #[must_use]
    pub const fn new() -> Self {
        Self { registrations: Slab::new(), owners: Owners::new(), last_generation: 0 }
    }

    /// Returns all sources.
    pub fn sources(&self) -> impl Iterator<Item = &S> {
        self.registrations.iter().map(|(_, registration)| &registration.source)
    }

    /// Registers a source; both its directions belong to `owner`. O(1), amortised.
    ///
    /// # Panics
    ///
    /// If there are 2³¹ − 1 registrations already.
    pub fn register(&mut self, owner: PartitionId, source: S) -> RegistrationId {
        assert!(self.registrations.len() < (NONE / 2) as usize, "more than two billion sources");
        self.last_generation = self.last_generation.wrapping_add(1).max(1);
        let generation = self.last_generation;
        let owner = self.owner_of(owner);
        self.owners[owner].count += 2;
        let side = Side { owner, pending: false, prev: NONE, next: NONE };
        let registration = Registration { generation, sides: [side; 2], source };
        let index = self.registrations.insert(registration) as u32;
        RegistrationId { index, generation }
    }

    /// Removes a registration, with whatever was pending of it, and returns its source, or `None`
    /// if there is no such registration. O(1).
    pub fn deregister(&mut self, id: RegistrationId) -> Option<S> {
        self.find(id)?;
        for direction in Direction::BOTH {
            self.disown(number(id.index, direction));
        }
        Some(self.registrations.remove(id.index as usize).source)
    }

    /// Returns the source of a registration.
    #[must_use]
    pub fn get(&self, id: RegistrationId) -> Option<&S> {
        self.find(id).map(|registration| &registration.source)
    }

    /// Returns the source of a registration.
    #[must_use]
    pub fn get_mut(&mut self, id: RegistrationId) -> Option<&mut S> {
        self.find(id)?;
        Some(&mut self.registrations[id.index as usize].source)
    }

    /// Returns whose a direction is.
    #[must_use]
    pub fn owner(&self, id: RegistrationId, direction: Direction) -> Option<PartitionId> {
        self.find(id).map(|found| self.owners.id(found.sides[direction as usize].owner))
    }

    /// Gives a direction to another partition, and what is pending of it along with it: then the
    /// new owner [has something pending](Self::has_pending). `false` if there is no such
    /// registration. O(1).
    pub fn set_owner(
        &mut self,
        id: RegistrationId,
        direction: Direction,
        owner: PartitionId,
    ) -> bool {
        let Some(found) = self.find(id) else { return false };
        let Side { owner: old, pending, .. } = found.sides[direction as usize];
        if self.owners.id(old) == owner {
            return true;
        }
        let side = number(id.index, direction);
        let new = self.owner_of(owner);
        self.disown(side);
        self.owners[new].count += 1;
        self.side_mut(side).owner = new;
        if pending {
            self.mark(id, direction);
        }
        true
    }

    /// Marks a direction ready. Returns its owner if it was not marked before. O(1).
    #[inline]
    pub fn mark(&mut self, id: RegistrationId, direction: Direction) -> Option<PartitionId> {
        let registration = self.registrations.get_mut(id.index as usize)?;
        let side = &mut registration.sides[direction as usize];
        if side.pending || registration.generation != id.generation {
            return None;
        }
        let (owner, number) = (side.owner, number(id.index, direction));
        let list = &mut self.owners[owner];
        let tail = std::mem::replace(&mut list.tail, number);
        *side = Side { owner, pending: true, prev: tail, next: NONE };
        if tail == NONE {
            list.head = number;
        } else {
            self.side_mut(tail).next = number;
        }
        Some(self.owners.id(owner))
    }

    /// Moves up to `max` marks of a partition to `out`, first marked first, and returns whether
    /// more are left. O(1) a mark.
    pub fn take(
        &mut self,
        owner: PartitionId,
        max: usize,
        out: &mut Vec<(RegistrationId, Direction)>,
    ) -> bool {
        let Some(owner) = self.owners.find(owner) else { return false };
        let mut first = self.owners[owner].head;
        for _ in 0..max {
            if first == NONE {
                break;
            }
            let index = first / 2;
            let registration = &mut self.registrations[index as usize];
            let direction = Direction::BOTH[(first % 2) as usize];
            let side = &mut registration.sides[direction as usize];
            side.pending = false;
            first = side.next;
            let generation = registration.generation;
            out.push((RegistrationId { index, generation }, direction));
        }
        let list = &mut self.owners[owner];
        list.head = first;
        if first == NONE {
            list.tail = NONE;
            return false;
        }
        self.side_mut(first).prev = NONE;
        true
    }

    /// Returns whether something of a partition is marked. O(1).
    #[must_use]
    #[inline]
    pub fn has_pending(&self, owner: PartitionId) -> bool {
        self.owners.find(owner).is_some_and(|owner| self.owners[owner].head != NONE)
    }

    /// Returns how many directions a partition owns.
    #[must_use]
    pub fn count(&self, owner: PartitionId) -> usize {
        self.owners.find(owner).map_or(0, |owner| self.owners[owner].count)
    }

    /// Returns how many registrations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registrations.len()
    }

    /// Returns whether there are no registrations. Then nothing is kept for any partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registrations.is_empty() && self.owners.is_empty()
    }

    fn find(&self, id: RegistrationId) -> Option<&Registration<S>> {
        let registration = self.registrations.get(id.index as usize)?;
        (registration.generation == id.generation).then_some(registration)
    }

    fn owner_of(&mut self, id: PartitionId) -> u32 {
        self.owners.find_or_insert(id, || Owner { count: 0, head: NONE, tail: NONE })
    }

    fn side_mut(&mut self, side: u32) -> &mut Side {
        &mut self.registrations[(side / 2) as usize].sides[(side % 2) as usize]
    }

    fn unlink(&mut self, side: u32) {
        let Side { owner, prev, next, .. } = *self.side_mut(side);
        if prev == NONE {
            self.owners[owner].head = next;
        } else {
            self.side_mut(prev).next = next;
        }
        if next == NONE {
            self.owners[owner].tail = prev;
        } else {
            self.side_mut(next).prev = prev;
        }
        self.side_mut(side).pending = false;
    }

    /// Takes a side from its owner, who is forgotten with the last one.
    fn disown(&mut self, side: u32) {
        let Side { owner, pending, .. } = *self.side_mut(side);
        if pending {
            self.unlink(side);
        }
        self.owners[owner].count -= 1;
        if self.owners[owner].count == 0 {
            self.owners.remove(owner);
        }
    }
}

fn number(index: u32, direction: Direction) -> u32 {
    index * 2 + direction as u32
}

impl<S> Default for Readiness<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Readiness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
