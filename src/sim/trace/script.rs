//! Traces written by hand, for tests.

use std::time::Duration;

use super::Trace;
use crate::Budget;
use crate::sched::{GroupId, PartitionId, Settings, Weight};
use crate::trace::{Recorder, What, Why};

/// What a test says happened.
#[derive(Debug)]
pub(crate) struct Script {
    recorder: Recorder,
    pub(crate) now: u64,
    partitions: u32,
    groups: u32,
}

/// A budget of time alone, so that costs are what handles take.
pub(crate) fn timed(quantum: u64) -> Settings {
    Settings::from(Budget::time(Duration::from_nanos(quantum)))
}

impl Script {
    pub(crate) fn new(settings: Settings) -> Self {
        let recorder = Recorder::new(settings, usize::MAX);
        Self { recorder, now: 0, partitions: 0, groups: 0 }
    }

    pub(crate) fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    pub(crate) fn partition(&mut self, name: &str, weight: u32) -> PartitionId {
        self.partition_in(name, weight, None)
    }

    pub(crate) fn partition_in(
        &mut self,
        name: &str,
        weight: u32,
        group: Option<GroupId>,
    ) -> PartitionId {
        let id = PartitionId::from_bits(1 << 32 | u64::from(self.partitions));
        self.partitions += 1;
        self.recorder.describe(self.now, id, name, Weight::of(weight), group);
        id
    }

    pub(crate) fn group(&mut self, name: &str, weight: u32) -> GroupId {
        let id = GroupId::from_bits(1 << 32 | u64::from(self.groups));
        self.groups += 1;
        self.recorder.describe_group(self.now, id, name, Weight::of(weight));
        id
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, nanos: u64) -> &mut Self {
        self.now += nanos;
        self
    }

    pub(crate) fn tell(&mut self, partition: PartitionId, task: u64, what: What) -> &mut Self {
        self.recorder.record(self.now, partition, task, what);
        self
    }

    pub(crate) fn tell_loop(&mut self, what: What) -> &mut Self {
        self.recorder.record_loop(self.now, what);
        self
    }

    pub(crate) fn wake(&mut self, partition: PartitionId, task: u64) -> &mut Self {
        self.tell(partition, task, What::Wake)
    }

    /// A wake that makes an idle partition runnable.
    pub(crate) fn rouse(
        &mut self,
        partition: PartitionId,
        task: u64,
        (ahead, left): (u32, u64),
    ) -> &mut Self {
        self.wake(partition, task);
        self.tell(partition, 0, What::Roused { ahead, left })
    }

    pub(crate) fn turn(&mut self, partition: PartitionId, express: bool) -> &mut Self {
        self.tell(partition, 0, What::Turn { express, fresh: true })
    }

    pub(crate) fn end(&mut self, partition: PartitionId, why: Why) -> &mut Self {
        self.tell(partition, 0, What::TurnEnd(why))
    }

    pub(crate) fn run(&mut self, partition: PartitionId, task: u64, takes: u64) -> &mut Self {
        self.tell(partition, task, What::Run);
        self.pass(takes);
        self.tell(partition, task, What::Ran)
    }

    /// A handle that queues its task again before it ends.
    pub(crate) fn run_again(&mut self, partition: PartitionId, task: u64, takes: u64) -> &mut Self {
        self.tell(partition, task, What::Run);
        self.pass(takes);
        self.wake(partition, task);
        self.tell(partition, task, What::Ran)
    }

    pub(crate) fn trace(&self) -> Trace {
        Trace::of(self.recorder.so_far())
    }
}
