//! From ids whose slots are used again to numbers that are not.

use indexmap::IndexMap;

/// Slots an id may be beyond all seen so far and still be found by its slot.
const REACH: usize = 4096;

/// Set in ids that are not made of slots: of tasks that came from other threads.
const WILD: u64 = 1 << 63;

/// Numbers for ids, in the order in which the ids are first seen.
///
/// An id is a generation and, in its lower half, a slot: small and used again. So a number is
/// found by the slot, and the whole id tells whether it is the one that lives there.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    slots: Vec<Slot>,
    /// Ids that are not made of slots.
    others: IndexMap<u64, u32>,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Zero while nobody was seen here.
    id: u64,
    number: u32,
}

impl Numbers {
    /// Returns the number of `id`, and whether it is a new one. O(1).
    #[inline]
    pub(super) fn of(&mut self, id: u64) -> (u32, bool) {
        match self.slots.get(id as u32 as usize) {
            Some(slot) if slot.id == id => (slot.number, false),
            _ => self.admit(id),
        }
    }

    #[cold]
    fn admit(&mut self, id: u64) -> (u32, bool) {
        let index = id as u32 as usize;
        if id & WILD != 0 || index >= self.slots.len() + REACH {
            let (next, number) = (self.next, *self.others.entry(id).or_insert(self.next));
            self.next += u32::from(number == next);
            return (number, number == next);
        }
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot { id: 0, number: 0 });
        }
        let number = self.next;
        self.next += 1;
        self.slots[index] = Slot { id, number };
        (number, true)
    }
}
