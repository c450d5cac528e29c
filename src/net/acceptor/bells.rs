//! Who of many has something new, in the order in which they said so.

use std::collections::VecDeque;
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

/// Those who rang, and the task that answers.
#[derive(Default)]
pub(super) struct Bells {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rung: VecDeque<u64>,
    task: Option<Waker>,
}

impl Bells {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `task` woken by whoever rings from now on.
    pub(super) fn watch(&self, task: &Waker) {
        let mut state = self.lock();
        match &mut state.task {
            Some(known) => known.clone_from(task),
            None => state.task = Some(task.clone()),
        }
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.lock().rung.pop_front()
    }

    pub(super) fn is_silent(&self) -> bool {
        self.lock().rung.is_empty()
    }
}

/// The bell of one of them. It is in the queue once, however often it rings.
pub(super) struct Bell {
    key: u64,
    rung: AtomicBool,
    bells: Arc<Bells>,
}

impl Bell {
    pub(super) fn new(key: u64, bells: &Arc<Bells>) -> Arc<Self> {
        Arc::new(Self { key, rung: AtomicBool::new(false), bells: bells.clone() })
    }

    /// Says that it was heard, before its owner is looked at.
    pub(super) fn hear(&self) {
        // Ordering: `AcqRel` pairs with that in `wake_by_ref`: who rings after this is queued anew,
        // and what came before a ring that was not is seen by the look that follows.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.bells.lock();
        state.rung.push_back(self.key);
        let task = state.task.clone();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}
