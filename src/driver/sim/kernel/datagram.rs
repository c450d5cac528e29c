//! A datagram socket, as its holder sees it.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use super::address::Address;
use super::arena::Id;
use super::descriptors::Fd;
use super::fault::Fault;
use super::messages::Datagram;
use super::stream::checked_ttl;
use super::{Kernel, State};

/// A UDP or Unix datagram socket. Closed when it is dropped; the file of a Unix socket stays.
pub(crate) struct SimDatagram {
    kernel: Arc<Kernel>,
    fd: Fd,
    id: Id,
}

impl SimDatagram {
    /// Opens a socket at an address; an unnamed Unix socket has none. Port 0 is the next that is
    /// free.
    ///
    /// # Errors
    ///
    /// `AddrInUse`; no descriptor.
    pub(crate) fn bind(kernel: &Arc<Kernel>, address: Address) -> io::Result<Self> {
        let (fd, id) = kernel.enter().open_datagram(address)?;
        Ok(Self { kernel: kernel.clone(), fd, id })
    }

    /// Makes two Unix sockets that are connected with each other.
    pub(crate) fn pair(kernel: &Arc<Kernel>) -> io::Result<(Self, Self)> {
        let pair = kernel.enter().pair_datagrams()?;
        let [a, b] = pair.map(|(fd, id)| Self { kernel: kernel.clone(), fd, id });
        Ok((a, b))
    }

    pub(crate) fn fd(&self) -> Fd {
        self.fd
    }

    fn call<R>(&self, f: impl FnOnce(&mut State, Id) -> Result<R, Fault>) -> io::Result<R> {
        Ok(f(&mut self.kernel.enter(), self.id)?)
    }

    fn socket<R>(&self, f: impl FnOnce(&mut Datagram) -> Result<R, Fault>) -> io::Result<R> {
        self.call(|state, id| f(state.datagram(id)))
    }

    /// Sets the peer. A UDP socket hears of nobody else from then on.
    ///
    /// # Errors
    ///
    /// For Unix sockets `NotFound` and `ConnectionRefused`.
    pub(crate) fn connect(&self, address: Address) -> io::Result<()> {
        self.call(|state, id| state.connect_datagram(id, address))
    }

    pub(crate) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.call(|state, id| state.send(id, buf))
    }

    pub(crate) fn send_to(&self, buf: &[u8], to: Address) -> io::Result<usize> {
        self.call(|state, id| state.send_to(id, buf, to))
    }

    /// Receives a datagram; what does not fit is thrown away.
    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buf).map(|(len, _)| len)
    }

    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.call(|state, id| state.receive(id, buf, false))
    }

    /// Receives a datagram and leaves it where it is.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.peek_from(buf).map(|(len, _)| len)
    }

    pub(crate) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.call(|state, id| state.receive(id, buf, true))
    }

    /// Ends a direction of a Unix socket. As on Linux that is an error for those who send, and
    /// nothing for one who receives.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.call(|state, id| {
            state.shutdown_datagram(id, how);
            Ok(())
        })
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let error = self.socket(|socket| Ok(socket.take_error()))?;
        Ok(error.map(io::Error::from))
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        self.socket(|socket| Ok(socket.local_addr()))
    }

    /// # Errors
    ///
    /// `NotConnected` without a peer.
    pub(crate) fn peer_addr(&self) -> io::Result<Address> {
        self.socket(|socket| socket.peer_addr())
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.socket(|socket| Ok(socket.ttl.into()))
    }

    /// # Errors
    ///
    /// `InvalidInput` if it is not from 1 to 255.
    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = checked_ttl(ttl)?;
        self.socket(|socket| {
            socket.ttl = ttl;
            Ok(())
        })
    }

    pub(crate) fn broadcast(&self) -> io::Result<bool> {
        self.socket(|socket| Ok(socket.broadcast))
    }

    pub(crate) fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket(|socket| {
            socket.broadcast = broadcast;
            Ok(())
        })
    }

    /// The error of every call that has to do with multicast, which this network does not have.
    pub(crate) fn no_multicast() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "the simulated network has no multicast")
    }
}

impl Drop for SimDatagram {
    fn drop(&mut self) {
        self.kernel.close(self.fd);
    }
}

impl fmt::Debug for SimDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDatagram").field("fd", &self.fd).finish_non_exhaustive()
    }
}
