//! What a connection is, told by its first bytes.

use std::io;
use std::time::Duration;

use crate::net::TcpStream;
use crate::sched::Direction;
use crate::time::timeout;

/// What is looked at, at most: what any receive buffer can hold.
pub(super) const LOOK_MAX: usize = 16 << 10;

/// What became of [`TcpStream::classify`]. The stream is whole in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it says where the connection belongs"]
pub enum Classified<R> {
    /// It is known what the connection is.
    Told(R),
    /// All that may be looked at has arrived, or the stream has ended, and it is not known.
    Unknown,
    /// The time was over. More may arrive yet.
    TimedOut,
}

impl<R> Classified<R> {
    /// Returns what was told.
    pub fn told(self) -> Option<R> {
        match self {
            Self::Told(told) => Some(told),
            Self::Unknown | Self::TimedOut => None,
        }
    }
}

impl TcpStream {
    /// Looks at the first bytes, and leaves them in the stream, until `tell` knows what they are.
    ///
    /// So that connections of several kinds can share a port and yet be kept apart, before anything
    /// is done for them: run this in a partition of its own, and serve each in the partition it is
    /// for. [`TcpListener::classified`](crate::net::TcpListener::classified) does so, for any number
    /// of connections; [`http::Routes`](crate::net::http::Routes) can be what tells.
    ///
    /// `tell` is called with all bytes that have arrived, each time there are more of them, up to
    /// `max_bytes` and 16 KiB: an arrival costs one system call and one call of `tell`, so a peer
    /// that sends byte by byte has at most `max_bytes` of either. From the call on it has `patience`.
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
    /// use evenloop::Partition;
    /// use evenloop::net::Classified;
    /// use std::time::Duration;
    /// # use evenloop::net::{TcpListener, TcpStream};
    ///
    /// # evenloop::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let client = TcpStream::connect(listener.local_addr()?).await?;
    /// # client.write_all(b"GET /health HTTP/1.1").await?;
    /// const HEALTH: &[u8] = b"GET /health ";
    ///
    /// let (stream, _) = listener.accept().await?;
    /// let told = stream.classify(HEALTH.len(), Duration::from_secs(5), |start| {
    ///     if start.starts_with(HEALTH) {
    ///         return Some(Partition::named("health"));
    ///     }
    ///     (!HEALTH.starts_with(start)).then(|| Partition::named("bulk"))
    /// });
    /// match told.await? {
    ///     Classified::Told(partition) => assert_eq!(partition.name(), "health"),
    ///     Classified::Unknown => println!("it ended before it said what it wants"),
    ///     Classified::TimedOut => println!("it said nothing to the point"),
    /// }
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn classify<R>(
        &self,
        max_bytes: usize,
        patience: Duration,
        mut tell: impl FnMut(&[u8]) -> Option<R>,
    ) -> io::Result<Classified<R>> {
        let mut start = vec![0; max_bytes.min(LOOK_MAX)];
        let mut seen = Seen { stream: self, known: 0 };
        let look = || look(self, &mut start, &mut seen.known, &mut tell);
        let told = self.io.registration().async_io(Direction::Read, look);
        match timeout(patience, told).await {
            Ok(told) => Ok(told?.map_or(Classified::Unknown, Classified::Told)),
            Err(_) => Ok(Classified::TimedOut),
        }
    }
}

/// The bytes of a stream that were looked at.
struct Seen<'a> {
    stream: &'a TcpStream,
    known: usize,
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        // They are still to be read, and no event will tell of them again.
        if self.known > 0 {
            self.stream.io.registration().presume_ready(Direction::Read);
        }
    }
}

/// Takes a look at the start of `stream`, of which `known` bytes were seen before: one system call.
///
/// `None` means that nobody will ever know, by as many bytes as there is room for in `start`.
///
/// # Errors
///
/// `WouldBlock` if it needs more bytes; what else the system says.
pub(super) fn look<R>(
    stream: &TcpStream,
    start: &mut [u8],
    known: &mut usize,
    tell: &mut impl FnMut(&[u8]) -> Option<R>,
) -> io::Result<Option<R>> {
    // Asked first: what arrives later than the look is no reason to end.
    let ended = stream.io.registration().is_read_closed();
    let len = stream.io.peek(start)?;
    if len > *known {
        *known = len;
        if let Some(told) = tell(&start[..len]) {
            return Ok(Some(told));
        }
    }
    if ended || len == 0 || len == start.len() {
        return Ok(None);
    }
    // Bytes that were seen before make no event; the next ones will.
    Err(io::ErrorKind::WouldBlock.into())
}
