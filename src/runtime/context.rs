//! Which loop this thread runs.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use crate::runtime::local::Local;
use crate::runtime::shared::Shared;
use crate::task::Runnable;

thread_local! {
    // Without a destructor the cell outlives all others of its thread, so that a runtime kept in
    // one of those still finds itself when it shuts down. `Entered` is what empties it.
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<Local>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Leaves the loop again when dropped.
#[derive(Debug)]
#[must_use = "the loop is left when this is dropped"]
pub(crate) struct Entered {
    /// The loop that goes on then: a runtime may end inside a task of another one.
    outer: Option<Rc<Local>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let outer = self.outer.take();
        let left = CURRENT.with(|current| current.replace(outer));
        drop(left);
    }
}

/// Makes `local` the loop of this thread.
pub(crate) fn enter(local: Rc<Local>) -> Entered {
    Entered { outer: CURRENT.with(|current| current.replace(Some(local))) }
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
    CURRENT.with(|current| match &*current.borrow() {
        Some(local) if Arc::ptr_eq(&local.shared, shared) => Some(f(local)),
        _ => None,
    })
}

/// Queues a task in its partition if this thread runs its loop, else hands it back.
#[inline]
pub(crate) fn schedule(task: Runnable<Shared>) -> Result<(), Runnable<Shared>> {
    CURRENT.with(|current| match &*current.borrow() {
        Some(local) if Arc::ptr_eq(&local.shared, &task.metadata().home) => {
            local.queue(task);
            Ok(())
        }
        _ => Err(task),
    })
}
