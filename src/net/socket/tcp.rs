//! TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use socket2::{SockRef, TcpKeepalive};

use super::Socket;
#[cfg(feature = "sim")]
use super::{ip, kernel};
#[cfg(feature = "sim")]
use crate::driver::sim::{SimListener, SimStream};

impl Socket<TcpListener> {
    pub(in crate::net) fn bind(addr: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimListener::bind(&kernel, addr.into()).map(Self::Sim);
        }
        TcpListener::bind(addr).map(Self::Os)
    }

    pub(in crate::net) fn accept(&self) -> io::Result<(Socket<TcpStream>, SocketAddr)> {
        match self {
            Self::Os(socket) => socket.accept().map(|(stream, peer)| (Socket::Os(stream), peer)),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => {
                socket.accept().map(|(stream, peer)| (Socket::Sim(stream), ip(peer)))
            }
        }
    }

    addresses!(ip: local_addr);

    calls! {
        take_error() -> Option<io::Error>;
        ttl() -> u32;
        set_ttl(ttl: u32) -> ();
    }
}

impl Socket<TcpStream> {
    pub(in crate::net) fn connect(addr: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimStream::connect(&kernel, addr.into()).map(Self::Sim);
        }
        TcpStream::connect(addr).map(Self::Os)
    }

    stream_calls!();

    addresses!(ip: local_addr, peer_addr);

    calls! {
        peek(buf: &mut [u8]) -> usize;
        nodelay() -> bool;
        set_nodelay(nodelay: bool) -> ();
        ttl() -> u32;
        set_ttl(ttl: u32) -> ();
    }

    pub(in crate::net) fn linger(&self) -> io::Result<Option<Duration>> {
        match self {
            Self::Os(socket) => SockRef::from(socket).linger(),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.linger(),
        }
    }

    pub(in crate::net) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Os(socket) => SockRef::from(socket).set_linger(linger),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.set_linger(linger),
        }
    }

    pub(in crate::net) fn keepalive(&self) -> io::Result<bool> {
        match self {
            Self::Os(socket) => SockRef::from(socket).keepalive(),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.keepalive(),
        }
    }

    pub(in crate::net) fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Os(socket) => match silence {
                Some(silence) => {
                    let probes = TcpKeepalive::new().with_time(silence);
                    SockRef::from(socket).set_tcp_keepalive(&probes)
                }
                None => SockRef::from(socket).set_keepalive(false),
            },
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.set_keepalive(silence),
        }
    }
}
