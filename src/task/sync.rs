//! What the cell is made of: the standard library's, or that of the model checker.

#[cfg(evenloop_loom)]
pub(super) use loom::cell::UnsafeCell;
#[cfg(evenloop_loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(evenloop_loom))]
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The standard library's cell, with the face of the one that the model checker watches.
#[cfg(not(evenloop_loom))]
#[derive(Debug)]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(evenloop_loom))]
impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
