//! What a dispatcher is set to: the price of a handle and the limits of a turn.

use std::time::Duration;

use super::units::nanos_of;
use crate::config::Budget;

/// The price of a handle and the limits of a turn, in *cost units*: nanoseconds if the budget has
/// a time, handles if it has none.
///
/// # Examples
///
/// ```
/// use evenloop::Budget;
/// use evenloop::sched::Settings;
/// use std::time::Duration;
///
/// let both = Settings::from(Budget::new(100, Duration::from_micros(100)));
/// assert_eq!(both.price(Duration::from_nanos(10)), 1_000); // light: one hundredth of a turn
/// assert_eq!(both.price(Duration::from_micros(7)), 7_000); // heavy: what it took
///
/// let counted = Settings::from(Budget::handles(8));
/// assert!(!counted.timed());
/// assert_eq!(counted.price(Duration::from_secs(1)), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What one round grants a weight of one, in cost units; never zero.
    pub(super) quantum: u64,
    /// The least a handle costs, in cost units; never zero.
    least: u64,
    timed: bool,
    pub(super) limits: Limits,
}

/// What a ring keeps to, whatever its members weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// What an express turn may cost, in cost units; never zero.
    pub(super) express_slice: u64,
    /// Newborns that may ride the express lane in one round.
    pub(super) newborns: u32,
    /// The rounds a member may owe; less than the buckets of the smallest calendar.
    pub(super) max_debt: u64,
    #[cfg(feature = "mutants")]
    pub(super) mutation: Option<Mutation>,
}

impl Settings {
    /// The highest number of rounds that may be owed, so that a debtor's round has a bucket in
    /// every calendar.
    pub const MAX_DEBT: u32 = 255;

    /// Sets what an express turn may cost before it goes back in line. At least one unit.
    ///
    /// By default a quarter of the quantum, or the whole of a budget that only counts handles:
    /// there a turn is exactly its handles.
    #[must_use]
    pub const fn with_express_slice(mut self, cost: u64) -> Self {
        self.limits.express_slice = if cost == 0 { 1 } else { cost };
        self
    }

    /// Sets how many new partitions may ride the express lane in one round; the others begin
    /// with the next round. 64 by default.
    #[must_use]
    pub const fn with_newborns(mut self, newborns: u32) -> Self {
        self.limits.newborns = newborns;
        self
    }

    /// Sets how many rounds a partition may owe; what goes beyond is forgiven and counted. 64 by
    /// default, at least 1, at most [`Settings::MAX_DEBT`].
    #[must_use]
    pub const fn with_max_debt(mut self, rounds: u32) -> Self {
        let least = if rounds == 0 { 1 } else { rounds };
        let rounds = if least > Self::MAX_DEBT { Self::MAX_DEBT } else { least };
        self.limits.max_debt = rounds as u64;
        self
    }

    /// Returns what one round grants a partition of weight one, in cost units.
    ///
    /// The quantum of a budget with both limits is rounded up to a multiple of its handles, so
    /// that light handles fill a turn exactly.
    #[must_use]
    pub const fn quantum(&self) -> u64 {
        self.quantum
    }

    /// Returns what an express turn may cost, in cost units.
    #[must_use]
    pub const fn express_slice(&self) -> u64 {
        self.limits.express_slice
    }

    /// Returns how many new partitions may ride the express lane in one round.
    #[must_use]
    pub const fn newborns(&self) -> u32 {
        self.limits.newborns
    }

    /// Returns how many rounds a partition may owe.
    #[must_use]
    pub const fn max_debt(&self) -> u32 {
        self.limits.max_debt as u32
    }

    /// Returns whether the price of a handle depends on the time it took.
    #[must_use]
    pub const fn timed(&self) -> bool {
        self.timed
    }

    /// Returns what a handle that took `elapsed` costs, in cost units.
    #[must_use]
    #[inline]
    pub const fn price(&self, elapsed: Duration) -> u64 {
        self.price_nanos(nanos_of(elapsed))
    }

    /// Returns what a handle that took `elapsed` nanoseconds costs, in cost units.
    #[must_use]
    #[inline]
    pub const fn price_nanos(&self, elapsed: u64) -> u64 {
        if self.timed && elapsed > self.least { elapsed } else { self.least }
    }
}

impl From<Budget> for Settings {
    fn from(budget: Budget) -> Self {
        let handles = budget.handles_max().map(u64::from);
        let time = budget.quantum().map(nanos_of);
        let (quantum, least, timed) = match (handles, time) {
            (Some(handles), Some(time)) => {
                let least = time.div_ceil(handles);
                (least.saturating_mul(handles), least, true)
            }
            (None, Some(time)) => (time, 1, true),
            (Some(handles), None) => (handles, 1, false),
            (None, None) => unreachable!("a budget limits handles, time or both"),
        };
        let express_slice = if timed { (quantum / 4).max(1) } else { quantum };
        let limits = Limits {
            express_slice,
            newborns: 64,
            max_debt: 64,
            #[cfg(feature = "mutants")]
            mutation: None,
        };
        Self { quantum, least, timed, limits }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Budget::default().into()
    }
}

/// A deliberate defect, by which a property suite shows that it can fail.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// A partition sheds its debt by going to sleep.
    ResetDebtOnWake,
    /// Every newborn rides the express lane.
    NoNewbornGate,
    /// An express entry waits for the running turn to end.
    PreemptAtTurnEnd,
    /// What a turn overdraws is forgotten.
    DropOvershoot,
    /// The last to join a bucket is the first to leave it.
    LifoBuckets,
    /// A harvest delivers to all partitions. The dispatcher knows nothing of harvests: its host
    /// is to act on this one.
    DeliverToAll,
    /// Of the handles queued ahead of the marker any may be next, as this seed decides. That breaks
    /// the order inside a partition and nothing else, so it is also by which programs show that
    /// they do not lean on that order.
    Shuffled(u64),
}

#[cfg(feature = "mutants")]
impl Settings {
    /// Breaks the dispatcher in one way.
    #[must_use]
    pub const fn with_mutation(mut self, mutation: Mutation) -> Self {
        self.limits.mutation = Some(mutation);
        self
    }

    /// Returns the defect that was asked for.
    #[must_use]
    pub const fn mutation(&self) -> Option<Mutation> {
        self.limits.mutation
    }
}
