//! Which loop this thread runs.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock;
use crate::runtime::local::Local;
use crate::runtime::shared::Shared;
use crate::sched::PartitionId;
use crate::task::Runnable;

thread_local! {
    // Without a destructor the cell outlives all others of its thread, so that a runtime kept in
    // one of those still finds itself when it shuts down. `Entered` is what empties it.
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<Local>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };

    /// What threads share of the loop in `CURRENT`, by its address.
    static HERE: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };

    /// The loop, by its address, and the partition, as bits, of the handles that run; zeros in
    /// between.
    static HANDLE: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

/// Notes that handles of a partition begin, one after the other.
#[inline]
pub(crate) fn begin_handles(shared: &Arc<Shared>, partition: PartitionId) {
    HANDLE.set((Arc::as_ptr(shared).addr(), partition.to_bits()));
}

/// Notes that they have ended.
#[inline]
pub(crate) fn end_handles() {
    HANDLE.set((0, 0));
}

/// Whether a handle of `partition` runs on this thread: a load and two comparisons. `false` also
/// while a delivery of the partition runs, or its destructors at the end.
#[inline]
pub(crate) fn is_handle_of(shared: &Arc<Shared>, partition: PartitionId) -> bool {
    HANDLE.get() == (Arc::as_ptr(shared).addr(), partition.to_bits())
}

/// Leaves the loop again when dropped, back to the one it was entered from.
#[derive(Debug)]
pub(crate) struct Entered {
    outer: Option<Rc<Local>>,
    _time: clock::Entered,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = set(self.outer.take());
        drop(left);
    }
}

/// Makes `local` the loop of this thread. It may be in another: a loop can end inside of one,
/// though not run.
#[must_use = "the loop is left again when this is dropped"]
pub(crate) fn enter(local: Rc<Local>) -> Entered {
    let time = clock::enter(&local.shared.time);
    Entered { outer: set(Some(local)), _time: time }
}

fn set(local: Option<Rc<Local>>) -> Option<Rc<Local>> {
    HERE.set(local.as_ref().map_or(std::ptr::null(), |local| Arc::as_ptr(&local.shared)));
    CURRENT.with(|current| current.replace(local))
}

/// Refuses to run a loop inside a loop.
///
/// # Panics
///
/// If this thread runs a loop already.
#[track_caller]
pub(crate) fn refuse_nesting() {
    assert!(
        get().is_none(),
        "this thread runs an evenloop already, and a loop inside a loop would stop the outer one: \
         `.await` the future, `spawn` it, or move the call to `spawn_blocking`"
    );
}

/// Returns the loop this thread runs, if it runs one.
pub(crate) fn get() -> Option<Rc<Local>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Returns the loop this thread runs.
///
/// # Panics
///
/// If it runs none; the message names what was called and says what to do.
#[track_caller]
pub(crate) fn expect(what: &str) -> Rc<Local> {
    match get() {
        Some(local) => local,
        None => panic!(
            "{what} needs a running evenloop: call it inside `evenloop::block_on` or \
             `Runtime::block_on`, or reach the loop from another thread by its `Handle`"
        ),
    }
}

/// Runs `f` if this thread runs the loop that `shared` belongs to.
#[inline]
pub(crate) fn with_loop<R>(shared: &Arc<Shared>, f: impl FnOnce(&Rc<Local>) -> R) -> Option<R> {
    // Nothing is borrowed during the call: it may drop a waker, and that may end another loop.
    let local = get().filter(|local| Arc::ptr_eq(&local.shared, shared))?;
    Some(f(&local))
}

/// Whether this thread runs the loop that `shared` belongs to: one load and a comparison.
#[inline]
pub(crate) fn is_loop_of(shared: &Shared) -> bool {
    std::ptr::eq(HERE.get(), shared)
}

/// Runs `f` if this thread runs the loop that `shared` belongs to; `f` runs no foreign code, and
/// enters no other loop.
#[inline]
pub(crate) fn with_loop_briefly<R>(
    shared: &Arc<Shared>,
    f: impl FnOnce(&Rc<Local>) -> R,
) -> Option<R> {
    CURRENT.with(|current| match &*current.borrow() {
        Some(local) if Arc::ptr_eq(&local.shared, shared) => Some(f(local)),
        _ => None,
    })
}

/// Queues a task in its partition. This thread runs its loop.
#[inline]
pub(crate) fn queue(task: Runnable<Shared>) {
    CURRENT.with(|current| match &*current.borrow() {
        Some(local) => local.queue(task),
        None => unreachable!("a task was queued off its loop"),
    });
}
