//! The names of partitions and groups, and the record the scheduler keeps of each.

use super::units::Weight;

/// No node, no group: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// The name of a partition in its dispatcher.
///
/// It is a slot and the generation of what lies in it, so a name outlives its partition without
/// meaning another one, until a slot has been used 2³⁰ times.
///
/// Treat the bits as opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// The name of a group in its dispatcher, built as [`PartitionId`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

macro_rules! bits {
    ($id:ident) => {
        impl $id {
            /// Returns the id as a number that is never zero.
            #[must_use]
            pub const fn to_bits(self) -> u64 {
                ((self.generation as u64) << 32) | self.index as u64
            }

            /// Returns the id whose [`to_bits`](Self::to_bits) is `bits`.
            ///
            /// Bits that came from nowhere make an id that names nothing or, by chance,
            /// something else: they are checked against the dispatcher as any id is.
            #[must_use]
            pub const fn from_bits(bits: u64) -> Self {
                Self { index: bits as u32, generation: (bits >> 32) as u32 }
            }

            /// Returns the slot: small, dense, and reused once what it held is gone. Right for
            /// indexing a table, together with a check of the whole id.
            #[must_use]
            pub const fn index(self) -> usize {
                self.index as usize
            }
        }
    };
}

bits!(PartitionId);
bits!(GroupId);

/// How much of which round a partition has used.
///
/// As one number it is `round + spent / allotment`: the rounds of service received, the way
/// virtual time is kept in start-time fair queueing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The round the partition is in; past the current one while it owes.
    pub round: u64,
    /// Spent of that round's allotment, in cost units; always less than it.
    pub spent: u64,
}

/// Where a node is.
///
/// | place   | wake             | picked  | preempted        | spent  | dry  |
/// |---------|------------------|---------|------------------|--------|------|
/// | Idle    | Express / Bucket |         |                  |        |      |
/// | Express | Express          | Current |                  |        |      |
/// | Bucket  | Bucket           | Current |                  |        |      |
/// | Current | Current          |         | Bucket, in front | Bucket | Idle |
/// | Unborn  | Unborn           |         |                  |        |      |
///
/// A node is unborn while the handle that made it runs: its tag waits for that handle's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Vacant,
    Idle,
    Express,
    Bucket,
    Current,
    Unborn,
}

/// Has not been woken yet: passes the newborn gate at its first wake.
pub(super) const NEWBORN: u8 = 1;
/// Keeps a marker in its queue: it has registrations or timers.
pub(super) const MARKED: u8 = 1 << 1;
/// Something waits for delivery.
pub(super) const DUE: u8 = 1 << 2;
/// Has run nothing since its last delivery.
pub(super) const DELIVERED: u8 = 1 << 3;
/// Was preempted: its next turn is the rest of the last.
pub(super) const RESUMES: u8 = 1 << 4;
/// Stands for a group, not a partition.
pub(super) const GROUP: u8 = 1 << 5;
/// Waits for the price of the handle that made it.
pub(super) const UNPRICED: u8 = 1 << 6;

/// What is touched when a partition is woken, picked or charged, in one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Node<H> {
    /// See [`Tag`].
    pub(super) round: u64,
    pub(super) spent: u64,
    /// What a round grants, in cost units; never zero.
    pub(super) allotment: u64,
    /// The first queued handle; there is one exactly if `len > 0`.
    pub(super) front: Option<H>,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) generation: u32,
    /// The group this partition is in, or the group this node stands for.
    pub(super) group: u32,
    /// Handles queued.
    pub(super) len: u32,
    /// Handles queued ahead of the marker; says nothing while there is no marker.
    pub(super) ahead: u32,
    /// Its [`Cold`](super::cold::Cold) part, or [`NONE`].
    pub(super) cold: u32,
    pub(super) place: Place,
    pub(super) flags: u8,
}

impl<H> Node<H> {
    pub(super) fn tag(&self) -> Tag {
        Tag { round: self.round, spent: self.spent }
    }

    #[inline]
    pub(super) fn is_partition(&self, generation: u32) -> bool {
        self.generation == generation && !self.has(GROUP) && self.place != Place::Vacant
    }

    pub(super) fn is_group(&self, generation: u32) -> bool {
        self.generation == generation && self.has(GROUP) && self.place != Place::Vacant
    }

    #[inline]
    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: u8, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// Whether the turn is to deliver before it runs or ends.
    ///
    /// With nothing queued a marked partition delivers once and is dry then; what became due in
    /// between asks for another delivery.
    #[inline]
    pub(super) fn wants_delivery(&self) -> bool {
        if self.len > 0 {
            self.has(MARKED | DUE) && self.ahead == 0
        } else {
            self.has(DUE) || (self.has(MARKED) && !self.has(DELIVERED))
        }
    }

    /// Whether there is anything to run or deliver.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.len > 0 || self.has(DUE)
    }

    /// Puts the marker behind all that is queued.
    pub(super) fn marker_to_tail(&mut self) {
        self.ahead = self.len;
    }
}

/// How far ahead of its ring's round a node is: whole rounds and a part of one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lead {
    rounds: u64,
    part: u64,
    /// Never zero once there is a part.
    whole: u64,
}

impl Lead {
    /// Measures a tag that is about to be charged `owed` more.
    pub(super) fn of(tag: Tag, allotment: u64, owed: u64, now: u64) -> Self {
        if tag.round < now {
            // Credit is not handed on.
            return Self { rounds: owed / allotment, part: owed % allotment, whole: allotment };
        }
        let spent = tag.spent.saturating_add(owed);
        let rounds = (tag.round - now).saturating_add(spent / allotment);
        Self { rounds, part: spent % allotment, whole: allotment }
    }

    /// Returns the tag that is as far ahead of `now`, owing no more than `max_debt` rounds.
    pub(super) fn tag(self, allotment: u64, now: u64, max_debt: u64) -> Tag {
        let round = now.saturating_add(self.rounds.min(max_debt));
        Tag { round, spent: scale(self.part, allotment, self.whole.max(1)) }
    }
}

/// Returns `part * whole / old_whole`, rounded down.
pub(super) fn scale(part: u64, whole: u64, old_whole: u64) -> u64 {
    let scaled = u128::from(part) * u128::from(whole) / u128::from(old_whole);
    scaled as u64
}

/// Returns what a round grants, in cost units.
pub(super) fn allotment(quantum: u64, weight: Weight) -> u64 {
    quantum.saturating_mul(u64::from(weight.get()))
}

/// Returns the generation after `generation`; never zero, so that the bits of an id are not.
/// Generations have 30 bits; a turn keeps the other two for itself.
const GENERATIONS: u32 = u32::MAX >> 2;

pub(super) fn next_generation(generation: u32) -> u32 {
    (generation.wrapping_add(1) & GENERATIONS).max(1)
}
