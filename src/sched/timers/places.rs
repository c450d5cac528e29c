//! Where timers are in their heaps, and in which order they were set.

use super::Key;
use crate::sched::heap::Index;
use crate::sched::units::Timestamp;

/// What the heaps know of each entry besides its deadline, by its index.
#[derive(Debug)]
pub(super) struct Places {
    /// Where it is in its owner's heap. Apart from the entries, as it is what a heap writes to at every
    /// step, and so stays in the cache sixteen times as long.
    pub(super) positions: Vec<u32>,
    /// When it was set, counted from the first one. Asked for only where deadlines are the same, so that
    /// a heap has four children in 64 bytes.
    pub(super) sequences: Vec<u64>,
}

impl Places {
    pub(super) const fn new() -> Self {
        Self { positions: Vec::new(), sequences: Vec::new() }
    }

    /// Makes room for an entry that was just made.
    #[inline]
    pub(super) fn add(&mut self, index: u32, position: u32, sequence: u64) {
        if index as usize == self.positions.len() {
            self.positions.push(position);
            self.sequences.push(sequence);
        } else {
            self.positions[index as usize] = position;
            self.sequences[index as usize] = sequence;
        }
    }

    #[inline]
    pub(super) fn key(&self, (deadline, index): (Timestamp, u32)) -> Key {
        Key { deadline, sequence: self.sequences[index as usize] }
    }

    #[cold]
    fn was_set_before(&self, a: u32, b: u32) -> bool {
        self.sequences[a as usize] < self.sequences[b as usize]
    }
}

impl Index<Timestamp> for Places {
    #[inline]
    fn precedes(&self, a: (Timestamp, u32), b: (Timestamp, u32)) -> bool {
        if a.0 == b.0 { self.was_set_before(a.1, b.1) } else { a.0 < b.0 }
    }

    #[inline]
    fn place(&mut self, item: u32, position: u32) {
        self.positions[item as usize] = position;
    }
}
