//! What a task needs of its loop, and what it is known by.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::task::RawWakerVTable;

use super::cell::Header;
use super::refs::{Notice, Runnable};

/// What a caught panic carried.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// Returns the text of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Names a task: unique among the tasks of its runtime.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({:x})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Where tasks live: the loop, seen from a task.
pub(crate) trait Home: Send + Sync + Sized + 'static {
    /// Whether this thread runs the loop now. While it does, no other thread can.
    fn is_here(&self) -> bool;

    /// Returns the functions behind the wakers of its tasks, always at the same address: whose wakers
    /// they are is known by that. A constant has several, one in each crate that spawns.
    fn wakers() -> &'static RawWakerVTable;

    /// Queues a task that was woken on the loop's own thread.
    fn queue(task: Runnable<Self>);

    /// Has the loop [`take`](Notice::take) a notice. A loop that is gone drops it, here.
    fn notify(&self, notice: Notice<Self>);

    /// Forgets the task: its future has been dropped.
    fn ended(header: &Header<Self>);

    /// Reports a panic that no join handle took.
    fn unhandled(&self, id: TaskId, location: &'static Location<'static>, payload: Payload);

    /// Reports a panic of foreign code that belongs to no task any more.
    fn stray(&self, payload: Payload);
}

/// How a task ended.
pub(crate) enum Outcome<T> {
    Done(T),
    Cancelled,
    /// It was never taken in.
    Refused,
    Panicked(Payload),
}
