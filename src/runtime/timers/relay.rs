//! What stands between the loop's timers and a task on another thread.

use std::sync::{Arc, PoisonError};
#[cfg(not(evenloop_loom))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Wake, Waker};

#[cfg(evenloop_loom)]
use loom::sync::{Mutex, MutexGuard};

/// Wakes a task elsewhere when the loop's timer `I` fires. No foreign code runs under its lock.
///
/// | slot     | arm            | watch     | fire            | give up            |
/// |----------|----------------|-----------|-----------------|--------------------|
/// | waits    | armed          | waits     | fired, and wakes| given up           |
/// | armed    |                | armed     | fired, and wakes| given up, to cancel|
/// | fired    |                | refused   | fired           | given up           |
/// | given up | refused        |           | given up        |                    |
#[derive(Debug)]
pub(crate) struct Relay<I> {
    slot: Mutex<Slot<I>>,
}

#[derive(Debug)]
struct Slot<I> {
    waker: Option<Waker>,
    /// Once the loop has armed it, and until it fires.
    id: Option<I>,
    fired: bool,
    given_up: bool,
}

impl<I: Copy + Send + 'static> Relay<I> {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        let slot = Slot { waker: Some(waker), id: None, fired: false, given_up: false };
        Arc::new(Self { slot: Mutex::new(slot) })
    }

    fn lock(&self) -> MutexGuard<'_, Slot<I>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `set` set a timer that wakes this relay, unless nobody waits any more. Returns `false`
    /// if somebody does and it set none.
    pub(crate) fn arm(self: &Arc<Self>, set: impl FnOnce(Waker) -> Option<I>) -> bool {
        let mut slot = self.lock();
        if slot.given_up {
            return true;
        }
        slot.id = set(Waker::from(Arc::clone(self)));
        slot.id.is_some()
    }

    /// Returns the timer that is armed.
    pub(crate) fn timer(&self) -> Option<I> {
        self.lock().id
    }

    /// Has the relay wake `waker`. Returns `false` if it has fired.
    pub(crate) fn watch(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut slot = self.lock();
        let fired = slot.fired;
        let old = if fired { Some(waker) } else { slot.waker.replace(waker) };
        drop(slot);
        drop(old);
        !fired
    }

    /// Wakes whoever waits.
    pub(crate) fn fire(&self) {
        let mut slot = self.lock();
        slot.fired = true;
        slot.id = None;
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Forgets whoever waits; returns the timer that is to be cancelled, if one is armed.
    pub(crate) fn give_up(&self) -> Option<I> {
        let mut slot = self.lock();
        slot.given_up = true;
        let id = slot.id.take();
        let waker = slot.waker.take();
        drop(slot);
        drop(waker);
        id
    }
}

impl<I: Copy + Send + 'static> Wake for Relay<I> {
    fn wake(self: Arc<Self>) {
        self.fire();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fire();
    }
}

#[cfg(all(test, not(evenloop_loom)))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Who comes to wait just after it fired is told to look at the clock again, since nobody
    /// would wake it.
    #[test]
    fn a_relay_that_has_fired_takes_no_waiters() {
        let (early, late) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let relay = Relay::<u64>::new(Waker::noop().clone());
        assert!(relay.watch(&Waker::from(early.clone())));
        relay.fire();
        assert!(!relay.watch(&Waker::from(late.clone())));
        relay.fire();
        assert_eq!((early.0.load(Ordering::Relaxed), late.0.load(Ordering::Relaxed)), (1, 0));
        assert_eq!(Arc::strong_count(&late), 1, "it keeps no waker");
    }

    /// A relay that was given up wakes nobody, and names its timer once.
    #[test]
    fn a_relay_that_was_given_up_is_silent() {
        let wakes = Arc::new(Wakes::default());
        let relay = Relay::new(Waker::from(wakes.clone()));
        assert!(relay.arm(|_| Some(1_u64)));
        assert!(relay.give_up().is_some() && relay.give_up().is_none());
        relay.fire();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }
}
