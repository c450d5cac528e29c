//! A simulated kernel and its clock: sockets in memory, and sleeps that take no time.
//!
//! Nothing here waits. A harvest that may sleep moves the clock to the next event of the kernel,
//! or to the end of its patience, whichever comes first.

mod kernel;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::registry::{Count, Registry};
use super::{PollerId, Readied};
use crate::clock::{Manual, nanos};
use crate::sched::Timestamp;

pub(crate) use kernel::{Address, Fd, Kernel, SimDatagram, SimListener, SimStream};
pub use kernel::{Link, Route};

/// The loop's way to a simulated kernel.
pub(crate) struct Driver {
    kernel: Arc<Kernel>,
    clock: Arc<Manual>,
    registry: Arc<Registry>,
    sources: Count,
    /// Pollers of its own that were asked for. All of them are the kernel's one.
    isolated: usize,
}

impl Driver {
    pub(super) fn new(kernel: Arc<Kernel>, clock: Arc<Manual>) -> Self {
        let sources = Count::default();
        let registry = Arc::new(Registry::sim(kernel.clone(), sources.clone()));
        Self { kernel, clock, registry, sources, isolated: 0 }
    }

    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    pub(super) fn registry(&self, _: PollerId) -> Arc<Registry> {
        self.registry.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.get() == 0
    }

    #[expect(clippy::unnecessary_wraps, reason = "a system's kernel may refuse")]
    pub(super) fn isolate(&mut self) -> io::Result<PollerId> {
        self.isolated += 1;
        Ok(PollerId::child(self.isolated - 1))
    }

    #[expect(clippy::unused_self, reason = "there is no poller to close")]
    pub(super) fn release(&mut self, _: PollerId) {}

    /// Reports what is ready, and moves the clock if nothing is.
    ///
    /// # Errors
    ///
    /// `Deadlock` if nothing is ready, nothing will ever be, and the patience has no end.
    pub(super) fn harvest(
        &mut self,
        timeout: Option<Duration>,
        mut ready: impl FnMut(Readied),
    ) -> io::Result<usize> {
        let mut ready = |since, event| {
            ready(Readied { since: Some(Timestamp::from_nanos(since)), ..event });
        };
        let found = self.kernel.poll_since(&mut ready);
        if found > 0 || timeout == Some(Duration::ZERO) {
            return Ok(found);
        }
        let patience = timeout.map(|timeout| self.clock.now().saturating_add(nanos(timeout)));
        loop {
            let until = match (patience, self.kernel.next_event()) {
                (None, None) => return Err(io::ErrorKind::Deadlock.into()),
                (Some(end), Some(event)) if end < event => end,
                (_, Some(event)) => event,
                (Some(end), None) => end,
            };
            self.clock.advance_to(until);
            // An event need not concern anybody: a segment to a peer who does not wait for it.
            let found = self.kernel.poll_since(&mut ready);
            if found > 0 || patience.is_some_and(|end| until >= end) {
                return Ok(found);
            }
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("sources", &self.sources.get()).finish_non_exhaustive()
    }
}
