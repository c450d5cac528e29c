//! When to ask the kernel and the timers, and what follows.

use crate::runtime::core::Core;
use crate::sched::{PartitionId, Timestamp};

/// How long ready sources and due timers of idle partitions may go unnoticed.
pub(crate) const HARVEST_PERIOD: u64 = 100_000;
/// A partition that runs dry looks again when the last harvest is older than this.
const HARVEST_WHEN_DRY: u64 = HARVEST_PERIOD / 4;
/// Handles after which a loop that does not read the clock thinks of harvesting.
const HARVEST_HANDLES: u64 = 64;

impl Core {
    /// Whether the sources and timers of the other partitions have waited long enough, after a
    /// handle.
    #[inline]
    pub(crate) fn harvest_is_due(&mut self) -> bool {
        if self.is_untimed() {
            self.look();
        }
        self.harvest_is_overdue()
    }

    /// The same, as far as the time is known: so it is asked after a delivery. That is no reason to
    /// look at the clock. In a turn that begins with it nothing has run yet, and what the handles
    /// of others took says nothing of those to come.
    #[inline]
    pub(crate) fn harvest_is_overdue(&self) -> bool {
        self.stamp.saturating_sub(self.harvested) >= HARVEST_PERIOD
    }

    /// Looks at the clock while handles are not timed: after so many of them as fill a part of the
    /// time a harvest may wait, going by the last ones. Each if they are long, one in 64 if they
    /// are short.
    #[inline]
    pub(super) fn look(&mut self) {
        if self.handles - self.looked >= self.look_after {
            self.stamp = self.clock.ticks();
            self.looked = self.handles;
            let handles = (self.handles - self.handles_at_harvest).max(1);
            let mean = self.stamp.saturating_sub(self.harvested) / handles;
            self.look_after = (HARVEST_WHEN_DRY / 4 / mean.max(1)).clamp(1, HARVEST_HANDLES);
        }
    }

    /// Whether a partition that runs dry should look again at the kernel and the timers first.
    pub(super) fn harvest_is_stale(&self) -> bool {
        // With nothing run since then it makes no sense, however long ago it was: hooks or the
        // post may take that long after each harvest, and the delivery would never come.
        self.handles != self.handles_at_harvest
            && self.stamp.saturating_sub(self.harvested) >= HARVEST_WHEN_DRY
    }

    pub(crate) fn has_deliveries(&self, partition: PartitionId) -> bool {
        self.io.has_pending(partition) || self.timers.is_due(partition)
    }

    /// The partitions that a loop delivers to at each harvest, if it has that defect.
    #[cfg(feature = "mutants")]
    pub(crate) fn defective_deliveries(&self) -> Vec<PartitionId> {
        let to_all = self.settings.mutation() == Some(crate::sched::Mutation::DeliverToAll);
        if to_all { self.directory.ids().collect() } else { Vec::new() }
    }

    /// Marks the due timers after a harvest and rouses who owns them. Time spent in the kernel is
    /// nobody's. Returns the nanoseconds since the last harvest.
    pub(crate) fn harvest_ended(&mut self) -> u64 {
        let now = self.clock.anchor();
        let gap = now.saturating_sub(self.harvested);
        self.harvested = now;
        self.stamp = now;
        self.looked = self.handles;
        self.handles_at_harvest = self.handles;
        if self.turn.is_some() {
            // A turn that nobody contests may go on for ever.
            self.report_handles();
            self.clockless = !self.is_contested();
        }
        if let (Some(_), Some(counters)) = (&self.turn, self.directory.counters(self.current)) {
            counters.queued(self.queued_beside(), now);
        }
        self.mark_timers(now);
        gap
    }

    /// Whether a timer is due that is not marked, while handles are timed: then the end of the last
    /// one is known.
    #[inline]
    pub(crate) fn timer_is_due(&mut self) -> bool {
        if self.is_untimed() {
            return false;
        }
        let timers = self.timers.settled(&self.tasks);
        let Some(bound) = timers.bound() else { return false };
        let told = Timestamp::from_nanos(self.clock.told(self.stamp));
        bound <= told && timers.earliest().is_some_and(|earliest| earliest <= told)
    }

    /// Marks due timers between two harvests, without asking the kernel.
    #[cold]
    pub(crate) fn notice_timers(&mut self) {
        self.stamp = self.clock.anchor();
        self.mark_timers(self.stamp);
    }

    /// Marks the timers that are due when it is `now`, and rouses who owns them.
    fn mark_timers(&mut self, now: u64) {
        self.told = self.clock.told(now);
        let told = self.told();
        let Self { timers, tasks, directory, .. } = self;
        timers.look(told);
        timers.settled(tasks).mark_due(told, |partition, deadline| {
            directory.due.push((partition, deadline));
        });
        while let Some((partition, deadline)) = self.directory.due.pop() {
            self.probe.ready(partition, Some(deadline));
            self.rouse(partition);
        }
    }

    /// What timers went by when due ones were marked last: what was due then is due.
    pub(crate) fn told(&self) -> Timestamp {
        Timestamp::from_nanos(self.told)
    }

    /// When the last harvest was.
    pub(crate) fn harvested(&self) -> Timestamp {
        Timestamp::from_nanos(self.harvested)
    }

    /// When the last boundary between two handles was, as far as it is known.
    pub(crate) fn stamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.stamp)
    }
}
