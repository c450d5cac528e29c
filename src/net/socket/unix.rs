//! Sockets in the file system.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use mio::net::{UnixDatagram, UnixListener, UnixStream};

use super::Socket;
#[cfg(feature = "sim")]
use super::kernel;
#[cfg(feature = "sim")]
use crate::driver::sim::{Address, SimDatagram, SimListener, SimStream};

/// A simulated address, as the system tells it.
#[cfg(feature = "sim")]
fn unix(address: Address) -> SocketAddr {
    let path = address.path().unwrap_or(Path::new(""));
    SocketAddr::from_pathname(path).expect("it was taken for a path before")
}

/// A path for a simulated socket, if the system would take it for one.
#[cfg(feature = "sim")]
fn checked(path: &Path) -> io::Result<Address> {
    SocketAddr::from_pathname(path)?;
    Ok(path.into())
}

impl Socket<UnixListener> {
    pub(in crate::net) fn bind(path: &Path) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimListener::bind(&kernel, checked(path)?).map(Self::Sim);
        }
        UnixListener::bind(path).map(Self::Os)
    }

    pub(in crate::net) fn accept(&self) -> io::Result<(Socket<UnixStream>, SocketAddr)> {
        match self {
            Self::Os(socket) => socket.accept().map(|(stream, peer)| (Socket::Os(stream), peer)),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => {
                socket.accept().map(|(stream, peer)| (Socket::Sim(stream), unix(peer)))
            }
        }
    }

    addresses!(unix: local_addr);

    calls! {
        take_error() -> Option<io::Error>;
    }
}

impl Socket<UnixStream> {
    pub(in crate::net) fn connect(path: &Path) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimStream::connect(&kernel, checked(path)?).map(Self::Sim);
        }
        UnixStream::connect(path).map(Self::Os)
    }

    pub(in crate::net) fn pair() -> io::Result<(Self, Self)> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimStream::pair(&kernel).map(|(a, b)| (Self::Sim(a), Self::Sim(b)));
        }
        UnixStream::pair().map(|(a, b)| (Self::Os(a), Self::Os(b)))
    }

    stream_calls!();

    addresses!(unix: local_addr, peer_addr);
}

impl Socket<UnixDatagram> {
    pub(in crate::net) fn bind(path: &Path) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimDatagram::bind(&kernel, checked(path)?).map(Self::Sim);
        }
        UnixDatagram::bind(path).map(Self::Os)
    }

    pub(in crate::net) fn unbound() -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimDatagram::bind(&kernel, Address::Unnamed).map(Self::Sim);
        }
        UnixDatagram::unbound().map(Self::Os)
    }

    pub(in crate::net) fn pair() -> io::Result<(Self, Self)> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimDatagram::pair(&kernel).map(|(a, b)| (Self::Sim(a), Self::Sim(b)));
        }
        UnixDatagram::pair().map(|(a, b)| (Self::Os(a), Self::Os(b)))
    }

    pub(in crate::net) fn connect(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Os(socket) => socket.connect(path),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.connect(checked(path)?),
        }
    }

    pub(in crate::net) fn send_to(&self, buf: &[u8], path: &Path) -> io::Result<usize> {
        match self {
            Self::Os(socket) => socket.send_to(buf, path),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.send_to(buf, checked(path)?),
        }
    }

    pub(in crate::net) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Os(socket) => socket.recv_from(buf),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.recv_from(buf).map(|(len, from)| (len, unix(from))),
        }
    }

    addresses!(unix: local_addr, peer_addr);

    calls! {
        send(buf: &[u8]) -> usize;
        recv(buf: &mut [u8]) -> usize;
        shutdown(how: Shutdown) -> ();
        take_error() -> Option<io::Error>;
    }
}
