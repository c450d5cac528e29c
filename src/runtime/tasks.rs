//! The registry of tasks: who lives here, where they were spawned, how to reach them.

use slab::Slab;

use crate::runtime::moves::Travels;
use crate::runtime::shared::Shared;
use crate::sched::PartitionId;
use crate::task::{Header, Task, TaskId};

/// Set in the ids of tasks that were made on other threads, before the registry knew them.
pub(crate) const REMOTE: u64 = 1 << 63;

/// One task as the loop knows it, from the moment it arrives until its future is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) task: Task<Shared>,
    /// What few tasks have.
    extra: Option<Box<Extra>>,
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    name: Option<Box<str>>,
    /// There once it has been in a `within`.
    pub(crate) travels: Option<Travels>,
    /// Of a task that was spawned on another thread: how many tasks there were before it.
    arrived: u64,
}

impl Entry {
    /// Where it is queued when it is woken, and counted.
    #[inline]
    pub(crate) fn partition(&self) -> PartitionId {
        self.task.header().partition()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.extra.as_ref()?.name.as_deref()
    }

    pub(crate) fn travels(&self) -> Option<&Travels> {
        self.extra.as_ref()?.travels.as_ref()
    }

    pub(crate) fn travels_mut(&mut self) -> &mut Option<Travels> {
        &mut self.extra.get_or_insert_default().travels
    }

    /// What orders tasks as they were spawned.
    pub(crate) fn spawned(&self) -> u64 {
        match self.task.header().id() {
            TaskId(id) if id & REMOTE == 0 => id,
            _ => self.extra.as_ref().map_or(0, |extra| extra.arrived),
        }
    }
}

impl Header<Shared> {
    /// The partition the task is queued in; before it has arrived, that of who adopted it.
    #[inline]
    pub(crate) fn partition(&self) -> PartitionId {
        PartitionId::from_bits(self.place())
    }

    pub(crate) fn set_partition(&self, partition: PartitionId) {
        self.set_place(partition.to_bits());
    }

    /// Names a task that has arrived.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        Key { id: self.id(), index: self.index() }
    }
}

/// Names a task of the registry, and finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    id: TaskId,
    index: u32,
}

/// Tasks from which on the registry grows slowly.
const LARGE: usize = 1 << 16;

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    entries: Slab<Entry>,
    /// How many tasks there have been.
    spawned: u64,
}

impl Tasks {
    /// Gives out the id of a task that is spawned on the loop.
    pub(crate) fn next_id(&mut self) -> TaskId {
        self.spawned += 1;
        TaskId(self.spawned)
    }

    /// Registers a task.
    ///
    /// # Panics
    ///
    /// If there are 2³² − 1 tasks already.
    pub(crate) fn insert(
        &mut self,
        task: Task<Shared>,
        partition: PartitionId,
        name: Option<Box<str>>,
    ) {
        let header = task.header();
        header.set_partition(partition);
        let is_remote = header.id().0 & REMOTE != 0;
        let extra = (is_remote || name.is_some())
            .then(|| Box::new(Extra { name, travels: None, arrived: self.spawned }));
        if self.entries.len() == self.entries.capacity() {
            self.grow();
        }
        let vacant = self.entries.vacant_entry();
        let index = u32::try_from(vacant.key()).ok().filter(|index| *index != u32::MAX);
        header.set_index(index.expect("more than four billion tasks at once"));
        vacant.insert(Entry { task, extra });
    }

    /// Makes room for more tasks: for as many again, or where that would be a lot of memory for
    /// nothing, for a thirty-second part. Allocators move what is that large by its pages.
    #[cold]
    fn grow(&mut self) {
        let len = self.entries.len();
        self.entries.reserve_exact(if len < LARGE { len.max(4) } else { len / 32 });
    }

    /// Forgets a task whose future has been dropped, which it does not free. Returns what else
    /// there is to drop.
    #[must_use = "it holds foreign values, which must not be dropped while anything is borrowed"]
    pub(crate) fn remove(&mut self, header: &Header<Shared>) -> Option<Box<Extra>> {
        let entry = self.entries.try_remove(header.index() as usize)?;
        debug_assert_eq!(entry.task.header().id(), header.id(), "a task that lives has its slot");
        entry.extra
    }

    #[inline]
    pub(crate) fn by_key(&self, key: Key) -> Option<&Entry> {
        self.entries.get(key.index as usize).filter(|entry| entry.task.header().id() == key.id)
    }

    pub(crate) fn by_key_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key.index as usize).filter(|entry| entry.task.header().id() == key.id)
    }

    /// Returns the tasks that are in a partition, or belong there and are away for a `within`.
    /// O(tasks).
    pub(crate) fn of(&self, partition: PartitionId) -> Vec<Task<Shared>> {
        let theirs = self.iter().filter(|entry| {
            entry.partition() == partition
                || entry.travels().is_some_and(|travels| travels.belongs_to(partition))
        });
        theirs.map(|entry| entry.task.clone()).collect()
    }

    /// Returns all tasks, in the order of spawning. O(n log n).
    pub(crate) fn in_order(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|entry| entry.spawned());
        entries
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task costs the registry two words: there is room in them to tell a slot that is vacant.
    #[test]
    fn an_entry_is_two_words() {
        assert_eq!((size_of::<Entry>(), size_of::<Option<Entry>>()), (16, 16));
    }
}
