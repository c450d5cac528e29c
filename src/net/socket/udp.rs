//! UDP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;

use super::Socket;
#[cfg(feature = "sim")]
use super::{ip, kernel};
#[cfg(feature = "sim")]
use crate::driver::sim::SimDatagram;

/// Makes the calls that have to do with multicast, which a simulated network does not have.
macro_rules! multicast_calls {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {$(
        pub(in crate::net) fn $name(&self, $($arg: $type),*) -> io::Result<$result> {
            match self {
                Self::Os(socket) => socket.$name($($arg),*),
                #[cfg(feature = "sim")]
                Self::Sim(_) => Err(SimDatagram::no_multicast()),
            }
        }
    )*};
}

impl Socket<UdpSocket> {
    pub(in crate::net) fn bind(addr: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "sim")]
        if let Some(kernel) = kernel() {
            return SimDatagram::bind(&kernel, addr.into()).map(Self::Sim);
        }
        UdpSocket::bind(addr).map(Self::Os)
    }

    pub(in crate::net) fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        match self {
            Self::Os(socket) => socket.connect(addr),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.connect(addr.into()),
        }
    }

    pub(in crate::net) fn send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        match self {
            Self::Os(socket) => socket.send_to(buf, target),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.send_to(buf, target.into()),
        }
    }

    pub(in crate::net) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Os(socket) => socket.recv_from(buf),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.recv_from(buf).map(|(len, from)| (len, ip(from))),
        }
    }

    pub(in crate::net) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Os(socket) => socket.peek_from(buf),
            #[cfg(feature = "sim")]
            Self::Sim(socket) => socket.peek_from(buf).map(|(len, from)| (len, ip(from))),
        }
    }

    addresses!(ip: local_addr, peer_addr);

    calls! {
        send(buf: &[u8]) -> usize;
        recv(buf: &mut [u8]) -> usize;
        peek(buf: &mut [u8]) -> usize;
        take_error() -> Option<io::Error>;
        ttl() -> u32;
        set_ttl(ttl: u32) -> ();
        broadcast() -> bool;
        set_broadcast(broadcast: bool) -> ();
    }

    multicast_calls! {
        join_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
        join_multicast_v6(group: &Ipv6Addr, interface: u32) -> ();
        leave_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
        leave_multicast_v6(group: &Ipv6Addr, interface: u32) -> ();
        multicast_loop_v4() -> bool;
        set_multicast_loop_v4(on: bool) -> ();
        multicast_loop_v6() -> bool;
        set_multicast_loop_v6(on: bool) -> ();
        multicast_ttl_v4() -> u32;
        set_multicast_ttl_v4(ttl: u32) -> ();
    }
}
