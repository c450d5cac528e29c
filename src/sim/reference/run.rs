//! The loop: harvests, turns, handles, and what they are charged.

use super::line::{Handle, Line, Next};
use super::outcome::{Outcome, Record};
use super::stage::{Groups, Partition, Task};
use super::{Ran, Reference};
use crate::sched::{PartitionId, Timers, Timestamp};
use crate::sim::policy::Policy;
use crate::sim::workload::Workload;

/// How long due timers of idle partitions may go unnoticed.
const HARVEST_PERIOD: u64 = 100_000;
/// A partition that runs dry looks again when the last harvest is older than this.
const HARVEST_WHEN_DRY: u64 = HARVEST_PERIOD / 4;
/// Handles after which a loop that does not read the clock thinks of harvesting.
const HARVEST_HANDLES: u64 = 64;
/// Timers that one delivery turns into wakes.
const DELIVERY_MAX: usize = 256;

/// What the loop has to do next.
enum Action {
    Run(Handle),
    Deliver,
    Harvest,
    Sleep,
}

/// All that there is while a workload runs.
///
/// Partitions have records, which say how they fare, and lines, which say what they have to do.
/// Under a policy of one queue for all there is one line.
pub(super) struct Loop<'a, P> {
    pub(super) policy: P,
    pub(super) load: &'a Workload,
    pub(super) now: u64,
    until: u64,
    pub(super) lines: Vec<Line>,
    pub(super) timers: Timers<usize>,
    pub(super) tasks: Vec<Task>,
    pub(super) partitions: Vec<Partition>,
    pub(super) groups: Groups,
    pub(super) records: Vec<Record>,
    pub(super) order: Option<Vec<Ran>>,
    /// Handles of the workload that ran.
    pub(super) played: u64,
    /// Tasks that are to end, and have not.
    pub(super) open: usize,
    /// The workload was started.
    pub(super) begun: bool,
    /// It has ended.
    pub(super) over: bool,
    /// Partitions made for a task that has ended.
    pub(super) doomed: Vec<usize>,
    /// How many lines are runnable, the running one included.
    runnable: usize,
    /// How many lines carry a marker.
    marked: usize,
    /// Whose turn is out, if one is.
    turn: bool,
    /// The line whose turn is out, else the first.
    pub(super) current: usize,
    /// A handle or a delivery is under way.
    pub(super) inside: bool,
    /// When the last boundary was, as far as it is known.
    stamp: u64,
    /// Nobody competes: handles are not timed.
    clockless: bool,
    /// Somebody was roused after the running turn was last settled.
    overtaken: bool,
    /// Handles run, those that start and end the workload included.
    handles: u64,
    harvested: u64,
    /// When due timers were marked last.
    noticed: u64,
    handles_at_harvest: u64,
    looked: u64,
    look_after: u64,
}

impl<'a, P: Policy> Loop<'a, P> {
    pub(super) fn new(plan: &Reference<'a>, policy: P) -> Self {
        let until = plan.until.map(|end| u64::try_from(end.as_nanos()).unwrap_or(u64::MAX));
        let mut new = Self {
            policy,
            load: plan.load,
            now: 0,
            until: until.unwrap_or(u64::MAX),
            lines: Vec::new(),
            timers: Timers::new(),
            tasks: Vec::new(),
            partitions: Vec::new(),
            groups: Groups::default(),
            records: Vec::new(),
            order: plan.ordered.then(Vec::new),
            played: 0,
            open: 0,
            begun: false,
            over: false,
            doomed: Vec::new(),
            runnable: 0,
            marked: 0,
            turn: false,
            current: 0,
            inside: false,
            stamp: 0,
            clockless: false,
            overtaken: false,
            handles: 0,
            harvested: 0,
            noticed: 0,
            handles_at_harvest: 0,
            looked: 0,
            look_after: 1,
        };
        new.set_up();
        new
    }

    pub(super) fn run(mut self) -> Outcome {
        while self.harvest() && !self.turns() {}
        self.curtain()
    }

    /// Marks due timers; sleeps if there is nothing to run. Returns whether there ever will be.
    fn harvest(&mut self) -> bool {
        if self.runnable == 0 {
            let Some(earliest) = self.timers.earliest() else { return false };
            self.now = self.now.max(earliest.as_nanos()).min(self.until);
            if self.now == self.until {
                return false;
            }
        }
        self.harvested = self.now;
        self.stamp = self.now;
        self.looked = self.handles;
        self.handles_at_harvest = self.handles;
        if self.turn {
            self.clockless = !self.is_contested();
        }
        self.mark_timers();
        true
    }

    fn mark_timers(&mut self) {
        self.noticed = self.now;
        let mut due = Vec::new();
        let now = Timestamp::from_nanos(self.now);
        self.timers.mark_due(now, |owner, _| due.push(owner.index()));
        while let Some(line) = due.pop() {
            self.lines[line].make_due();
            self.wake(line);
        }
    }

    /// Marks timers between two harvests, while handles are timed.
    fn notice_timers(&mut self) {
        let Some(earliest) = self.timers.earliest() else { return };
        if !self.is_untimed() && earliest.as_nanos() <= self.stamp {
            self.stamp = self.now;
            self.mark_timers();
        }
    }

    /// Runs handles until the next harvest is due or nothing is runnable. Returns whether the run
    /// is over.
    fn turns(&mut self) -> bool {
        loop {
            match self.next() {
                Action::Run(handle) => {
                    self.inside = true;
                    self.play(handle);
                    self.ran();
                    self.bury();
                    if self.over || self.now >= self.until {
                        return true;
                    }
                    if self.harvest_is_due() {
                        return false;
                    }
                    self.notice_timers();
                }
                Action::Deliver => {
                    self.deliver();
                    self.notice_timers();
                }
                Action::Harvest | Action::Sleep => return false,
            }
        }
    }

    fn next(&mut self) -> Action {
        loop {
            if !self.turn {
                let Some(line) = self.policy.pick() else { return Action::Sleep };
                self.turn = true;
                self.current = line;
                self.clockless = !self.is_contested();
            } else if self.overtaken && !self.lines[self.current].is_empty() {
                self.overtaken = false;
                self.settle();
                continue;
            }
            match self.lines[self.current].next() {
                Next::Run(handle) => return Action::Run(handle),
                Next::Deliver if self.harvest_is_stale() => return Action::Harvest,
                Next::Deliver if self.timers.is_due(owner(self.current)) => {
                    return Action::Deliver;
                }
                Next::Deliver => self.delivered(false),
                Next::Dry => self.settle_now(),
            }
        }
    }

    /// Charges the handle that just ran.
    fn ran(&mut self) {
        self.inside = false;
        self.handles += 1;
        let elapsed = self.spend();
        self.overtaken = false;
        self.policy.charge(elapsed);
        self.settle();
    }

    /// Asks whether the turn goes on, unless a delivery has to show that first.
    fn settle(&mut self) {
        if !self.lines[self.current].delivers_first() {
            self.settle_now();
        }
    }

    fn settle_now(&mut self) {
        let line = &mut self.lines[self.current];
        let more = line.is_busy();
        line.runnable = more;
        self.runnable -= usize::from(!more);
        if !self.policy.settle(more) {
            self.start_timing();
            self.turn = false;
            self.current = 0;
        }
    }

    /// Turns the due timers of the running line into wakes.
    fn deliver(&mut self) {
        self.inside = true;
        let mut due = Vec::new();
        let now = Timestamp::from_nanos(self.noticed);
        let more = self.timers.take_due(owner(self.current), now, DELIVERY_MAX, &mut due);
        self.timers_changed(self.current);
        for task in due {
            self.fire(task);
        }
        self.inside = false;
        self.delivered(more);
    }

    fn delivered(&mut self, more: bool) {
        let line = &mut self.lines[self.current];
        line.delivered(more);
        if line.is_busy() {
            self.settle_now();
        }
    }

    /// Queues a handle, in the line of its task's partition.
    pub(super) fn push(&mut self, line: usize, handle: Handle) {
        self.lines[line].push(handle);
        self.wake(line);
    }

    fn wake(&mut self, line: usize) {
        if std::mem::replace(&mut self.lines[line].runnable, true) {
            return;
        }
        self.runnable += 1;
        self.policy.wake(line);
        self.overtaken = true;
        if self.clockless {
            self.start_timing();
        } else if !self.inside {
            self.stamp = self.now;
        }
    }

    /// Sets a timer of the running line.
    pub(super) fn arm(&mut self, task: usize, at: u64) {
        self.timers.insert(owner(self.current), Timestamp::from_nanos(at), task);
        self.timers_changed(self.current);
    }

    /// Keeps a line's marker right after it gained or lost a timer.
    fn timers_changed(&mut self, line: usize) {
        let wants = self.timers.count(owner(line)) > 0;
        if wants == self.lines[line].is_marked() {
            return;
        }
        self.lines[line].mark(wants);
        if wants { self.marked += 1 } else { self.marked -= 1 }
    }

    /// Whether anybody else could want the thread: then time counts. Partitions that share a line
    /// are in each other's way always.
    fn is_contested(&self) -> bool {
        let beside = self.marked - usize::from(self.lines[self.current].is_marked());
        let shared = self.lines.len() == 1 && self.partitions.len() > 1;
        self.runnable != 1 || beside > 0 || shared
    }

    /// Takes notice of partitions that came to share the running line.
    pub(super) fn look_around(&mut self) {
        if self.is_contested() {
            self.start_timing();
        }
    }

    fn is_untimed(&self) -> bool {
        self.clockless || !self.policy.timed()
    }

    fn start_timing(&mut self) {
        if self.clockless {
            self.clockless = false;
            self.stamp = self.now;
        }
    }

    /// What the time since the last boundary costs; a new boundary begins.
    fn spend(&mut self) -> u64 {
        if self.is_untimed() {
            return 0;
        }
        let elapsed = self.now - self.stamp;
        self.stamp = self.now;
        elapsed
    }

    fn harvest_is_due(&mut self) -> bool {
        if self.is_untimed() {
            self.look();
        }
        self.stamp.saturating_sub(self.harvested) >= HARVEST_PERIOD
    }

    /// Looks at the clock while handles are not timed: after so many as fill a part of the time
    /// a harvest may wait, going by the last ones.
    fn look(&mut self) {
        if self.handles - self.looked < self.look_after {
            return;
        }
        self.stamp = self.now;
        self.looked = self.handles;
        let handles = (self.handles - self.handles_at_harvest).max(1);
        let mean = self.stamp.saturating_sub(self.harvested) / handles;
        self.look_after = (HARVEST_WHEN_DRY / 4 / mean.max(1)).clamp(1, HARVEST_HANDLES);
    }

    fn harvest_is_stale(&self) -> bool {
        self.handles != self.handles_at_harvest
            && self.stamp.saturating_sub(self.harvested) >= HARVEST_WHEN_DRY
    }
}

/// A line's name among the timers.
fn owner(line: usize) -> PartitionId {
    PartitionId::from_bits(1 << 32 | line as u64)
}
