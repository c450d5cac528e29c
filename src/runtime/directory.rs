//! The directory of partitions: who exists, by which name, and until when.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use hashbrown::HashTable;
use indexmap::IndexMap;

use crate::driver::PollerId;
use crate::instrument::Counters;
use crate::runtime::core::Core;
use crate::runtime::info::{GroupName, PartitionInfo};
use crate::runtime::partition::Partition;
use crate::runtime::shared::Shared;
use crate::sched::{GroupId, PartitionId, Timestamp, Weight};

/// What a partition is found by.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Name(Box<str>),
    /// Of any integer type: the same number is the same partition.
    Number(i128),
}

/// A key on loan, so that looking a name up allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRef<'a> {
    Name(&'a str),
    Number(i128),
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Name(name) => name.hash(state),
            Self::Number(number) => number.hash(state),
        }
    }
}

impl Key {
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Name(name) => KeyRef::Name(name),
            Self::Number(number) => KeyRef::Number(*number),
        }
    }
}

impl From<KeyRef<'_>> for Key {
    fn from(key: KeyRef<'_>) -> Self {
        match key {
            KeyRef::Name(name) => Self::Name(name.into()),
            KeyRef::Number(number) => Self::Number(number),
        }
    }
}

/// Where something is to live: what [`IntoPartition`](crate::IntoPartition) turns into.
#[derive(Debug)]
pub(crate) enum Target {
    /// Where other threads' tasks go that ask for nothing: ROOT.
    Root,
    Key(Key),
    Partition(Partition),
}

/// What the loop keeps of a partition; the rest is known to `info` and to the dispatcher.
#[derive(Debug)]
struct Record {
    info: Arc<PartitionInfo>,
    /// Of the id in `info`, which is another cache line away.
    generation: u32,
    /// Whether it has timers or sources, so that its queue carries a marker.
    marked: bool,
    doomed: bool,
}

impl Record {
    #[inline]
    fn is(&self, id: PartitionId) -> bool {
        self.generation == generation(id)
    }

    fn is_used(&self) -> bool {
        self.marked || self.info.is_referred_to()
    }
}

/// What tells an id from the others of its slot.
#[inline]
fn generation(id: PartitionId) -> u32 {
    (id.to_bits() >> 32) as u32
}

/// Returns what the partition in a slot goes by.
fn key_of(records: &[Option<Record>], index: usize) -> Option<KeyRef<'_>> {
    records.get(index)?.as_ref()?.info.key()
}

#[derive(Debug)]
struct Group {
    name: Arc<GroupName>,
    poller: PollerId,
}

/// Every partition of a loop, by id and by key.
#[derive(Debug)]
pub(crate) struct Directory {
    records: Vec<Option<Record>>,
    /// The slots of those that go by a key, by its hash: the keys are in the records.
    keys: HashTable<u32>,
    hasher: RandomState,
    groups: IndexMap<Box<str>, GroupId>,
    group_records: IndexMap<GroupId, Group>,
    /// Of the partitions that have one of their own, and are in no group.
    pollers: IndexMap<PartitionId, PollerId>,
    /// How many carry a marker.
    marked: usize,
    /// Nothing seems to refer to these any more; looked at again between two handles.
    doomed: Vec<PartitionId>,
    /// Groups that lost a member, and perhaps their last.
    shrunk: Vec<GroupId>,
    /// Scratch space of the harvest.
    pub(crate) due: Vec<(PartitionId, Timestamp)>,
}

/// How a partition is to be made.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) key: Option<Key>,
    pub(crate) weight: Option<Weight>,
    pub(crate) group: Option<(Box<str>, Option<Weight>)>,
    pub(crate) isolated: bool,
}

impl Directory {
    pub(crate) fn new(root: PartitionId, now: u64) -> Self {
        let mut directory = Self {
            records: Vec::new(),
            keys: HashTable::new(),
            hasher: RandomState::new(),
            groups: IndexMap::new(),
            group_records: IndexMap::new(),
            pollers: IndexMap::new(),
            marked: 0,
            doomed: Vec::new(),
            shrunk: Vec::new(),
            due: Vec::new(),
        };
        directory.insert(PartitionInfo::new(root, None, None, Weight::ONE, now));
        directory
    }

    fn insert(&mut self, info: PartitionInfo) {
        let index = info.id.index();
        if self.records.len() <= index {
            self.records.resize_with(index + 1, || None);
        }
        let generation = generation(info.id);
        let info = Arc::new(info);
        self.records[index] = Some(Record { info, generation, marked: false, doomed: false });
        self.insert_key(index);
    }

    fn insert_key(&mut self, index: usize) {
        let Self { records, keys, hasher, .. } = self;
        let Some(key) = key_of(records, index) else { return };
        let rehash = |index: &u32| hasher.hash_one(key_of(records, *index as usize));
        keys.insert_unique(hasher.hash_one(Some(key)), index as u32, rehash);
    }

    fn remove_key(&mut self, index: usize) {
        let Some(key) = key_of(&self.records, index) else { return };
        let hash = self.hasher.hash_one(Some(key));
        if let Ok(found) = self.keys.find_entry(hash, |other| *other as usize == index) {
            found.remove();
        }
    }

    #[inline]
    fn get(&self, id: PartitionId) -> Option<&Record> {
        self.records.get(id.index())?.as_ref().filter(|record| record.is(id))
    }

    #[inline]
    fn get_mut(&mut self, id: PartitionId) -> Option<&mut Record> {
        self.records.get_mut(id.index())?.as_mut().filter(|record| record.is(id))
    }

    #[inline]
    pub(crate) fn counters(&self, id: PartitionId) -> Option<&Counters> {
        self.get(id).map(|record| record.info.counters())
    }

    pub(crate) fn info(&self, id: PartitionId) -> Option<&Arc<PartitionInfo>> {
        self.get(id).map(|record| &record.info)
    }

    pub(crate) fn find(&self, key: KeyRef<'_>) -> Option<PartitionId> {
        let hash = self.hasher.hash_one(Some(key));
        let is_it = |index: &u32| key_of(&self.records, *index as usize) == Some(key);
        let index = *self.keys.find(hash, is_it)?;
        self.records[index as usize].as_ref().map(|record| record.info.id)
    }

    /// Whether another partition than `id` has timers or sources.
    #[inline]
    pub(crate) fn marked_beside(&self, id: PartitionId) -> bool {
        match self.marked {
            0 => false,
            1 => !self.get(id).is_some_and(|record| record.marked),
            _ => true,
        }
    }

    /// Notes whether a partition has timers or sources; returns whether that is news.
    pub(crate) fn set_marked(&mut self, id: PartitionId, marked: bool) -> bool {
        let Some(record) = self.get_mut(id) else { return false };
        if record.marked == marked {
            return false;
        }
        record.marked = marked;
        self.marked = if marked { self.marked + 1 } else { self.marked - 1 };
        true
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn ids(&self) -> impl Iterator<Item = PartitionId> {
        self.records.iter().flatten().map(|record| record.info.id)
    }

    /// Returns how many groups there are.
    #[cfg(feature = "sim")]
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    #[inline]
    pub(crate) fn task_added(&mut self, id: PartitionId) {
        if let Some(counters) = self.counters(id) {
            counters.tasks(1);
        }
    }

    #[inline]
    pub(crate) fn task_removed(&mut self, id: PartitionId) {
        if let Some(counters) = self.counters(id) {
            if counters.tasks(-1) == 0 {
                self.check_unused(id);
            }
        }
    }

    /// Returns a handle to a partition that exists.
    pub(crate) fn handle(&self, id: PartitionId, shared: &Arc<Shared>) -> Option<Partition> {
        self.info(id).map(|info| Partition::new(shared, info))
    }

    /// Condemns a partition that no task and no handle refers to, unless that changes until the
    /// running handle ends: what the handle does may well refer to it again.
    pub(crate) fn check_unused(&mut self, id: PartitionId) {
        if let Some(record) = self.get_mut(id) {
            if !record.doomed && !record.is_used() {
                record.doomed = true;
                self.doomed.push(id);
            }
        }
    }

    #[inline]
    pub(crate) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty() || !self.shrunk.is_empty()
    }
}

impl Core {
    /// Finds the partition that goes by `key`, or makes it.
    pub(crate) fn by_key(&mut self, key: KeyRef<'_>, shared: &Shared) -> PartitionId {
        match self.directory.find(key) {
            Some(id) => id,
            None => self.create(Plan { key: Some(key.into()), ..Plan::default() }, shared),
        }
    }

    /// Makes a partition after `plan`.
    ///
    /// The poller of an isolated one is set by the caller, who can reach the driver.
    pub(crate) fn create(&mut self, plan: Plan, shared: &Shared) -> PartitionId {
        let weight = plan.weight.unwrap_or(Weight::ONE);
        let group = plan.group.map(|(name, weight)| self.group(&name, weight));
        let creator = self.creator();
        self.interrupt();
        let id = match self.sched.create(weight, group, creator) {
            Ok(id) => id,
            Err(_) => unreachable!("a group in the directory is known to the dispatcher"),
        };
        let name = group.map(|group| self.directory.group_records[&group].name.clone());
        let info = PartitionInfo::new(id, plan.key, name, weight, self.now());
        self.probe.created(&info, group);
        self.directory.insert(info);
        self.publish(id, shared);
        id
    }

    fn now(&self) -> u64 {
        self.clock.ticks()
    }

    /// Shows a partition, or its absence, to other threads.
    pub(crate) fn publish(&self, id: PartitionId, shared: &Shared) {
        let info = self.directory.info(id).cloned();
        let index = id.index();
        let mut partitions = shared.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        if partitions.len() <= index {
            partitions.resize_with(index + 1, || None);
        }
        partitions[index] = info;
    }

    /// Finds the group called `name`, or makes it; a weight given is set either way.
    fn group(&mut self, name: &str, weight: Option<Weight>) -> GroupId {
        if let Some(&id) = self.directory.groups.get(name) {
            if let Some(weight) = weight {
                self.interrupt();
                self.sched.set_group_weight(id, weight);
                self.probe.group_reweighed(id, weight);
            }
            return id;
        }
        let weight = weight.unwrap_or(Weight::ONE);
        self.interrupt();
        let id = self.sched.create_group(weight);
        self.probe.group_created(id, name, weight);
        self.directory.groups.insert(name.into(), id);
        let name = Arc::new(GroupName::new(name));
        self.directory.group_records.insert(id, Group { name, poller: PollerId::SHARED });
        id
    }

    /// Gives a partition, or the group it is in, a poller of its own.
    pub(crate) fn set_poller(&mut self, id: PartitionId, poller: PollerId) {
        if let Some(group) = self.sched.group_of(id) {
            self.directory.group_records[&group].poller = poller;
        } else if self.sched.contains(id) {
            self.directory.pollers.insert(id, poller);
        }
    }

    pub(crate) fn poller_of(&self, id: PartitionId) -> PollerId {
        match self.sched.group_of(id) {
            Some(group) => self.directory.group_records[&group].poller,
            None => self.directory.pollers.get(&id).copied().unwrap_or(PollerId::SHARED),
        }
    }

    pub(crate) fn set_weight(&mut self, id: PartitionId, weight: Weight) {
        self.interrupt();
        self.sched.set_weight(id, weight);
        self.probe.reweighed(id, weight);
        if let Some(info) = self.directory.info(id) {
            info.weight.store(weight.get(), Ordering::Relaxed);
        }
    }

    /// Where `target` is, made if need be; `None` if it is closed or gone.
    pub(crate) fn resolve(&mut self, target: &Target, shared: &Shared) -> Option<PartitionId> {
        let id = match target {
            Target::Root => self.sched.root(),
            Target::Key(key) => self.by_key(key.as_ref(), shared),
            Target::Partition(partition) => partition.id(),
        };
        self.is_open(id).then_some(id)
    }

    /// Whether a partition takes in new work. What runs in a closed one may still spawn there.
    pub(crate) fn is_open(&self, id: PartitionId) -> bool {
        match self.directory.get(id) {
            Some(record) => !record.info.is_closed() || self.is_inside(id),
            None => false,
        }
    }

    /// Frees the partitions nothing refers to; returns the pollers to release.
    pub(crate) fn bury(&mut self, shared: &Shared) -> Vec<PollerId> {
        let mut pollers = Vec::new();
        while let Some(id) = self.directory.doomed.pop() {
            let Some(record) = self.directory.get_mut(id) else { continue };
            record.doomed = false;
            if record.is_used() || id == self.sched.root() || id == self.main {
                continue;
            }
            self.free(id, shared, &mut pollers);
        }
        let shrunk = std::mem::take(&mut self.directory.shrunk);
        for group in shrunk {
            self.free_group(group, &mut pollers);
        }
        pollers
    }

    /// Frees a group without members. While its turn is out that has to wait for the end of the
    /// turn, which is near: the group has nothing to run.
    fn free_group(&mut self, id: GroupId, pollers: &mut Vec<PollerId>) {
        if self.sched.remove_group(id) {
            let group = self.directory.group_records.swap_remove(&id);
            let group = group.expect("a group in the dispatcher is in the directory");
            self.directory.groups.swap_remove(group.name.as_str());
            pollers.extend((group.poller != PollerId::SHARED).then_some(group.poller));
        } else if self.sched.group_members(id) == Some(0) {
            self.directory.shrunk.push(id);
        }
    }

    fn free(&mut self, id: PartitionId, shared: &Shared, pollers: &mut Vec<PollerId>) {
        let group = self.sched.group_of(id);
        let handles = self.sched.remove(id).expect("the directory and the dispatcher agree");
        assert!(handles.is_empty(), "a partition without tasks has handles");
        self.probe.freed(id);
        self.directory.remove_key(id.index());
        self.directory.records[id.index()] = None;
        self.publish(id, shared);
        match group {
            Some(group) if !self.directory.shrunk.contains(&group) => {
                self.directory.shrunk.push(group);
            }
            Some(_) => {}
            None => pollers.extend(self.directory.pollers.swap_remove(&id)),
        }
    }
}
