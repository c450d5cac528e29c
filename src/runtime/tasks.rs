//! The registry of tasks: who lives here, where they were spawned, how to reach them.

use std::panic::Location;
use std::task::Waker;

use indexmap::IndexMap;
use slab::Slab;

use crate::runtime::moves::Travels;
use crate::runtime::shared::Shared;
use crate::sched::PartitionId;
use crate::task::{Header, TaskId};

/// Set in the ids of tasks that were made on other threads, before the registry knew them.
pub(crate) const REMOTE: u64 = 1 << 63;

/// One task as the loop knows it, from the moment it arrives until its future is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Keeps the cell alive, and wakes the task when it is to end.
    pub(crate) waker: Waker,
    pub(crate) id: TaskId,
    pub(crate) location: &'static Location<'static>,
    /// Where it is queued when it is woken.
    pub(crate) partition: PartitionId,
    /// There once it has been in a `within`.
    pub(crate) travels: Option<Box<Travels>>,
    pub(crate) name: Option<Box<str>>,
    /// How many tasks there were before it.
    pub(crate) spawned: u64,
    aborted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    entries: Slab<Entry>,
    /// How many tasks there have been.
    spawned: u64,
    /// Keys of tasks whose ids were given on other threads.
    remote: IndexMap<TaskId, u64>,
    /// Tasks that are to end at their next poll.
    aborts: usize,
}

impl Tasks {
    /// Gives out the key of a task that is to be registered next, if at all; also the id of one
    /// spawned on the loop. A key is not given again, or the handle of a task that is refused
    /// would name its successor.
    pub(crate) fn next_key(&mut self) -> u64 {
        self.spawned += 1;
        generation(self.spawned) << 32 | self.entries.vacant_key() as u64
    }

    /// Registers a task under the key that [`next_key`](Self::next_key) gave last.
    pub(crate) fn insert(
        &mut self,
        key: u64,
        header: &Header<Shared>,
        waker: Waker,
        partition: PartitionId,
        name: Option<Box<str>>,
    ) {
        header.set_key(key);
        header.set_partition(partition);
        if header.id.0 & REMOTE != 0 {
            self.remote.insert(header.id, key);
        }
        let index = self.entries.insert(Entry {
            waker,
            id: header.id,
            location: header.location,
            partition,
            travels: None,
            name,
            spawned: self.spawned,
            aborted: false,
        });
        debug_assert_eq!(index, key as u32 as usize, "another task was registered in between");
    }

    fn index(&self, key: u64) -> Option<usize> {
        let index = key as u32 as usize;
        let entry = self.entries.get(index)?;
        (generation(entry.spawned) == key >> 32).then_some(index)
    }

    /// Forgets a task whose future has been dropped.
    pub(crate) fn remove(&mut self, key: u64) -> Option<Entry> {
        let index = self.index(key)?;
        let entry = self.entries.remove(index);
        if entry.id.0 & REMOTE != 0 {
            self.remote.swap_remove(&entry.id);
        }
        self.aborts -= usize::from(entry.aborted);
        Some(entry)
    }

    /// Marks a task to end at its next poll; returns how to bring that poll about.
    pub(crate) fn abort(&mut self, id: TaskId) -> Option<Waker> {
        let key = if id.0 & REMOTE == 0 { id.0 } else { *self.remote.get(&id)? };
        let index = self.index(key)?;
        let entry = &mut self.entries[index];
        self.aborts += usize::from(!entry.aborted);
        entry.aborted = true;
        Some(entry.waker.clone())
    }

    /// Tells a task that is about to be polled whether the poll is its last.
    #[inline]
    pub(crate) fn prepare(&self, header: &Header<Shared>) {
        if self.aborts == 0 {
            return;
        }
        let index = self.index(header.key());
        if index.is_some_and(|index| self.entries[index].aborted) {
            header.end();
        }
    }

    pub(crate) fn get(&self, header: &Header<Shared>) -> Option<&Entry> {
        self.by_key(header.key())
    }

    pub(crate) fn by_key(&self, key: u64) -> Option<&Entry> {
        self.entries.get(self.index(key)?)
    }

    pub(crate) fn by_key_mut(&mut self, key: u64) -> Option<&mut Entry> {
        let index = self.index(key)?;
        self.entries.get_mut(index)
    }

    /// Whether a task that was made on another thread has arrived, and has not ended.
    pub(crate) fn has_arrived(&self, id: TaskId) -> bool {
        id.0 & REMOTE == 0 || self.remote.contains_key(&id)
    }

    pub(crate) fn ids(&self) -> Vec<TaskId> {
        self.entries.iter().map(|(_, entry)| entry.id).collect()
    }

    /// Returns the tasks that are in a partition, or belong there and are away for a `within`.
    /// O(tasks).
    pub(crate) fn of(&self, partition: PartitionId) -> Vec<TaskId> {
        let theirs = self.iter().filter(|task| {
            task.partition == partition
                || task.travels.as_ref().is_some_and(|travels| travels.belongs_to(partition))
        });
        theirs.map(|task| task.id).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What tells tasks apart that had the same slot one after the other.
fn generation(spawned: u64) -> u64 {
    (spawned + 1) & 0x3fff_ffff
}
