//! The kernel side of the loop: which fds are ready, and sleeping until one is.
//!
//! Nothing of scheduling is known here. A harvest reports tokens; what becomes of them is decided
//! by the caller. One root poller serves everybody, and an isolated poller is nested in it, so that
//! whoever is isolated is seen by the others as a single fd:
//!
//! ```text
//!           harvest
//!              │
//!        root mio::Poll ── waker, alarm, shared fds
//!          │        │
//!       child 0   child 1   ... isolated fds
//! ```

mod isolated;
pub(crate) mod registry;
pub(crate) mod scheduled_io;

#[cfg_attr(target_os = "linux", path = "driver/alarm_timerfd.rs")]
#[cfg_attr(not(target_os = "linux"), path = "driver/alarm_none.rs")]
mod alarm;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

use alarm::Alarm;
use isolated::Isolated;
use registry::{Count, Registry};

/// Events fetched by one system call. Tests want to exceed it with the fds every user may have.
const CAPACITY: usize = if cfg!(test) { 64 } else { 1024 };

// Tokens of our own, from the top down. A registration's token holds its slot in the low 32 bits,
// and nobody has that many registrations.
const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
const CHILD_FIRST: usize = usize::MAX - 2;
/// Isolated pollers at one time.
const CHILDREN_MAX: usize = 1 << 16;

/// Names a poller of a driver: the shared one, or one that [`Driver::isolate`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PollerId(u32);

impl PollerId {
    /// The poller of everybody who did not ask for one of their own.
    pub(crate) const SHARED: Self = Self(u32::MAX);

    fn child(index: usize) -> Self {
        Self(u32::try_from(index).expect("more pollers than the driver allows"))
    }

    fn child_index(self) -> Option<usize> {
        (self != Self::SHARED).then_some(self.0 as usize)
    }
}

/// One event: a source became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readied {
    /// What the source was registered with.
    pub(crate) token: usize,
    /// Something to read, or nothing ever again: hang-up and errors count too.
    pub(crate) readable: bool,
    /// Room to write, or none ever again: hang-up and errors count too.
    pub(crate) writable: bool,
    /// The peer has written its last byte. Implies `readable`.
    pub(crate) read_closed: bool,
}

impl Readied {
    fn of(event: &Event) -> Self {
        let error = event.is_error();
        let read_closed = event.is_read_closed() || error;
        Self {
            token: event.token().0,
            readable: event.is_readable() || event.is_priority() || read_closed,
            writable: event.is_writable() || event.is_write_closed() || error,
            read_closed,
        }
    }
}

/// The loop's way to the kernel.
pub(crate) struct Driver {
    root: Poll,
    registry: Arc<Registry>,
    waker: Arc<Waker>,
    events: Events,
    alarm: Alarm,
    isolated: Isolated,
    /// Sources registered with any of the pollers.
    sources: Count,
}

impl Driver {
    /// Opens the root poller and its waker.
    pub(crate) fn new() -> io::Result<Self> {
        let root = Poll::new()?;
        let sources = Count::default();
        let waker = Arc::new(Waker::new(root.registry(), WAKER)?);
        let registry = Arc::new(Registry::new(root.registry().try_clone()?, sources.clone()));
        Ok(Self {
            root,
            registry,
            waker,
            events: Events::with_capacity(CAPACITY),
            alarm: Alarm::default(),
            isolated: Isolated::default(),
            sources,
        })
    }

    /// Returns what ends a sleeping harvest from any thread.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Returns where sources are registered with `poller`; usable on any thread.
    ///
    /// A poller that is gone answers with the shared one, which is always right to be in.
    pub(crate) fn registry(&self, poller: PollerId) -> Arc<Registry> {
        let child = poller.child_index().and_then(|index| self.isolated.registry(index));
        child.unwrap_or(&self.registry).clone()
    }

    /// Whether no source is registered, so that only the waker could end a harvest.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.get() == 0
    }

    /// Makes a poller of its own inside the root poller.
    ///
    /// Where the system cannot nest them, and when it has run out of pollers, the answer is
    /// [`PollerId::SHARED`].
    pub(crate) fn isolate(&mut self) -> io::Result<PollerId> {
        let made = self.isolated.add(self.root.registry(), &self.sources)?;
        Ok(made.map_or(PollerId::SHARED, PollerId::child))
    }

    /// Closes an isolated poller. Whatever is still registered there is heard of no more.
    pub(crate) fn release(&mut self, poller: PollerId) {
        if let Some(index) = poller.child_index() {
            self.isolated.remove(index, self.root.registry());
        }
    }

    /// Asks the kernel once what is ready, and reports it.
    ///
    /// Waits up to `timeout` for the first event, or for ever if it is `None`; a zero timeout
    /// only looks. Returns the number of events, wakes included; a return before the timeout with
    /// none is possible, one after it by a rounding error is not, as far as the system can help.
    /// An interrupted call is no error.
    pub(crate) fn harvest(
        &mut self,
        timeout: Option<Duration>,
        mut ready: impl FnMut(Readied),
    ) -> io::Result<usize> {
        // What is left over in a child was announced once and is not announced again.
        let timeout = if self.isolated.any_ready() { Some(Duration::ZERO) } else { timeout };
        if timeout != Some(Duration::ZERO) {
            self.alarm.set(self.root.registry(), ALARM, timeout);
        }
        let mut count = self.drain_root(timeout, &mut ready)?;
        count += self.isolated.drain(&mut ready)?;
        Ok(count)
    }

    /// Takes events from the root poller until it gives less than it could.
    fn drain_root(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut impl FnMut(Readied),
    ) -> io::Result<usize> {
        let mut count = 0;
        let mut timeout = timeout;
        // Every source is seen within so many calls; one that becomes ready again and again must
        // not keep the loop here.
        for _ in 0..2 + self.sources.get() / CAPACITY {
            let full = poll(&mut self.root, &mut self.events, timeout)?;
            for event in &self.events {
                count += 1;
                match event.token() {
                    WAKER => {}
                    ALARM => self.alarm.rang(),
                    token if !self.isolated.announce(token) => ready(Readied::of(event)),
                    _ => {}
                }
            }
            if !full {
                break;
            }
            timeout = Some(Duration::ZERO);
        }
        Ok(count)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("sources", &self.sources.get())
            .field("isolated", &self.isolated.len())
            .finish_non_exhaustive()
    }
}

/// Polls once; returns whether there may be more than was fetched.
fn poll(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<bool> {
    match poll.poll(events, timeout) {
        Ok(()) => Ok(events.iter().count() >= events.capacity()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            // The call fetched nothing; what an earlier one left in the buffer was reported then.
            events.clear();
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
