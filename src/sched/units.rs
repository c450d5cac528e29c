//! Points in time and weights.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// A point in time: nanoseconds since the epoch of its loop.
///
/// What the epoch is, the host decides; the scheduler only compares.
///
/// # Examples
///
/// ```
/// use evenloop::sched::Timestamp;
/// use std::time::Duration;
///
/// let start = Timestamp::from_nanos(5);
/// let end = start.saturating_add(Duration::from_nanos(3));
/// assert_eq!(end.saturating_since(start), Duration::from_nanos(3));
/// assert_eq!(start.saturating_since(end), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The epoch.
    pub const ZERO: Self = Self(0);
    /// The far future, 584 years after the epoch: a deadline that never comes.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the point `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the point `duration` later, or [`Timestamp::MAX`] if that is out of range.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }

    /// Returns the time since `earlier`, or zero if `earlier` is the later of the two.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Returns a duration in nanoseconds; one over 584 years counts as that long.
pub(super) const fn nanos_of(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// How many shares a partition or a group holds; never zero.
///
/// # Examples
///
/// ```
/// use evenloop::sched::Weight;
///
/// assert_eq!(Weight::of(3).get(), 3);
/// assert_eq!(Weight::new(0), None);
/// assert!(Weight::try_from(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU32);

impl Weight {
    /// One share.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// Returns a weight of `shares`, or `None` for zero.
    #[must_use]
    pub const fn new(shares: u32) -> Option<Self> {
        match NonZeroU32::new(shares) {
            Some(shares) => Some(Self(shares)),
            None => None,
        }
    }

    /// Returns a weight of `shares`.
    ///
    /// # Panics
    ///
    /// If `shares` is zero: a partition without a share would never run.
    #[must_use]
    pub const fn of(shares: u32) -> Self {
        match Self::new(shares) {
            Some(weight) => weight,
            None => panic!("a weight of zero would never run; give the partition at least one"),
        }
    }

    /// Returns the number of shares.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for Weight {
    /// One share.
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u32> for Weight {
    type Error = std::num::TryFromIntError;

    fn try_from(shares: u32) -> Result<Self, Self::Error> {
        NonZeroU32::try_from(shares).map(Self)
    }
}
