//! Where readiness comes from: the system's kernel, or a simulated one.
//!
//! Nothing of scheduling is known here. A harvest reports tokens; what becomes of them is decided
//! by the caller.
//!
//! | driver | time | sockets | sleeps in |
//! |---|---|---|---|
//! | [`os`] | passes by itself | of the system | the kernel, until an event or a wake |
//! | [`sim`] | moved by hand | in memory | nowhere: it jumps to the next event |

mod os;
pub(crate) mod registry;
pub(crate) mod scheduled_io;
#[cfg(feature = "sim")]
pub(crate) mod sim;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use registry::{Registry, Source};

#[cfg(feature = "sim")]
use crate::clock::Manual;
use crate::sched::Timestamp;

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
    /// When it became so, where the kernel tells.
    pub(crate) since: Option<Timestamp>,
}

/// The loop's way to a kernel.
#[derive(Debug)]
pub(crate) enum Driver {
    Os(os::Driver),
    #[cfg(feature = "sim")]
    Sim(sim::Driver),
}

/// Does `$call` with whichever driver it is.
macro_rules! each {
    ($driver:expr, $each:ident => $call:expr) => {
        match $driver {
            Self::Os($each) => $call,
            #[cfg(feature = "sim")]
            Self::Sim($each) => $call,
        }
    };
}

impl Driver {
    /// Opens a way to the system's kernel, and returns what ends its sleep from any thread.
    pub(crate) fn open() -> io::Result<(Self, Unpark)> {
        let driver = os::Driver::new()?;
        let waker = driver.waker();
        // A wake that the kernel refuses would be a task lost: better to stop with a sentence.
        let unpark = Box::new(move || waker.wake().expect("the kernel took the loop's wake-up"));
        Ok((Self::Os(driver), unpark))
    }

    /// Makes a way to a simulated kernel; nothing need end a sleep that takes no time.
    #[cfg(feature = "sim")]
    pub(crate) fn simulate(kernel: Arc<sim::Kernel>, clock: Arc<Manual>) -> (Self, Unpark) {
        (Self::Sim(sim::Driver::new(kernel, clock)), Box::new(|| {}))
    }

    /// Returns where sources are registered with `poller`; usable on any thread.
    ///
    /// A poller that is gone answers with the shared one, which is always right to be in.
    pub(crate) fn registry(&self, poller: PollerId) -> Arc<Registry> {
        each!(self, driver => driver.registry(poller))
    }

    /// Whether a source of this kind can be registered at all.
    pub(crate) fn accepts<S: Source>(&self, source: &S) -> bool {
        match self {
            Self::Os(_) => !source.is_simulated(),
            #[cfg(feature = "sim")]
            Self::Sim(_) => source.is_simulated(),
        }
    }

    /// Returns the simulated kernel, if it is one.
    #[cfg(feature = "sim")]
    pub(crate) fn kernel(&self) -> Option<&Arc<sim::Kernel>> {
        match self {
            Self::Os(_) => None,
            Self::Sim(driver) => Some(driver.kernel()),
        }
    }

    /// Whether no source is registered, so that only the waker could end a harvest.
    pub(crate) fn is_empty(&self) -> bool {
        each!(self, driver => driver.is_empty())
    }

    /// Makes a poller of its own inside the root poller.
    ///
    /// Where the system cannot nest them, and when it has run out of pollers, the answer is
    /// [`PollerId::SHARED`].
    pub(crate) fn isolate(&mut self) -> io::Result<PollerId> {
        each!(self, driver => driver.isolate())
    }

    /// Closes an isolated poller. Whatever is still registered there is heard of no more.
    pub(crate) fn release(&mut self, poller: PollerId) {
        each!(self, driver => driver.release(poller));
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
        ready: impl FnMut(Readied),
    ) -> io::Result<usize> {
        each!(self, driver => driver.harvest(timeout, ready))
    }
}

/// Wakes a sleeping loop from any thread.
pub(crate) type Unpark = Box<dyn Fn() + Send + Sync>;
