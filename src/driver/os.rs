//! The system's kernel: which fds are ready, and sleeping until one is.
//!
//! One root poller serves everybody, and an isolated poller is nested in it, so that whoever is
//! isolated is seen by the others as a single fd:
//!
//! ```text
//!           harvest
//!              │
//!        root mio::Poll ── waker, alarm, shared fds
//!          │        │
//!       child 0   child 1   ... isolated fds
//! ```

mod isolated;

#[cfg_attr(target_os = "linux", path = "os/alarm_timerfd.rs")]
#[cfg_attr(not(target_os = "linux"), path = "os/alarm_none.rs")]
mod alarm;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

use super::registry::{Count, Registry};
use super::{PollerId, Readied};
use alarm::Alarm;
use isolated::Isolated;

/// Events fetched by one system call. Tests want to exceed it with the fds every user may have.
const CAPACITY: usize = if cfg!(test) { 64 } else { 1024 };

// Tokens of our own, from the top down. A registration's token holds its slot in the low 32 bits,
// and nobody has that many registrations.
const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
const CHILD_FIRST: usize = usize::MAX - 2;
/// Isolated pollers at one time.
const CHILDREN_MAX: usize = 1 << 16;

impl Readied {
    fn of(event: &Event) -> Self {
        let error = event.is_error();
        let read_closed = event.is_read_closed() || error;
        Self {
            token: event.token().0,
            readable: event.is_readable() || event.is_priority() || read_closed,
            writable: event.is_writable() || event.is_write_closed() || error,
            read_closed,
            since: None,
        }
    }
}

/// The loop's way to the system's kernel.
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
        let registry = Arc::new(Registry::os(root.registry().try_clone()?, sources.clone()));
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

    pub(crate) fn registry(&self, poller: PollerId) -> Arc<Registry> {
        let child = poller.child_index().and_then(|index| self.isolated.registry(index));
        child.unwrap_or(&self.registry).clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sources.get() == 0
    }

    pub(crate) fn isolate(&mut self) -> io::Result<PollerId> {
        let made = self.isolated.add(self.root.registry(), &self.sources)?;
        Ok(made.map_or(PollerId::SHARED, PollerId::child))
    }

    pub(crate) fn release(&mut self, poller: PollerId) {
        if let Some(index) = poller.child_index() {
            self.isolated.remove(index, self.root.registry());
        }
    }

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
