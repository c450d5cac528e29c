//! The tasks of a workload, and what becomes of each step they take.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;

use super::line::{Handle, Line};
use super::outcome::{Outcome, Ran, Record};
use super::run::Loop;
use crate::sim::policy::{Policy, Share};
use crate::sim::workload::{Behaviour, Birth, Place, ROOT, Then, Who};

pub(super) struct Task {
    partition: usize,
    parent: Option<usize>,
    behaviour: Behaviour,
    random: Rng,
    state: State,
    /// Wakes that were not waited for yet.
    wakes: u64,
    /// Whether the end of the workload waits for its end.
    counted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Queued since then, or running.
    Ready(u64),
    /// Until then.
    Sleeping(u64),
    Waiting,
    Done,
}

pub(super) struct Partition {
    /// Where its handles are queued.
    line: usize,
    record: usize,
    /// Where the partitions it makes are recorded, once it makes any.
    heirs: Option<usize>,
    /// Tasks that have not ended.
    tasks: usize,
    /// Made for a task, and gone with it.
    fresh: bool,
}

/// Groups by name.
#[derive(Default)]
pub(super) struct Groups(HashMap<String, usize>);

impl Groups {
    fn number(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}

impl<P: Policy> Loop<'_, P> {
    /// Lays out the first line, that of ROOT, where the workload is started.
    pub(super) fn set_up(&mut self) {
        self.lines.push(Line::default());
        self.policy.create(0, Share { weight: 1, group: None }, None);
        self.push(0, Handle::Main);
    }

    /// Runs a handle.
    pub(super) fn play(&mut self, handle: Handle) {
        match handle {
            Handle::Main => self.play_main(),
            Handle::Task(number) => self.play_task(number),
        }
    }

    /// Starts the workload; at its end, ends the run.
    fn play_main(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            self.over = true;
            return;
        }
        for tenant in self.load.partitions() {
            self.add_partition(tenant.name, tenant.weight, tenant.group.as_deref());
        }
        for role in self.load.cast() {
            let random = role.random();
            let counted = !role.behaviour.is_endless();
            self.add_task(role.partition, None, role.behaviour, random, counted);
        }
        self.over = self.tasks.is_empty();
        self.look_around();
    }

    fn add_partition(&mut self, name: String, weight: u32, group: Option<&str>) -> usize {
        let record = Record { name, weight, service: 0, waits: Vec::new() };
        self.records.push(record);
        let record = self.records.len() - 1;
        if self.records[record].name == ROOT {
            self.partitions.push(Partition {
                line: 0,
                record,
                heirs: None,
                tasks: 0,
                fresh: false,
            });
            return self.partitions.len() - 1;
        }
        self.add_line(record, weight, group, false)
    }

    fn add_line(&mut self, record: usize, weight: u32, group: Option<&str>, fresh: bool) -> usize {
        let line = if self.policy.merges() { 0 } else { self.lines.len() };
        if line > 0 {
            self.lines.push(Line::default());
            let group = group.map(|name| self.groups.number(name));
            self.policy.create(line, Share { weight, group }, Some(self.current));
        }
        self.partitions.push(Partition { line, record, heirs: None, tasks: 0, fresh });
        self.partitions.len() - 1
    }

    fn add_task(
        &mut self,
        partition: usize,
        parent: Option<usize>,
        behaviour: Behaviour,
        random: Rng,
        counted: bool,
    ) {
        let state = State::Ready(self.now);
        let number = self.tasks.len();
        self.tasks.push(Task { partition, parent, behaviour, random, state, wakes: 0, counted });
        self.open += usize::from(counted);
        let partition = &mut self.partitions[partition];
        partition.tasks += 1;
        let line = partition.line;
        self.push(line, Handle::Task(number));
    }

    fn play_task(&mut self, number: usize) {
        let began = self.now;
        let task = &self.tasks[number];
        let record = self.partitions[task.partition].record;
        let State::Ready(since) = task.state else { unreachable!("who runs was queued") };
        self.records[record].waits.push(began - since);
        self.played += 1;
        if let Some(order) = &mut self.order {
            order.push(Ran { at: Duration::from_nanos(began), task: number });
        }
        while !self.take_step(number) {}
        self.records[record].service += self.now - began;
        if matches!(self.tasks[number].state, State::Ready(_)) {
            self.requeue(number);
        }
    }

    /// Takes one step of a task; returns whether its handle ends with it.
    fn take_step(&mut self, number: usize) -> bool {
        let task = &mut self.tasks[number];
        let step = task.behaviour.step(Duration::from_nanos(self.now), &mut task.random);
        self.now += nanos(step.cost);
        match step.then {
            Then::Yield => {}
            Then::Sleep(pause) if pause.is_zero() => {}
            Then::Sleep(pause) => {
                let until = self.now.saturating_add(nanos(pause));
                task.state = State::Sleeping(until);
                self.arm(number, until);
            }
            Then::Wait if task.wakes > 0 => task.wakes -= 1,
            Then::Wait => task.state = State::Waiting,
            Then::Done => self.end(number),
            Then::Wake(who) => {
                let whom = match who {
                    Who::Parent => task.parent,
                    Who::Task(other) => Some(other),
                };
                whom.into_iter().for_each(|whom| self.wake_task(whom));
                return false;
            }
            Then::Spawn(birth) => {
                self.spawn(number, birth);
                return false;
            }
        }
        true
    }

    fn wake_task(&mut self, number: usize) {
        match self.tasks[number].state {
            State::Waiting => self.requeue(number),
            _ => self.tasks[number].wakes += 1,
        }
    }

    /// The timer of a task has come.
    pub(super) fn fire(&mut self, number: usize) {
        let State::Sleeping(until) = self.tasks[number].state else {
            unreachable!("only sleepers have timers")
        };
        self.requeue(number);
        self.tasks[number].state = State::Ready(until);
    }

    fn requeue(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        task.state = State::Ready(self.now);
        let line = self.partitions[task.partition].line;
        self.push(line, Handle::Task(number));
    }

    fn spawn(&mut self, parent: usize, birth: Birth) {
        let Task { partition, counted, .. } = self.tasks[parent];
        let random = self.tasks[parent].random.fork();
        let home = match birth.place {
            Place::Here => partition,
            Place::Fresh { group } => {
                let record = self.record_of_heirs(partition);
                self.add_line(record, 1, group.as_deref(), true)
            }
        };
        self.add_task(home, Some(parent), birth.behaviour, random, counted);
    }

    fn record_of_heirs(&mut self, partition: usize) -> usize {
        let Partition { record, heirs, .. } = self.partitions[partition];
        heirs.unwrap_or_else(|| {
            let name = format!("{}/*", self.records[record].name);
            self.records.push(Record { name, weight: 1, service: 0, waits: Vec::new() });
            let heirs = self.records.len() - 1;
            self.partitions[partition].heirs = Some(heirs);
            heirs
        })
    }

    fn end(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        task.state = State::Done;
        let home = task.partition;
        let counted = task.counted;
        let partition = &mut self.partitions[home];
        partition.tasks -= 1;
        if partition.fresh && partition.tasks == 0 {
            self.doomed.push(home);
        }
        if counted {
            self.open -= 1;
            if self.open == 0 {
                self.push(0, Handle::Main);
            }
        }
    }

    /// Frees the partitions of tasks that have ended. Between two handles.
    pub(super) fn bury(&mut self) {
        while let Some(partition) = self.doomed.pop() {
            if !self.policy.merges() {
                self.policy.remove(self.partitions[partition].line);
            }
        }
    }

    /// Says what came of it.
    pub(super) fn curtain(mut self) -> Outcome {
        for task in &self.tasks {
            let waited = match task.state {
                State::Ready(since) => self.now - since,
                State::Sleeping(until) if until <= self.now => self.now - until,
                _ => continue,
            };
            let record = self.partitions[task.partition].record;
            self.records[record].waits.push(waited);
        }
        Outcome {
            policy: self.policy.name(),
            elapsed: self.now,
            handles: self.played,
            records: self.records,
            order: self.order.unwrap_or_default(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
