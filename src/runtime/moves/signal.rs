//! The waker of a part of a task, which notes that this part was woken.

use std::sync::{Arc, PoisonError};
#[cfg(not(evenloop_loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
use std::task::{Wake, Waker};

#[cfg(evenloop_loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

/// Passes wakes on, and tells afterwards whether there was one. No foreign code runs under its
/// lock.
#[derive(Debug)]
pub(super) struct Signal {
    woken: AtomicBool,
    /// Taken by the first wake, since it brings about a poll that leaves another.
    parent: Mutex<Option<Waker>>,
}

impl Signal {
    /// Makes a signal that is set, as a future has to be polled once to begin with.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(true), parent: Mutex::new(None) })
    }

    /// Has later wakes passed on to `parent`.
    pub(super) fn watch(&self, parent: &Waker) {
        if self.lock().as_ref().is_some_and(|known| known.will_wake(parent)) {
            return;
        }
        let parent = parent.clone();
        let old = self.lock().replace(parent);
        drop(old);
    }

    /// Whether there was a wake since the last `reset`.
    ///
    /// Asked after `watch`, it misses none: a wake that comes later wakes the parent, and the
    /// lock makes one that came earlier visible.
    pub(super) fn is_set(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Begins a poll: wakes from here on need another.
    pub(super) fn reset(&self) {
        // Ordering: AcqRel, so that what was written before a wake is visible to the poll, though
        // another wake had set the flag before.
        self.woken.swap(false, Ordering::AcqRel);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.parent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.swap(true, Ordering::AcqRel);
        let parent = self.lock().take();
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}
