//! State by partition, there only while a partition has something to keep.

use std::ops::{Index, IndexMut};

use slab::Slab;

use super::partition::{NONE, PartitionId};

/// Slots a table may keep when it is empty.
const SMALL: usize = 64;

/// A table from partitions to `S`, indexed by slot and checked by generation.
///
/// A partition may go before what it owned; then the slot's successor must not find it. So the
/// states of one slot are chained, and each bears the whole id.
#[derive(Debug)]
pub(super) struct Owners<S> {
    states: Slab<Owned<S>>,
    /// The newest state of each slot, or [`NONE`].
    heads: Vec<u32>,
}

#[derive(Debug)]
struct Owned<S> {
    id: PartitionId,
    state: S,
    /// The next state of the same slot.
    next: u32,
}

impl<S> Owners<S> {
    pub(super) const fn new() -> Self {
        Self { states: Slab::new(), heads: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether it would free memory if it ran empty.
    pub(super) fn is_large(&self) -> bool {
        self.heads.capacity() > SMALL
    }

    /// Returns the key of a partition's state. O(1), unless states of its predecessors in the
    /// slot are left: O(predecessors).
    #[inline]
    pub(super) fn find(&self, id: PartitionId) -> Option<u32> {
        let mut key = *self.heads.get(id.index())?;
        while key != NONE {
            let owned = &self.states[key as usize];
            if owned.id == id {
                return Some(key);
            }
            key = owned.next;
        }
        None
    }

    /// Returns whose state it is, and the state.
    #[inline]
    pub(super) fn get_mut(&mut self, key: u32) -> (PartitionId, &mut S) {
        let Owned { id, state, .. } = &mut self.states[key as usize];
        (*id, state)
    }

    pub(super) fn id(&self, key: u32) -> PartitionId {
        self.states[key as usize].id
    }

    /// Returns the key of a partition's state, making one if there is none.
    pub(super) fn find_or_insert(&mut self, id: PartitionId, make: impl FnOnce() -> S) -> u32 {
        if let Some(key) = self.find(id) {
            return key;
        }
        if self.heads.len() <= id.index() {
            self.heads.resize(id.index() + 1, NONE);
        }
        let next = self.heads[id.index()];
        let key = self.states.insert(Owned { id, state: make(), next }) as u32;
        self.heads[id.index()] = key;
        key
    }

    /// Removes a state; with the last one a large table is freed. A small one is kept, for a
    /// lone partition comes and goes with every timer.
    pub(super) fn remove(&mut self, key: u32) -> S {
        let Owned { id, state, next } = self.states.remove(key as usize);
        self.relink(id.index(), key, next);
        if self.states.is_empty() && self.is_large() {
            self.states = Slab::new();
            self.heads = Vec::new();
        }
        state
    }

    fn relink(&mut self, slot: usize, key: u32, next: u32) {
        let mut at = self.heads[slot];
        if at == key {
            self.heads[slot] = next;
            return;
        }
        while self.states[at as usize].next != key {
            at = self.states[at as usize].next;
        }
        self.states[at as usize].next = next;
    }
}

impl<S> Index<u32> for Owners<S> {
    type Output = S;

    #[inline]
    fn index(&self, key: u32) -> &S {
        &self.states[key as usize].state
    }
}

impl<S> IndexMut<u32> for Owners<S> {
    #[inline]
    fn index_mut(&mut self, key: u32) -> &mut S {
        &mut self.states[key as usize].state
    }
}
