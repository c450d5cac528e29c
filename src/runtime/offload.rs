//! Closures that may block, run as tasks on the pool's threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::runtime::blocking::{BlockingPool, Cause, Job, Rejected};
use crate::runtime::context;
use crate::runtime::panics::note;
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
}

/// A closure in a task's cell: it is polled once, which runs it to its end.
#[derive(Debug)]
struct Closure(Runnable<Shared>);

impl Job for Closure {
    fn id(&self) -> u64 {
        self.0.header().id().0
    }

    fn run(self) {
        // The job is in its runtime: it may spawn, and wait, by a handle to the current one.
        let _entered = context::enter(self.0.header().home());
        self.0.run_to_end();
    }
}

impl Blocking {
    pub(crate) fn new(threads_max: usize) -> Self {
        Self { pool: BlockingPool::new(threads_max), next: AtomicU64::new(1) }
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
        if let Err(Rejected { job: Closure(task), cause }) = self.pool.push(Closure(task)) {
            if let Cause::NoThread(error) = cause {
                note(format_args!("a blocking job was refused, no thread could start: {error}"));
            }
            task.refuse();
        }
    }

    /// Ends a task that has not started.
    pub(crate) fn cancel(&self, id: TaskId) {
        if let Some(Closure(task)) = self.pool.cancel(id.0) {
            task.cancel();
        }
    }

    /// Shuts the pool down; returns how many tasks were dropped unpolled and how many still run at
    /// the deadline. `None` waits for all.
    pub(crate) fn shut_down(&self, deadline: Option<Instant>) -> (usize, usize) {
        let (queued, running) = self.pool.shutdown(deadline);
        let dropped = queued.len();
        for Closure(task) in queued {
            task.cancel();
        }
        (dropped, running)
    }
}
