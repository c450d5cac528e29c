//! Tasks that are waited for together, in the order in which they end.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use slab::Slab;

use crate::runtime::coop;
use crate::runtime::join::{AbortHandle, JoinError, JoinHandle};
use crate::runtime::partition::IntoPartition;
use crate::runtime::spawn;

/// A set of tasks with outputs of one type.
///
/// Waiting for the next to end costs O(1), however many there are. Dropping the set aborts the
/// tasks that are left; [`detach_all`](Self::detach_all) lets them go on.
///
/// # Examples
///
/// ```
/// use evenloop::JoinSet;
///
/// evenloop::block_on(async {
///     let mut set = JoinSet::new();
///     for n in 1..=4 {
///         set.spawn_in("squares", async move { n * n });
///     }
///     let mut sum = 0;
///     while let Some(square) = set.join_next().await {
///         sum += square.unwrap();
///     }
///     assert_eq!(sum, 30);
/// });
/// ```
pub struct JoinSet<T> {
    members: Slab<Member<T>>,
    finished: Arc<Finished>,
}

struct Member<T> {
    handle: JoinHandle<T>,
    bell: Arc<Bell>,
}

impl<T: 'static> JoinSet<T> {
    /// Makes an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self { members: Slab::new(), finished: Arc::default() }
    }

    /// Spawns a task in the partition of whoever calls this; see [`spawn`](crate::spawn()).
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, fut: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(spawn::spawn(fut))
    }

    /// Spawns a task into a partition; see [`spawn_in`](crate::spawn_in).
    ///
    /// # Panics
    ///
    /// Outside a runtime, and if a partition of another runtime is given.
    #[track_caller]
    pub fn spawn_in<F>(&mut self, partition: impl IntoPartition, fut: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(spawn::spawn_in(partition, fut))
    }

    /// Runs `f` on a thread where it may block; see [`spawn_blocking`](crate::spawn_blocking).
    /// Aborting only stops it if it has not started.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.insert(spawn::spawn_blocking(f))
    }

    /// Waits until a task ends and takes its outcome; `None` if the set is empty.
    ///
    /// # Errors
    ///
    /// If the task panicked or was aborted. The set goes on.
    ///
    /// # Cancel safety
    ///
    /// No outcome is lost when it is dropped.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// Takes the outcome of a task that has ended, if there is one.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.take_finished()
    }

    /// Polls for the next task to end; ready with `None` if the set is empty.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        if self.members.is_empty() {
            return Poll::Ready(None);
        }
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            if let Some(outcome) = self.take_finished() {
                progress.made();
                return Poll::Ready(Some(outcome));
            }
            if self.finished.watch(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Waits for all tasks and returns their outputs, in the order in which they ended.
    ///
    /// # Panics
    ///
    /// If a task panicked, with its panic, or was aborted; the others are aborted then.
    ///
    /// # Cancel safety
    ///
    /// The outputs so far are lost when it is dropped, and the other tasks are aborted.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(outcome) = self.join_next().await {
            match outcome.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(payload)) => resume_unwind(payload),
                Err(Err(error)) => panic!("not all could be joined: {error}"),
            }
        }
        outputs
    }

    /// Aborts all tasks and waits until each has ended. Outcomes are dropped.
    ///
    /// # Cancel safety
    ///
    /// The tasks stay aborted when it is dropped, and the set has those that are still to end.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let abort = handle.abort_handle();
        let entry = self.members.vacant_entry();
        let bell = Arc::new(Bell {
            key: entry.key(),
            rung: AtomicBool::new(false),
            finished: Arc::clone(&self.finished),
        });
        // Its first poll, by which it learns whom to wake, is up to whoever waits.
        bell.ring();
        entry.insert(Member { handle, bell });
        abort
    }

    /// Polls those whose bell has rung until one of them has indeed ended.
    fn take_finished(&mut self) -> Option<Result<T, JoinError>> {
        while let Some(key) = self.finished.pop() {
            // A late ring of one that is gone may name its successor, whom a poll does not harm.
            let Some(member) = self.members.get_mut(key) else { continue };
            if let Poll::Ready(outcome) = member.poll() {
                self.members.remove(key);
                return Some(outcome);
            }
        }
        None
    }
}

impl<T> JoinSet<T> {
    /// Returns how many tasks have not been joined.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether all tasks have been joined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Aborts all tasks; they stay in the set until they are joined. O(n).
    pub fn abort_all(&mut self) {
        for (_, member) in &self.members {
            member.handle.abort();
        }
    }

    /// Empties the set; the tasks go on. O(n).
    pub fn detach_all(&mut self) {
        self.members.clear();
    }
}

impl<T: 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

impl<T> Member<T> {
    fn poll(&mut self) -> Poll<Result<T, JoinError>> {
        // Ordering: before the poll, so that a wake from now on rings again. AcqRel, as what was
        // written before a ring that found the flag set must be visible to this poll.
        self.bell.rung.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&self.bell));
        // The budget is that of whoever waits for the set.
        self.handle.poll_exempt(&mut Context::from_waker(&waker))
    }
}

/// The waker of one member.
struct Bell {
    key: usize,
    /// Rung, and not yet answered.
    rung: AtomicBool,
    finished: Arc<Finished>,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.finished.push(self.key);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// The members that may have ended, and who waits for one. No foreign code runs under the lock.
#[derive(Default)]
struct Finished {
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    keys: VecDeque<usize>,
    waker: Option<Waker>,
}

impl Finished {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, key: usize) {
        let mut waiting = self.lock();
        waiting.keys.push_back(key);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn pop(&self) -> Option<usize> {
        self.lock().keys.pop_front()
    }

    /// Has the next push wake `waker`; `false` if one has come already.
    fn watch(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut waiting = self.lock();
        if !waiting.keys.is_empty() {
            return false;
        }
        let old = waiting.waker.replace(waker);
        drop(waiting);
        drop(old);
        true
    }
}
