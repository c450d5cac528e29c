//! Listening for connections at a path.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll, ready};

use mio::Interest;

use crate::net::UnixStream;
use crate::net::accept::{Accept, accept, passing_over};
use crate::net::socket::Socket;
use crate::net::sockets::socket_methods;
use crate::runtime::Partition;
use crate::runtime::registration::Watched;
use crate::sched::Direction;

/// A Unix socket that takes connections.
///
/// Dropping it closes the socket but leaves its path in the file system.
///
/// # Examples
///
/// ```
/// use evenloop::net::{UnixListener, UnixStream};
///
/// # evenloop::block_on(async {
/// let path = std::env::temp_dir().join(format!("evenloop-doc-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let client = UnixStream::connect(&path).await?;
/// let (server, _) = listener.accept().await?;
/// std::fs::remove_file(&path)?;
///
/// client.write_all(b"hello").await?;
/// drop(client);
/// let mut text = String::new();
/// server.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UnixListener {
    pub(in crate::net) io: Watched<Socket<mio::net::UnixListener>>,
}

impl UnixListener {
    /// Listens at `path`, where nothing may be yet.
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
        Self::watch(Socket::<mio::net::UnixListener>::bind(path.as_ref())?)
    }

    #[track_caller]
    fn watch(listener: Socket<mio::net::UnixListener>) -> io::Result<Self> {
        let io = Watched::new(listener, Interest::READABLE, None, "net::UnixListener")?;
        Ok(Self { io })
    }

    /// Accepts a connection.
    ///
    /// Several tasks may accept from one listener; each connection goes to one of them. If file
    /// descriptors or memory have run out it waits as
    /// [`TcpListener::accept`](crate::net::TcpListener::accept) does.
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
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, SocketAddr)>> {
        let accepted = accept(self.io.registration(), || self.io.accept());
        Accept::new("net::UnixListener::accept", accepted, |(stream, peer)| {
            Ok((UnixStream::watch(stream)?, peer))
        })
    }

    /// Accepts a connection for the partition that `choose` names by the peer's address, which has
    /// no path unless the peer bound itself to one.
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
    /// # use evenloop::net::{UnixListener, UnixStream};
    ///
    /// # evenloop::block_on(async {
    /// # let path = std::env::temp_dir().join(format!("evenloop-in-{}", std::process::id()));
    /// # let listener = UnixListener::bind(&path)?;
    /// # let client = UnixStream::connect(&path).await?;
    /// # std::fs::remove_file(&path)?;
    /// let (stream, partition) = listener.accept_in(|_| Partition::named("admin")).await?;
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
    ) -> impl Future<Output = io::Result<(UnixStream, Partition)>> {
        let accepted = accept(self.io.registration(), || self.io.accept());
        Accept::new("net::UnixListener::accept_in", accepted, |(stream, peer)| {
            let partition = choose(peer);
            Ok((UnixStream::watch_in(stream, &partition)?, partition))
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
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let accept = || passing_over(|| self.io.accept());
        let accepted = ready!(self.io.registration().poll_io(Direction::Read, cx, accept));
        let (stream, peer) = accepted?;
        Poll::Ready(Ok((UnixStream::watch(stream)?, peer)))
    }

    socket_methods!(std::os::unix::net::UnixListener);

    /// Returns the address it listens at.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
