//! The watch a simulation keeps: what handles cost, and whether time passes at all.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::REPORTED;
use crate::clock::Manual;
use crate::runtime::core::Queued;
use crate::sched::PartitionId;
use crate::task::TaskId;

/// What a simulation holds its loop to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The nanoseconds each handle takes besides what it spends.
    pub(crate) handle_cost: u64,
    /// How many handles may run while the clock stands still.
    pub(crate) steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handle_cost: 0, steps: 1_000_000 }
    }
}

#[derive(Debug)]
pub(super) struct Watch {
    clock: Arc<Manual>,
    limits: Limits,
    /// What the clock showed when it moved last, and the handles since.
    moved: u64,
    steps: u64,
    /// Who ran last, once there is reason to ask.
    suspects: VecDeque<Suspect>,
}

/// A task, or the future of `block_on`.
type Suspect = Option<(TaskId, &'static Location<'static>)>;

impl Watch {
    pub(super) fn new(clock: Arc<Manual>, limits: Limits) -> Self {
        Self { moved: clock.now(), clock, limits, steps: 0, suspects: VecDeque::new() }
    }

    pub(super) fn runs(&mut self, _: PartitionId, handle: &Queued) {
        if self.steps + REPORTED as u64 > self.limits.steps {
            self.suspects.push_back(match handle {
                Queued::Task(task) => Some((task.metadata().id, task.metadata().location)),
                Queued::Main => None,
            });
        }
    }

    pub(super) fn ran(&mut self) -> bool {
        self.clock.advance_by(self.limits.handle_cost);
        self.clock.handle_ended();
        let now = self.clock.now();
        if now > self.moved {
            self.moved = now;
            self.steps = 0;
            self.suspects.clear();
        }
        self.steps += 1;
        self.steps > self.limits.steps
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
