//! Listening for TCP connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use mio::Interest;

use crate::net::TcpStream;
use crate::net::accept::{Accept, accept, passing_over};
use crate::net::addr::{ToSocketAddrs, no_address, resolve};
use crate::net::socket::Socket;
use crate::net::sockets::socket_methods;
use crate::runtime::Partition;
use crate::runtime::inside::inside;
use crate::runtime::registration::Watched;
use crate::sched::Direction;

/// A TCP socket that takes connections.
///
/// Dropping it closes the socket; connections in its backlog are reset.
///
/// # Examples
///
/// ```no_run
/// use evenloop::net::TcpListener;
///
/// # evenloop::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// loop {
///     let (stream, peer) = listener.accept().await?;
///     // Each connection is a task in a partition of its own.
///     evenloop::spawn_isolated(async move {
///         let mut buf = [0; 1024];
///         while let Ok(read @ 1..) = stream.read(&mut buf).await {
///             if stream.write_all(&buf[..read]).await.is_err() {
///                 break;
///             }
///         }
///         println!("{peer} is gone");
///     });
/// }
/// # #[allow(unreachable_code)] std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct TcpListener {
    pub(in crate::net) io: Watched<Socket<mio::net::TcpListener>>,
}

impl TcpListener {
    /// Listens at the first of the addresses that can be had.
    ///
    /// Port 0 is any free port; [`local_addr`](Self::local_addr) tells which. On Unix the address
    /// may be used again right after an earlier listener (`SO_REUSEADDR`). For other options, make
    /// the socket with `socket2` and pass it to [`from_std`](Self::from_std).
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
        inside("net::TcpListener::bind", Self::bind_any(addr))
    }

    async fn bind_any(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failure = no_address();
        for addr in resolve(addr).await? {
            match Socket::<mio::net::TcpListener>::bind(addr) {
                Ok(listener) => return Self::watch(listener),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    #[track_caller]
    fn watch(listener: Socket<mio::net::TcpListener>) -> io::Result<Self> {
        let io = Watched::new(listener, Interest::READABLE, None, "net::TcpListener")?;
        Ok(Self { io })
    }

    /// Accepts a connection.
    ///
    /// Several tasks may accept from one listener; each connection goes to one of them.
    ///
    /// A connection that was reset before it could be accepted is passed over. When the process or
    /// the system has run out of file descriptors or of memory for them, this waits, for 10 ms at
    /// first, doubling up to half a second, and tries again: connections stay in the backlog
    /// meanwhile, the thread stays free for those there are, and accepting resumes by itself.
    ///
    /// # Panics
    ///
    /// Outside a runtime: the stream belongs to the loop of the thread that accepts it.
    ///
    /// # Errors
    ///
    /// What else the system says; the runtime having shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has accepted nothing.
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        let accepted = accept(self.io.registration(), || self.io.accept());
        Accept::new("net::TcpListener::accept", accepted, |(stream, peer)| {
            Ok((TcpStream::watch(stream)?, peer))
        })
    }

    /// Accepts a connection for the partition that `choose` names by the peer's address.
    ///
    /// The stream is that partition's from the start: not even its first event is delivered in
    /// another one's turns. What serves it is for the caller to spawn there.
    ///
    /// # Panics
    ///
    /// As [`accept`](Self::accept); and if the partition is of another runtime.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has accepted nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::Partition;
    /// # use evenloop::net::{TcpListener, TcpStream};
    ///
    /// # evenloop::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (stream, partition) = listener
    ///     .accept_in(|peer| match peer.ip().is_loopback() {
    ///         true => Partition::named("probes"),
    ///         false => Partition::named("clients"),
    ///     })
    ///     .await?;
    /// partition.spawn(async move { stream.write_all(b"alive").await });
    /// # let mut answer = String::new();
    /// # client.read_to_string(&mut answer).await?;
    /// # assert_eq!(answer, "alive");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn accept_in(
        &self,
        choose: impl FnOnce(SocketAddr) -> Partition,
    ) -> impl Future<Output = io::Result<(TcpStream, Partition)>> {
        let accepted = accept(self.io.registration(), || self.io.accept());
        Accept::new("net::TcpListener::accept_in", accepted, |(stream, peer)| {
            let partition = choose(peer);
            Ok((TcpStream::watch_in(stream, &partition)?, partition))
        })
    }

    /// Polls for a connection; of several tasks that poll, the last is woken.
    ///
    /// Unlike [`accept`](Self::accept) it does not wait when descriptors have run out.
    ///
    /// # Panics
    ///
    /// Outside a runtime: the stream belongs to the loop of the thread that accepts it.
    ///
    /// # Errors
    ///
    /// What the system says. After an error for lack of descriptors the caller should pause, since
    /// the next poll would fail right away.
    #[track_caller]
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accept = || passing_over(|| self.io.accept());
        let accepted = ready!(self.io.registration().poll_io(Direction::Read, cx, accept));
        let (stream, peer) = accepted?;
        Poll::Ready(Ok((TcpStream::watch(stream)?, peer)))
    }

    socket_methods!(std::net::TcpListener);

    /// Returns the address it listens at.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Returns the time to live of its packets, in hops.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.ttl()
    }

    /// Sets the time to live of its packets, in hops.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.set_ttl(ttl)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
