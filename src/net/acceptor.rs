//! Accepting connections and telling what they are, whatever their peers do.
//!
//! One task has all connections that are not told yet. It takes its turns in small handles, in
//! each of which it looks at some that have said more, accepts some, and gives up those whose time
//! is over:
//!
//! ```text
//!              accept, first look                     told
//!  backlog ─────────────────────────► waiting ─────────────────► serve(stream, peer, told)
//!                                       │  ▲
//!                           more bytes, └──┘ one look
//! ```

mod bells;
mod metrics;
mod waiting;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::net::accept::{PAUSE_FIRST, PAUSE_MAX, is_exhausted};
use crate::net::classify::LOOK_MAX;
use crate::net::{TcpListener, TcpStream};
use crate::runtime::{JoinHandle, Partition};
use crate::time::{Sleep, sleep};
pub use metrics::AcceptorMetrics;
use metrics::Counts;
use waiting::Waiting;

/// Connections accepted in one handle, and looks taken in one: so a handle stays short, and neither
/// those who come nor those who are here can keep the others waiting.
const BATCH: usize = 16;

const MAX_BYTES: usize = 1 << 10;
const PATIENCE: Duration = Duration::from_secs(10);
const LIMIT: usize = 1024;

impl TcpListener {
    /// Begins to describe an acceptor: it accepts all connections that come and hands each on as
    /// soon as `tell` knows by its first bytes what it is.
    pub fn classified<R, T>(self, tell: T) -> Acceptor<T>
    where
        T: FnMut(&[u8]) -> Option<R>,
    {
        Acceptor {
            listener: self,
            tell,
            partition: None,
            max_bytes: MAX_BYTES,
            patience: PATIENCE,
            limit: LIMIT,
        }
    }
}

/// Accepts connections and tells what they are, in a partition of its own: made by
/// [`TcpListener::classified`], started by [`serve`](Self::serve).
///
/// So a connection is in the hands of nobody else's queue from the first packet to the moment when
/// it is known whose it is, and slow, silent and malicious peers are in nobody's way:
///
/// - A peer has its [`patience`](Self::patience), counted from when it was accepted, to say enough.
///   After that its connection is closed.
/// - No more than [`limit`](Self::limit) connections wait to be told. When one more comes, the one
///   that has waited longest is closed. It is looked at a last time before, so whoever has said
///   enough is served however full it is; the price of a flood is that peers who hesitate for
///   longer than `limit` newer connections take to arrive are closed. If the process runs out of
///   file descriptors, the one that has waited longest goes as well, and one more may go to learn
///   that nobody else comes.
/// - A connection costs one system call for each arrival of bytes that are not enough, and one call
///   of `tell` with all that have arrived, [`max_bytes`](Self::max_bytes) at most. Sent byte by
///   byte, that is `max_bytes` looks and `max_bytes²/2` bytes looked at: keep it small. The buffer
///   is one for all.
/// - Connections are looked at in the order in which their bytes are reported. From then to the
///   answer there are at most `limit` looks at others, and as many connections accepted; and from a
///   place in the backlog to the first look, as many accepted as stood before, with as many looks
///   between them. Besides, other partitions have their turns.
///
/// # Examples
///
/// A health check and bulk traffic on one port:
///
/// ```
/// use evenloop::Partition;
/// use evenloop::net::http::Routes;
/// use evenloop::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// # evenloop::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let addr = listener.local_addr()?;
/// let routes = Routes::otherwise(Partition::named("bulk"))
///     .path("/health", Partition::named("health"));
/// let accepting = listener
///     .classified(move |start| routes.tell(start).cloned())
///     .patience(Duration::from_secs(5))
///     .limit(10_000)
///     .serve(|stream, _peer, partition: Partition| {
///         partition.spawn(async move { stream.write_all(b"from here").await });
///     });
///
/// let client = TcpStream::connect(addr).await?;
/// client.write_all(b"GET /health HTTP/1.1\r\n").await?;
/// client.read_exact(&mut [0; 9]).await?;
/// assert_eq!(accepting.metrics().told, 1);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is accepted before `serve`"]
pub struct Acceptor<T> {
    listener: TcpListener,
    tell: T,
    partition: Option<Partition>,
    max_bytes: usize,
    patience: Duration,
    limit: usize,
}

impl<T> Acceptor<T> {
    /// Sets the partition it works in; one of its own without a name, if it is not set.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets how many bytes are looked at, 16 KiB at most; 1 KiB if it is not set. A connection that
    /// is not told by as many is closed.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "no bytes tell nothing; use `accept_in` to go by the peer's address");
        self.max_bytes = bytes;
        self
    }

    /// Sets how long a peer has to say enough; 10 seconds if it is not set.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how many connections may wait to be told; 1,024 if it is not set.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn limit(mut self, connections: usize) -> Self {
        assert!(connections > 0, "one connection at least has to be waited for; allow one");
        self.limit = connections;
        self
    }

    /// Starts to accept, and calls `serve` with each connection that is told, its peer, and what
    /// it was told to be. No byte of it has been read.
    ///
    /// `serve` is called in the acceptor's partition and stands before the next connection: it
    /// should spawn what serves in the partition that is for it, and return.
    ///
    /// # Panics
    ///
    /// Outside the runtime the listener belongs to. A panic of `tell` or of `serve` ends the
    /// acceptor; whoever awaits [`Accepting`] gets it.
    #[track_caller]
    pub fn serve<R, S>(self, serve: S) -> Accepting
    where
        T: FnMut(&[u8]) -> Option<R> + 'static,
        S: FnMut(TcpStream, SocketAddr, R) + 'static,
        R: 'static,
    {
        let counts = Arc::new(Counts::default());
        let partition = self.partition.clone().unwrap_or_else(Partition::anonymous);
        let mut work = Work {
            waiting: Waiting::new(
                self.tell,
                serve,
                self.max_bytes.min(LOOK_MAX),
                self.patience,
                counts.clone(),
            ),
            listener: self.listener,
            limit: self.limit,
            pause: PAUSE_FIRST,
            paused: None,
        };
        let task = partition.spawn(poll_fn(move |cx| work.poll(cx)));
        Accepting { task, counts }
    }
}

impl<T> fmt::Debug for Acceptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("listener", &self.listener)
            .field("partition", &self.partition)
            .field("max_bytes", &self.max_bytes)
            .field("patience", &self.patience)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// An acceptor at work, made by [`Acceptor::serve`]. It goes on when this is dropped.
///
/// Awaited, it is ready when the acceptor has ended: without error when it was stopped.
///
/// # Panics
///
/// Awaited, it passes on a panic of what tells or serves.
///
/// # Errors
///
/// Awaited: what accepting failed with, other than for lack of descriptors or memory; the runtime
/// having shut down.
///
/// # Cancel safety
///
/// The acceptor goes on.
#[derive(Debug)]
pub struct Accepting {
    task: JoinHandle<io::Result<()>>,
    counts: Arc<Counts>,
}

impl Accepting {
    /// Returns what became of the connections so far, from any thread.
    #[must_use]
    pub fn metrics(&self) -> AcceptorMetrics {
        self.counts.snapshot()
    }

    /// Stops accepting, from any thread: the listener and all connections that are not told are
    /// closed. Those that were handed on are not its own any more.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Future for Accepting {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.task).poll(cx));
        Poll::Ready(ended.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            Err(_) => Ok(()),
        }))
    }
}

/// What the task has.
struct Work<R, T, S> {
    waiting: Waiting<R, T, S>,
    listener: TcpListener,
    limit: usize,
    /// How long it waits when descriptors have run out.
    pause: Duration,
    paused: Option<Sleep>,
}

impl<R, T, S> Work<R, T, S>
where
    T: FnMut(&[u8]) -> Option<R>,
    S: FnMut(TcpStream, SocketAddr, R),
{
    /// One handle.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting.watch(cx.waker());
        let mut busy = self.waiting.look_at(BATCH);
        busy |= self.accept(cx)?;
        busy |= self.waiting.expire(cx, BATCH);
        if busy {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Accepts a batch, and says whether there may be more.
    fn accept(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if let Some(pause) = &mut self.paused {
            if Pin::new(pause).poll(cx).is_pending() {
                return Ok(false);
            }
            self.paused = None;
        }
        for _ in 0..BATCH {
            match self.listener.poll_accept(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok((stream, peer))) => {
                    self.pause = PAUSE_FIRST;
                    self.waiting.admit(stream, peer);
                    while self.waiting.len() > self.limit {
                        self.waiting.evict();
                    }
                }
                Poll::Ready(Err(error)) if is_exhausted(&error) => self.make_room(),
                Poll::Ready(Err(error)) => return Err(error),
            }
            if self.paused.is_some() {
                break;
            }
        }
        Ok(true)
    }

    /// Descriptors have run out: gives one back, or has patience.
    fn make_room(&mut self) {
        if self.waiting.len() > 0 {
            self.waiting.evict();
            return;
        }
        self.paused = Some(sleep(self.pause));
        self.pause = PAUSE_MAX.min(self.pause * 2);
    }
}
