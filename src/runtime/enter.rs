//! Being in a runtime without running it.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread;

use crate::runtime::context::{self, Entered, Missing};
use crate::runtime::shared::Shared;

/// Keeps this thread in a runtime until it is dropped; made by
/// [`Runtime::enter`](crate::Runtime::enter) and [`Handle::enter`](crate::Handle::enter).
///
/// Guards are dropped in reverse order of entering. Then the thread is again where it was before.
///
/// It does not belong into a task across an `.await`: other tasks of the thread run meanwhile, and
/// would be in that runtime as well.
///
/// # Panics
///
/// When it is dropped while the thread is in a runtime that was entered later, unless the thread is
/// panicking already. That one stays entered, this one is left.
///
/// # Examples
///
/// ```
/// use evenloop::Runtime;
///
/// let runtime = Runtime::new()?;
/// let task = {
///     let _guard = runtime.enter();
///     evenloop::spawn(async { 6 * 7 })
/// };
/// assert_eq!(runtime.block_on(task).unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A guard stays on its thread:
///
/// ```compile_fail,E0277
/// let runtime = evenloop::Runtime::new().unwrap();
/// let guard = runtime.enter();
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(guard));
/// });
/// ```
#[must_use = "the runtime is left again when the guard is dropped"]
pub struct EnterGuard<'a> {
    entered: Entered,
    runtime: PhantomData<&'a Shared>,
}

impl EnterGuard<'_> {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { entered: context::enter(shared), runtime: PhantomData }
    }
}

impl Drop for EnterGuard<'_> {
    fn drop(&mut self) {
        let in_order = self.entered.leave();
        assert!(
            in_order || thread::panicking(),
            "an EnterGuard was dropped before one that was made after it: drop guards in reverse \
             order, each on the thread and in the task that made it"
        );
    }
}

impl fmt::Debug for EnterGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterGuard").finish_non_exhaustive()
    }
}

/// The error of [`Handle::try_current`](crate::Handle::try_current): this thread is in no runtime.
/// It can be in one later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TryCurrentError(pub(super) ());

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Missing("Handle::current").fmt(f)
    }
}

impl Error for TryCurrentError {}
