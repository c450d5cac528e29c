//! One armed deadline, as a leaf future holds it: polled, moved and dropped on any thread.
//!
//! On the loop's own thread the task's waker goes straight into the loop's timers, without an
//! allocation. On any other thread the loop is asked by message to keep a timer that wakes a
//! small shared relay, and the relay wakes the task.

mod alarms;
mod relay;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::clock::Instant;
use crate::runtime::context;
use crate::runtime::core::Core;
use crate::runtime::local::Local;
use crate::runtime::moves::Runner;
use crate::runtime::shared::{Message, Shared};
use crate::sched::{PartitionId, TimerId, Timestamp};
use alarms::Wakes;
pub(crate) use alarms::{Alarm, Alarms};
use relay::Relay;

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
/// Whatever the state, a poll that finds the deadline passed is the end: Idle, ready. A poll on the
/// loop itself looks at the clock only if the loop does not know: see [`FAR`].
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
    #[inline]
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
        match &self.shared {
            Some(home) if context::is_loop_of(home) => self.poll_at_home(cx),
            _ => self.poll_abroad(cx, what),
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

    /// Waits on the loop it was made on, which is the one of this thread.
    #[inline]
    fn poll_at_home(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(home) = &self.shared else { unreachable!("a timer at home has one") };
        match self.state {
            State::Idle => {
                let (deadline, waker) = (self.deadline, cx.waker());
                let armed = context::with_loop_briefly(home, |local| {
                    local.core.borrow_mut().arm_far(deadline, waker)
                });
                if let Some(Some(id)) = armed {
                    self.state = State::Local(id);
                    return Poll::Pending;
                }
            }
            // A timer that has not fired needs no look at the clock.
            State::Local(id) if watch(home, id, cx.waker()) => return Poll::Pending,
            _ => {}
        }
        self.poll_anew(cx)
    }

    /// Waits on the loop it belongs to, which is the one of this thread, as if for the first time.
    #[inline(never)]
    fn poll_anew(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(home) = &self.shared else { unreachable!("a timer at home has one") };
        let deadline = self.deadline;
        let known = context::with_loop_briefly(home, |local| local.is_over(deadline)).flatten();
        let is_over = known.unwrap_or_else(|| self.is_elapsed());
        self.disarm();
        if is_over {
            return Poll::Ready(());
        }
        self.arm(cx.waker());
        Poll::Pending
    }

    /// Waits on this thread's loop, if it has one, which is not the one it was made on.
    #[cold]
    #[track_caller]
    fn poll_abroad(&mut self, cx: &mut Context<'_>, what: &str) -> Poll<()> {
        match context::get() {
            Some(local) => self.poll_on_loop(&local, cx),
            None => self.poll_elsewhere(cx, what),
        }
    }

    #[track_caller]
    fn poll_on_loop(&mut self, local: &Local, cx: &mut Context<'_>) -> Poll<()> {
        self.check_clock(&local.shared);
        if self.is_over() {
            return Poll::Ready(());
        }
        self.disarm();
        self.shared = Some(Arc::clone(&local.shared));
        self.arm(cx.waker());
        Poll::Pending
    }

    /// Has the loop it belongs to, which is the one of this thread, wake `waker`.
    #[inline]
    fn arm(&mut self, waker: &Waker) {
        let (Some(home), deadline) = (&self.shared, self.deadline) else { return };
        let armed = context::with_loop_briefly(home, |local| {
            local.core.borrow_mut().arm_own(deadline, waker)
        });
        if let Some(Some(id)) = armed {
            self.state = State::Local(id);
            return;
        }
        // Cloned before anything is borrowed: that may run foreign code.
        let clone = waker.clone();
        match context::with_loop_briefly(home, |local| local.arm_timer(deadline, clone)) {
            Some(id) => self.state = State::Local(id),
            // That code has left the loop.
            None => waker.wake_by_ref(),
        }
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
        match context::with_loop_briefly(shared, |local| local.core.borrow_mut().disarm(id)) {
            Some(wakes) => shared.drop_waker(wakes),
            // A loop that is gone has no timers.
            None => drop(shared.send(Message::CancelTimer(id))),
        }
    }
}

impl Drop for Timer {
    #[inline]
    fn drop(&mut self) {
        let at_home = self.shared.as_ref().filter(|home| context::is_loop_of(home));
        match (&self.state, at_home) {
            (State::Idle, _) => {}
            (State::Local(id), Some(home)) => {
                let id = *id;
                let wakes =
                    context::with_loop_briefly(home, |local| local.core.borrow_mut().disarm(id));
                home.drop_waker(wakes.flatten());
            }
            _ => self.disarm(),
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Tells a deadline as the loop counts time; what lies beyond 584 years is never.
fn timestamp(shared: &Shared, deadline: Instant) -> Timestamp {
    alarms::timestamp(&shared.time, deadline)
}

/// Has an armed timer of this thread's loop wake `waker`, in the current partition. Returns `false`
/// if it has fired.
#[inline]
fn watch(home: &Arc<Shared>, id: TimerId, waker: &Waker) -> bool {
    match context::with_loop_briefly(home, |local| local.watch_timer(id, waker)) {
        Some(Watched::Known) => true,
        Some(Watched::Other) => {
            // Cloned before the loop is borrowed, and the old one is dropped after: both may run
            // foreign code.
            let waker = waker.clone();
            let old = context::with_loop_briefly(home, |local| local.rewake_timer(id, waker));
            matches!(old, Some(Ok(_)))
        }
        Some(Watched::Fired) | None => false,
    }
}

/// What came of having a timer wake somebody.
enum Watched {
    /// It wakes them.
    Known,
    /// It wakes somebody else.
    Other,
    /// It has fired.
    Fired,
}

impl Local {
    /// Whether a deadline has come, if that can be told without a look at the clock.
    #[inline]
    fn is_over(&self, deadline: Instant) -> Option<bool> {
        let core = self.core.borrow();
        if core.timers.is_far(deadline) {
            return Some(false);
        }
        (timestamp(&self.shared, deadline) <= core.told()).then_some(true)
    }

    #[inline]
    fn arm_timer(&self, deadline: Instant, waker: Waker) -> TimerId {
        self.core.borrow_mut().arm(deadline, waker)
    }

    /// Looks whether an armed timer wakes `waker`, and moves it to the current partition.
    #[inline]
    fn watch_timer(&self, id: TimerId, waker: &Waker) -> Watched {
        let mut core = self.core.borrow_mut();
        let Some(owner) = core.all_timers().owner(id) else { return Watched::Fired };
        let current = core.scope();
        if owner != current {
            core.all_timers().set_owner(id, current);
            core.source_changed(current);
            core.source_changed(owner);
        }
        match core.all_timers().get(id) {
            Some(alarm) if alarm.waker.will_wake(waker) => Watched::Known,
            _ => Watched::Other,
        }
    }

    /// Has an armed timer wake `waker`, and returns the one it woke; if it has fired, `waker`.
    fn rewake_timer(&self, id: TimerId, waker: Waker) -> Result<Waker, Waker> {
        match self.core.borrow_mut().all_timers().get_mut(id) {
            Some(alarm) => Ok(std::mem::replace(&mut alarm.waker, waker)),
            None => Err(waker),
        }
    }

    fn reset_timer(&self, id: TimerId, at: Timestamp) {
        let mut core = self.core.borrow_mut();
        // One that has fired is armed again by the poll which that brought about.
        let timers = core.all_timers();
        if let Some(alarm) = timers.get_mut(id) {
            alarm.reset(at);
            timers.reset(id, at);
        }
    }

    pub(crate) fn cancel_timer(&self, id: TimerId) {
        let wakes = self.core.borrow_mut().disarm(id);
        self.shared.drop_waker(wakes);
    }

    /// Keeps a timer for a relay on another thread.
    fn arm_relay(&self, relay: &Arc<Relay<TimerId>>, at: Timestamp) {
        let is_armed = relay.arm(|waker| {
            let mut core = self.core.borrow_mut();
            if core.closed {
                return None;
            }
            let root = core.sched.root();
            Some(core.arm_at(root, at, waker))
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

impl Shared {
    /// Drops a waker that is needed no more, which may run foreign code. Nothing is borrowed.
    #[inline]
    fn drop_waker(&self, wakes: Option<Wakes>) {
        if let Some(Wakes::Other(waker)) = wakes {
            self.panic_hook.contain(|| drop(waker));
        }
    }
}

impl Core {
    /// As [`arm_own`](Self::arm_own), if the deadline is known to be ahead.
    #[inline]
    fn arm_far(&mut self, deadline: Instant, waker: &Waker) -> Option<TimerId> {
        if self.timers.is_far(deadline) { self.arm_own(deadline, waker) } else { None }
    }

    /// Sets a timer for the task that runs, if `waker` is one of that.
    #[inline]
    fn arm_own(&mut self, deadline: Instant, waker: &Waker) -> Option<TimerId> {
        let Runner::Task(key) = self.runner else { return None };
        let owner = self.current;
        let is_own = self.tasks.by_key(key)?.task.header().is_woken_by(waker);
        is_own.then(|| self.add(owner, deadline, Wakes::Task(key)))
    }

    /// Sets a timer of the current partition.
    fn arm(&mut self, deadline: Instant, waker: Waker) -> TimerId {
        let owner = self.scope();
        self.add(owner, deadline, Wakes::Other(waker))
    }

    #[inline]
    fn add(&mut self, owner: PartitionId, deadline: Instant, wakes: Wakes) -> TimerId {
        let id = self.timers.add(owner, deadline, wakes, &self.tasks);
        self.timer_added(owner);
        id
    }

    /// Sets a timer of a partition.
    fn arm_at(&mut self, owner: PartitionId, at: Timestamp, waker: Waker) -> TimerId {
        let id = self.all_timers().insert(owner, at, Alarm::new(at, waker));
        self.timer_added(owner);
        id
    }

    /// Takes a timer back, unless it has fired.
    #[inline]
    fn disarm(&mut self, id: TimerId) -> Option<Wakes> {
        let Some((wakes, owner)) = self.timers.take_newest(id) else {
            return self.disarm_settled(id);
        };
        self.timer_removed(owner);
        Some(wakes)
    }

    #[inline(never)]
    fn disarm_settled(&mut self, id: TimerId) -> Option<Wakes> {
        let (alarm, owner) = self.all_timers().take(id)?;
        self.timer_removed(owner);
        Some(Wakes::Other(alarm.waker))
    }
}
