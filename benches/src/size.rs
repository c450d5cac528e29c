//! How much to do.

use std::time::Duration;

/// How much to do: everything, or enough to see that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Everything.
    Full,
    /// Enough to see that it works.
    Quick,
}

impl Size {
    /// Returns `full`, or a twentieth of it.
    #[must_use]
    pub fn of(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full.div_ceil(20),
        }
    }

    /// Returns `full` seconds, or a tenth of them.
    #[must_use]
    pub fn seconds(self, full: f64) -> Duration {
        Duration::from_secs_f64(if self == Self::Full { full } else { full / 10.0 })
    }
}
