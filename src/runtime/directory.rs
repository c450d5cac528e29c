//! The directory of partitions: who exists, by which name, and until when.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use indexmap::{Equivalent, IndexMap};

use crate::driver::PollerId;
use crate::instrument::Counters;
use crate::runtime::core::Core;
use crate::runtime::partition::{Partition, PartitionRef};
use crate::runtime::shared::Shared;
use crate::sched::{GroupId, PartitionId, Timestamp, Weight};

/// What a partition is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name(Box<str>),
    /// Of any integer type: the same number is the same partition.
    Number(i128),
}

/// A key on loan, so that looking a name up allocates nothing.
#[derive(Clone, Copy, Debug)]
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

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        match (self, key) {
            (Self::Name(a), Key::Name(b)) => **a == **b,
            (Self::Number(a), Key::Number(b)) => a == b,
            _ => false,
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

/// What anyone may see of a partition.
#[derive(Debug)]
pub(crate) struct PartitionInfo {
    pub(crate) id: PartitionId,
    pub(crate) key: Option<Key>,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) weight: AtomicU32,
    pub(crate) closed: AtomicBool,
    pub(crate) counters: Counters,
}

/// What the loop keeps of a partition.
#[derive(Debug)]
struct Record {
    /// As in `info`, which is another cache line away.
    id: PartitionId,
    info: Arc<PartitionInfo>,
    group: Option<GroupId>,
    /// Its own; of no account in a group, which has one for all.
    poller: PollerId,
    tasks: usize,
    /// Handles given out, each of which will be released once.
    handles: usize,
    handle: Weak<PartitionRef>,
    /// Whether it has timers or sources, so that its queue carries a marker.
    marked: bool,
    doomed: bool,
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    poller: PollerId,
}

/// Every partition of a loop, by id and by key.
#[derive(Debug)]
pub(crate) struct Directory {
    records: Vec<Option<Record>>,
    keys: IndexMap<Key, PartitionId>,
    groups: IndexMap<Arc<str>, GroupId>,
    group_records: IndexMap<GroupId, Group>,
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
            keys: IndexMap::new(),
            groups: IndexMap::new(),
            group_records: IndexMap::new(),
            marked: 0,
            doomed: Vec::new(),
            shrunk: Vec::new(),
            due: Vec::new(),
        };
        directory.insert(PartitionInfo::new(root, None, None, Weight::ONE, now), None);
        directory
    }

    fn insert(&mut self, info: PartitionInfo, group: Option<GroupId>) {
        let index = info.id.index();
        if self.records.len() <= index {
            self.records.resize_with(index + 1, || None);
        }
        self.records[index] = Some(Record {
            id: info.id,
            info: Arc::new(info),
            group,
            poller: PollerId::SHARED,
            tasks: 0,
            handles: 0,
            handle: Weak::new(),
            marked: false,
            doomed: false,
        });
    }

    #[inline]
    fn get(&self, id: PartitionId) -> Option<&Record> {
        self.records.get(id.index())?.as_ref().filter(|record| record.id == id)
    }

    #[inline]
    fn get_mut(&mut self, id: PartitionId) -> Option<&mut Record> {
        self.records.get_mut(id.index())?.as_mut().filter(|record| record.id == id)
    }

    #[inline]
    pub(crate) fn counters(&self, id: PartitionId) -> Option<&Counters> {
        self.get(id).map(|record| &record.info.counters)
    }

    pub(crate) fn info(&self, id: PartitionId) -> Option<&Arc<PartitionInfo>> {
        self.get(id).map(|record| &record.info)
    }

    pub(crate) fn find(&self, key: KeyRef<'_>) -> Option<PartitionId> {
        self.keys.get(&key).copied()
    }

    pub(crate) fn poller(&self, id: PartitionId) -> PollerId {
        let Some(record) = self.get(id) else { return PollerId::SHARED };
        record.group.map_or(record.poller, |group| self.group_records[&group].poller)
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
        self.records.iter().flatten().map(|record| record.id)
    }

    /// Returns how many groups there are.
    #[cfg(feature = "sim")]
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    #[inline]
    pub(crate) fn task_added(&mut self, id: PartitionId) {
        if let Some(record) = self.get_mut(id) {
            record.tasks += 1;
            record.info.counters.tasks(1);
        }
    }

    #[inline]
    pub(crate) fn task_removed(&mut self, id: PartitionId) {
        if let Some(record) = self.get_mut(id) {
            record.tasks -= 1;
            record.info.counters.tasks(-1);
            if record.tasks == 0 {
                self.check_unused(id);
            }
        }
    }

    /// Counts a released handle.
    pub(crate) fn released(&mut self, id: PartitionId) {
        if let Some(record) = self.get_mut(id) {
            record.handles -= 1;
            self.check_unused(id);
        }
    }

    /// Returns a handle to a partition that exists: the one that is out there, or a new one.
    pub(crate) fn handle(&mut self, id: PartitionId, shared: &Arc<Shared>) -> Option<Partition> {
        let record = self.get_mut(id)?;
        if let Some(handle) = record.handle.upgrade() {
            return Some(Partition::from_ref(handle));
        }
        let handle = Arc::new(PartitionRef::new(shared.clone(), record.info.clone()));
        record.handle = Arc::downgrade(&handle);
        record.handles += 1;
        Some(Partition::from_ref(handle))
    }

    /// Condemns a partition that no task and no handle refers to, unless that changes until the
    /// running handle ends: what the handle does may well refer to it again.
    pub(crate) fn check_unused(&mut self, id: PartitionId) {
        if let Some(record) = self.get_mut(id) {
            if record.tasks == 0 && record.handles == 0 && !record.marked && !record.doomed {
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

impl PartitionInfo {
    fn new(
        id: PartitionId,
        key: Option<Key>,
        group: Option<Arc<str>>,
        weight: Weight,
        now: u64,
    ) -> Self {
        Self {
            id,
            key,
            group,
            weight: AtomicU32::new(weight.get()),
            closed: AtomicBool::new(false),
            counters: Counters::new(now),
        }
    }

    /// The name as people read it.
    pub(crate) fn name(&self) -> String {
        match &self.key {
            Some(Key::Name(name)) => name.to_string(),
            Some(Key::Number(number)) => number.to_string(),
            None if self.id.index() == 0 => "ROOT".to_owned(),
            None => format!("#{}", self.id.index()),
        }
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
        let info = PartitionInfo::new(id, plan.key.clone(), name, weight, self.now());
        self.probe.created(&info, group);
        self.directory.insert(info, group);
        if let Some(key) = plan.key {
            self.directory.keys.insert(key, id);
        }
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
        let name: Arc<str> = name.into();
        self.directory.groups.insert(name.clone(), id);
        self.directory.group_records.insert(id, Group { name, poller: PollerId::SHARED });
        id
    }

    /// Gives a partition, or the group it is in, a poller of its own.
    pub(crate) fn set_poller(&mut self, id: PartitionId, poller: PollerId) {
        let Some(record) = self.directory.get_mut(id) else { return };
        match record.group {
            Some(group) => self.directory.group_records[&group].poller = poller,
            None => record.poller = poller,
        }
    }

    pub(crate) fn poller_of(&self, id: PartitionId) -> PollerId {
        self.directory.poller(id)
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
            Some(record) => !record.info.closed.load(Ordering::Relaxed) || self.is_inside(id),
            None => false,
        }
    }

    /// Frees the partitions nothing refers to; returns the pollers to release.
    pub(crate) fn bury(&mut self, shared: &Shared) -> Vec<PollerId> {
        let mut pollers = Vec::new();
        while let Some(id) = self.directory.doomed.pop() {
            let Some(record) = self.directory.get_mut(id) else { continue };
            record.doomed = false;
            let used = record.tasks > 0 || record.handles > 0 || record.marked;
            if used || id == self.sched.root() || id == self.main {
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
            self.directory.groups.swap_remove(&group.name);
            pollers.extend((group.poller != PollerId::SHARED).then_some(group.poller));
        } else if self.sched.group_members(id) == Some(0) {
            self.directory.shrunk.push(id);
        }
    }

    fn free(&mut self, id: PartitionId, shared: &Shared, pollers: &mut Vec<PollerId>) {
        let handles = self.sched.remove(id).expect("the directory and the dispatcher agree");
        assert!(handles.is_empty(), "a partition without tasks has handles");
        self.probe.freed(id);
        let Some(record) = self.directory.records[id.index()].take() else { return };
        if let Some(key) = &record.info.key {
            self.directory.keys.swap_remove(key);
        }
        self.publish(id, shared);
        match record.group {
            Some(group) if !self.directory.shrunk.contains(&group) => {
                self.directory.shrunk.push(group);
            }
            Some(_) => {}
            None => pollers.extend((record.poller != PollerId::SHARED).then_some(record.poller)),
        }
    }
}
