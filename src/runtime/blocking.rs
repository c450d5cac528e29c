//! Threads for work that blocks: started on demand, bounded in number, gone when idle.
//!
//! The loop itself pushes jobs, so a push must not wait for a job: the lock is held to queue a
//! job, to take one and to start a thread, never while a job runs or is dropped.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many threads a pool may have unless the user says otherwise. Blocking work mostly waits,
/// for files and name servers, so there may be many more than processors.
pub(crate) const THREADS_DEFAULT: usize = 512;

/// How long a thread waits for the next job before it ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Work that may block.
pub(crate) trait Job: Send + 'static {
    /// Returns a number that no other job of the pool has.
    fn id(&self) -> u64;

    /// Does the work, on a thread of the pool. A panic ends the job and nothing else.
    fn run(self);
}

/// A bounded set of threads with one first-in-first-out queue of jobs, which has no bound.
///
/// Dropping it gives up what is queued and lets running jobs run out.
pub(crate) struct BlockingPool<J: Job> {
    shared: Arc<Shared<J>>,
}

/// A job that was not taken, and why.
#[derive(Debug)]
pub(crate) struct Rejected<J> {
    pub(crate) job: J,
    pub(crate) cause: Cause,
}

/// Why a pool takes no job.
#[derive(Debug)]
pub(crate) enum Cause {
    /// It was shut down; it will take none again.
    ShutDown,
    /// It has no thread and the system would not start one. Later it may.
    NoThread(io::Error),
}

impl<J: Job> BlockingPool<J> {
    /// Makes a pool of up to `threads_max` threads, and starts none.
    ///
    /// # Panics
    ///
    /// If `threads_max` is zero.
    pub(crate) fn new(threads_max: usize) -> Self {
        Self::with_start(threads_max, start_thread)
    }

    fn with_start(threads_max: usize, start: Start<J>) -> Self {
        assert!(
            threads_max > 0,
            "a pool without threads would never run a job; allow at least one"
        );
        let state = Mutex::new(State {
            queue: Queue { jobs: BTreeMap::new(), places: HashMap::new(), next_place: 0 },
            threads: 0,
            idle: 0,
            started: 0,
            closed: false,
        });
        let shared = Shared {
            state,
            threads_max,
            start,
            work_came: Condvar::new(),
            thread_ended: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Queues a job, and starts a thread for it if all are taken and there may be more.
    ///
    /// If no thread can be started but there are some, the job waits for one of them.
    pub(crate) fn push(&self, job: J) -> Result<(), Rejected<J>> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Rejected { job, cause: Cause::ShutDown });
        }
        let threads_wanted = state.queue.len() + 1 > state.idle;
        if threads_wanted && state.threads < self.shared.threads_max {
            // Under the lock, or another job could count on a thread that then fails to start.
            match (self.shared.start)(&self.shared, state.started + 1) {
                Ok(()) => state.thread_started(),
                Err(error) if state.threads == 0 => {
                    return Err(Rejected { job, cause: Cause::NoThread(error) });
                }
                Err(_) => {}
            }
        }
        state.queue.push(job);
        drop(state);
        self.shared.work_came.notify_one();
        Ok(())
    }

    /// Takes a job back if no thread has begun it.
    pub(crate) fn cancel(&self, id: u64) -> Option<J> {
        self.shared.lock().queue.remove(id)
    }

    /// Refuses jobs from now on, lets idle threads end, and waits for the others until
    /// `deadline`, or for as long as it takes.
    ///
    /// Returns the jobs no thread has begun, first in first, and how many still run. Those run
    /// on, and their threads end with them.
    pub(crate) fn shutdown(&self, deadline: Option<Instant>) -> (Vec<J>, usize) {
        let mut state = self.shared.lock();
        state.closed = true;
        let queued = state.queue.take_all();
        self.shared.work_came.notify_all();
        while state.threads > 0 {
            let ended = &self.shared.thread_ended;
            let Some(deadline) = deadline else {
                state = ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (queued, state.running())
    }
}

impl<J: Job> Drop for BlockingPool<J> {
    fn drop(&mut self) {
        let _ = self.shutdown(Some(Instant::now()));
    }
}

impl<J: Job> fmt::Debug for BlockingPool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("BlockingPool")
            .field("threads", &state.threads)
            .field("running", &state.running())
            .field("queued", &state.queue.len())
            .field("closed", &state.closed)
            .finish()
    }
}

/// Starts the thread of this number.
type Start<J> = fn(&Arc<Shared<J>>, u64) -> io::Result<()>;

struct Shared<J> {
    state: Mutex<State<J>>,
    threads_max: usize,
    start: Start<J>,
    work_came: Condvar,
    thread_ended: Condvar,
}

struct State<J> {
    queue: Queue<J>,
    /// Threads that were started and have not ended; at most `threads_max`.
    threads: usize,
    /// Those of them that run no job: they look for one, wait for one, or are starting up.
    idle: usize,
    /// Threads ever started.
    started: u64,
    closed: bool,
}

impl<J> State<J> {
    fn thread_started(&mut self) {
        self.threads += 1;
        self.idle += 1;
        self.started += 1;
    }

    fn thread_ended(&mut self) {
        self.threads -= 1;
        self.idle -= 1;
    }

    fn running(&self) -> usize {
        self.threads - self.idle
    }
}

/// Jobs in the order they came, which may be taken out anywhere. O(log n).
struct Queue<J> {
    jobs: BTreeMap<u64, J>,
    /// From a job's id to its place in the order.
    places: HashMap<u64, u64>,
    next_place: u64,
}

impl<J: Job> Queue<J> {
    fn push(&mut self, job: J) {
        let clash = self.places.insert(job.id(), self.next_place);
        assert!(clash.is_none(), "queued two jobs of one id");
        self.jobs.insert(self.next_place, job);
        self.next_place += 1;
    }

    fn pop(&mut self) -> Option<J> {
        let (_, job) = self.jobs.pop_first()?;
        self.places.remove(&job.id());
        Some(job)
    }

    fn remove(&mut self, id: u64) -> Option<J> {
        let place = self.places.remove(&id)?;
        self.jobs.remove(&place)
    }

    fn take_all(&mut self) -> Vec<J> {
        self.places.clear();
        std::mem::take(&mut self.jobs).into_values().collect()
    }
}

impl<J> Queue<J> {
    fn len(&self) -> usize {
        self.jobs.len()
    }
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // No foreign code runs under the lock, so a panic cannot leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Job> Shared<J> {
    /// The life of a thread: jobs while there are any, then a wait, then the end.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.queue.pop() {
                state.idle -= 1;
                drop(state);
                run_caught(job);
                state = self.lock();
                state.idle += 1;
            }
            if state.closed {
                break;
            }
            let waited = self.work_came.wait_timeout(state, IDLE_MAX);
            let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = locked;
            // A job may have come with the timeout; whoever queued it counts on this thread.
            if timeout.timed_out() && state.queue.len() == 0 {
                break;
            }
        }
        state.thread_ended();
        drop(state);
        self.thread_ended.notify_all();
    }
}

fn start_thread<J: Job>(shared: &Arc<Shared<J>>, number: u64) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let name = format!("evenloop-blocking-{number}");
    thread::Builder::new().name(name).spawn(move || shared.work())?;
    Ok(())
}

/// Runs a job; neither its panic nor one out of the payload's destructor ends the thread.
fn run_caught<J: Job>(job: J) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| job.run())) {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
    }
}

#[cfg(test)]
mod tests;
