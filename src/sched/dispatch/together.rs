//! Within a turn: handles that run without asking who is next and are charged together, and those that
//! are woken meanwhile.

use super::*;

impl<H> Dispatcher<H> {
    /// Returns how many handles of `price` may be charged together: after each of them, were it
    /// charged alone, the turn would go on. It holds as long as there are more to run, no other
    /// partition is woken, and none is created or given another weight. O(1).
    #[must_use]
    pub fn room(&self, turn: &Turn, price: u64) -> u64 {
        let Some(lease) = self.lease.filter(|lease| !lease.departed) else { return 0 };
        if !self.unpriced.is_empty() {
            return 0;
        }
        let index = turn.partition().index;
        if lease.group == NONE {
            return self.top.room(&self.nodes, index, price);
        }
        let group = &self.groups[lease.group as usize];
        let room = group.ring.room(&self.nodes, index, price);
        room.min(self.top.room(&self.nodes, group.node, price))
    }

    /// Returns whether nothing waits for the handle that runs: neither one of its partition nor a
    /// delivery. O(1).
    #[inline]
    #[must_use]
    pub fn has_no_other(&self, turn: &Turn) -> bool {
        let node = &self.nodes[turn.partition().index];
        node.len == 0 && !node.has(MARKED | DUE) && node.place == Place::Current
    }

    /// Queues `again`, if it is one, at the tail of the partition whose turn it is, and returns the
    /// next handle unless a delivery is before it. O(1).
    ///
    /// # Panics
    ///
    /// If the partition was removed in its turn.
    #[inline]
    pub fn rotate(&mut self, turn: &Turn, again: Option<H>) -> Option<H> {
        let index = turn.partition().index;
        let node = &mut self.nodes[index];
        assert!(node.place == Place::Current, "rotated in a turn that is not out");
        if node.has(MARKED | DUE) {
            return self.rotate_marked(index, again);
        }
        if node.len == 0 {
            // It is the next one itself.
            return again;
        }
        match again {
            Some(again) => Some(self.nodes.exchange(index, again)),
            None => {
                self.queued -= 1;
                self.nodes.dequeue(index)
            }
        }
    }

    fn rotate_marked(&mut self, index: u32, again: Option<H>) -> Option<H> {
        if let Some(again) = again {
            self.nodes.enqueue(index, again);
            self.queued += 1;
        }
        if self.nodes[index].wants_delivery() {
            return None;
        }
        let handle = self.nodes.dequeue(index)?;
        self.queued -= 1;
        Some(handle)
    }

    /// As [`push`](Self::push), to the partition whose turn it is: that is runnable already. O(1).
    ///
    /// # Errors
    ///
    /// Gives the handle back if the partition was removed in its turn.
    #[inline]
    pub fn push_in_turn(&mut self, turn: &Turn, handle: H) -> Result<(), H> {
        let index = turn.partition().index;
        if self.nodes[index].place != Place::Current {
            return Err(handle);
        }
        self.nodes.enqueue(index, handle);
        self.queued += 1;
        Ok(())
    }
}
