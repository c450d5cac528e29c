//! Things that come and go, named by ids that are never mistaken for those of their successors.

use slab::Slab;

/// Names a thing in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    index: u32,
    stamp: u32,
}

#[derive(Debug)]
pub(super) struct Arena<T> {
    slots: Slab<(u32, T)>,
    /// How many were put in, all told.
    stamp: u32,
}

impl<T> Arena<T> {
    pub(super) fn new() -> Self {
        Self { slots: Slab::new(), stamp: 0 }
    }

    /// Puts in what `make` makes, who is told its name.
    pub(super) fn insert_with<E>(
        &mut self,
        make: impl FnOnce(Id) -> Result<T, E>,
    ) -> Result<Id, E> {
        let slot = self.slots.vacant_entry();
        let index = u32::try_from(slot.key()).expect("more sockets than any memory holds");
        let id = Id { index, stamp: self.stamp.wrapping_add(1) };
        slot.insert((id.stamp, make(id)?));
        self.stamp = id.stamp;
        Ok(id)
    }

    pub(super) fn get(&self, id: Id) -> Option<&T> {
        let (stamp, value) = self.slots.get(id.index as usize)?;
        (*stamp == id.stamp).then_some(value)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let (stamp, value) = self.slots.get_mut(id.index as usize)?;
        (*stamp == id.stamp).then_some(value)
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        Some(self.slots.remove(id.index as usize).1)
    }

    /// Names all of them, in an order that depends on nothing but what was done before.
    pub(super) fn ids(&self) -> Vec<Id> {
        let id =
            |(index, (stamp, _)): (usize, &(u32, T))| Id { index: index as u32, stamp: *stamp };
        self.slots.iter().map(id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
