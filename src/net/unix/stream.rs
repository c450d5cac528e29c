//! Unix connections.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mio::Interest;

use crate::net::methods::{read_methods, write_methods};
use crate::net::socket::Socket;
use crate::net::sockets::socket_methods;
use crate::net::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf, into_split};
use crate::net::stream::{byte_stream, read_traits, write_traits};
use crate::runtime::Partition;
use crate::runtime::inside::inside;
use crate::runtime::registration::Watched;
use crate::sched::Direction;
use crate::time::sleep;

/// The first pause when the listener's backlog is full, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A connection between two Unix sockets.
///
/// # Examples
///
/// ```
/// use evenloop::net::UnixStream;
///
/// # evenloop::block_on(async {
/// let (a, b) = UnixStream::pair()?;
/// a.write_all(b"over here").await?;
/// let mut buf = [0; 9];
/// b.read_exact(&mut buf).await?;
/// assert_eq!(&buf, b"over here");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UnixStream {
    pub(in crate::net) io: Watched<Socket<mio::net::UnixStream>>,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// While the listener's backlog is full this waits, as a blocking connect would, and tries
    /// again every few milliseconds: the system has no event for it.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; a connection under way is closed.
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        inside("net::UnixStream::connect", Self::connect_to(path))
    }

    async fn connect_to(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut pause = PAUSE_FIRST;
        let stream = loop {
            match Socket::<mio::net::UnixStream>::connect(path.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(pause).await;
                    pause = PAUSE_MAX.min(pause * 2);
                }
                stream => break stream?,
            }
        };
        let stream = Self::watch(stream)?;
        stream.io.registration().async_io(Direction::Write, || connected(&stream.io)).await?;
        Ok(stream)
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
        let (a, b) = Socket::<mio::net::UnixStream>::pair()?;
        Ok((Self::watch(a)?, Self::watch(b)?))
    }

    #[track_caller]
    pub(super) fn watch(stream: Socket<mio::net::UnixStream>) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Ok(Self { io: Watched::new(stream, interest, Some(interest), "net::UnixStream")? })
    }

    #[track_caller]
    pub(super) fn watch_in(
        stream: Socket<mio::net::UnixStream>,
        partition: &Partition,
    ) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let io = Watched::new_in(stream, interest, Some(interest), "net::UnixStream", partition)?;
        Ok(Self { io })
    }

    read_methods!(|this| this);

    write_methods!(|this| this);

    socket_methods!(std::os::unix::net::UnixStream);

    /// Splits the stream in two halves for the time of a borrow.
    pub fn split(&self) -> (ReadHalf<'_, Self>, WriteHalf<'_, Self>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Splits the stream in two halves for two tasks.
    ///
    /// The socket is closed when both are dropped; dropping the writing half ends the writing side.
    pub fn into_split(self) -> (OwnedReadHalf<Self>, OwnedWriteHalf<Self>) {
        into_split(self)
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    ///
    /// What the system says.
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
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr()
    }
}

/// Says whether a connection under way has been made.
fn connected(stream: &Socket<mio::net::UnixStream>) -> io::Result<()> {
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

byte_stream!(UnixStream, short_read_empties: false);

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}
