//! A source on the loop, from the side of whoever holds it.
//!
//! A registration is `Send + Sync`: it may be waited for, and dropped, on any thread. On the loop's
//! own thread it also says who waits: each direction belongs to the partition of the task that last
//! had to wait for it, and is delivered in that partition's turns.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use mio::Interest;

use crate::driver::PollerId;
#[cfg(unix)]
use crate::driver::registry::Descriptor;
use crate::driver::registry::{Registry, Source};
use crate::driver::scheduled_io::{ScheduledIo, Seen, WaiterKey, gone};
use crate::runtime::Partition;
use crate::runtime::context;
use crate::runtime::coop::poll_proceed;
use crate::runtime::local::Local;
use crate::runtime::shared::{Message, Shared};
use crate::sched::{Direction, PartitionId, RegistrationId};

/// Whether a transfer of less than was asked for means that there is no more to be had: so it is
/// where the system reports the change of a state rather than the state.
const SHORT_MEANS_DONE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A source and its place on the loop. Taken off the loop before the source is closed.
pub(crate) struct Watched<S: Source> {
    /// Gone only between `into_inner` and the end.
    source: Option<S>,
    registration: Registration,
}

impl<S: Source> Watched<S> {
    /// Puts `source`, which must not block, on the loop of this thread. `what` names the caller.
    ///
    /// It is taken to be ready for what is `presumed` before any event says so. At worst that costs
    /// one call of the operation, which finds nothing to do; a guess that is right saves the wait
    /// for a harvest, and for a turn after it.
    ///
    /// # Panics
    ///
    /// If this thread runs no loop.
    #[track_caller]
    pub(crate) fn new(
        mut source: S,
        interest: Interest,
        presumed: Option<Interest>,
        what: &str,
    ) -> io::Result<Self> {
        let local = loop_for(&source, what);
        let owner = local.core.borrow().scope();
        let registration = Registration::new(&local, &mut source, interest, presumed, owner)?;
        Ok(Self { source: Some(source), registration })
    }

    /// Like [`new`](Self::new); the source belongs to `partition` from the start.
    #[track_caller]
    pub(crate) fn new_in(
        mut source: S,
        interest: Interest,
        presumed: Option<Interest>,
        what: &str,
        partition: &Partition,
    ) -> io::Result<Self> {
        let local = loop_for(&source, what);
        let owner = partition.id_in(&local.shared);
        let registration = Registration::new(&local, &mut source, interest, presumed, owner)?;
        Ok(Self { source: Some(source), registration })
    }

    /// Like [`new`](Self::new); gives the source back if it cannot be had.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn try_new(
        mut source: S,
        interest: Interest,
        what: &str,
    ) -> Result<Self, (S, io::Error)> {
        let local = loop_for(&source, what);
        let owner = local.core.borrow().scope();
        match Registration::new(&local, &mut source, interest, None, owner) {
            Ok(registration) => Ok(Self { source: Some(source), registration }),
            Err(error) => Err((source, error)),
        }
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    #[cfg(unix)]
    pub(crate) fn get_mut(&mut self) -> &mut S {
        self.source.as_mut().expect("the source is there until the end")
    }

    /// Takes the source off the loop and returns it.
    pub(crate) fn into_inner(mut self) -> S {
        let mut source = self.source.take().expect("the source is there until the end");
        self.registration.end(&mut source);
        source
    }
}

impl<S: Source> Deref for Watched<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.source.as_ref().expect("the source is there until the end")
    }
}

impl<S: Source> Drop for Watched<S> {
    fn drop(&mut self) {
        if let Some(source) = &mut self.source {
            // Before the source is closed: the fd's number may be somebody else's right after, and
            // a duplicate would keep the entry in the kernel.
            self.registration.end(source);
        }
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Returns the loop of this thread, which is to watch `source`; `what` names the caller.
#[track_caller]
fn loop_for<S: Source>(source: &S, what: &str) -> Rc<Local> {
    let local = context::expect(what);
    assert!(
        local.driver.borrow().accepts(source),
        "{what}: a simulation watches simulated sockets and nothing else; make the socket inside it \
         by `bind`, `connect`, `pair` or `accept`, and keep files and sockets of the system out"
    );
    local
}

/// A source's place on the loop.
pub(crate) struct Registration {
    io: Arc<ScheduledIo>,
    id: RegistrationId,
    shared: Arc<Shared>,
    #[cfg(unix)]
    interest: Interest,
    #[cfg(unix)]
    descriptor: Descriptor,
    home: Mutex<Home>,
}

/// The poller a source is in.
struct Home {
    poller: PollerId,
    registry: Arc<Registry>,
}

impl Registration {
    fn new<S: Source>(
        local: &Local,
        source: &mut S,
        interest: Interest,
        presumed: Option<Interest>,
        owner: PartitionId,
    ) -> io::Result<Self> {
        let (io, id, poller) = {
            let mut core = local.core.borrow_mut();
            if core.closed {
                return Err(gone());
            }
            let (readable, writable) = (
                presumed.is_some_and(Interest::is_readable),
                presumed.is_some_and(Interest::is_writable),
            );
            let io = Arc::new(ScheduledIo::new(owner, readable, writable));
            let id = core.io.register(owner, io.clone());
            core.source_changed(owner);
            (io, id, core.poller_of(owner))
        };
        let registry = local.driver.borrow().registry(poller);
        if let Err(error) = registry.register(source, token(id), interest) {
            local.forget(id, &[owner]);
            return Err(error);
        }
        Ok(Self {
            io,
            id,
            shared: local.shared.clone(),
            #[cfg(unix)]
            interest,
            #[cfg(unix)]
            descriptor: source.descriptor(),
            home: Mutex::new(Home { poller, registry }),
        })
    }

    /// Takes the source off the loop, on whichever thread this is.
    fn end<S: Source>(&mut self, source: &mut S) {
        let home = self.home();
        // Fails if the fd was closed behind our back; then the kernel has forgotten it.
        let _ = home.registry.deregister(source);
        drop(home);
        let on_loop = context::with_loop(&self.shared, |local| local.deregister(self.id));
        if on_loop.is_none() {
            // A loop that is gone has nothing to free.
            let _ = self.shared.send(Message::Deregister(self.id));
        }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().expect("no code that panics runs under this lock")
    }

    /// Makes the direction the running task's partition's own: it has to wait for it. If it is
    /// already, that is all it costs to know.
    ///
    /// Elsewhere than on the loop's thread nobody can say whose it would be, so it stays.
    #[inline]
    fn claim(&self, direction: Direction) {
        if !context::is_handle_of(&self.shared, self.io.owner(direction)) {
            self.claim_anew(direction);
        }
    }

    #[cold]
    fn claim_anew(&self, direction: Direction) {
        context::with_loop(&self.shared, |local| {
            let current = local.core.borrow().scope();
            if self.io.owner(direction) != current {
                self.change_owner(local, direction, current);
            }
        });
    }

    /// Gives a direction to another partition, and if it is that of the reader, the fd to the poller
    /// of that one. A direction that nobody ever waited for goes along with the other: so the fd of
    /// a stream that is only written is in the poller of its writer.
    fn change_owner(&self, local: &Local, direction: Direction, new: PartitionId) {
        let alone = direction == Direction::Write && !self.io.was_awaited(Direction::Read);
        if direction == Direction::Read || alone {
            let poller = local.core.borrow().poller_of(new);
            self.move_to(local, poller);
        }
        self.set_owner(local, direction, new);
        if alone {
            self.set_owner(local, Direction::Read, new);
        }
    }

    fn set_owner(&self, local: &Local, direction: Direction, new: PartitionId) {
        let mut core = local.core.borrow_mut();
        let old = self.io.owner(direction);
        if core.io.set_owner(self.id, direction, new) {
            self.io.set_owner(direction, new);
            core.source_changed(new);
            core.source_changed(old);
        }
    }

    /// Watches the source in another poller, which reports anew what is ready. If the kernel
    /// refuses, it stays where it is: that is as good, but for the crowd there.
    #[cfg(unix)]
    fn move_to(&self, local: &Local, poller: PollerId) {
        let mut home = self.home();
        if home.poller == poller {
            return;
        }
        let registry = local.driver.borrow().registry(poller);
        if Arc::ptr_eq(&registry, &home.registry) {
            home.poller = poller;
            return;
        }
        let mut source = self.descriptor;
        // In the new one first, so that there is no moment in which nobody watches. What the old
        // one has not reported goes with the registration, so nothing is told twice.
        if registry.register(&mut source, token(self.id), self.interest).is_ok() {
            let _ = home.registry.deregister(&mut source);
            *home = Home { poller, registry };
        }
    }

    #[cfg(not(unix))]
    fn move_to(&self, _: &Local, _: PollerId) {}

    /// Waits until the direction is ready, in the one place for poll-style callers.
    fn poll_seen(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<Seen>> {
        if let Some(ready) = self.io.ready(direction) {
            return Poll::Ready(ready);
        }
        self.claim(direction);
        self.io.poll_ready(direction, cx)
    }

    /// Waits until the direction is ready: the last task that polled is woken.
    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Seen>> {
        let progress = ready!(poll_proceed(cx));
        let seen = ready!(self.poll_seen(direction, cx));
        progress.made();
        Poll::Ready(seen)
    }

    /// Whether the peer is known to have written its last byte, all of which have arrived then.
    pub(crate) fn is_read_closed(&self) -> bool {
        self.io.is_read_closed()
    }

    /// Takes the direction to be ready: there is something left of which no event will tell.
    pub(crate) fn presume_ready(&self, direction: Direction) {
        self.io.presume_ready(direction);
    }

    /// Says that the operation found nothing to do, unless there was an event since `seen`.
    #[cfg(unix)]
    pub(crate) fn clear(&self, direction: Direction, seen: Seen) {
        self.io.clear(direction, seen);
    }

    /// Does `f` as soon as it does not block: the last task that polled is woken.
    pub(crate) fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        f: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let progress = ready!(poll_proceed(cx));
        let (_, result) = ready!(self.attempt(direction, f, || self.poll_seen(direction, cx)));
        progress.made();
        Poll::Ready(result)
    }

    /// Like [`poll_io`](Self::poll_io), for byte streams: if `f` moves less than `len` bytes, the
    /// next call would move none.
    #[inline]
    pub(crate) fn poll_transfer(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        len: usize,
        f: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let progress = ready!(poll_proceed(cx));
        let (seen, result) = ready!(self.attempt(direction, f, || self.poll_seen(direction, cx)));
        progress.made();
        self.note_short(direction, seen, len, &result);
        Poll::Ready(result)
    }

    /// Does `f` until it does not block; `ready` waits before each attempt.
    fn attempt<R>(
        &self,
        direction: Direction,
        mut f: impl FnMut() -> io::Result<R>,
        mut ready: impl FnMut() -> Poll<io::Result<Seen>>,
    ) -> Poll<(Option<Seen>, io::Result<R>)> {
        loop {
            let seen = match ready!(ready()) {
                Ok(seen) => seen,
                Err(error) => return Poll::Ready((None, Err(error))),
            };
            match f() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.io.clear(direction, seen);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready((Some(seen), result)),
            }
        }
    }

    /// Saves the call that would only say that there is no more.
    fn note_short(
        &self,
        direction: Direction,
        seen: Option<Seen>,
        len: usize,
        result: &io::Result<usize>,
    ) {
        let (Some(seen), Ok(moved)) = (seen, result) else { return };
        if SHORT_MEANS_DONE && *moved > 0 && *moved < len {
            self.io.clear_short(direction, seen);
        }
    }

    /// Waits until the direction is ready, beside any number of other tasks.
    ///
    /// Cancel safe: nothing is consumed.
    pub(crate) async fn readiness(&self, direction: Direction) -> io::Result<Seen> {
        let mut listed = Listed::new(self, direction);
        poll_fn(|cx| {
            let progress = ready!(poll_proceed(cx));
            let seen = ready!(listed.poll(cx));
            progress.made();
            Poll::Ready(seen)
        })
        .await
    }

    /// Does `f` as soon as it does not block, beside any number of other tasks.
    ///
    /// Cancel safe: either `f` was successful and the future is done, or it did nothing.
    pub(crate) async fn async_io<R>(
        &self,
        direction: Direction,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let mut listed = Listed::new(self, direction);
        poll_fn(|cx| {
            let progress = ready!(poll_proceed(cx));
            let (_, result) = ready!(self.attempt(direction, &mut f, || listed.poll(cx)));
            progress.made();
            Poll::Ready(result)
        })
        .await
    }

    /// Like [`async_io`](Self::async_io), for byte streams: if `f` moves less than `len` bytes, the
    /// next call would move none.
    pub(crate) async fn transfer(
        &self,
        direction: Direction,
        len: usize,
        mut f: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut listed = Listed::new(self, direction);
        poll_fn(|cx| {
            let progress = ready!(poll_proceed(cx));
            let (seen, result) = ready!(self.attempt(direction, &mut f, || listed.poll(cx)));
            progress.made();
            self.note_short(direction, seen, len, &result);
            Poll::Ready(result)
        })
        .await
    }

    /// Does `f` if the direction is ready, and notes it if `f` says that it is not.
    ///
    /// # Errors
    ///
    /// `WouldBlock` without a call of `f` if the direction is not ready.
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        let seen = match self.io.ready(direction) {
            None => return Err(io::ErrorKind::WouldBlock.into()),
            Some(seen) => seen?,
        };
        let result = f();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.io.clear(direction, seen);
        }
        result
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).field("io", &self.io).finish()
    }
}

/// One future's place among those who wait for a direction; left when dropped.
struct Listed<'a> {
    registration: &'a Registration,
    direction: Direction,
    key: Option<WaiterKey>,
}

impl<'a> Listed<'a> {
    fn new(registration: &'a Registration, direction: Direction) -> Self {
        Self { registration, direction, key: None }
    }

    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Seen>> {
        match self.registration.io.ready(self.direction) {
            Some(ready) => Poll::Ready(ready),
            None => self.wait(cx),
        }
    }

    #[inline(never)]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Seen>> {
        self.registration.claim(self.direction);
        self.registration.io.poll_listed(self.direction, &mut self.key, cx)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.registration.io.unlist(self.direction, key);
        }
    }
}

impl Local {
    /// Frees what the loop keeps of a source that its holder took off the poller.
    pub(crate) fn deregister(&self, id: RegistrationId) {
        let owners = {
            let core = self.core.borrow();
            [Direction::Read, Direction::Write].map(|direction| core.io.owner(id, direction))
        };
        let [Some(read), Some(write)] = owners else { return };
        self.forget(id, &[read, write]);
    }

    fn forget(&self, id: RegistrationId, owners: &[PartitionId]) {
        let mut core = self.core.borrow_mut();
        let io = core.io.deregister(id);
        for owner in owners {
            core.source_changed(*owner);
        }
        drop(core);
        // May hold wakers, whose destructors are foreign code, and here it may be the loop that
        // drops them.
        self.shared.panic_hook.contain(|| drop(io));
    }
}

const _: () = assert!(usize::BITS >= 64, "a token holds the 64 bits of a registration's id");

fn token(id: RegistrationId) -> usize {
    id.to_bits() as usize
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
