//! The registry of tasks: who lives here, where they were spawned, how to reach them.

use crate::runtime::moves::Travels;
use crate::runtime::shared::Shared;
use crate::sched::PartitionId;
use crate::task::{Header, Task, TaskId};

/// Set in the ids of tasks that were made on other threads, before the registry knew them.
pub(crate) const REMOTE: u64 = 1 << 63;

/// One task as the loop knows it, from the moment it arrives until its future is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) task: &'a Task<Shared>,
    extra: Option<&'a Extra>,
}

/// What few tasks have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    name: Option<Box<str>>,
    /// There once it has been in a `within`.
    pub(crate) travels: Option<Travels>,
    /// Of a task that was spawned on another thread: how many tasks there were before it.
    arrived: u64,
}

impl<'a> Entry<'a> {
    /// Where it is queued when it is woken, and counted.
    #[inline]
    pub(crate) fn partition(&self) -> PartitionId {
        self.task.header().partition()
    }

    pub(crate) fn name(&self) -> Option<&'a str> {
        self.extra?.name.as_deref()
    }

    pub(crate) fn travels(&self) -> Option<&'a Travels> {
        self.extra?.travels.as_ref()
    }

    /// What orders tasks as they were spawned.
    pub(crate) fn spawned(&self) -> u64 {
        match self.task.header().id() {
            TaskId(id) if id & REMOTE == 0 => id,
            _ => self.extra.map_or(0, |extra| extra.arrived),
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

/// A word for each task.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    slots: Vec<Option<Task<Shared>>>,
    /// Slots to be used again, the last one first.
    vacant: Vec<u32>,
    /// By slot, as far as anybody has one.
    extras: Vec<Option<Box<Extra>>>,
    /// How many tasks there have been.
    spawned: u64,
}

impl Tasks {
    /// Gives out the id of a task that is spawned on the loop.
    pub(crate) fn next_id(&mut self) -> TaskId {
        self.spawned += 1;
        TaskId(self.spawned)
    }

    /// Registers a task. O(1), amortised.
    ///
    /// # Panics
    ///
    /// If there are 2³² − 1 tasks already.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        task: Task<Shared>,
        partition: PartitionId,
        name: Option<Box<str>>,
    ) {
        let header = task.header();
        header.set_partition(partition);
        let is_remote = header.id().0 & REMOTE != 0;
        let index = self.vacant.pop().unwrap_or_else(|| self.add_slot());
        header.set_index(index);
        self.slots[index as usize] = Some(task);
        if is_remote || name.is_some() {
            let arrived = self.spawned;
            *self.extra_mut(index) = Some(Box::new(Extra { name, travels: None, arrived }));
        }
    }

    /// Makes a slot; room for as many again, or where that would be a lot of memory for nothing, for
    /// a thirty-second part. Allocators move what is that large by its pages.
    fn add_slot(&mut self) -> u32 {
        let len = self.slots.len();
        if len == self.slots.capacity() {
            self.slots.reserve_exact(if len < LARGE { len.max(4) } else { len / 32 });
        }
        self.slots.push(None);
        let index = u32::try_from(len).ok().filter(|index| *index != u32::MAX);
        index.expect("more than four billion tasks at once")
    }

    fn extra_mut(&mut self, index: u32) -> &mut Option<Box<Extra>> {
        let index = index as usize;
        if self.extras.len() <= index {
            self.extras.resize_with(index + 1, || None);
        }
        &mut self.extras[index]
    }

    fn extra(&self, index: u32) -> Option<&Extra> {
        self.extras.get(index as usize)?.as_deref()
    }

    /// Forgets a task whose future has been dropped, which it does not free. Returns what else
    /// there is to drop.
    #[inline]
    #[must_use = "it holds foreign values, which must not be dropped while anything is borrowed"]
    pub(crate) fn remove(&mut self, header: &Header<Shared>) -> Option<Box<Extra>> {
        let index = header.index();
        let task = self.slots.get_mut(index as usize)?.take()?;
        debug_assert_eq!(task.header().id(), header.id(), "a task that lives has its slot");
        self.vacant.push(index);
        self.extras.get_mut(index as usize)?.take()
    }

    #[inline]
    pub(crate) fn by_key(&self, key: Key) -> Option<Entry<'_>> {
        let task = self.slots.get(key.index as usize)?.as_ref()?;
        let entry = || Entry { task, extra: self.extra(key.index) };
        (task.header().id() == key.id).then(entry)
    }

    /// Returns where a task has been, for it to be changed.
    pub(crate) fn travels_mut(&mut self, key: Key) -> Option<&mut Option<Travels>> {
        self.by_key(key)?;
        Some(&mut self.extra_mut(key.index).get_or_insert_default().travels)
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
    pub(crate) fn in_order(&self) -> Vec<Entry<'_>> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(Entry::spawned);
        entries
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let tasks = self.slots.iter().flatten();
        tasks.map(|task| Entry { task, extra: self.extra(task.header().index()) })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task costs the registry a word.
    #[test]
    fn a_slot_is_a_word() {
        assert_eq!(size_of::<Option<Task<Shared>>>(), size_of::<usize>());
    }
}
