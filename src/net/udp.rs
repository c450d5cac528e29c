//! UDP.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use mio::Interest;

use crate::net::addr::{ToSocketAddrs, no_address, resolve};
use crate::net::socket::Socket;
use crate::net::sockets::{datagram_methods, socket_methods};
use crate::runtime::inside::inside;
use crate::runtime::registration::Watched;
use crate::sched::Direction;

/// A UDP socket.
///
/// # Examples
///
/// ```
/// use evenloop::net::UdpSocket;
///
/// # evenloop::block_on(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.send_to(b"ping", server.local_addr()?).await?;
///
/// let mut buf = [0; 16];
/// let (len, from) = server.recv_from(&mut buf).await?;
/// assert_eq!((&buf[..len], from), (&b"ping"[..], client.local_addr()?));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UdpSocket {
    pub(in crate::net) io: Watched<Socket<mio::net::UdpSocket>>,
}

impl UdpSocket {
    /// Binds to the first of the addresses that can be had. Port 0 is any free port.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// The error of the last address tried.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn bind(addr: impl ToSocketAddrs) -> impl Future<Output = io::Result<Self>> {
        inside("net::UdpSocket::bind", Self::bind_any(addr))
    }

    async fn bind_any(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failure = no_address();
        for addr in resolve(addr).await? {
            match Socket::<mio::net::UdpSocket>::bind(addr) {
                Ok(socket) => return Self::watch(socket),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    #[track_caller]
    fn watch(socket: Socket<mio::net::UdpSocket>) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Ok(Self { io: Watched::new(socket, interest, Some(Interest::WRITABLE), "net::UdpSocket")? })
    }

    /// Sets the peer that [`send`](Self::send) sends to and [`recv`](Self::recv) receives from, the
    /// first of the addresses that can be had.
    ///
    /// # Errors
    ///
    /// The error of the last address tried.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        let mut failure = no_address();
        for addr in resolve(addr).await? {
            match self.io.connect(addr) {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    socket_methods!(std::net::UdpSocket);

    datagram_methods!(SocketAddr);

    /// Sends a datagram to the first address of `target`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has sent nothing.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = *resolve(target).await?.first().ok_or_else(no_address)?;
        let send = || self.io.send_to(buf, target);
        self.io.registration().async_io(Direction::Write, send).await
    }

    /// Polls until a datagram is sent to `target`; of several tasks that poll, the last is woken.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.io.registration().poll_io(Direction::Write, cx, || self.io.send_to(buf, target))
    }

    /// Sends a datagram to `target` if that needs no waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it does; else as [`send`](Self::send).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.io.registration().try_io(Direction::Write, || self.io.send_to(buf, target))
    }

    /// Receives a datagram and leaves it in the socket.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.registration().async_io(Direction::Read, || self.io.peek_from(buf)).await
    }

    /// Receives a datagram of the peer and leaves it in the socket.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.registration().async_io(Direction::Read, || self.io.peek(buf)).await
    }

    /// Joins an IPv4 multicast group on the interface that has the address `interface`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.join_multicast_v4(&group, &interface)
    }

    /// Joins an IPv6 multicast group on the interface with the index `interface`; 0 is any.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.join_multicast_v6(group, interface)
    }

    /// Leaves an IPv4 multicast group.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.leave_multicast_v4(&group, &interface)
    }

    /// Leaves an IPv6 multicast group.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.leave_multicast_v6(group, interface)
    }
}

/// Makes the getter and the setter of an option.
macro_rules! option {
    ($get:ident, $set:ident, $type:ty, $what:literal) => {
        #[doc = concat!("Returns ", $what)]
        ///
        /// # Errors
        ///
        /// What the system says.
        pub fn $get(&self) -> io::Result<$type> {
            self.io.$get()
        }

        #[doc = concat!("Sets ", $what)]
        ///
        /// # Errors
        ///
        /// What the system says.
        pub fn $set(&self, value: $type) -> io::Result<()> {
            self.io.$set(value)
        }
    };
}

impl UdpSocket {
    option!(broadcast, set_broadcast, bool, "whether it may send to broadcast addresses.");
    option!(ttl, set_ttl, u32, "the time to live of its packets, in hops.");
    option!(
        multicast_loop_v4,
        set_multicast_loop_v4,
        bool,
        "whether its IPv4 multicast packets come back to this host."
    );
    option!(
        multicast_loop_v6,
        set_multicast_loop_v6,
        bool,
        "whether its IPv6 multicast packets come back to this host."
    );
    option!(
        multicast_ttl_v4,
        set_multicast_ttl_v4,
        u32,
        "the time to live of its IPv4 multicast packets, in hops."
    );
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
