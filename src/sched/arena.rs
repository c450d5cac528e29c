//! The nodes of a dispatcher: one slab, checked by generation.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use super::cold::{Cold, Colds};
use super::partition::{GroupId, NONE, Node, PartitionId, Place, next_generation};
use super::units::Weight;

/// Partitions and groups side by side, so that a ring links them by bare indices.
///
/// A slot keeps its generation when it is vacated; vacant slots are linked through `next`.
#[derive(Debug)]
pub(super) struct Arena<H> {
    nodes: Vec<Node<H>>,
    /// Apart from the nodes, so that a node stays one cache line, and lent to those that need it.
    colds: Colds<H>,
    vacant: u32,
    len: usize,
}

impl<H> Arena<H> {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), colds: Colds::new(), vacant: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an idle node without flags. O(1), amortised.
    ///
    /// # Panics
    ///
    /// If there are 2³² − 1 nodes already.
    pub(super) fn insert(&mut self, group: u32, allotment: u64, weight: Weight) -> u32 {
        self.len += 1;
        let index = self.vacate_or_grow();
        let node = &mut self.nodes[index as usize];
        node.round = 0;
        node.spent = 0;
        node.allotment = allotment;
        node.prev = NONE;
        node.next = NONE;
        node.group = group;
        node.len = 0;
        node.ahead = 0;
        node.place = Place::Idle;
        node.flags = 0;
        self.set_weight(index, weight);
        index
    }

    fn vacate_or_grow(&mut self) -> u32 {
        if self.vacant != NONE {
            let index = self.vacant;
            self.vacant = self.nodes[index as usize].next;
            return index;
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        assert!(index != NONE, "more than four billion partitions at once");
        self.nodes.push(Node {
            round: 0,
            spent: 0,
            allotment: 1,
            front: None,
            prev: NONE,
            next: NONE,
            generation: 1,
            group: NONE,
            len: 0,
            ahead: 0,
            cold: NONE,
            place: Place::Vacant,
            flags: 0,
        });
        index
    }

    /// Vacates a slot and gives its handles back, first come first.
    pub(super) fn remove(&mut self, index: u32) -> VecDeque<H> {
        self.len -= 1;
        let node = &mut self.nodes[index as usize];
        node.generation = next_generation(node.generation);
        node.place = Place::Vacant;
        node.next = self.vacant;
        self.vacant = index;
        let cold = std::mem::replace(&mut node.cold, NONE);
        let mut handles = self.colds.dissolve(cold);
        handles.extend(node.front.take());
        // The first handle was put last.
        handles.rotate_right(usize::from(node.len > 0));
        handles
    }

    /// Returns the slot of a partition, unless the id is stale.
    #[inline]
    pub(super) fn find(&self, id: PartitionId) -> Option<u32> {
        let node = self.nodes.get(id.index as usize)?;
        node.is_partition(id.generation).then_some(id.index)
    }

    /// Returns the slot of a group's node, unless the id is stale.
    pub(super) fn find_group(&self, id: GroupId) -> Option<u32> {
        let node = self.nodes.get(id.index as usize)?;
        node.is_group(id.generation).then_some(id.index)
    }

    /// Returns the node of a partition, unless the id is stale.
    #[inline]
    pub(super) fn get_mut(&mut self, id: PartitionId) -> Option<&mut Node<H>> {
        let node = self.nodes.get_mut(id.index as usize)?;
        if node.is_partition(id.generation) { Some(node) } else { None }
    }

    /// Returns the cold part of a node, if it has one.
    pub(super) fn cold(&self, index: u32) -> Option<&Cold<H>> {
        self.colds.get(self.nodes[index as usize].cold)
    }

    /// Returns the cold part of a node, which is lent one if it has none.
    pub(super) fn cold_mut(&mut self, index: u32) -> &mut Cold<H> {
        self.colds.get_or_lend(&mut self.nodes[index as usize].cold)
    }

    pub(super) fn weight(&self, index: u32) -> Weight {
        self.cold(index).map_or(Weight::ONE, |cold| cold.weight)
    }

    pub(super) fn set_weight(&mut self, index: u32, weight: Weight) {
        if weight != self.weight(index) {
            self.cold_mut(index).weight = weight;
            if self.nodes[index as usize].len <= 1 {
                self.warm(index);
            }
        }
    }

    /// Returns whether no node has a cold part in vain. O(cold parts).
    pub(super) fn is_tidy(&self) -> bool {
        self.colds.is_tidy()
    }

    /// Takes back the cold part of a node that has nothing behind the first handle, if it needs it no
    /// more.
    pub(super) fn warm(&mut self, index: u32) {
        self.colds.take_back(&mut self.nodes[index as usize].cold);
    }

    /// Queues a handle at the tail.
    #[inline]
    pub(super) fn enqueue(&mut self, index: u32, handle: H) {
        let node = &mut self.nodes[index as usize];
        if node.len == 0 {
            node.front = Some(handle);
            node.len = 1;
        } else {
            self.enqueue_behind(index, handle);
        }
    }

    /// Queues a handle behind another one.
    // Apart, so that who wakes the only one to run saves no registers for a queue that may grow.
    #[inline(never)]
    fn enqueue_behind(&mut self, index: u32, handle: H) {
        let node = &mut self.nodes[index as usize];
        node.len += 1;
        self.colds.get_or_lend(&mut node.cold).rest.push_back(handle);
    }

    /// Takes the handle at the front.
    #[inline]
    pub(super) fn dequeue(&mut self, index: u32) -> Option<H> {
        let node = &mut self.nodes[index as usize];
        let handle = node.front.take()?;
        node.len -= 1;
        node.ahead = node.ahead.saturating_sub(1);
        if let Some(cold) = self.colds.get_mut(node.cold) {
            node.front = cold.rest.pop_front();
        }
        Some(handle)
    }

    /// Takes the handle at the front and queues another at the tail, where there is no marker. If
    /// nothing is queued, the other is given back.
    #[inline]
    pub(super) fn exchange(&mut self, index: u32, handle: H) -> H {
        let node = &mut self.nodes[index as usize];
        let Some(front) = node.front.take() else { return handle };
        let behind = match self.colds.get_mut(node.cold) {
            Some(cold) => cold.rotate(handle),
            None => handle,
        };
        node.front = Some(behind);
        front
    }

    /// Swaps the handle at the front with the one at a place of the queue, from 0.
    #[cfg(feature = "mutants")]
    pub(super) fn bring_forward(&mut self, index: u32, place: usize) {
        let node = &mut self.nodes[index as usize];
        if let (Some(front), Some(behind)) = (&mut node.front, place.checked_sub(1)) {
            let cold = self.colds.get_or_lend(&mut node.cold);
            std::mem::swap(front, &mut cold.rest[behind]);
        }
    }

    /// Returns what is queued, first come first.
    #[cfg(test)]
    pub(super) fn handles(&self, index: u32) -> impl Iterator<Item = &H> {
        let behind = self.cold(index).into_iter().flat_map(|cold| &cold.rest);
        self.nodes[index as usize].front.iter().chain(behind)
    }

    /// Takes the first handle that `is_it`, from wherever it is in the queue.
    pub(super) fn withdraw(&mut self, index: u32, mut is_it: impl FnMut(&H) -> bool) -> Option<H> {
        let node = &mut self.nodes[index as usize];
        if is_it(node.front.as_ref()?) {
            return self.dequeue(index);
        }
        let rest = &mut self.colds.get_mut(node.cold)?.rest;
        let at = rest.iter().position(is_it)?;
        node.len -= 1;
        // The first handle is not in `rest`.
        node.ahead -= u32::from((at as u32) + 1 < node.ahead);
        rest.remove(at)
    }
}

impl<H> Index<u32> for Arena<H> {
    type Output = Node<H>;

    #[inline]
    fn index(&self, index: u32) -> &Node<H> {
        &self.nodes[index as usize]
    }
}

impl<H> IndexMut<u32> for Arena<H> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Node<H> {
        &mut self.nodes[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_one_cache_line() {
        assert_eq!(size_of::<Node<Box<u8>>>(), 64);
        assert_eq!(size_of::<Node<std::num::NonZeroU32>>(), 64);
    }

    /// Who has one handle at a time has no cold part, and who is idle has none left.
    #[test]
    fn a_cold_part_is_lent_for_as_long_as_it_is_needed() {
        let mut arena = Arena::new();
        let (a, b) = (arena.insert(NONE, 1, Weight::ONE), arena.insert(NONE, 1, Weight::ONE));
        arena.enqueue(a, 1);
        assert_eq!((arena.cold(a).is_some(), arena.colds.lent()), (false, 0));
        for (index, lent) in [(a, 1), (b, 1)] {
            arena.enqueue(index, 2);
            arena.enqueue(index, 3);
            assert_eq!(arena.colds.lent(), lent);
            while arena.dequeue(index).is_some() {}
            arena.warm(index);
            assert_eq!(arena.colds.lent(), 0);
        }
        // So is one that has a weight like all others again.
        arena.set_weight(a, Weight::of(2));
        assert_eq!(arena.colds.lent(), 1);
        arena.set_weight(a, Weight::ONE);
        assert_eq!(arena.colds.lent(), 0);
        // What was forgiven is remembered until the node goes, and so is a weight.
        arena.cold_mut(a).forgiven = 7;
        arena.set_weight(b, Weight::of(3));
        arena.warm(a);
        arena.warm(b);
        assert_eq!(arena.cold(a).map(|cold| cold.forgiven), Some(7));
        assert_eq!(arena.weight(b), Weight::of(3));
        assert_eq!((arena.remove(a), arena.remove(b)), ([].into(), [].into()));
        assert_eq!(arena.colds.lent(), 0);
        for _ in 0..2 {
            let index = arena.insert(NONE, 1, Weight::ONE);
            let cold = arena.cold_mut(index);
            assert_eq!((cold.forgiven, cold.weight), (0, Weight::ONE));
        }
    }

    #[test]
    fn a_slot_is_reused_under_another_name() {
        let mut arena = Arena::<u8>::new();
        let index = arena.insert(NONE, 1, Weight::ONE);
        let old = PartitionId { index, generation: arena[index].generation };
        arena.enqueue(index, 1);
        arena.enqueue(index, 2);
        arena.enqueue(index, 3);
        assert_eq!(arena.remove(index), [1, 2, 3]);
        assert_eq!(arena.insert(NONE, 1, Weight::ONE), index);
        assert_eq!(arena.find(old), None);
        assert_eq!(arena.len(), 1);
    }

    /// What is left keeps its order, and its place before or behind the marker.
    #[test]
    fn a_handle_is_withdrawn_from_anywhere() {
        for (out, ahead) in [(0, 1), (1, 1), (2, 2), (3, 2)] {
            let mut arena = Arena::new();
            let index = arena.insert(NONE, 1, Weight::ONE);
            arena.enqueue(index, 0);
            arena.enqueue(index, 1);
            arena[index].marker_to_tail();
            arena.enqueue(index, 2);
            arena.enqueue(index, 3);
            assert_eq!(arena.withdraw(index, |&handle| handle == 9), None);
            assert_eq!(arena.withdraw(index, |&handle| handle == out), Some(out));
            assert_eq!((arena[index].len, arena[index].ahead), (3, ahead));
            let left: Vec<_> = std::iter::from_fn(|| arena.dequeue(index)).collect();
            assert_eq!(left, (0..4).filter(|&handle| handle != out).collect::<Vec<_>>());
        }
    }

    /// An exchange is what queueing one and taking one is, in either order.
    #[test]
    fn an_exchange_is_one_in_and_one_out() {
        for len in 0..4 {
            let mut arena = Arena::new();
            let (a, b) = (arena.insert(NONE, 1, Weight::ONE), arena.insert(NONE, 1, Weight::ONE));
            for index in [a, b] {
                (0..len).for_each(|handle| arena.enqueue(index, handle));
            }
            for handle in 10..20 {
                arena.enqueue(a, handle);
                assert_eq!(arena.dequeue(a), Some(arena.exchange(b, handle)));
                assert_eq!(arena[a].len, arena[b].len);
                assert!(arena.handles(a).eq(arena.handles(b)));
            }
        }
    }

    #[test]
    fn handles_leave_as_they_came() {
        let mut arena = Arena::new();
        let index = arena.insert(NONE, 1, Weight::ONE);
        let mut next = 0;
        let mut expected = 0;
        for burst in [1, 3, 2, 5] {
            for _ in 0..burst {
                arena.enqueue(index, next);
                next += 1;
            }
            for _ in 0..burst.min(2) {
                assert_eq!(arena.dequeue(index), Some(expected));
                expected += 1;
            }
        }
        while let Some(handle) = arena.dequeue(index) {
            assert_eq!(handle, expected);
            expected += 1;
        }
        assert_eq!(expected, next);
    }
}
