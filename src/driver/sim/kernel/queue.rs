//! What is to happen, and when.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use fastrand::Rng;

/// Things ordered by time, and by the seed where the time is the same.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    ties: Rng,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    /// Drawn at random, so equal times come in any order.
    tie: u64,
    value: T,
}

impl<T> Queue<T> {
    pub(super) fn new(ties: Rng) -> Self {
        Self { heap: BinaryHeap::new(), ties }
    }

    pub(super) fn push(&mut self, at: u64, value: T) {
        let tie = self.ties.u64(..);
        self.heap.push(Reverse(Entry { at, tie, value }));
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn peek(&self) -> Option<&T> {
        self.heap.peek().map(|Reverse(entry)| &entry.value)
    }

    /// Takes out the first, if it is due by `now`, with its time.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<(u64, T)> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.value))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
