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
use crate::runtime::core::Core;
use crate::runtime::local::Local;
use crate::runtime::shared::{Message, Shared};
use crate::sched::{PartitionId, TimerId, Timestamp};
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
        let at = timestamp(home, self.deadline);
        let is_over = match self.state {
            State::Idle => {
                // Cloned before anything is borrowed, as all that may run foreign code.
                let waker = cx.waker().clone();
                match context::with_loop_briefly(home, |local| local.arm_far_timer(at, waker)) {
                    Some(Ok(id)) => {
                        self.state = State::Local(id);
                        return Poll::Pending;
                    }
                    Some(Err((known, _))) => known,
                    None => None,
                }
            }
            // A timer that has not fired needs no look at the clock.
            State::Local(id) if watch(home, id, cx.waker()) => return Poll::Pending,
            _ => context::with_loop_briefly(home, |local| local.is_over(at)).flatten(),
        };
        self.poll_anew(at, is_over, cx)
    }

    /// Waits on the loop it belongs to, which is the one of this thread, as if for the first time.
    fn poll_anew(&mut self, at: Timestamp, over: Option<bool>, cx: &Context<'_>) -> Poll<()> {
        let is_over = over.unwrap_or_else(|| self.is_elapsed());
        self.disarm();
        if is_over {
            return Poll::Ready(());
        }
        self.arm(at, cx.waker());
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
        self.arm(timestamp(&local.shared, self.deadline), cx.waker());
        Poll::Pending
    }

    /// Has the loop it belongs to, which is the one of this thread, wake `waker`.
    #[inline]
    fn arm(&mut self, at: Timestamp, waker: &Waker) {
        let Some(home) = &self.shared else { return };
        // Cloned before anything is borrowed: that may run foreign code.
        let clone = waker.clone();
        match context::with_loop_briefly(home, |local| local.arm_timer(at, clone)) {
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
            Some(alarm) => shared.drop_alarm(alarm),
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
                let alarm =
                    context::with_loop_briefly(home, |local| local.core.borrow_mut().disarm(id));
                home.drop_alarm(alarm.flatten());
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
    Timestamp::from_nanos(shared.time.nanos_at(deadline))
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

/// A deadline as far ahead of the last look at the clock as this, in nanoseconds, is not compared
/// with the clock. A handle that has blocked its thread for that long is told by the next harvest
/// that its timer is due.
const FAR: u64 = 1_000_000_000;

impl Local {
    /// Whether a deadline has come, if that can be told without a look at the clock.
    #[inline]
    fn is_over(&self, at: Timestamp) -> Option<bool> {
        let told = self.core.borrow().told();
        if at <= told {
            return Some(true);
        }
        // Virtual time may jump while a handle runs.
        let far = at.as_nanos() - told.as_nanos() >= FAR && self.shared.time.is_real();
        far.then_some(false)
    }

    /// Sets a timer whose deadline is known to be ahead. Else gives the waker back, and says what is
    /// known.
    #[inline]
    fn arm_far_timer(&self, at: Timestamp, waker: Waker) -> Result<TimerId, (Option<bool>, Waker)> {
        match self.is_over(at) {
            Some(false) => Ok(self.arm_timer(at, waker)),
            known => Err((known, waker)),
        }
    }

    #[inline]
    fn arm_timer(&self, at: Timestamp, waker: Waker) -> TimerId {
        let mut core = self.core.borrow_mut();
        let owner = core.scope();
        core.arm(owner, at, waker)
    }

    /// Looks whether an armed timer wakes `waker`, and moves it to the current partition.
    #[inline]
    fn watch_timer(&self, id: TimerId, waker: &Waker) -> Watched {
        let mut core = self.core.borrow_mut();
        let Some(owner) = core.timers.owner(id) else { return Watched::Fired };
        let current = core.scope();
        if owner != current {
            core.timers.set_owner(id, current);
            core.source_changed(current);
            core.source_changed(owner);
        }
        match core.timers.get(id) {
            Some(alarm) if alarm.waker.will_wake(waker) => Watched::Known,
            _ => Watched::Other,
        }
    }

    /// Has an armed timer wake `waker`, and returns the one it woke; if it has fired, `waker`.
    fn rewake_timer(&self, id: TimerId, waker: Waker) -> Result<Waker, Waker> {
        match self.core.borrow_mut().timers.get_mut(id) {
            Some(alarm) => Ok(std::mem::replace(&mut alarm.waker, waker)),
            None => Err(waker),
        }
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
        let alarm = self.core.borrow_mut().disarm(id);
        self.shared.drop_alarm(alarm);
    }

    /// Keeps a timer for a relay on another thread.
    fn arm_relay(&self, relay: &Arc<Relay<TimerId>>, at: Timestamp) {
        let is_armed = relay.arm(|waker| {
            let mut core = self.core.borrow_mut();
            if core.closed {
                return None;
            }
            let root = core.sched.root();
            Some(core.arm(root, at, waker))
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
    fn drop_alarm(&self, alarm: Option<Alarm>) {
        if let Some(alarm) = alarm {
            self.panic_hook.contain(|| drop(alarm));
        }
    }
}

impl Core {
    /// Sets a timer of a partition.
    #[inline]
    fn arm(&mut self, owner: PartitionId, at: Timestamp, waker: Waker) -> TimerId {
        let (id, count) = self.timers.set(owner, at, Alarm { at, waker });
        if count == 1 {
            self.first_timer(owner);
        }
        id
    }

    /// Takes a timer back, unless it has fired.
    #[inline]
    fn disarm(&mut self, id: TimerId) -> Option<Alarm> {
        let (alarm, owner, left) = self.timers.take(id)?;
        if left == 0 {
            self.no_timers(owner);
        }
        Some(alarm)
    }
}
