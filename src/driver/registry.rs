//! Putting sources on a poller and taking them off, from any thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::{Interest, Token};

#[cfg(feature = "sim")]
use super::sim;

/// How many sources a driver watches, shared by its registries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        // Ordering: Relaxed. Sources are added on the loop's thread, which so sees them; a removal
        // seen late costs one system call.
        self.0.load(Ordering::Relaxed)
    }
}

/// The way to one poller. Dropping it closes nothing but itself.
pub(crate) struct Registry {
    poller: Poller,
    count: Count,
}

/// Who watches.
pub(crate) enum Poller {
    Os(mio::Registry),
    #[cfg(feature = "sim")]
    Sim(Arc<sim::Kernel>),
}

impl Registry {
    pub(super) fn os(poller: mio::Registry, count: Count) -> Self {
        Self { poller: Poller::Os(poller), count }
    }

    #[cfg(feature = "sim")]
    pub(super) fn sim(kernel: Arc<sim::Kernel>, count: Count) -> Self {
        Self { poller: Poller::Sim(kernel), count }
    }

    /// Starts watching `source`; its events carry `token`. Edge-triggered.
    pub(crate) fn register<S: Source>(
        &self,
        source: &mut S,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        source.add(&self.poller, Token(token), interest)?;
        self.count.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Stops watching `source`, which was registered here before.
    ///
    /// An error means that the kernel had forgotten it already: it is no longer watched either way.
    pub(crate) fn deregister<S: Source>(&self, source: &mut S) -> io::Result<()> {
        self.count.0.fetch_sub(1, Ordering::Relaxed);
        source.remove(&self.poller)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// What can be watched: on Unix anything that has an fd, elsewhere the sources of `mio`; and
/// simulated sockets, by a simulated kernel.
pub(crate) trait Source {
    fn add(&mut self, poller: &Poller, token: Token, interest: Interest) -> io::Result<()>;

    fn remove(&mut self, poller: &Poller) -> io::Result<()>;

    fn is_simulated(&self) -> bool {
        false
    }

    /// What it can be watched by when it is not at hand.
    #[cfg(unix)]
    fn descriptor(&self) -> Descriptor;
}

/// The number of an open file, or of a simulated socket.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    Os(std::os::fd::RawFd),
    #[cfg(feature = "sim")]
    Sim(sim::Fd),
}

#[cfg(unix)]
impl Source for Descriptor {
    fn add(&mut self, poller: &Poller, token: Token, interest: Interest) -> io::Result<()> {
        match (self, poller) {
            (Self::Os(fd), Poller::Os(poller)) => {
                poller.register(&mut mio::unix::SourceFd(fd), token, interest)
            }
            #[cfg(feature = "sim")]
            (Self::Sim(fd), Poller::Sim(kernel)) => kernel.register(*fd, token.0, interest),
            #[cfg(feature = "sim")]
            _ => Err(stranger()),
        }
    }

    fn remove(&mut self, poller: &Poller) -> io::Result<()> {
        match (self, poller) {
            (Self::Os(fd), Poller::Os(poller)) => poller.deregister(&mut mio::unix::SourceFd(fd)),
            #[cfg(feature = "sim")]
            (Self::Sim(fd), Poller::Sim(kernel)) => kernel.deregister(*fd),
            #[cfg(feature = "sim")]
            _ => Err(stranger()),
        }
    }

    fn is_simulated(&self) -> bool {
        !matches!(self, Self::Os(_))
    }

    fn descriptor(&self) -> Descriptor {
        *self
    }
}

// By fd rather than by `mio` source: a source remembers the poller it is in, and ours move.
#[cfg(unix)]
impl<T: std::os::fd::AsRawFd> Source for T {
    fn add(&mut self, poller: &Poller, token: Token, interest: Interest) -> io::Result<()> {
        self.descriptor().add(poller, token, interest)
    }

    fn remove(&mut self, poller: &Poller) -> io::Result<()> {
        self.descriptor().remove(poller)
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor::Os(self.as_raw_fd())
    }
}

#[cfg(not(unix))]
impl<T: mio::event::Source> Source for T {
    fn add(&mut self, poller: &Poller, token: Token, interest: Interest) -> io::Result<()> {
        match poller {
            Poller::Os(poller) => poller.register(self, token, interest),
            #[cfg(feature = "sim")]
            Poller::Sim(_) => Err(stranger()),
        }
    }

    fn remove(&mut self, poller: &Poller) -> io::Result<()> {
        match poller {
            Poller::Os(poller) => poller.deregister(self),
            #[cfg(feature = "sim")]
            Poller::Sim(_) => Err(stranger()),
        }
    }
}

/// The error of a source of the system that a simulated kernel shall watch, or the reverse.
#[cfg(feature = "sim")]
fn stranger() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "this kernel knows no such source")
}
