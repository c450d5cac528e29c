//! Unix datagrams.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use mio::Interest;

use crate::net::socket::Socket;
use crate::net::sockets::{datagram_methods, socket_methods};
use crate::runtime::registration::Watched;
use crate::sched::Direction;

/// A Unix socket for datagrams, which neither get lost nor change their order.
///
/// # Examples
///
/// ```
/// use evenloop::net::UnixDatagram;
///
/// # evenloop::block_on(async {
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"one").await?;
/// a.send(b"two").await?;
/// let mut buf = [0; 16];
/// assert_eq!(b.recv(&mut buf).await?, 3);
/// assert_eq!(b.recv(&mut buf).await?, 3);
/// assert_eq!(&buf[..3], b"two");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UnixDatagram {
    pub(in crate::net) io: Watched<Socket<mio::net::UnixDatagram>>,
}

impl UnixDatagram {
    /// Makes a socket at `path`, where nothing may be yet. Dropping it leaves the path.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::watch(Socket::<mio::net::UnixDatagram>::bind(path.as_ref())?)
    }

    /// Makes a socket without an address, to send from.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        Self::watch(Socket::<mio::net::UnixDatagram>::unbound()?)
    }

    /// Makes two sockets that are connected with each other.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = Socket::<mio::net::UnixDatagram>::pair()?;
        Ok((Self::watch(a)?, Self::watch(b)?))
    }

    #[track_caller]
    fn watch(socket: Socket<mio::net::UnixDatagram>) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Ok(Self {
            io: Watched::new(socket, interest, Some(Interest::WRITABLE), "net::UnixDatagram")?,
        })
    }

    /// Sets the peer that [`send`](Self::send) sends to.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.io.connect(path.as_ref())
    }

    socket_methods!(std::os::unix::net::UnixDatagram);

    datagram_methods!(SocketAddr);

    /// Sends a datagram to the socket at `path`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has sent nothing.
    pub async fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let send = || self.io.send_to(buf, path.as_ref());
        self.io.registration().async_io(Direction::Write, send).await
    }

    /// Sends a datagram to the socket at `path` if that needs no waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it does; else as [`send`](Self::send).
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.io.registration().try_io(Direction::Write, || self.io.send_to(buf, path.as_ref()))
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.shutdown(how)
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
