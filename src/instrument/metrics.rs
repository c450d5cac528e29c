//! What the counters say: snapshots that grow, and their differences.

use std::time::Duration;

use super::Histogram;

/// What one partition did since it was made.
///
/// All but the gauges `tasks` and `queued` only grow: two snapshots and [`since`](Self::since)
/// tell of the time between them. At every instant a partition is in exactly one of three states,
/// so `running`, `starved` and `waiting` add up to the wall time of its life. The state in
/// progress is included: a snapshot taken during a stall shows the stall.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PartitionMetrics {
    /// Its handles ran.
    pub running: Duration,
    /// It had work, and another partition ran.
    pub starved: Duration,
    /// It had nothing to do.
    pub waiting: Duration,
    /// Handles that ran.
    pub handles: u64,
    /// Turns taken, those in the express lane included.
    pub turns: u64,
    /// Turns in the express lane, which a partition that wakes with unspent allotment may use.
    pub express_turns: u64,
    /// Debt over the limit that was forgiven: nanoseconds if the budget has a quantum, else handles.
    pub forgiven: u64,
    /// Tasks alive at the time of the snapshot.
    pub tasks: u64,
    /// Handles queued at the time of the snapshot; while the partition runs, those that were
    /// queued when its turn began.
    pub queued: u64,
    /// The time its handles waited in the queue, summed over handles.
    pub queue_time: Duration,
    /// By how much timers fired after their deadline, as of the harvest that found them due.
    pub timer_lateness: Histogram,
    /// The time between one delivery of its ready sockets and due timers and the next, while it
    /// had work: how long they may have waited for their turn.
    pub delivery_gap: Histogram,
}

impl PartitionMetrics {
    /// Returns the wall time this snapshot covers.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.running + self.starved + self.waiting
    }

    /// Returns the share of the wall time in which the partition had work, from 0 to 1. At 1 it
    /// never ran dry, whatever its weight.
    #[must_use]
    pub fn load(&self) -> f64 {
        share(self.running + self.starved, self.wall())
    }

    /// Returns the share of the wall time lost to other partitions, from 0 to 1.
    #[must_use]
    pub fn pressure(&self) -> f64 {
        share(self.starved, self.wall())
    }

    /// Returns how long a handle waited in the queue on average, or `None` if none ran. Found by
    /// Little's law from the length of the queue over time, so no handle was stamped for it.
    #[must_use]
    pub fn mean_delay(&self) -> Option<Duration> {
        if self.handles == 0 {
            return None;
        }
        let nanos = self.queue_time.as_nanos() / u128::from(self.handles);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Returns what happened after `earlier` was taken. The gauges stay as they are here.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            running: self.running.saturating_sub(earlier.running),
            starved: self.starved.saturating_sub(earlier.starved),
            waiting: self.waiting.saturating_sub(earlier.waiting),
            handles: self.handles.saturating_sub(earlier.handles),
            turns: self.turns.saturating_sub(earlier.turns),
            express_turns: self.express_turns.saturating_sub(earlier.express_turns),
            forgiven: self.forgiven.saturating_sub(earlier.forgiven),
            tasks: self.tasks,
            queued: self.queued,
            queue_time: self.queue_time.saturating_sub(earlier.queue_time),
            timer_lateness: self.timer_lateness.since(&earlier.timer_lateness),
            delivery_gap: self.delivery_gap.since(&earlier.delivery_gap),
        }
    }
}

/// What a loop did since it was made. All numbers only grow: two snapshots and
/// [`since`](Self::since) tell of the time between them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RuntimeMetrics {
    /// The loop ran handles, delivered, or looked at the kernel without sleeping.
    pub busy: Duration,
    /// The loop slept, or was not running at all.
    pub idle: Duration,
    /// Passes of the run loop.
    pub ticks: u64,
    /// How often the kernel was asked for events.
    pub harvests: u64,
    /// Events the kernel reported.
    pub events: u64,
    /// Handles that ran, in all partitions.
    pub handles: u64,
    /// Wakes and spawns that came from other threads.
    pub remote_wakes: u64,
    /// Instruments that panicked and were taken off the loop.
    pub instrument_panics: u64,
    /// New partitions that had to wait for the next round, as too many came in one.
    pub gated_newborns: u64,
    /// The time between one harvest and the next while the loop was busy: how long a ready file
    /// descriptor may have gone unseen.
    pub harvest_gap: Histogram,
    /// By how much timers fired after their deadline, as of the harvest that found them due.
    pub timer_lateness: Histogram,
}

impl RuntimeMetrics {
    /// Returns the wall time this snapshot covers.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.busy + self.idle
    }

    /// Returns the share of the wall time in which the loop was busy, from 0 to 1.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        share(self.busy, self.wall())
    }

    /// Returns what happened after `earlier` was taken.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            idle: self.idle.saturating_sub(earlier.idle),
            ticks: self.ticks.saturating_sub(earlier.ticks),
            harvests: self.harvests.saturating_sub(earlier.harvests),
            events: self.events.saturating_sub(earlier.events),
            handles: self.handles.saturating_sub(earlier.handles),
            remote_wakes: self.remote_wakes.saturating_sub(earlier.remote_wakes),
            instrument_panics: self.instrument_panics.saturating_sub(earlier.instrument_panics),
            gated_newborns: self.gated_newborns.saturating_sub(earlier.gated_newborns),
            harvest_gap: self.harvest_gap.since(&earlier.harvest_gap),
            timer_lateness: self.timer_lateness.since(&earlier.timer_lateness),
        }
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}
