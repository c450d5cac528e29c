//! What anyone may see of a partition, on any thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::instrument::{Counters, PartitionMetrics};
use crate::runtime::directory::{Key, KeyRef};
use crate::sched::{PartitionId, Weight};

/// What anyone may see of a partition. There may be very many that never do anything, so it is small
/// until the partition does.
#[derive(Debug)]
pub(crate) struct PartitionInfo {
    pub(crate) id: PartitionId,
    label: Label,
    /// When it was made, in nanoseconds.
    born: u64,
    /// Made by the loop when something happens in the partition for the first time.
    counters: OnceLock<Box<Counters>>,
    pub(crate) weight: AtomicU32,
    /// How many handles keep the partition alive, and whether it is [`CLOSED`].
    handles: AtomicU32,
}

/// Set in the count of handles of a partition that takes in no new work.
const CLOSED: u32 = 1 << 31;
/// More handles than this are refused, long before they could be taken for [`CLOSED`].
const HANDLES_MAX: u32 = 1 << 30;

/// What a partition goes by: in one word what most go by.
#[derive(Debug)]
enum Label {
    Anonymous,
    Number(u64),
    Negative(i64),
    Name(Box<Box<str>>),
    /// Of a group, and anonymous there.
    Member(Arc<GroupName>),
    /// Of a group, with a key.
    KeyedMember(Box<(Label, Arc<GroupName>)>),
}

/// The name of a group, which its members share.
#[derive(Debug)]
pub(crate) struct GroupName(Box<str>);

impl GroupName {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartitionInfo {
    pub(crate) fn new(
        id: PartitionId,
        key: Option<Key>,
        group: Option<Arc<GroupName>>,
        weight: Weight,
        now: u64,
    ) -> Self {
        Self {
            id,
            label: Label::new(key, group),
            born: now,
            counters: OnceLock::new(),
            weight: AtomicU32::new(weight.get()),
            handles: AtomicU32::new(0),
        }
    }

    /// What it is found by.
    pub(crate) fn key(&self) -> Option<KeyRef<'_>> {
        self.label.key()
    }

    /// The name of the group it is in.
    pub(crate) fn group(&self) -> Option<&str> {
        match &self.label {
            Label::Member(group) => Some(group.as_str()),
            Label::KeyedMember(member) => Some(member.1.as_str()),
            _ => None,
        }
    }

    /// The name as people read it.
    pub(crate) fn name(&self) -> String {
        match self.key() {
            Some(KeyRef::Name(name)) => name.to_owned(),
            Some(KeyRef::Number(number)) => number.to_string(),
            None if self.id.index() == 0 => "ROOT".to_owned(),
            None => format!("#{}", self.id.index()),
        }
    }

    /// What the loop counts by.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        self.counters.get_or_init(|| Box::new(Counters::new(self.born)))
    }

    /// Everything counted up to `now_ns`.
    pub(crate) fn metrics(&self, now_ns: u64) -> PartitionMetrics {
        self.read(|counters| counters.snapshot(now_ns))
    }

    /// The load at `now_ns`, from 0 to 1.
    pub(crate) fn load(&self, now_ns: u64) -> f64 {
        self.read(|counters| counters.load(now_ns))
    }

    /// Reads the counters, or if nothing has happened yet what they would be.
    fn read<R>(&self, read: impl FnOnce(&Counters) -> R) -> R {
        match self.counters.get() {
            Some(counters) => read(counters),
            None => read(&Counters::new(self.born)),
        }
    }

    pub(crate) fn close(&self) {
        self.handles.fetch_or(CLOSED, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handles.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Whether a task or a handle keeps it alive. For its loop, which alone makes the first handle:
    /// if there is none, there will be none until it makes one.
    pub(crate) fn is_referred_to(&self) -> bool {
        // Ordering: the release of the last handle is told to the loop after it was counted here, so
        // that one that is not seen yet is looked for again.
        let handles = self.handles.load(Ordering::Relaxed) & !CLOSED;
        handles > 0 || self.counters.get().is_some_and(|counters| counters.has_tasks())
    }

    /// Counts a handle, made by the loop or from another one.
    pub(crate) fn hold(&self) {
        // Ordering: as with a reference count, who makes another handle has one, or is the loop.
        let before = self.handles.fetch_add(1, Ordering::Relaxed) & !CLOSED;
        assert!(before < HANDLES_MAX, "more than a billion handles to a partition at once");
    }

    /// Counts a handle out; returns whether it was the last, of which the loop is to be told.
    pub(crate) fn release(&self) -> bool {
        // Ordering: the loop is told by a message, or is here.
        self.handles.fetch_sub(1, Ordering::Relaxed) & !CLOSED == 1
    }
}

impl From<Option<Key>> for Label {
    fn from(key: Option<Key>) -> Self {
        match key {
            None => Self::Anonymous,
            Some(Key::Name(name)) => Self::Name(Box::new(name)),
            // No type of integer that names a partition has more than 64 bits.
            Some(Key::Number(number)) => match u64::try_from(number) {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Negative(number as i64),
            },
        }
    }
}

impl Label {
    fn new(key: Option<Key>, group: Option<Arc<GroupName>>) -> Self {
        match (Self::from(key), group) {
            (label, None) => label,
            (Self::Anonymous, Some(group)) => Self::Member(group),
            (label, Some(group)) => Self::KeyedMember(Box::new((label, group))),
        }
    }

    fn key(&self) -> Option<KeyRef<'_>> {
        match self {
            Self::Anonymous | Self::Member(_) => None,
            Self::Number(number) => Some(KeyRef::Number((*number).into())),
            Self::Negative(number) => Some(KeyRef::Number((*number).into())),
            Self::Name(name) => Some(KeyRef::Name(name)),
            Self::KeyedMember(member) => member.0.key(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the two counts of its `Arc` it is an allocation of 80 bytes.
    #[test]
    fn an_info_is_seven_words() {
        assert_eq!(size_of::<PartitionInfo>(), 56);
    }

    fn info() -> PartitionInfo {
        let id = PartitionId::from_bits(1 << 32);
        PartitionInfo::new(id, None, None, Weight::ONE, 10)
    }

    /// Whoever reads before anything has happened reads what the counters will begin with.
    #[test]
    fn counters_begin_when_the_partition_did() {
        let info = info();
        let (before, load) = (info.metrics(50), info.load(50));
        assert!(info.counters.get().is_none(), "reading makes none");
        info.counters();
        assert_eq!((info.metrics(50), info.load(50)), (before, load));
        assert_eq!(info.metrics(50).waiting.as_nanos(), 40);
    }

    /// A closed partition is kept by handles and tasks all the same, and an open one by nothing else.
    #[test]
    fn a_partition_is_referred_to_by_handles_and_tasks() {
        for closed in [false, true] {
            let info = info();
            info.hold();
            if closed {
                info.close();
            }
            info.hold();
            assert!(!info.release(), "another is left");
            assert!(info.is_referred_to());
            assert!(info.release(), "the last one");
            assert!(!info.is_referred_to());
            assert_eq!(info.is_closed(), closed);
            info.counters().tasks(1);
            assert!(info.is_referred_to());
            assert_eq!(info.counters().tasks(-1), 0);
            assert!(!info.is_referred_to());
        }
    }

    #[test]
    fn a_label_keeps_what_it_was_given() {
        let numbers = [0, 7, i128::from(u64::MAX), -1, i128::from(i64::MIN)];
        for number in numbers {
            let label = Label::from(Some(Key::Number(number)));
            assert_eq!(label.key(), Some(KeyRef::Number(number)));
        }
        assert_eq!(Label::from(None).key(), None);
        for name in [None, Some("a")] {
            let (id, key) =
                (PartitionId::from_bits(1 << 32), name.map(|name| Key::Name(name.into())));
            let group = Arc::new(GroupName::new("g"));
            let member = PartitionInfo::new(id, key, Some(group), Weight::ONE, 0);
            assert_eq!((member.key(), member.group()), (name.map(KeyRef::Name), Some("g")));
        }
    }
}
