//! The state of a loop: what may be touched between two handles, and never while one runs.

mod harvest;
mod turns;

use std::sync::Arc;

use crate::clock::Clock;
use crate::driver::scheduled_io::ScheduledIo;
use crate::instrument::State;
use crate::runtime::directory::Directory;
use crate::runtime::moves::{Moves, Runner};
#[cfg(feature = "test-util")]
use crate::runtime::pause::Advances;
use crate::runtime::probe::Probe;
use crate::runtime::shared::Shared;
use crate::runtime::tasks::Tasks;
use crate::runtime::timers::{Alarm, Alarms};
use crate::sched::{Creator, Dispatcher, PartitionId, Readiness, Settings, Timers, Turn, Wake};
use crate::task::{self, Runnable};

#[cfg(feature = "sim")]
pub(crate) use harvest::HARVEST_PERIOD;

/// Readinesses, and timers, that one delivery turns into wakes; what is left waits for the next.
pub(crate) const DELIVERY_MAX: usize = 256;

/// What waits in a partition's queue: one poll to come, of a task, or of the future that `block_on`
/// runs if it is the mark.
pub(crate) type Queued = task::Queued<Shared>;

/// What the run loop has to do next.
pub(crate) enum Action {
    /// A handle of that partition.
    Run(PartitionId, Queued),
    /// The partition whose turn it is ran dry: turn its readiness and due timers into wakes.
    Deliver,
    /// It ran dry and the last harvest is a while ago: harvest before the delivery.
    Harvest,
    /// Nothing is runnable.
    Sleep,
}

pub(crate) struct Core {
    pub(crate) sched: Dispatcher<Queued>,
    pub(crate) timers: Alarms,
    pub(crate) io: Readiness<Arc<ScheduledIo>>,
    pub(crate) tasks: Tasks,
    pub(crate) directory: Directory,
    pub(crate) clock: Clock,
    pub(crate) probe: Probe,
    settings: Settings,
    /// The partition whose turn is out, else ROOT.
    pub(crate) current: PartitionId,
    turn: Option<Turn>,
    /// Which handle of that turn runs, or a delivery. In between a turn may well be out, but what
    /// the loop does then, it does for others.
    pub(crate) runner: Runner,
    /// Where that handle moves its task.
    pub(crate) moves: Moves,
    /// When the last handle ended, which is when the next one starts.
    stamp: u64,
    /// Nobody competes: handles are not timed.
    clockless: bool,
    /// Handles that the turn may run from here on without asking the dispatcher.
    unasked: u32,
    /// How many they were when it was asked last: those that have run since are neither paid nor
    /// counted yet.
    granted: u32,
    /// What the dispatcher had forgiven when a turn last ended.
    forgiven: u64,
    /// Somebody was roused after the running turn was last settled, as by a harvest.
    overtaken: bool,
    /// Handles run since the loop was made.
    pub(crate) handles: u64,
    /// How many of them the counters of their partitions know of.
    reported: u64,
    /// When the last harvest was.
    harvested: u64,
    /// What timers went by when due ones were marked last.
    told: u64,
    /// How many handles had run by then.
    handles_at_harvest: u64,
    /// How many handles had run by the last look at the clock while they are not timed.
    looked: u64,
    /// How many handles to run before the clock is looked at again.
    look_after: u64,
    /// Where the future of `block_on` lives.
    pub(crate) main: PartitionId,
    /// Shutdown has begun: nothing new is taken in.
    pub(crate) closed: bool,
    /// A partition that keeps its marker although it ran out of timers, until its next delivery.
    lingering: Option<PartitionId>,
    #[cfg(feature = "test-util")]
    pub(crate) advances: Advances,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("runnable", &self.sched.runnable())
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        let sched = Dispatcher::new(settings);
        let root = sched.root();
        let now = clock.anchor();
        Self {
            sched,
            timers: Alarms::new(clock.source().clone(), now),
            io: Readiness::new(),
            tasks: Tasks::default(),
            directory: Directory::new(root, now),
            clock,
            probe: Probe::default(),
            settings,
            current: root,
            turn: None,
            runner: Runner::Nobody,
            moves: Moves::default(),
            stamp: now,
            clockless: false,
            unasked: 0,
            granted: 0,
            forgiven: 0,
            overtaken: false,
            handles: 0,
            reported: 0,
            harvested: now,
            told: now,
            looked: 0,
            handles_at_harvest: 0,
            look_after: 1,
            main: root,
            closed: false,
            lingering: None,
            #[cfg(feature = "test-util")]
            advances: Advances::default(),
        }
    }

    /// The partition whose scope we are in: that of the handle that runs, else ROOT.
    #[inline]
    pub(crate) fn scope(&self) -> PartitionId {
        if self.is_running() { self.current } else { self.sched.root() }
    }

    #[inline]
    fn is_running(&self) -> bool {
        self.runner != Runner::Nobody
    }

    /// Whether a handle of `partition` runs.
    pub(crate) fn is_inside(&self, partition: PartitionId) -> bool {
        self.is_running() && partition == self.current
    }

    /// Queues a handle at the tail of `partition`, or gives it back if there is none such.
    #[inline]
    pub(crate) fn push(&mut self, partition: PartitionId, handle: Queued) -> Result<(), Queued> {
        let task = self.probe.task(&handle);
        let wake = self.sched.push(partition, handle)?;
        self.probe.woken(partition, task);
        if wake == Wake::Roused {
            self.roused(partition);
        } else if partition != self.current {
            // What the running partition queues is counted when its turn ends.
            self.count_queue(partition);
        }
        Ok(())
    }

    /// Queues a handle of a task at the tail of the task's partition.
    #[inline]
    pub(crate) fn queue(&mut self, task: Runnable<Shared>) {
        let partition = task.header().partition();
        let mut handle = Queued::new(task);
        // Most tasks are woken by one of their own partition: nobody is roused then, and what is
        // queued is counted when the turn ends.
        if let (Some(turn), false) = (&self.turn, self.probe.is_on()) {
            if turn.is_of(partition) {
                match self.sched.push_in_turn(turn, handle) {
                    Ok(()) => return,
                    Err(refused) => handle = refused,
                }
            }
        }
        self.queue_elsewhere(partition, handle);
    }

    #[inline(never)]
    fn queue_elsewhere(&mut self, partition: PartitionId, handle: Queued) {
        let refused = self.push(partition, handle);
        // A registered task counts as a reference to its partition, which therefore is there.
        assert!(refused.is_ok(), "a task was woken whose partition is gone");
    }

    /// Takes a queued handle back, the first for which `is_it` is true.
    pub(crate) fn withdraw(
        &mut self,
        partition: PartitionId,
        is_it: impl FnMut(&Queued) -> bool,
    ) -> Option<Queued> {
        let handle = self.sched.withdraw(partition, is_it)?;
        let (task, idle) = (self.probe.task(&handle), !self.sched.is_runnable(partition));
        self.probe.withdrawn(partition, task, idle);
        if let Some(counters) = self.directory.counters(partition) {
            counters.queued(self.sched.queue_len(partition), self.stamp);
            if idle {
                counters.enter(State::Waiting, self.stamp);
                counters.rested();
            }
        }
        Some(handle)
    }

    fn count_queue(&self, partition: PartitionId) {
        if let Some(counters) = self.directory.counters(partition) {
            counters.queued(self.sched.queue_len(partition), self.stamp);
        }
    }

    /// Makes a partition runnable because something waits to be delivered to it.
    pub(crate) fn rouse(&mut self, partition: PartitionId) {
        if self.sched.rouse(partition) == Some(Wake::Roused) {
            self.roused(partition);
        }
    }

    fn roused(&mut self, partition: PartitionId) {
        self.interrupt();
        self.overtaken = true;
        self.probe.roused(partition, &self.sched);
        if self.clockless {
            self.start_timing();
        } else if !self.is_running() {
            // Since the last handle the loop may have slept, and who slept was not starved.
            self.skip_time();
        }
        if let Some(counters) = self.directory.counters(partition) {
            counters.enter(State::Starved, self.stamp);
            counters.queued(self.sched.queue_len(partition), self.stamp);
        }
    }

    /// From here on somebody competes, so time counts; the handle that runs pays from now on.
    fn start_timing(&mut self) {
        if self.clockless {
            self.interrupt();
            self.clockless = false;
            self.stamp = self.clock.ticks();
        }
    }

    /// The loop begins to run, perhaps in the middle of a turn: what passed since it stopped is
    /// nobody's.
    pub(crate) fn started(&mut self) {
        self.stamp = self.clock.ticks();
        self.probe.started();
        self.enter_in_turn(State::Running);
    }

    /// The loop stops. Who has its turn does not run until it starts again.
    pub(crate) fn stopped(&mut self) {
        self.end_lingering();
        self.start_timing();
        self.probe.stopped();
        self.enter_in_turn(State::Starved);
    }

    fn enter_in_turn(&self, state: State) {
        let counters =
            self.turn.as_ref().and_then(|turn| self.directory.counters(turn.partition()));
        if let Some(counters) = counters {
            counters.enter(state, self.stamp);
        }
    }

    /// Begins to count time anew: what passed since the last boundary is nobody's.
    pub(crate) fn skip_time(&mut self) {
        if !self.clockless {
            self.stamp = self.clock.ticks();
        }
    }

    /// Who creates what is created now: the handle that runs, with what it has used up to here.
    pub(crate) fn creator(&self) -> Option<Creator> {
        if !self.is_running() {
            return None;
        }
        let since = if self.is_untimed() { self.stamp } else { self.clock.ticks() };
        let spent = self.settings.price_nanos(since.saturating_sub(self.stamp));
        Some(Creator { partition: self.current, spent })
    }

    /// Whether the handle that runs has used up what one turn of its partition grants.
    pub(crate) fn turn_is_spent(&self) -> bool {
        if self.turn.is_none() || self.is_untimed() {
            return false;
        }
        let elapsed = self.clock.ticks().saturating_sub(self.stamp);
        let allotment = self.sched.allotment(self.current).unwrap_or(u64::MAX);
        self.settings.price_nanos(elapsed) >= allotment
    }

    /// Keeps a partition's marker right after it gained or lost a timer or a source.
    pub(crate) fn source_changed(&mut self, partition: PartitionId) {
        let wants = self.timers.count(partition) + self.io.count(partition) > 0;
        if self.directory.set_marked(partition, wants) {
            self.sched.mark(partition, wants);
            if wants && partition != self.current {
                self.start_timing();
            }
        }
        if !wants {
            self.directory.check_unused(partition);
        }
    }

    /// Keeps a partition's marker right after it gained a timer.
    #[inline]
    pub(crate) fn timer_added(&mut self, owner: PartitionId) {
        if self.lingering != Some(owner) {
            self.mark_if_first(owner);
        }
    }

    #[inline(never)]
    fn mark_if_first(&mut self, owner: PartitionId) {
        if self.timers.count(owner) == 1 {
            self.source_changed(owner);
        }
    }

    /// Keeps a partition's marker right after it lost a timer. If that was the last one, and one of its
    /// handles runs, the marker stays where it is, since it is common that the next timer comes soon:
    /// the delivery that follows the handle takes it away.
    #[inline]
    pub(crate) fn timer_removed(&mut self, owner: PartitionId) {
        if self.lingering != Some(owner) {
            self.unmark_if_last(owner);
        }
    }

    #[inline(never)]
    fn unmark_if_last(&mut self, owner: PartitionId) {
        if self.timers.count(owner) > 0 {
            return;
        }
        if matches!(self.runner, Runner::Task(_) | Runner::Main) && owner == self.current {
            self.end_lingering();
            self.lingering = Some(owner);
        } else {
            self.source_changed(owner);
        }
    }

    /// Returns the timers that are set, the newest among them.
    #[inline]
    pub(crate) fn all_timers(&mut self) -> &mut Timers<Alarm> {
        self.timers.settled(&self.tasks)
    }

    /// Takes away a marker that a partition keeps without need.
    pub(crate) fn end_lingering(&mut self) {
        if let Some(owner) = self.lingering.take() {
            self.source_changed(owner);
        }
    }
}
