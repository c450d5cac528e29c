//! The right to a task's outcome, and to ending it early.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use crate::runtime::coop;
use crate::runtime::shared::Shared;
use crate::task::{self, Joint, Outcome, Payload, Task, TaskId};

/// A spawned task, as seen by who waits for it: a future of the task's output.
///
/// Dropping the handle detaches the task, which goes on. The output is ready only after the task's
/// future, with everything it held, has been dropped.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` and dropping that wait loses nothing: await the handle again.
///
/// # Examples
///
/// ```
/// evenloop::block_on(async {
///     let task = evenloop::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
///
///     let task = evenloop::spawn(std::future::pending::<()>());
///     task.abort();
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// ```
pub struct JoinHandle<T> {
    /// `None` once the outcome was taken.
    joint: Option<Joint<T, Shared>>,
    id: TaskId,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(joint: Joint<T, Shared>) -> Self {
        let id = joint.header().id();
        Self { joint: Some(joint), id }
    }

    /// Ends the task at its next poll, which is queued at once; from any thread, at any time.
    ///
    /// The future is dropped on the loop's thread, in its partition's turn. A task that has
    /// finished stays finished, and one that finishes first wins: the join then gives its output.
    /// A blocking task is only stopped if it has not started.
    pub fn abort(&self) {
        if let Some(joint) = &self.joint {
            Shared::abort(&joint.task());
        }
    }

    /// Takes the task into the partition of whoever calls this, for good: it waits for its turns
    /// there, is paid for there, and what it creates is created there.
    ///
    /// For who is about to await a task of another partition, and does not want to wait for that
    /// one's turns: nobody is donated to without being asked. What the task has queued moves to the
    /// tail of the new queue at once. A task that waits is polled once, so that its sockets and
    /// timers become the new partition's. Tasks it has spawned stay where they are.
    ///
    /// A task that is away for a [`within`](crate::within) stays there, and comes back to its new
    /// partition. One that has ended stays ended. A blocking task is in no partition.
    ///
    /// O(handles queued in the task's old partition), a nanosecond or so for each.
    ///
    /// # Panics
    ///
    /// On any other thread than that of the task's runtime, or outside of that: nobody there has a
    /// partition.
    ///
    /// # Examples
    ///
    /// ```
    /// # evenloop::block_on(async {
    /// let report = evenloop::spawn_in("bulk", async {
    ///     for _ in 0..1_000 {
    ///         evenloop::yield_now().await;
    ///     }
    ///     evenloop::Partition::current().name()
    /// });
    /// // All of a sudden somebody waits for it.
    /// let urgent = evenloop::spawn_in("urgent", async {
    ///     report.adopt();
    ///     report.await.unwrap()
    /// });
    /// assert_eq!(urgent.await.unwrap(), "urgent");
    /// # });
    /// ```
    #[track_caller]
    pub fn adopt(&self) {
        if let Some(joint) = &self.joint {
            Shared::adopt(joint.header());
        }
    }

    /// Returns a handle that can only abort.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: self.joint.as_ref().map(Joint::task), id: self.id }
    }

    /// Returns whether the task has ended, in whatever way.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.joint.as_ref().is_none_or(|joint| joint.is_finished())
    }

    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Polls without regard to the task's budget of operations.
    pub(crate) fn poll_exempt(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let outcome = ready!(Joint::poll(&mut self.joint, cx));
        let id = self.id;
        let reason = match outcome {
            Outcome::Done(output) => return Poll::Ready(Ok(output)),
            Outcome::Panicked(payload) => Reason::Panicked(Mutex::new(payload)),
            Outcome::Cancelled => Reason::Cancelled,
            Outcome::Refused => Reason::Refused,
        };
        Poll::Ready(Err(JoinError { id, reason }))
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = ready!(coop::poll_proceed(cx));
        let outcome = ready!(self.poll_exempt(cx));
        progress.made();
        Poll::Ready(outcome)
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id)
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

/// Ends a task from anywhere; made by [`JoinHandle::abort_handle`].
#[derive(Clone, Debug)]
pub struct AbortHandle {
    /// `None` if the task had been joined already.
    task: Option<Task<Shared>>,
    id: TaskId,
}

impl AbortHandle {
    /// Ends the task at its next poll; see [`JoinHandle::abort`].
    pub fn abort(&self) {
        if let Some(task) = &self.task {
            Shared::abort(task);
        }
    }

    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }
}

/// Why a task has no output.
pub struct JoinError {
    id: TaskId,
    reason: Reason,
}

enum Reason {
    Cancelled,
    Refused,
    /// In a lock, which is never contended, because a payload need not be `Sync`.
    Panicked(Mutex<Payload>),
}

impl JoinError {
    /// Returns whether the task was dropped before it finished: aborted, dropped by shutdown, or
    /// refused because its partition was closed or its runtime gone. The runtime is usable unless
    /// it was shut down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Returns whether the task was never taken in, since its partition was closed or its runtime
    /// had shut down; it was dropped unpolled.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.reason, Reason::Refused)
    }

    /// Returns whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panicked(_))
    }

    /// Takes what the panic carried, as [`std::panic::resume_unwind`] wants it.
    ///
    /// # Panics
    ///
    /// If the task did not panic; ask [`is_panic`](Self::is_panic) first.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("into_panic was called, but {error}"),
        }
    }

    /// Takes what the panic carried.
    ///
    /// # Errors
    ///
    /// Gives the error back if the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self.reason {
            Reason::Panicked(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            reason => Err(Self { id: self.id, reason }),
        }
    }

    /// Returns the id of the task.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match &self.reason {
            Reason::Cancelled => write!(f, "task {id} was cancelled"),
            Reason::Refused => write!(
                f,
                "task {id} was not taken in: its partition is closed or its runtime has shut down"
            ),
            Reason::Panicked(payload) => match text(payload) {
                Some(message) => write!(f, "task {id} panicked: {message}"),
                None => write!(f, "task {id} panicked"),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Cancelled => write!(f, "JoinError::Cancelled({:?})", self.id),
            Reason::Refused => write!(f, "JoinError::Refused({:?})", self.id),
            Reason::Panicked(payload) => {
                write!(f, "JoinError::Panic({:?}, {:?})", self.id, text(payload))
            }
        }
    }
}

impl std::error::Error for JoinError {}

fn text(payload: &Mutex<Payload>) -> Option<String> {
    let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
    task::panic_text(&**payload).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Join errors may travel: into channels, into `Box<dyn Error + Send + Sync>`.
    #[test]
    fn handles_and_errors_travel() {
        fn travels<T: Send + Sync + 'static>() {}
        travels::<JoinError>();
        travels::<JoinHandle<()>>();
        travels::<AbortHandle>();
    }
}
