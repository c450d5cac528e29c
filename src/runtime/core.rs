//! The state of a loop: what may be touched between two handles, and never while one runs.

use std::sync::Arc;

use crate::clock::Clock;
use crate::driver::scheduled_io::ScheduledIo;
use crate::instrument::State;
use crate::runtime::directory::Directory;
use crate::runtime::moves::{Moves, Runner};
use crate::runtime::probe::Probe;
use crate::runtime::shared::Shared;
use crate::runtime::tasks::Tasks;
use crate::runtime::timers::Alarm;
use crate::sched::{
    Creator, Dispatcher, Ended, Next, PartitionId, Readiness, Settings, Step, Timers, Timestamp,
    Turn, Wake,
};
use crate::task::Runnable;

/// How long ready sources and due timers of idle partitions may go unnoticed.
pub(crate) const HARVEST_PERIOD: u64 = 100_000;
/// A partition that runs dry looks again when the last harvest is older than this.
const HARVEST_WHEN_DRY: u64 = HARVEST_PERIOD / 4;
/// Handles after which a loop that does not read the clock thinks of harvesting.
const HARVEST_HANDLES: u64 = 64;
/// Readinesses, and timers, that one delivery turns into wakes; what is left waits for the next.
pub(crate) const DELIVERY_MAX: usize = 256;

/// What waits in a partition's queue: one poll to come.
#[derive(Debug)]
pub(crate) enum Queued {
    Task(Runnable<Shared>),
    /// The future that `block_on` runs.
    Main,
}

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
    pub(crate) timers: Timers<Alarm>,
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
            timers: Timers::new(),
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
            forgiven: 0,
            overtaken: false,
            handles: 0,
            reported: 0,
            harvested: now,
            looked: 0,
            handles_at_harvest: 0,
            look_after: 1,
            main: root,
            closed: false,
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
            self.clockless = false;
            self.stamp = self.clock.ticks();
        }
    }

    /// The loop begins to run, perhaps in the middle of a turn: what passed since it stopped is
    /// nobody's.
    pub(crate) fn started(&mut self) {
        self.attend_polls();
        self.stamp = self.clock.ticks();
        self.probe.started();
        self.enter_in_turn(State::Running);
    }

    /// The loop stops. Who has its turn does not run until it starts again.
    pub(crate) fn stopped(&mut self) {
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

    /// Returns what to do next. O(1).
    #[inline]
    pub(crate) fn next(&mut self) -> Action {
        loop {
            let turn = match self.turn.take() {
                // What was roused at this boundary, after the handle was charged, must not wait for
                // yet another handle of a turn it may preempt.
                Some(turn) if self.overtaken && self.sched.queue_len(self.current) > 0 => {
                    self.settle_again(turn);
                    continue;
                }
                Some(turn) => turn,
                None => match self.sched.pick() {
                    Some(turn) => self.begin_turn(turn),
                    None => return Action::Sleep,
                },
            };
            match self.sched.step(&turn) {
                Step::Run(handle) => {
                    self.turn = Some(turn);
                    self.runner = match &handle {
                        Queued::Main => Runner::Main,
                        Queued::Task(task) => {
                            self.tasks.prepare(task.metadata());
                            Runner::Task(task.metadata().key())
                        }
                    };
                    self.probe.runs(self.current, &handle);
                    return Action::Run(self.current, handle);
                }
                Step::Deliver => {
                    if self.harvest_is_stale() {
                        self.turn = Some(turn);
                        return Action::Harvest;
                    }
                    if self.has_deliveries(self.current) {
                        self.turn = Some(turn);
                        return Action::Deliver;
                    }
                    self.probe.nothing_to_deliver(self.current);
                    let next = self.sched.delivered(turn, false);
                    self.go_on(next);
                }
                Step::Dry => {
                    let cost = self.spend_in_between();
                    let ended = self.sched.finish(turn, cost);
                    self.end_turn(ended);
                }
            }
        }
    }

    /// Charges the handle that just ran. Returns whether the loop gets nowhere, which only a
    /// simulation can tell.
    #[inline]
    #[must_use]
    pub(crate) fn ran(&mut self) -> bool {
        self.runner = Runner::Nobody;
        self.handles += 1;
        let stuck = self.probe.ran(self.current);
        let cost = self.spend();
        self.overtaken = false;
        if let Some(turn) = self.turn.take() {
            let next = self.sched.charge(turn, cost);
            self.probe.charged(&self.sched);
            self.go_on(next);
        }
        stuck
    }

    /// Asks once more whether the turn goes on.
    #[cold]
    fn settle_again(&mut self, turn: Turn) {
        self.overtaken = false;
        let next = self.sched.charge(turn, 0);
        self.go_on(next);
    }

    /// Begins a delivery to the running partition.
    pub(crate) fn begin_delivery(&mut self) {
        self.runner = Runner::Delivery;
    }

    /// Puts the marker back behind what a delivery woke; `more` waits for the next one.
    pub(crate) fn delivered(&mut self, more: bool) {
        self.runner = Runner::Nobody;
        let cost = self.spend_in_between();
        if let Some(turn) = self.turn.take() {
            self.sched.spend(&turn, cost);
            self.probe.charged(&self.sched);
            let next = self.sched.delivered(turn, more);
            self.go_on(next);
        }
    }

    #[inline]
    fn go_on(&mut self, next: Next) {
        match next {
            Next::Continues(turn) => self.turn = Some(turn),
            Next::Ended(ended) => self.end_turn(ended),
        }
    }

    /// Whether anybody else could want the thread: then time counts.
    #[inline]
    fn is_contested(&self) -> bool {
        !self.sched.is_sole() || self.directory.marked_beside(self.current)
    }

    /// What the time since the last boundary costs; a new boundary begins.
    #[inline]
    fn spend(&mut self) -> u64 {
        if self.is_untimed() {
            return self.settings.price_nanos(0);
        }
        let now = self.clock.ticks();
        let elapsed = now.saturating_sub(self.stamp);
        self.stamp = now;
        self.settings.price_nanos(elapsed)
    }

    /// What the time since the last boundary costs if no handle ran: just the time.
    fn spend_in_between(&mut self) -> u64 {
        if self.is_untimed() {
            return 0;
        }
        let now = self.clock.ticks();
        let elapsed = now.saturating_sub(self.stamp);
        self.stamp = now;
        elapsed
    }

    /// Whether handles are not timed, since nobody competes or the budget only counts them.
    #[inline]
    fn is_untimed(&self) -> bool {
        self.clockless || !self.settings.timed()
    }

    /// Makes `partition` the scope of what runs outside of all turns, until [`leave`](Self::leave).
    pub(crate) fn enter(&mut self, partition: PartitionId) {
        self.current = partition;
        self.runner = Runner::Delivery;
    }

    pub(crate) fn leave(&mut self) {
        self.current = self.sched.root();
        self.runner = Runner::Nobody;
    }

    fn begin_turn(&mut self, turn: Turn) -> Turn {
        self.current = turn.partition();
        self.probe.turn(&turn, self.sched.round());
        if let Some(counters) = self.directory.counters(self.current) {
            counters.enter(State::Running, self.stamp);
            counters.queued(self.queued_beside(), self.stamp);
            if turn.is_fresh() {
                counters.turn(turn.is_express());
            }
        }
        self.clockless = !self.is_contested();
        turn
    }

    fn end_turn(&mut self, ended: Ended) {
        self.probe.turn_ended(self.current, ended);
        self.start_timing();
        self.report_handles();
        if let Some(counters) = self.directory.counters(self.current) {
            match ended {
                Ended::Idle => {
                    counters.enter(State::Waiting, self.stamp);
                    counters.rested();
                }
                _ => counters.enter(State::Starved, self.stamp),
            }
            counters.queued(self.sched.queue_len(self.current), self.stamp);
            if self.sched.forgiven_total() != self.forgiven {
                counters.forgiven(self.sched.forgiven(self.current).unwrap_or_default());
                self.forgiven = self.sched.forgiven_total();
            }
        }
        self.current = self.sched.root();
    }

    /// How many handles of the running partition wait for the one that runs, or is about to.
    fn queued_beside(&self) -> usize {
        self.sched.queue_len(self.current).saturating_sub(1)
    }

    fn report_handles(&mut self) {
        let handles = self.handles - self.reported;
        self.reported = self.handles;
        if let Some(counters) = self.directory.counters(self.current) {
            counters.ran(handles);
        }
    }

    /// Whether the sources and timers of the other partitions have waited long enough.
    #[inline]
    pub(crate) fn harvest_is_due(&mut self) -> bool {
        if self.is_untimed() {
            self.look();
        }
        self.stamp.saturating_sub(self.harvested) >= HARVEST_PERIOD
    }

    /// Looks at the clock while handles are not timed: after so many of them as fill a part of the
    /// time a harvest may wait, going by the last ones. Each if they are long, one in 64 if they
    /// are short.
    #[inline]
    fn look(&mut self) {
        if self.handles - self.looked >= self.look_after {
            self.stamp = self.clock.ticks();
            self.looked = self.handles;
            let handles = (self.handles - self.handles_at_harvest).max(1);
            let mean = self.stamp.saturating_sub(self.harvested) / handles;
            self.look_after = (HARVEST_WHEN_DRY / 4 / mean.max(1)).clamp(1, HARVEST_HANDLES);
        }
    }

    /// Whether a partition that runs dry should look again at the kernel and the timers first.
    fn harvest_is_stale(&self) -> bool {
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
        let Self { timers, directory, .. } = self;
        timers.mark_due(Timestamp::from_nanos(now), |partition, deadline| {
            directory.due.push((partition, deadline));
        });
        while let Some((partition, deadline)) = self.directory.due.pop() {
            self.probe.ready(partition, Some(deadline));
            self.rouse(partition);
        }
        gap
    }

    /// When the last harvest was.
    pub(crate) fn harvested(&self) -> Timestamp {
        Timestamp::from_nanos(self.harvested)
    }

    /// When the last boundary between two handles was, as far as it is known.
    pub(crate) fn stamp(&self) -> Timestamp {
        Timestamp::from_nanos(self.stamp)
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
}
