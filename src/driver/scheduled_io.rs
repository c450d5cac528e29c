//! What is known of one source: whether it is ready, and who waits for that.

mod waiters;

use std::fmt;
use std::io;
#[cfg(not(evenloop_loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::task::{Context, Poll, Waker};

#[cfg(evenloop_loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::driver::Readied;
use crate::sched::{Direction, PartitionId};
pub(crate) use waiters::WaiterKey;
use waiters::Waiters;

// One word per direction:
//
// | bits | name   | means |
// |------|--------|-------|
// | 0    | READY  | the last event says that the operation may be tried |
// | 1    | CLOSED | the peer wrote its last byte: a short read is no sign that nothing is left |
// | 2    | GONE   | the loop is gone; never taken back |
// | 3..  | tick   | counts the events, so that news is not cleared by who did not see it |
//
// Two words and not one: were there a single tick, a stream of write events would keep a reader
// from ever clearing its own. At a billion events a second the tick wraps after 70 years.
const READY: u64 = 1;
const CLOSED: u64 = 1 << 1;
const GONE: u64 = 1 << 2;
const TICK: u64 = 1 << 3;

/// One source of events, shared by the loop and by whoever holds the socket.
///
/// The loop's thread sets readiness at a harvest and takes the wakers at the delivery; any thread
/// waits and clears. Wakers are cloned, called and dropped with no lock held.
pub(crate) struct ScheduledIo {
    read: Half,
    write: Half,
}

/// One direction.
struct Half {
    state: AtomicU64,
    /// The partition that is to deliver, as bits.
    owner: AtomicU64,
    /// Whether `waiters` holds a waker. Written with the lock held, read without.
    waited: AtomicBool,
    /// How many deliveries have emptied the list, likewise.
    deliveries: AtomicU64,
    waiters: Mutex<Waiters>,
}

/// What a waiter saw: passed back, it clears no newer event than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "readiness that turns out to be over has to be cleared, or the waiter spins"]
pub(crate) struct Seen(u64);

impl ScheduledIo {
    /// Makes a source owned by `owner` that is ready for what is said.
    ///
    /// Guessing `true` costs one failing call of the operation; guessing `false` waits for the
    /// event that every new registration gets when it is ready.
    pub(crate) fn new(owner: PartitionId, readable: bool, writable: bool) -> Self {
        Self { read: Half::new(owner, readable), write: Half::new(owner, writable) }
    }

    fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// Records an event. From here on operations are tried; waiters sleep until the delivery.
    pub(crate) fn set_ready(&self, event: Readied) {
        if event.readable {
            self.read.set(READY | if event.read_closed { CLOSED } else { 0 });
        }
        if event.writable {
            self.write.set(READY);
        }
    }

    /// Takes the direction to be ready: there is something left of which no event will tell.
    pub(crate) fn presume_ready(&self, direction: Direction) {
        self.half(direction).set(READY);
    }

    /// Whether somebody waits, so that an event is worth a delivery.
    #[inline]
    pub(crate) fn has_waiter(&self, direction: Direction) -> bool {
        // Ordering: SeqCst, as are the store in `Half::wait`, and both sides' accesses of the
        // state: either this load sees the waiter, or the waiter's second look sees the event.
        self.half(direction).waited.load(Ordering::SeqCst)
    }

    /// Whether anybody has ever waited.
    pub(crate) fn was_awaited(&self, direction: Direction) -> bool {
        self.half(direction).with(|waiters| waiters.was_awaited())
    }

    /// Takes everybody who waits, to be woken by the caller when it holds no lock or borrow.
    pub(crate) fn take_wakers(&self, direction: Direction, wakers: &mut Vec<Waker>) {
        self.half(direction).take_wakers(wakers);
    }

    /// Ends it: the loop is gone. All who wait, and all later callers, get an error; returns the
    /// former, to be woken by the caller.
    #[must_use = "who waits would wait for ever"]
    pub(crate) fn shutdown(&self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for half in [&self.read, &self.write] {
            half.set(READY | GONE);
            half.take_wakers(&mut wakers);
        }
        wakers
    }

    /// Returns the partition that owns a direction, as the loop's thread set it last.
    pub(crate) fn owner(&self, direction: Direction) -> PartitionId {
        PartitionId::from_bits(self.half(direction).owner.load(Ordering::Relaxed))
    }

    /// Notes a direction's new owner. On the loop's thread only.
    pub(crate) fn set_owner(&self, direction: Direction, owner: PartitionId) {
        self.half(direction).owner.store(owner.to_bits(), Ordering::Relaxed);
    }

    /// Returns what to pass to [`clear`](Self::clear) later if the direction is ready.
    ///
    /// # Errors
    ///
    /// If the loop is gone.
    #[inline]
    pub(crate) fn ready(&self, direction: Direction) -> Option<io::Result<Seen>> {
        self.half(direction).ready()
    }

    /// Whether an event said that the peer wrote its last byte.
    pub(crate) fn is_read_closed(&self) -> bool {
        self.read.state.load(Ordering::SeqCst) & CLOSED != 0
    }

    /// Says that the operation found nothing to do, unless there was an event since `seen`.
    pub(crate) fn clear(&self, direction: Direction, seen: Seen) {
        self.half(direction).clear(seen, READY | CLOSED);
    }

    /// Says that the operation did less than it was asked for, and so would find nothing to do.
    ///
    /// Not so once the peer has closed: its end is still to be read, and no event will tell.
    pub(crate) fn clear_short(&self, direction: Direction, seen: Seen) {
        if seen.0 & CLOSED == 0 {
            self.half(direction).clear(seen, READY);
        }
    }

    /// Waits in the one place for the one task that polls this direction: the last waker counts.
    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Seen>> {
        self.half(direction).wait(cx.waker(), None).1
    }

    /// Waits beside others; `key` is this waiter's place, made at its first call.
    pub(crate) fn poll_listed(
        &self,
        direction: Direction,
        key: &mut Option<WaiterKey>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Seen>> {
        let (place, ready) = self.half(direction).wait(cx.waker(), Some(*key));
        *key = place;
        ready
    }

    /// Leaves a place that `poll_listed` gave. After a delivery, which is the usual end of a wait,
    /// nothing is left to leave.
    #[inline]
    pub(crate) fn unlist(&self, direction: Direction, key: WaiterKey) {
        let half = self.half(direction);
        // Ordering: Relaxed, since nothing is done with what was in the place.
        if half.deliveries.load(Ordering::Relaxed) == key.deliveries {
            drop(half.with(|waiters| waiters.leave(key)));
        }
    }
}

impl Half {
    fn new(owner: PartitionId, ready: bool) -> Self {
        Self {
            state: AtomicU64::new(if ready { READY } else { 0 }),
            owner: AtomicU64::new(owner.to_bits()),
            waited: AtomicBool::new(false),
            deliveries: AtomicU64::new(0),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    /// Adds `bits`, and counts an event.
    fn set(&self, bits: u64) {
        // The function always gives a value, so this cannot fail.
        let _ = self.state.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |state| {
            Some(state.wrapping_add(TICK) | bits)
        });
        in_one_order();
    }

    #[inline]
    fn ready(&self) -> Option<io::Result<Seen>> {
        let state = self.state.load(Ordering::SeqCst);
        if state & GONE != 0 {
            return Some(Err(gone()));
        }
        (state & READY != 0).then_some(Ok(Seen(state)))
    }

    fn clear(&self, seen: Seen, bits: u64) {
        // A failure is an event that came in between, or somebody who cleared already.
        let _ = self.state.compare_exchange(
            seen.0,
            seen.0 & !bits,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
    }

    /// Waits in the slot, or with `Some(key)` in the list; returns the place taken.
    fn wait(
        &self,
        waker: &Waker,
        listed: Option<Option<WaiterKey>>,
    ) -> (Option<WaiterKey>, Poll<io::Result<Seen>>) {
        let place = listed.flatten();
        if let Some(ready) = self.ready() {
            return (place, Poll::Ready(ready));
        }
        // Who comes for the first time is not there yet.
        if listed != Some(None) && self.with(|waiters| waiters.holds(listed, waker)) {
            // Since the waker has not been taken, no event was delivered; one that was harvested
            // may have found it, so the second look below is needed as much.
            return (place, self.ready().map_or(Poll::Pending, Poll::Ready));
        }
        let fresh = waker.clone();
        let (place, old) = self.with(|waiters| waiters.put(listed, fresh));
        drop(old);
        // The second look: an event between the first one and now did not see this waiter.
        (place, self.ready().map_or(Poll::Pending, Poll::Ready))
    }

    fn take_wakers(&self, wakers: &mut Vec<Waker>) {
        if self.waited.load(Ordering::SeqCst) {
            self.with(|waiters| {
                waiters.take(wakers);
                self.deliveries.store(waiters.deliveries, Ordering::Relaxed);
            });
        }
    }

    /// Runs `f` with the lock held, which must run no foreign code.
    fn with<R>(&self, f: impl FnOnce(&mut Waiters) -> R) -> R {
        let mut waiters = self.waiters.lock().expect("no code that panics runs under this lock");
        let result = f(&mut waiters);
        let waited = !waiters.is_empty();
        // Ordering: Relaxed, since writes have the order of the lock.
        if self.waited.load(Ordering::Relaxed) != waited {
            // Ordering: SeqCst for the first who waits, see `ScheduledIo::has_waiter`. Who joins
            // another is found by the delivery to that one, or comes after it, and so after the
            // event.
            self.waited.store(waited, Ordering::SeqCst);
            in_one_order();
        }
        result
    }
}

/// Does nothing, but in the models: loom takes a load that is SeqCst for one that acquires, and
/// this fence gives it the place in the one order of all that it has.
#[inline]
fn in_one_order() {
    #[cfg(evenloop_loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// The error of every operation on a source whose loop is gone.
pub(crate) fn gone() -> io::Error {
    io::Error::other("the runtime this socket belonged to has shut down")
}

impl fmt::Debug for ScheduledIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ScheduledIo");
        for (name, half) in [("read", &self.read), ("write", &self.write)] {
            let state = half.state.load(Ordering::Relaxed);
            debug.field(name, &(state & READY != 0));
        }
        debug.finish_non_exhaustive()
    }
}

#[cfg(all(test, not(evenloop_loom)))]
mod tests;
