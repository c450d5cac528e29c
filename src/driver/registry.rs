//! Putting sources on a poller and taking them off, from any thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::{Interest, Token};

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
    inner: mio::Registry,
    count: Count,
}

impl Registry {
    pub(super) fn new(inner: mio::Registry, count: Count) -> Self {
        Self { inner, count }
    }

    /// Starts watching `source`; its events carry `token`. Edge-triggered.
    pub(crate) fn register<S: Source>(
        &self,
        source: &mut S,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        source.add(&self.inner, Token(token), interest)?;
        self.count.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Stops watching `source`, which was registered here before.
    ///
    /// An error means that the kernel had forgotten it already: it is no longer watched either way.
    pub(crate) fn deregister<S: Source>(&self, source: &mut S) -> io::Result<()> {
        self.count.0.fetch_sub(1, Ordering::Relaxed);
        source.remove(&self.inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// What can be watched: on Unix anything that has an fd, elsewhere the sources of `mio`.
pub(crate) trait Source {
    fn add(&mut self, registry: &mio::Registry, token: Token, interest: Interest)
    -> io::Result<()>;

    fn remove(&mut self, registry: &mio::Registry) -> io::Result<()>;

    #[cfg(unix)]
    fn fd(&self) -> std::os::fd::RawFd;
}

// By fd rather than by `mio` source: a source remembers the poller it is in, and ours move.
#[cfg(unix)]
impl<T: std::os::fd::AsRawFd> Source for T {
    fn add(
        &mut self,
        registry: &mio::Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        registry.register(&mut mio::unix::SourceFd(&self.as_raw_fd()), token, interest)
    }

    fn remove(&mut self, registry: &mio::Registry) -> io::Result<()> {
        registry.deregister(&mut mio::unix::SourceFd(&self.as_raw_fd()))
    }

    fn fd(&self) -> std::os::fd::RawFd {
        self.as_raw_fd()
    }
}

#[cfg(not(unix))]
impl<T: mio::event::Source> Source for T {
    fn add(
        &mut self,
        registry: &mio::Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        registry.register(self, token, interest)
    }

    fn remove(&mut self, registry: &mio::Registry) -> io::Result<()> {
        registry.deregister(self)
    }
}
