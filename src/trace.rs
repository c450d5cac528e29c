//! What happened in a loop, written down as it happens: three words an event, and a running hash.
//!
//! The loop of a simulation tells a [`Recorder`] what it does; what can be asked of the record
//! afterwards is `sim`'s.
//!
//! Partitions, groups and tasks are told by the ids of the loop, whose slots are used again, and
//! kept under numbers that are not: the first partition seen is 0, the next is 1.

use std::panic::Location;

use crate::sched::{GroupId, PartitionId, Settings, Weight};

mod numbers;
mod what;

use numbers::Numbers;
pub use what::{What, Why};

/// The number of nobody: an event that is no partition's, or no task's.
pub(crate) const NOBODY: u32 = u32::MAX;
/// The number of the future that `block_on` runs.
pub(crate) const MAIN: u32 = u32::MAX - 1;

/// The task id of an event that is no task's.
pub(crate) const NO_TASK: u64 = 0;
/// The task id of the future that `block_on` runs.
pub(crate) const MAIN_TASK: u64 = u64::MAX;

/// One event, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Nanoseconds since the epoch of the loop.
    pub(crate) at: u64,
    what: u64,
    pub(crate) partition: u32,
    pub(crate) task: u32,
}

impl Packed {
    #[inline]
    pub(crate) fn what(self) -> What {
        What::unpack(self.what)
    }
}

/// What is known of a partition.
#[derive(Clone, Debug)]
pub(crate) struct PartitionNote {
    /// Empty if nobody said.
    pub(crate) name: Box<str>,
    /// The number of its group.
    pub(crate) group: Option<u32>,
    /// The weight it was made with.
    pub(crate) weight: u32,
}

/// What is known of a group.
#[derive(Clone, Debug)]
pub(crate) struct GroupNote {
    pub(crate) name: Box<str>,
    /// The weight it was made with.
    pub(crate) weight: u32,
}

/// What is known of a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskNote {
    pub(crate) name: Option<Box<str>>,
    /// Where it was spawned.
    pub(crate) location: Option<&'static Location<'static>>,
}

/// What was written down.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) settings: Settings,
    /// How long readiness may go unnoticed, in nanoseconds.
    pub(crate) harvest_period: u64,
    pub(crate) events: Vec<Packed>,
    pub(crate) partitions: Vec<PartitionNote>,
    pub(crate) groups: Vec<GroupNote>,
    pub(crate) tasks: Vec<TaskNote>,
    /// Events there were, kept or not.
    pub(crate) counted: u64,
    pub(crate) hash: u64,
}

impl Record {
    /// Returns whether events are missing, because there were more than the limit.
    pub(crate) fn is_cut(&self) -> bool {
        self.counted > self.events.len() as u64
    }
}

/// Writes down what a loop does.
///
/// Past its limit it goes on counting and hashing but keeps no more, and says so: what is kept is
/// always the beginning, without gaps.
#[derive(Debug)]
pub(crate) struct Recorder {
    record: Record,
    limit: usize,
    partitions: Numbers,
    groups: Numbers,
    tasks: Numbers,
}

impl Recorder {
    /// Creates a recorder that keeps up to `limit` events of a loop with these settings.
    pub(crate) fn new(settings: Settings, limit: usize) -> Self {
        Self {
            record: Record {
                settings,
                harvest_period: 100_000,
                events: Vec::new(),
                partitions: Vec::new(),
                groups: Vec::new(),
                tasks: Vec::new(),
                counted: 0,
                hash: SEED,
            },
            limit,
            partitions: Numbers::default(),
            groups: Numbers::default(),
            tasks: Numbers::default(),
        }
    }

    /// Sets how long readiness may go unnoticed in this loop, in nanoseconds; 100 µs if not told.
    pub(crate) fn set_harvest_period(&mut self, nanos: u64) {
        self.record.harvest_period = nanos;
    }

    /// Writes down one event. `task` is [`NO_TASK`], [`MAIN_TASK`] or an id. O(1).
    #[inline]
    pub(crate) fn record(&mut self, at: u64, partition: PartitionId, task: u64, what: What) {
        let partition = self.number(partition);
        let task = match task {
            NO_TASK => NOBODY,
            MAIN_TASK => MAIN,
            id => self.tasks.of(id).0,
        };
        self.write(Packed { at, what: what.pack(), partition, task });
    }

    /// Writes down what is no partition's: a harvest, a sleep, a new round.
    #[inline]
    pub(crate) fn record_loop(&mut self, at: u64, what: What) {
        self.write(Packed { at, what: what.pack(), partition: NOBODY, task: NOBODY });
    }

    /// Writes down that a partition was created, with all that is known of it.
    pub(crate) fn describe(
        &mut self,
        at: u64,
        partition: PartitionId,
        name: &str,
        weight: Weight,
        group: Option<GroupId>,
    ) {
        let number = self.number(partition);
        let group = group.map(|id| self.group_number(id));
        if let Some(note) = self.record.partitions.get_mut(number as usize) {
            *note = PartitionNote { name: name.into(), group, weight: weight.get() };
        }
        let what = What::Created { weight: weight.get(), group };
        self.write(Packed { at, what: what.pack(), partition: number, task: NOBODY });
    }

    /// Writes down that a group was created, before the first partition that is in it.
    pub(crate) fn describe_group(&mut self, at: u64, group: GroupId, name: &str, weight: Weight) {
        let group = self.group_number(group);
        if let Some(note) = self.record.groups.get_mut(group as usize) {
            *note = GroupNote { name: name.into(), weight: weight.get() };
        }
        self.record_loop(at, What::GroupCreated { group, weight: weight.get() });
    }

    /// Writes down that a group has another weight now.
    pub(crate) fn reweigh_group(&mut self, at: u64, group: GroupId, weight: Weight) {
        let group = self.group_number(group);
        self.record_loop(at, What::GroupWeight { group, weight: weight.get() });
    }

    /// Tells where a task was spawned, and its name if it has one.
    pub(crate) fn describe_task(
        &mut self,
        task: u64,
        name: Option<&str>,
        location: &'static Location<'static>,
    ) {
        let number = self.tasks.of(task).0 as usize;
        if number >= self.record.tasks.len() && !self.record.is_cut() {
            self.record.tasks.resize_with(number + 1, TaskNote::default);
        }
        if let Some(note) = self.record.tasks.get_mut(number) {
            *note = TaskNote { name: name.map(Into::into), location: Some(location) };
        }
    }

    /// Returns a hash of all events so far, kept or not: equal runs, equal hashes.
    pub(crate) fn hash(&self) -> u64 {
        self.record.hash
    }

    /// Returns what was written down.
    pub(crate) fn so_far(&self) -> &Record {
        &self.record
    }

    #[inline]
    fn number(&mut self, partition: PartitionId) -> u32 {
        let (number, is_new) = self.partitions.of(partition.to_bits());
        if is_new {
            self.note_partition();
        }
        number
    }

    #[cold]
    fn note_partition(&mut self) {
        if !self.record.is_cut() {
            self.record.partitions.push(PartitionNote { name: "".into(), group: None, weight: 1 });
        }
    }

    fn group_number(&mut self, group: GroupId) -> u32 {
        let (number, is_new) = self.groups.of(group.to_bits());
        if is_new && !self.record.is_cut() {
            self.record.groups.push(GroupNote { name: "".into(), weight: 1 });
        }
        number
    }

    #[inline]
    fn write(&mut self, event: Packed) {
        let record = &mut self.record;
        record.counted += 1;
        record.hash = mix(record.hash, event);
        if record.events.len() < self.limit {
            record.events.push(event);
        }
    }
}

/// Where the hash of no events begins.
const SEED: u64 = 0x243f_6a88_85a3_08d3;

/// Mixes an event into a hash: two products of 128 bits, folded.
#[inline]
fn mix(hash: u64, event: Packed) -> u64 {
    let who = u64::from(event.partition) << 32 | u64::from(event.task);
    let hash = fold(hash ^ event.at, who ^ 0x1319_8a2e_0370_7344);
    fold(hash ^ event.what, 0xa409_3822_299f_31d1)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests;
