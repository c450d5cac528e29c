//! The kinds of events, and how each fits into one word.

use std::fmt;
use std::time::Duration;

/// What happened.
///
/// Times are since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The partition was created, by the handle that runs, if one does.
    Created {
        /// Its share among its siblings.
        weight: u32,
        /// The number of the group it is in.
        group: Option<u32>,
    },
    /// The partition has another weight now.
    Weight(u32),
    /// The partition is no more.
    Freed,
    /// A group was created.
    GroupCreated {
        /// Its number, in order of creation.
        group: u32,
        /// Its share at the root.
        weight: u32,
    },
    /// A group has another weight now.
    GroupWeight {
        /// Its number.
        group: u32,
        /// Its share at the root.
        weight: u32,
    },
    /// A handle of the task was queued at the tail of the partition.
    Wake,
    /// A handle of the task was taken out of the queue of the partition, since the task was adopted.
    Withdrawn {
        /// Whether the partition has nothing left to do by that.
        idle: bool,
    },
    /// The partition was idle and took its place in line. What the running handle creates takes
    /// its place when that handle has been charged.
    Roused {
        /// Rounds until it is entitled to service; 0 is the express lane.
        ahead: u32,
        /// Left of its allotment in that round, in cost units.
        left: u64,
    },
    /// Where the group of the partition that was just roused stands at the root. If no other
    /// member was runnable, the group took this place just now.
    GroupStands {
        /// Rounds until it is entitled to service; 0 is the express lane.
        ahead: u32,
        /// Left of its allotment in that round, in cost units.
        left: u64,
    },
    /// A harvest found a source of the partition ready, or a timer due.
    Ready {
        /// When it became so.
        since: Duration,
    },
    /// The partition's turn began.
    Turn {
        /// Whether it came through the express lane of its ring.
        express: bool,
        /// Whether it is a new turn, not the rest of one that was preempted.
        fresh: bool,
    },
    /// The partition's turn ended.
    TurnEnd(Why),
    /// A handle of the task began to run.
    Run,
    /// It ended; the task lives on.
    Ran,
    /// It ended, and its task with it.
    Done,
    /// The partition's ready sources and due timers were turned into wakes.
    Deliver {
        /// Wakers that were called; a task that was queued already is not queued again.
        wakes: u32,
    },
    /// The loop asked which sources are ready and which timers due.
    Harvest {
        /// Sources the kernel reported.
        events: u32,
    },
    /// Nothing was runnable, and the loop slept.
    Sleep {
        /// The earliest timer, if there is one.
        until: Option<Duration>,
    },
    /// The root went on to this round.
    Round(u64),
    /// `block_on` began.
    Start,
    /// `block_on` returned. What is queued stays queued.
    Stop,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The partition has nothing left to do.
    Idle,
    /// The allotment of the partition or its group, or the express slice, was used up.
    Spent,
    /// Another partition woke with allotment left.
    Preempted,
    /// The partition was removed.
    Removed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Spent => "spent",
            Self::Preempted => "preempted",
            Self::Removed => "removed",
        })
    }
}

impl From<crate::sched::Ended> for Why {
    fn from(ended: crate::sched::Ended) -> Self {
        match ended {
            crate::sched::Ended::Idle => Self::Idle,
            crate::sched::Ended::Spent => Self::Spent,
            crate::sched::Ended::Preempted => Self::Preempted,
            crate::sched::Ended::Removed => Self::Removed,
        }
    }
}

/// What is left for a payload beside the kind, in the lowest byte.
const PAYLOAD_MAX: u64 = u64::MAX >> 8;
/// What is left for an allotment beside 16 bits of rounds.
const LEFT_MAX: u64 = PAYLOAD_MAX >> 16;
/// What is left for the number of a group beside a weight.
const GROUP_MAX: u64 = PAYLOAD_MAX >> 32;

impl What {
    /// Packs the event into a word: the kind in the lowest byte, the payload above. What does not
    /// fit is the largest that does: times over two years, allotments over 18 minutes, 65,535
    /// rounds.
    #[inline]
    pub(super) fn pack(self) -> u64 {
        let (kind, payload) = match self {
            Self::Created { weight, group } => {
                (0, weighed(group.map_or(0, |group| group + 1), weight))
            }
            Self::Weight(weight) => (1, u64::from(weight)),
            Self::Freed => (2, 0),
            Self::GroupCreated { group, weight } => (3, weighed(group, weight)),
            Self::GroupWeight { group, weight } => (4, weighed(group, weight)),
            Self::Wake => (5, 0),
            Self::Roused { ahead, left } => (6, standing(ahead, left)),
            Self::GroupStands { ahead, left } => (7, standing(ahead, left)),
            Self::Ready { since } => (8, nanos(since)),
            Self::Turn { express, fresh } => (9, u64::from(express) | u64::from(fresh) << 1),
            Self::TurnEnd(why) => (10, why as u64),
            Self::Run => (11, 0),
            Self::Ran => (12, 0),
            Self::Done => (13, 0),
            Self::Deliver { wakes } => (14, u64::from(wakes)),
            Self::Harvest { events } => (15, u64::from(events)),
            Self::Sleep { until } => (16, until.map_or(PAYLOAD_MAX, nanos)),
            Self::Round(round) => (17, round.min(PAYLOAD_MAX)),
            Self::Start => (18, 0),
            Self::Stop => (19, 0),
            Self::Withdrawn { idle } => (20, u64::from(idle)),
        };
        payload << 8 | kind
    }

    /// Returns the event that was packed.
    #[inline]
    pub(super) fn unpack(word: u64) -> Self {
        let payload = word >> 8;
        let (low, high) = (payload as u32, (payload >> 32) as u32);
        let (ahead, left) = ((payload >> 40) as u32, payload & LEFT_MAX);
        match word as u8 {
            0 => Self::Created { weight: low, group: high.checked_sub(1) },
            1 => Self::Weight(low),
            2 => Self::Freed,
            3 => Self::GroupCreated { group: high, weight: low },
            4 => Self::GroupWeight { group: high, weight: low },
            5 => Self::Wake,
            6 => Self::Roused { ahead, left },
            7 => Self::GroupStands { ahead, left },
            8 => Self::Ready { since: Duration::from_nanos(payload) },
            9 => Self::Turn { express: payload & 1 != 0, fresh: payload & 2 != 0 },
            10 => Self::TurnEnd(match payload {
                0 => Why::Idle,
                1 => Why::Spent,
                2 => Why::Preempted,
                _ => Why::Removed,
            }),
            11 => Self::Run,
            12 => Self::Ran,
            13 => Self::Done,
            14 => Self::Deliver { wakes: low },
            15 => Self::Harvest { events: low },
            16 => Self::Sleep {
                until: (payload < PAYLOAD_MAX).then(|| Duration::from_nanos(payload)),
            },
            17 => Self::Round(payload),
            18 => Self::Start,
            19 => Self::Stop,
            _ => Self::Withdrawn { idle: payload != 0 },
        }
    }
}

fn weighed(group: u32, weight: u32) -> u64 {
    u64::from(group).min(GROUP_MAX) << 32 | u64::from(weight)
}

fn standing(ahead: u32, left: u64) -> u64 {
    u64::from(ahead.min(0xffff)) << 40 | left.min(LEFT_MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(PAYLOAD_MAX)
}
