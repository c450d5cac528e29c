//! Which loop this thread runs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::runtime::local::Local;
use crate::runtime::shared::Shared;
use crate::task::Runnable;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// Leaves the loop again when dropped.
#[derive(Debug)]
pub(crate) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that ends has lost the cell, and with it what there was to leave.
        let left = CURRENT.try_with(|current| current.borrow_mut().take());
        drop(left);
    }
}

/// Makes `local` the loop of this thread, or returns `None` if the thread is in a loop already.
pub(crate) fn enter(local: Rc<Local>) -> Option<Entered> {
    CURRENT.with(|current| {
        let mut current = current.borrow_mut();
        if current.is_some() {
            return None;
        }
        *current = Some(local);
        Some(Entered(()))
    })
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
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
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
    CURRENT
        .try_with(|current| match &*current.borrow() {
            Some(local) if Arc::ptr_eq(&local.shared, shared) => Some(f(local)),
            _ => None,
        })
        .ok()
        .flatten()
}

/// Queues a task in its partition if this thread runs its loop, else hands it back.
#[inline]
pub(crate) fn schedule(task: Runnable<Shared>) -> Result<(), Runnable<Shared>> {
    // The thread may be so far gone that its cell is destroyed: then it runs no loop either.
    let mut task = Some(task);
    let _ = CURRENT.try_with(|current| {
        if let Some(local) = &*current.borrow() {
            let home = &task.as_ref().expect("not taken yet").metadata().home;
            if Arc::ptr_eq(&local.shared, home) {
                local.queue(task.take().expect("not taken yet"));
            }
        }
    });
    match task {
        None => Ok(()),
        Some(task) => Err(task),
    }
}
