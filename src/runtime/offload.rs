//! Closures that may block, run as tasks on the pool's threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::runtime::blocking::{BlockingPool, Cause, Job, Rejected};
use crate::runtime::context;
use crate::runtime::panics::note;
#[cfg(feature = "test-util")]
use crate::runtime::pause::{InFlight, UnderWay};
use crate::runtime::shared::Shared;
use crate::runtime::tasks::REMOTE;
use crate::task::{Runnable, TaskId};

/// Set, with [`REMOTE`], in the ids of tasks that run on the pool.
const BLOCKING: u64 = 1 << 62;

/// The pool of a runtime, seen from its tasks.
#[derive(Debug)]
pub(crate) struct Blocking {
    pool: BlockingPool<Closure>,
    next: AtomicU64,
    #[cfg(feature = "test-util")]
    in_flight: InFlight,
}

/// A closure in a task's cell: it is polled once, which runs it to its end.
#[derive(Debug)]
struct Closure {
    task: Runnable<Shared>,
    /// Behind the task, as what it says at its end comes first.
    #[cfg(feature = "test-util")]
    _under_way: UnderWay,
}

impl Closure {
    fn new(task: Runnable<Shared>) -> Self {
        Self {
            #[cfg(feature = "test-util")]
            _under_way: UnderWay::new(task.header().home()),
            task,
        }
    }

    /// Ends a task that has not started.
    fn end(self) {
        self.task.cancel();
    }
}

impl Job for Closure {
    fn id(&self) -> u64 {
        self.task.header().id().0
    }

    fn run(self) {
        // The job is in its runtime: it may spawn, and wait, by a handle to the current one.
        let _entered = context::enter(self.task.header().home());
        self.task.run_to_end();
    }
}

impl Blocking {
    pub(crate) fn new(threads_max: usize) -> Self {
        Self {
            pool: BlockingPool::new(threads_max),
            next: AtomicU64::new(1),
            #[cfg(feature = "test-util")]
            in_flight: InFlight::default(),
        }
    }

    /// The jobs that are queued or run.
    #[cfg(feature = "test-util")]
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    pub(crate) fn next_id(&self) -> TaskId {
        TaskId(REMOTE | BLOCKING | self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether `id` names a task of the pool.
    #[inline]
    pub(crate) fn owns(id: TaskId) -> bool {
        id.0 & (REMOTE | BLOCKING) == REMOTE | BLOCKING
    }

    /// Queues a task, or refuses it if the pool does not take it.
    pub(crate) fn push(&self, task: Runnable<Shared>) {
        if let Err(Rejected { job, cause }) = self.pool.push(Closure::new(task)) {
            if let Cause::NoThread(error) = cause {
                note(format_args!("a blocking job was refused, no thread could start: {error}"));
            }
            job.task.refuse();
        }
    }

    /// Ends a task that has not started.
    pub(crate) fn cancel(&self, id: TaskId) {
        if let Some(job) = self.pool.cancel(id.0) {
            job.end();
        }
    }

    /// Shuts the pool down; returns how many tasks were dropped unpolled and how many still run at
    /// the deadline. `None` waits for all.
    pub(crate) fn shut_down(&self, deadline: Option<Instant>) -> (usize, usize) {
        let (queued, running) = self.pool.shutdown(deadline);
        let dropped = queued.len();
        for job in queued {
            job.end();
        }
        (dropped, running)
    }
}
