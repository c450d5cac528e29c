//! By what timers are ordered.

use std::cmp::Ordering;

use crate::sched::units::Timestamp;

/// Equal deadlines fire in the order they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) deadline: Timestamp,
    pub(super) sequence: u64,
}

impl Key {
    pub(super) const FIRST: Self = Self { deadline: Timestamp::from_nanos(0), sequence: 0 };
    pub(super) const LAST: Self =
        Self { deadline: Timestamp::from_nanos(u64::MAX), sequence: u64::MAX };

    /// As one number, which is compared without a branch.
    #[inline]
    fn number(self) -> u128 {
        u128::from(self.deadline.as_nanos()) << 64 | u128::from(self.sequence)
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    #[inline]
    fn lt(&self, other: &Self) -> bool {
        self.number() < other.number()
    }

    #[inline]
    fn le(&self, other: &Self) -> bool {
        self.number() <= other.number()
    }
}
