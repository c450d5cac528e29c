//! The watch a simulation keeps: what handles cost, whether time passes, and a record of it all.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};

use super::{Probe, REPORTED};
use crate::clock::Manual;
use crate::runtime::Runtime;
use crate::runtime::core::{Core, HARVEST_PERIOD, Queued};
use crate::runtime::info::PartitionInfo;
use crate::runtime::shared::Shared;
use crate::sched::{Dispatcher, Ended, GroupId, PartitionId, Timestamp, Turn, Weight};
use crate::task::{Header, TaskId};
use crate::trace::{MAIN_TASK, NO_TASK, Record, Recorder, What};

/// What a simulation holds its loop to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The nanoseconds each handle takes besides what it spends.
    pub(crate) handle_cost: u64,
    /// How many handles may run while the clock stands still.
    pub(crate) steps: u64,
    /// How many events the trace keeps.
    pub(crate) events: usize,
}

#[derive(Debug)]
pub(crate) struct Watch {
    clock: Arc<Manual>,
    limits: Limits,
    recorder: Recorder,
    /// What the clock showed when it moved last, and the handles since.
    moved: u64,
    steps: u64,
    /// Whose handle runs, and whether that ended the task.
    running: u64,
    done: bool,
    round: u64,
    /// Whether a handle or a delivery runs. What it creates waits for its price before it takes a
    /// place in line; whether it was roused by then.
    inside: bool,
    unborn: IndexMap<PartitionId, bool>,
    /// Partitions to which something is to be delivered.
    due: IndexSet<PartitionId>,
    /// Who ran last, once there is reason to ask.
    suspects: VecDeque<Suspect>,
}

/// A task, or the future of `block_on`.
type Suspect = Option<(TaskId, &'static Location<'static>)>;

impl Watch {
    fn new(clock: Arc<Manual>, limits: Limits, core: &Core) -> Self {
        let mut recorder = Recorder::new(*core.sched.settings(), limits.events);
        recorder.set_harvest_period(HARVEST_PERIOD);
        recorder.describe(clock.now(), core.sched.root(), "ROOT", Weight::ONE, None);
        Self {
            moved: clock.now(),
            clock,
            limits,
            recorder,
            steps: 0,
            running: NO_TASK,
            done: false,
            round: core.sched.round(),
            inside: false,
            unborn: IndexMap::new(),
            due: IndexSet::new(),
            suspects: VecDeque::new(),
        }
    }

    fn note(&mut self, partition: PartitionId, what: What) {
        self.note_task(partition, NO_TASK, what);
    }

    #[inline]
    fn note_task(&mut self, partition: PartitionId, task: u64, what: What) {
        self.recorder.record(self.clock.now(), partition, task, what);
    }

    fn note_loop(&mut self, what: What) {
        self.recorder.record_loop(self.clock.now(), what);
    }

    pub(super) fn started(&mut self) {
        self.note_loop(What::Start);
    }

    pub(super) fn stopped(&mut self) {
        self.note_loop(What::Stop);
    }

    pub(super) fn created(&mut self, info: &PartitionInfo, group: Option<GroupId>) {
        let weight = info.weight.load(std::sync::atomic::Ordering::Relaxed);
        let weight = Weight::of(weight);
        self.recorder.describe(self.clock.now(), info.id, &info.name(), weight, group);
        if self.inside {
            self.unborn.insert(info.id, false);
        }
    }

    pub(super) fn reweighed(&mut self, partition: PartitionId, weight: Weight) {
        self.note(partition, What::Weight(weight.get()));
    }

    pub(super) fn freed(&mut self, partition: PartitionId) {
        self.due.swap_remove(&partition);
        self.note(partition, What::Freed);
    }

    pub(super) fn group_created(&mut self, group: GroupId, name: &str, weight: Weight) {
        self.recorder.describe_group(self.clock.now(), group, name, weight);
    }

    pub(super) fn group_reweighed(&mut self, group: GroupId, weight: Weight) {
        self.recorder.reweigh_group(self.clock.now(), group, weight);
    }

    pub(super) fn spawned(&mut self, header: &Header<Shared>, name: Option<&str>) {
        self.recorder.describe_task(header.id().0, name, header.location());
    }

    pub(super) fn ended(&mut self, task: TaskId) {
        self.done |= task.0 == self.running;
    }

    #[expect(clippy::unused_self, reason = "it is one of the events")]
    pub(super) fn task(&self, handle: &Queued) -> u64 {
        handle.header().map_or(MAIN_TASK, |header| header.id().0)
    }

    pub(super) fn woken(&mut self, partition: PartitionId, task: u64) {
        self.note_task(partition, task, What::Wake);
    }

    pub(super) fn withdrawn(&mut self, partition: PartitionId, task: u64, idle: bool) {
        if let (true, Some(roused)) = (idle, self.unborn.get_mut(&partition)) {
            *roused = false;
        }
        self.note_task(partition, task, What::Withdrawn { idle });
    }

    pub(super) fn roused(&mut self, partition: PartitionId, sched: &Dispatcher<Queued>) {
        match self.unborn.get_mut(&partition) {
            Some(roused) => *roused = true,
            None => self.lined_up(partition, sched),
        }
    }

    /// What ran was charged: what it created and roused takes its place in line.
    pub(super) fn charged(&mut self, sched: &Dispatcher<Queued>) {
        self.inside = false;
        if self.unborn.is_empty() {
            return;
        }
        for (partition, roused) in std::mem::take(&mut self.unborn) {
            if roused {
                self.lined_up(partition, sched);
            }
        }
    }

    fn lined_up(&mut self, partition: PartitionId, sched: &Dispatcher<Queued>) {
        let (Some(tag), Some(round), Some(allotment)) =
            (sched.tag(partition), sched.round_of(partition), sched.allotment(partition))
        else {
            return;
        };
        // Alone, a partition goes from round to round within its turn.
        self.at_round(sched.round());
        let ahead = rounds(tag.round, round);
        let left = allotment.saturating_sub(tag.spent);
        self.note(partition, What::Roused { ahead, left });
        let Some(group) = sched.group_of(partition) else { return };
        let (Some(tag), Some(allotment)) = (sched.group_tag(group), sched.group_allotment(group))
        else {
            return;
        };
        let ahead = rounds(tag.round, sched.round());
        let left = allotment.saturating_sub(tag.spent);
        self.note(partition, What::GroupStands { ahead, left });
    }

    pub(super) fn ready(&mut self, partition: PartitionId, since: Option<Timestamp>) {
        self.due.insert(partition);
        let since = since.map_or(self.clock.now(), Timestamp::as_nanos);
        self.note(partition, What::Ready { since: Duration::from_nanos(since) });
    }

    fn at_round(&mut self, round: u64) {
        if round != self.round {
            self.round = round;
            self.note_loop(What::Round(round));
        }
    }

    pub(super) fn turn(&mut self, turn: &Turn, round: u64) {
        self.at_round(round);
        let what = What::Turn { express: turn.is_express(), fresh: turn.is_fresh() };
        self.note(turn.partition(), what);
    }

    pub(super) fn turn_ended(&mut self, partition: PartitionId, ended: Ended) {
        self.note(partition, What::TurnEnd(ended.into()));
    }

    pub(super) fn runs(&mut self, partition: PartitionId, handle: &Queued) {
        self.running = self.task(handle);
        self.done = false;
        self.inside = true;
        self.note_task(partition, self.running, What::Run);
        if self.steps + REPORTED as u64 > self.limits.steps {
            let suspect = handle.header().map(|header| (header.id(), header.location()));
            self.suspects.push_back(suspect);
        }
    }

    pub(super) fn ran(&mut self, partition: PartitionId) -> bool {
        self.clock.advance_by(self.limits.handle_cost);
        self.clock.handle_ended();
        let what = if self.done { What::Done } else { What::Ran };
        self.note_task(partition, self.running, what);
        self.running = NO_TASK;
        let now = self.clock.now();
        if now > self.moved {
            self.moved = now;
            self.steps = 0;
            self.suspects.clear();
        }
        self.steps += 1;
        self.steps > self.limits.steps
    }

    pub(super) fn delivers(&mut self, partition: PartitionId, wakes: usize) {
        self.inside = true;
        self.due.swap_remove(&partition);
        self.note(partition, What::Deliver { wakes: count(wakes) });
    }

    /// The partition's delivery came, and what was ready or due had gone by then.
    pub(super) fn nothing_to_deliver(&mut self, partition: PartitionId) {
        if self.due.swap_remove(&partition) {
            self.note(partition, What::Deliver { wakes: 0 });
        }
    }

    pub(super) fn harvested(&mut self, events: usize) {
        self.note_loop(What::Harvest { events: count(events) });
    }

    pub(super) fn sleeps(&mut self, timeout: Option<Duration>) {
        let now = Duration::from_nanos(self.clock.now());
        self.note_loop(What::Sleep { until: timeout.map(|timeout| now + timeout) });
    }

    pub(super) fn report_livelock(&self) -> ! {
        let mut suspects: Vec<Suspect> = self.suspects.iter().copied().collect();
        suspects.sort_unstable();
        suspects.dedup();
        let named = suspects.iter().map(|suspect| match suspect {
            Some((id, location)) => format!("\n  task {id}, spawned at {location}"),
            None => "\n  the future of `block_on`".to_owned(),
        });
        panic!(
            "the simulation gets nowhere: {} handles ran at {:?} without any time passing. Let \
             them wait for something, cost something (`sim::spend`, `Builder::handle_cost`), or \
             raise `Builder::step_limit`. Who ran last:{}",
            self.limits.steps,
            Duration::from_nanos(self.moved),
            named.collect::<String>(),
        );
    }
}

fn rounds(tag: u64, round: u64) -> u32 {
    u32::try_from(tag.saturating_sub(round)).unwrap_or(u32::MAX)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Runtime {
    /// Puts the loop under a simulation's eyes.
    pub(crate) fn watch(&self, clock: Arc<Manual>, limits: Limits) {
        let mut core = self.local.core.borrow_mut();
        let watch = Watch::new(clock, limits, &core);
        core.probe = Probe { watch: Some(Box::new(watch)) };
    }

    /// Hands what was written down so far to `f`; `None` if the loop is not simulated.
    pub(crate) fn with_record<R>(&self, f: impl FnOnce(&Record) -> R) -> Option<R> {
        let core = self.local.core.borrow();
        core.probe.watch.as_ref().map(|watch| f(watch.recorder.so_far()))
    }
}
