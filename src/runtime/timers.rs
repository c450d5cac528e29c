//! One armed deadline, as a leaf future holds it: polled, moved and dropped on any thread.
//!
//! On the loop's own thread the task's waker goes straight into the loop's timers, without an
//! allocation. On any other thread the loop is asked by message to keep a timer that wakes a
//! small shared relay, and the relay wakes the task.

mod relay;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::clock::{self, Instant};
use crate::runtime::context;
use crate::runtime::local::Local;
use crate::runtime::shared::{Message, Shared};
use crate::sched::{TimerId, Timestamp};
use relay::Relay;

/// What a loop does when a deadline has come: it wakes a task.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: Timestamp,
    pub(crate) waker: Waker,
}

impl Alarm {
    /// Returns the nanoseconds from the deadline to `now`.
    pub(crate) fn late(&self, now: Timestamp) -> u64 {
        clock::nanos(now.saturating_since(self.at))
    }
}

/// Waits for a deadline on a loop.
///
/// It belongs to the partition of the task that last polled it to `Pending`; polled off the loop,
/// to ROOT. Polled on another loop, it moves there.
pub(crate) struct Timer {
    /// The loop it was made on, or else the one it was first polled on.
    shared: Option<Arc<Shared>>,
    deadline: Instant,
    state: State,
}

/// | state  | poll, on the loop | poll, elsewhere | fires       | reset  | drop            |
/// |--------|-------------------|-----------------|-------------|--------|-----------------|
/// | Idle   | Local             | Remote          |             | Idle   |                 |
/// | Local  | Local             | cancel, Remote  | id is stale | Local  | cancel          |
/// | Remote | give up, Local    | Remote          | relay fired | Remote | give up, cancel |
///
/// Whatever the state, a poll that finds the deadline passed is the end: Idle, ready.
#[derive(Debug)]
enum State {
    /// Nothing waits on the loop.
    Idle,
    /// The loop has the task's waker.
    Local(TimerId),
    /// The loop has, or will have when it reads its messages, the waker of this relay.
    Remote(Arc<Relay<TimerId>>),
}

impl Timer {
    /// Makes a timer of this thread's loop; if there is none, of the one that polls it first.
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { shared: context::shared(), deadline, state: State::Idle }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits until the deadline has passed; never ready before.
    ///
    /// # Panics
    ///
    /// If the deadline is to come, this thread runs no loop, and the timer has none or that one is
    /// gone. The message names `what` was called.
    #[track_caller]
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>, what: &str) -> Poll<()> {
        match context::get() {
            Some(local) => self.poll_on_loop(&local, cx),
            None => self.poll_elsewhere(cx, what),
        }
    }

    /// Moves the deadline. Whoever waits is woken at the new one.
    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        let Some(shared) = &self.shared else { return };
        let at = timestamp(shared, deadline);
        match &self.state {
            State::Idle => {}
            State::Local(id) => {
                let id = *id;
                shared.on_loop(move |local| local.reset_timer(id, at));
            }
            State::Remote(relay) => {
                let relay = Arc::clone(relay);
                shared.call(move |local| local.reset_relay(&relay, at));
            }
        }
    }

    #[track_caller]
    fn poll_on_loop(&mut self, local: &Local, cx: &mut Context<'_>) -> Poll<()> {
        let home = self.shared.as_ref();
        let at_home = home.is_some_and(|home| Arc::ptr_eq(home, &local.shared));
        if !at_home {
            self.check_clock(&local.shared);
        }
        if let State::Local(id) = self.state {
            // A timer that has not fired needs no look at the clock.
            if at_home && local.watch_timer(id, cx.waker()) {
                return Poll::Pending;
            }
        }
        if self.is_over() {
            return Poll::Ready(());
        }
        self.disarm();
        if !at_home {
            self.shared = Some(Arc::clone(&local.shared));
        }
        let at = timestamp(&local.shared, self.deadline);
        self.state = State::Local(local.arm_timer(at, cx.waker().clone()));
        Poll::Pending
    }

    /// Refuses a deadline that was told by another clock than the one it is waited for with.
    #[track_caller]
    fn check_clock(&self, there: &Shared) {
        let told_by_hand = self.shared.as_ref().is_some_and(|home| !home.time.is_the_systems());
        assert!(
            !told_by_hand && there.time.is_the_systems(),
            "virtual time is of one simulation, and paused time of one runtime: make the sleep, \
             timeout or interval inside the simulation or runtime that waits for it, as in \
             `block_on(async {{ sleep(time).await }})`"
        );
    }

    #[track_caller]
    fn poll_elsewhere(&mut self, cx: &mut Context<'_>, what: &str) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        if let State::Remote(relay) = &self.state {
            if relay.watch(cx.waker()) {
                return Poll::Pending;
            }
        }
        self.disarm();
        let shared = match &self.shared {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = context::expect_shared(what);
                self.check_clock(&shared);
                shared
            }
        };
        let relay = Relay::new(cx.waker().clone());
        self.state = State::Remote(Arc::clone(&relay));
        let at = timestamp(&shared, self.deadline);
        let sent = shared.call(move |local| local.arm_relay(&relay, at));
        assert!(
            sent,
            "a timer was polled after the runtime it was made on had shut down: await it before \
             the runtime is dropped, or on a thread that runs another evenloop"
        );
        Poll::Pending
    }

    /// Whether the deadline has come, by the clock that told it, on whatever thread this is.
    pub(crate) fn is_elapsed(&self) -> bool {
        let home = self.shared.as_ref();
        home.map_or_else(Instant::now, |home| home.time.instant()) >= self.deadline
    }

    fn is_over(&mut self) -> bool {
        if !self.is_elapsed() {
            return false;
        }
        self.disarm();
        true
    }

    fn disarm(&mut self) {
        let id = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => None,
            State::Local(id) => Some(id),
            State::Remote(relay) => relay.give_up(),
        };
        let (Some(id), Some(shared)) = (id, &self.shared) else { return };
        if context::with_loop(shared, |local| local.cancel_timer(id)).is_none() {
            // A loop that is gone has no timers.
            let _ = shared.send(Message::CancelTimer(id));
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Tells a deadline as the loop counts time; what lies beyond 584 years is never.
fn timestamp(shared: &Shared, deadline: Instant) -> Timestamp {
    Timestamp::from_nanos(shared.time.nanos_at(deadline))
}

impl Local {
    fn arm_timer(&self, at: Timestamp, waker: Waker) -> TimerId {
        let mut core = self.core.borrow_mut();
        let owner = core.scope();
        let id = core.timers.insert(owner, at, Alarm { at, waker });
        core.source_changed(owner);
        id
    }

    /// Has an armed timer wake `waker`, and moves it to the current partition. Returns `false` if
    /// it has fired.
    fn watch_timer(&self, id: TimerId, waker: &Waker) -> bool {
        let is_known = {
            let mut core = self.core.borrow_mut();
            let Some(owner) = core.timers.owner(id) else { return false };
            let current = core.scope();
            if owner != current {
                core.timers.set_owner(id, current);
                core.source_changed(current);
                core.source_changed(owner);
            }
            core.timers.get(id).is_some_and(|alarm| alarm.waker.will_wake(waker))
        };
        if is_known {
            return true;
        }
        // Cloned before the loop is borrowed, and the old one is dropped after: both may run
        // foreign code.
        let mut waker = waker.clone();
        match self.core.borrow_mut().timers.get_mut(id) {
            Some(alarm) => std::mem::swap(&mut alarm.waker, &mut waker),
            None => return false,
        }
        true
    }

    fn reset_timer(&self, id: TimerId, at: Timestamp) {
        let mut core = self.core.borrow_mut();
        // One that has fired is armed again by the poll which that brought about.
        if let Some(alarm) = core.timers.get_mut(id) {
            alarm.at = at;
            core.timers.reset(id, at);
        }
    }

    pub(crate) fn cancel_timer(&self, id: TimerId) {
        let alarm = {
            let mut core = self.core.borrow_mut();
            let Some(owner) = core.timers.owner(id) else { return };
            let alarm = core.timers.remove(id);
            core.source_changed(owner);
            alarm
        };
        self.shared.panic_hook.contain(|| drop(alarm));
    }

    /// Keeps a timer for a relay on another thread.
    fn arm_relay(&self, relay: &Arc<Relay<TimerId>>, at: Timestamp) {
        let is_armed = relay.arm(|waker| {
            let mut core = self.core.borrow_mut();
            if core.closed {
                return None;
            }
            let root = core.sched.root();
            let id = core.timers.insert(root, at, Alarm { at, waker });
            core.source_changed(root);
            Some(id)
        });
        if !is_armed {
            // Nothing fires any more; who waits shall see that, and not wait for ever.
            self.shared.panic_hook.contain(|| relay.fire());
        }
    }

    fn reset_relay(&self, relay: &Arc<Relay<TimerId>>, at: Timestamp) {
        if let Some(id) = relay.timer() {
            self.reset_timer(id, at);
        }
    }
}
