//! One end of a connection, as its holder sees it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::arena::Id;
use super::connection::{Options, Side};
use super::descriptors::{Fd, Socket};
use super::fault::Fault;
use super::{Kernel, State};

/// The longest silence before a probe that Linux takes, in seconds.
const KEEPALIVE_MAX: u64 = 32_767;

/// A TCP or Unix stream. Closed when it is dropped. No call blocks.
pub(crate) struct SimStream {
    kernel: Arc<Kernel>,
    fd: Fd,
    id: Id,
    side: Side,
}

impl SimStream {
    pub(super) fn new(kernel: Arc<Kernel>, (fd, id): (Fd, Id), side: Side) -> Self {
        Self { kernel, fd, id, side }
    }

    /// Begins to connect. It becomes writable when that has succeeded or failed; a Unix stream is
    /// connected at once.
    ///
    /// # Errors
    ///
    /// For Unix streams `NotFound`, `ConnectionRefused`, and `WouldBlock` if the backlog is full.
    /// No descriptor, no port.
    pub(crate) fn connect(kernel: &Arc<Kernel>, address: Address) -> io::Result<Self> {
        let opened = kernel.enter().connect(address)?;
        Ok(Self::new(kernel.clone(), opened, Side::Client))
    }

    /// Makes two Unix streams that are connected with each other.
    pub(crate) fn pair(kernel: &Arc<Kernel>) -> io::Result<(Self, Self)> {
        let [a, b] = kernel.enter().pair()?;
        Ok((Self::new(kernel.clone(), a, Side::Client), Self::new(kernel.clone(), b, Side::Server)))
    }

    pub(crate) fn fd(&self) -> Fd {
        self.fd
    }

    /// Calls the kernel. Whoever got hold of a closed descriptor's number gets nothing else by it.
    fn call<R>(&self, f: impl FnOnce(&mut State, Id, Side) -> Result<R, Fault>) -> io::Result<R> {
        let mut state = self.kernel.enter();
        debug_assert_eq!(state.fds.socket(self.fd), Some(Socket::Stream(self.id, self.side)));
        Ok(f(&mut state, self.id, self.side)?)
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    pub(crate) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.call(|state, id, side| state.read(id, side, bufs))
    }

    /// Reads and leaves the bytes where they are. Never short of what has arrived.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.call(|state, id, side| state.peek(id, side, buf))
    }

    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    pub(crate) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.call(|state, id, side| state.write(id, side, bufs))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.call(|state, id, side| state.shutdown(id, side, how))
    }

    /// Returns the error that the connection came to, once.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.call(|state, id, side| Ok(state.stream(id).ends[side].error.take()))
            .map(|error| error.map(io::Error::from))
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        self.call(|state, id, side| Ok(state.address(id, side, side)))
    }

    /// # Errors
    ///
    /// `NotConnected` while connecting, and when the connection is no more.
    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        self.call(|state, id, side| {
            let is_connected = state.stream(id).is_connected(side);
            if is_connected {
                Ok(state.address(id, side.other(), side))
            } else {
                Err(Fault::NotConnected)
            }
        })
    }

    fn options<R>(&self, f: impl FnOnce(&mut Options) -> R) -> io::Result<R> {
        self.call(|state, id, side| Ok(f(&mut state.stream(id).ends[side].options)))
    }

    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        self.options(|options| options.nodelay)
    }

    /// Remembered, and that is all: nothing is ever delayed.
    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.options(|options| options.nodelay = nodelay)
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.options(|options| options.ttl.into())
    }

    /// # Errors
    ///
    /// `InvalidInput` if it is not from 1 to 255.
    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = checked_ttl(ttl)?;
        self.options(|options| options.ttl = ttl)
    }

    pub(crate) fn linger(&self) -> io::Result<Option<Duration>> {
        let linger = self.options(|options| options.linger)?;
        Ok(linger.map(|seconds| Duration::from_secs(seconds.into())))
    }

    /// With zero, closing resets the connection. Any other time makes no difference: nothing waits.
    /// In whole seconds.
    pub(crate) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        let seconds = |time: Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
        self.options(|options| options.linger = linger.map(seconds))
    }

    pub(crate) fn keepalive(&self) -> io::Result<bool> {
        self.options(|options| options.keepalive)
    }

    /// Remembered, and that is all: no probes are sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not from one second to nine hours, as on Linux.
    pub(crate) fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        let takes = |silence: Duration| (1..=KEEPALIVE_MAX).contains(&silence.as_secs());
        if !silence.is_none_or(takes) {
            return Err(Fault::BadValue.into());
        }
        self.options(|options| options.keepalive = silence.is_some())
    }
}

/// Takes a time to live that a packet can have.
pub(super) fn checked_ttl(ttl: u32) -> Result<u8, Fault> {
    u8::try_from(ttl).ok().filter(|ttl| *ttl > 0).ok_or(Fault::BadValue)
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.kernel.close(self.fd);
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStream").field("fd", &self.fd).finish_non_exhaustive()
    }
}
