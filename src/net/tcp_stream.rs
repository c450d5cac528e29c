//! TCP connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use mio::Interest;

use crate::net::addr::{ToSocketAddrs, no_address, resolve};
use crate::net::methods::{read_methods, write_methods};
use crate::net::socket::Socket;
use crate::net::sockets::socket_methods;
use crate::net::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf, into_split};
use crate::net::stream::{byte_stream, read_traits, write_traits};
use crate::runtime::Partition;
use crate::runtime::inside::inside;
use crate::runtime::registration::Watched;
use crate::sched::Direction;

/// A TCP connection.
///
/// It is closed when it is dropped. All methods take `&self`, so one task may read while another
/// writes; share it in an `Arc`, or [`split`](Self::split) it.
///
/// # Examples
///
/// ```
/// use evenloop::net::{TcpListener, TcpStream};
///
/// # evenloop::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (server, _) = listener.accept().await?;
///
/// client.write_all(b"ping").await?;
/// let mut ping = [0; 4];
/// server.read_exact(&mut ping).await?;
/// assert_eq!(&ping, b"ping");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct TcpStream {
    pub(in crate::net) io: Watched<Socket<mio::net::TcpStream>>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
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
    /// Nothing is lost; a connection under way is closed.
    pub fn connect(addr: impl ToSocketAddrs) -> impl Future<Output = io::Result<Self>> {
        inside("net::TcpStream::connect", Self::connect_any(addr))
    }

    async fn connect_any(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failure = no_address();
        for addr in resolve(addr).await? {
            match Self::connect_to(addr).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(addr: SocketAddr) -> io::Result<Self> {
        let stream = Socket::<mio::net::TcpStream>::connect(addr)?;
        // To a near peer it may be made already, which a first look tells without waiting.
        let io = Watched::new(stream, INTEREST, Some(Interest::WRITABLE), "net::TcpStream")?;
        io.registration().async_io(Direction::Write, || connected(&io)).await?;
        Ok(Self { io })
    }

    /// Puts a stream on the loop that is connected already, and whose first bytes may well have
    /// arrived: who reads them need not wait for the next harvest to be told so.
    #[track_caller]
    pub(super) fn watch(stream: Socket<mio::net::TcpStream>) -> io::Result<Self> {
        Ok(Self { io: Watched::new(stream, INTEREST, Some(INTEREST), "net::TcpStream")? })
    }

    #[track_caller]
    pub(super) fn watch_in(
        stream: Socket<mio::net::TcpStream>,
        partition: &Partition,
    ) -> io::Result<Self> {
        Ok(Self {
            io: Watched::new_in(stream, INTEREST, Some(INTEREST), "net::TcpStream", partition)?,
        })
    }

    read_methods!(|this| this);

    write_methods!(|this| this);

    socket_methods!(std::net::TcpStream);

    /// Reads some bytes and leaves them in the stream.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use evenloop::net::{TcpListener, TcpStream};
    /// # evenloop::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (server, _) = listener.accept().await?;
    /// client.write_all(b"GET /health").await?;
    /// let mut start = [0; 4];
    /// let peeked = server.peek(&mut start).await?;
    /// assert_eq!(&start[..peeked], b"GET ");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.registration().async_io(Direction::Read, || self.io.peek(buf)).await
    }

    /// Polls for bytes and leaves them in the stream; of several tasks that poll, the last is woken.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.io.registration().poll_io(Direction::Read, cx, || self.io.peek(buf))
    }

    /// Polls until there is something to read, or nothing ever again; of several tasks that poll,
    /// the last is woken.
    ///
    /// Now and then it is wrong, so the operation that follows may yet say `WouldBlock`.
    ///
    /// # Errors
    ///
    /// The runtime having shut down.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_ready(Direction::Read, cx).map_ok(drop)
    }

    /// Polls until there is room to write, or none ever again; of several tasks that poll, the
    /// last is woken.
    ///
    /// Now and then it is wrong, so the operation that follows may yet say `WouldBlock`.
    ///
    /// # Errors
    ///
    /// The runtime having shut down.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_ready(Direction::Write, cx).map_ok(drop)
    }

    /// Splits the stream in two halves for the time of a borrow.
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Splits the stream in two halves for two tasks.
    ///
    /// The socket is closed when both are dropped; dropping the writing half ends the writing side.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        into_split(self)
    }

    /// Ends one or both directions.
    ///
    /// Ending the writing side shows the peer the end of the stream.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is gone already; else what the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.shutdown(how)
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is gone already; else what the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr()
    }

    /// Returns whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.nodelay()
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`) instead of being gathered.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.set_nodelay(nodelay)
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

    /// Returns how long the system goes on sending after the socket was closed, if that was set.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.io.linger()
    }

    /// Sets how long the system goes on sending after the socket was closed (`SO_LINGER`), rounded
    /// up to whole seconds, and nine hours at most.
    ///
    /// With zero, closing resets the connection and throws away what was not sent. Any other time
    /// makes the *drop* of the stream wait for as long, and with it the loop; avoid it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        // What the system rounds down to zero would throw bytes away, and it wraps what is too long.
        let linger = linger.map(|time| whole_seconds(time).min(LINGER_MAX));
        self.io.set_linger(linger)
    }

    /// Returns whether the system probes a silent peer (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.io.keepalive()
    }

    /// Sets after how long a silence the system probes the peer, rounded up to whole seconds;
    /// `None` is never.
    ///
    /// # Errors
    ///
    /// What the system says: that it does not take zero, or hours on end, for example.
    pub fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        self.io.set_keepalive(silence.map(whole_seconds))
    }
}

const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What every system can count: some keep it in sixteen bits.
const LINGER_MAX: Duration = Duration::from_secs(i16::MAX as u64);

/// Rounds up.
fn whole_seconds(time: Duration) -> Duration {
    let more = u64::from(time.subsec_nanos() > 0);
    Duration::from_secs(time.as_secs().saturating_add(more))
}

/// Says whether a connection under way has been made.
fn connected(stream: &Socket<mio::net::TcpStream>) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        result => result.map(drop),
    }
}

byte_stream!(TcpStream, short_read_empties: true);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
