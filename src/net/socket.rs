//! Sockets of the system, or their likenesses in a simulation: one type for both, with the calls
//! the types of `net` need. On which of the two the loop of this thread runs, decides.
//!
//! Without the feature `sim` there is one kind, and nothing to decide.

/// Does `$call` with whichever socket it is.
macro_rules! each {
    ($socket:expr, $each:ident => $call:expr) => {
        match $socket {
            Self::Os($each) => $call,
            #[cfg(feature = "sim")]
            Self::Sim($each) => $call,
        }
    };
}

/// Makes the calls that are the same on both: `fn name(&self, …) -> io::Result<…>`.
macro_rules! calls {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {$(
        pub(in crate::net) fn $name(&self, $($arg: $type),*) -> std::io::Result<$result> {
            each!(self, socket => socket.$name($($arg),*))
        }
    )*};
}

/// Makes the calls that differ in what an address is; `$as_is` makes one of a simulated one.
macro_rules! addresses {
    ($as_is:path: $($name:ident),*) => {$(
        pub(in crate::net) fn $name(&self) -> std::io::Result<SocketAddr> {
            match self {
                Self::Os(socket) => socket.$name(),
                #[cfg(feature = "sim")]
                Self::Sim(socket) => socket.$name().map($as_is),
            }
        }
    )*};
}

/// Makes the transfers of a stream of bytes.
macro_rules! stream_calls {
    () => {
        calls! {
            shutdown(how: std::net::Shutdown) -> ();
            take_error() -> Option<std::io::Error>;
        }

        pub(in crate::net) fn recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            match self {
                Self::Os(socket) => std::io::Read::read(&mut &*socket, buf),
                #[cfg(feature = "sim")]
                Self::Sim(socket) => socket.read(buf),
            }
        }

        pub(in crate::net) fn recv_vectored(
            &self,
            bufs: &mut [std::io::IoSliceMut<'_>],
        ) -> std::io::Result<usize> {
            match self {
                Self::Os(socket) => std::io::Read::read_vectored(&mut &*socket, bufs),
                #[cfg(feature = "sim")]
                Self::Sim(socket) => socket.read_vectored(bufs),
            }
        }

        /// Fills the first bytes of `buf`, as many as it returns.
        pub(in crate::net) fn recv_uninit(
            &self,
            buf: &mut [std::mem::MaybeUninit<u8>],
        ) -> std::io::Result<usize> {
            match self {
                Self::Os(socket) => socket.try_io(|| socket2::SockRef::from(socket).recv(buf)),
                #[cfg(feature = "sim")]
                Self::Sim(socket) => {
                    let mut bytes = vec![0; buf.len()];
                    let read = socket.read(&mut bytes)?;
                    for (place, byte) in buf.iter_mut().zip(&bytes[..read]) {
                        place.write(*byte);
                    }
                    Ok(read)
                }
            }
        }

        pub(in crate::net) fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
            match self {
                Self::Os(socket) => std::io::Write::write(&mut &*socket, buf),
                #[cfg(feature = "sim")]
                Self::Sim(socket) => socket.write(buf),
            }
        }

        pub(in crate::net) fn send_vectored(
            &self,
            bufs: &[std::io::IoSlice<'_>],
        ) -> std::io::Result<usize> {
            match self {
                Self::Os(socket) => std::io::Write::write_vectored(&mut &*socket, bufs),
                #[cfg(feature = "sim")]
                Self::Sim(socket) => socket.write_vectored(bufs),
            }
        }
    };
}

mod tcp;
mod udp;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::io;
#[cfg(feature = "sim")]
use std::net::SocketAddr;
#[cfg(feature = "sim")]
use std::sync::Arc;

use mio::{Interest, Token};

#[cfg(unix)]
use crate::driver::registry::Descriptor;
use crate::driver::registry::{Poller, Source};
#[cfg(feature = "sim")]
use crate::driver::sim::{Address, Fd, Kernel, SimDatagram, SimListener, SimStream};
#[cfg(feature = "sim")]
use crate::runtime::context;

/// A socket that does not block.
pub(crate) enum Socket<O: System> {
    Os(O),
    #[cfg(feature = "sim")]
    Sim(O::Likeness),
}

/// A socket of the system, as `mio` has it.
#[cfg(unix)]
pub(crate) trait System:
    Sized + fmt::Debug + std::os::fd::AsFd + std::os::fd::AsRawFd
{
    type Std: From<Self>;

    /// Takes a socket of `std`, which does not block.
    fn from_std(socket: Self::Std) -> Self;

    #[cfg(feature = "sim")]
    type Likeness: Likeness;
}

/// A socket of the system, as `mio` has it.
#[cfg(not(unix))]
pub(crate) trait System: Sized + fmt::Debug + mio::event::Source {
    type Std: From<Self>;

    /// Takes a socket of `std`, which does not block.
    fn from_std(socket: Self::Std) -> Self;

    #[cfg(feature = "sim")]
    type Likeness: Likeness;
}

/// A simulated socket.
#[cfg(feature = "sim")]
pub(crate) trait Likeness: fmt::Debug {
    fn fd(&self) -> Fd;
}

macro_rules! likenesses {
    ($($std:ty, $os:ty => $sim:ident;)*) => {$(
        impl System for $os {
            type Std = $std;

            fn from_std(socket: $std) -> Self {
                <$os>::from_std(socket)
            }

            #[cfg(feature = "sim")]
            type Likeness = $sim;
        }
    )*};
}

likenesses! {
    std::net::TcpStream, mio::net::TcpStream => SimStream;
    std::net::TcpListener, mio::net::TcpListener => SimListener;
    std::net::UdpSocket, mio::net::UdpSocket => SimDatagram;
}

#[cfg(unix)]
likenesses! {
    std::os::unix::net::UnixStream, mio::net::UnixStream => SimStream;
    std::os::unix::net::UnixListener, mio::net::UnixListener => SimListener;
    std::os::unix::net::UnixDatagram, mio::net::UnixDatagram => SimDatagram;
}

macro_rules! fds {
    ($($sim:ident),*) => {$(
        #[cfg(feature = "sim")]
        impl Likeness for $sim {
            fn fd(&self) -> Fd {
                Self::fd(self)
            }
        }
    )*};
}

fds!(SimStream, SimListener, SimDatagram);

impl<O: System> Socket<O> {
    /// Takes a socket of `std`, which does not block.
    pub(super) fn from_std(socket: O::Std) -> Self {
        Self::Os(O::from_std(socket))
    }

    /// Returns the socket of `std`.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it is simulated.
    pub(super) fn into_std(self) -> io::Result<O::Std> {
        match self {
            Self::Os(socket) => Ok(socket.into()),
            #[cfg(feature = "sim")]
            Self::Sim(_) => Err(simulated()),
        }
    }

    /// Returns the socket of the system.
    ///
    /// # Panics
    ///
    /// If it is simulated, and so has no fd.
    #[cfg(unix)]
    pub(super) fn os(&self) -> &O {
        match self {
            Self::Os(socket) => socket,
            #[cfg(feature = "sim")]
            Self::Sim(_) => panic!(
                "a simulated socket has no file descriptor: use the methods of the type, or make \
                 it on a runtime of the system"
            ),
        }
    }
}

/// A simulated address of an internet socket, as the system tells it.
#[cfg(feature = "sim")]
fn ip(address: Address) -> SocketAddr {
    address.ip().expect("an internet socket has an internet address")
}

#[cfg(feature = "sim")]
fn simulated() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a simulated socket is none of the system")
}

/// The simulated kernel, if that is what the loop of this thread runs on.
#[cfg(feature = "sim")]
pub(super) fn kernel() -> Option<Arc<Kernel>> {
    context::get()?.driver.borrow().kernel().cloned()
}

impl<O: System> fmt::Debug for Socket<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, socket => socket.fmt(f))
    }
}

impl<O: System> Source for Socket<O> {
    #[cfg(unix)]
    fn add(&mut self, poller: &Poller, token: Token, interest: Interest) -> io::Result<()> {
        self.descriptor().add(poller, token, interest)
    }

    #[cfg(unix)]
    fn remove(&mut self, poller: &Poller) -> io::Result<()> {
        self.descriptor().remove(poller)
    }

    #[cfg(not(unix))]
    fn add(&mut self, poller: &Poller, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Os(socket) => socket.add(poller, token, interest),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.fd().add(poller, token, interest),
        }
    }

    #[cfg(not(unix))]
    fn remove(&mut self, poller: &Poller) -> io::Result<()> {
        match self {
            Self::Os(socket) => socket.remove(poller),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.fd().remove(poller),
        }
    }

    fn is_simulated(&self) -> bool {
        !matches!(self, Self::Os(_))
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Descriptor {
        match self {
            Self::Os(socket) => Descriptor::Os(socket.as_raw_fd()),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => Descriptor::Sim(socket.fd()),
        }
    }
}
