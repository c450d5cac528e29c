//! What a runtime must offer to take part.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Spawns and runs tasks on one thread. None of them need be `Send`.
///
/// Whoever spawns keeps what it gets: dropping it detaches the task in some runtimes and cancels it
/// in others.
pub trait Peer: 'static {
    /// What tables call it.
    const NAME: &str;

    /// Runs `fut`, and what it spawns, on a fresh runtime.
    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Spawns onto the runtime of this thread.
    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Spawns what has a role, for runtimes that know how to tell roles apart.
    fn spawn_as<F>(_role: Role, fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Self::spawn(fut)
    }

    /// Yields the way the runtime tells its users to.
    fn yield_now() -> impl Future<Output = ()> + 'static {
        futures_lite::future::yield_now()
    }
}

/// What a task is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Work in bulk, which saturates the thread.
    Bulk,
    /// A health check, which is little work and has to be on time.
    Health,
    /// Accepts connections and tells whose they are.
    Acceptor,
}

/// A peer with timers.
pub trait Timers: Peer {
    /// Waits for `time`.
    fn sleep(time: Duration) -> impl Future<Output = ()> + 'static;
}

/// A peer that keeps groups of tasks apart.
pub trait Groups: Peer {
    /// Names a group.
    type Group: Copy + 'static;

    /// Makes a group, the `number`th.
    fn group(number: usize) -> Self::Group;

    /// Spawns into a group.
    fn spawn_in<F>(group: Self::Group, fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static;
}

/// A peer with TCP.
///
/// Buffers are handed over and come back, as runtimes on io_uring want it; the others lend theirs
/// to the system meanwhile. A read fills at most `buf.len()` bytes and leaves the length alone.
pub trait Net: Timers {
    /// Listens for connections.
    type Listener: 'static;
    /// A connection.
    type Stream: 'static;

    /// Listens on any free port of the loopback.
    fn listen() -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + 'static;
    /// Accepts a connection, without delay for small writes.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;
    /// Connects, without delay for small writes.
    fn connect(to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + 'static;
    /// Reads what there is; 0 at the end.
    fn read(
        stream: &mut Self::Stream,
        buf: Vec<u8>,
    ) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;
    /// Writes all of `bytes`.
    fn write_all(
        stream: &mut Self::Stream,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)>;

    /// Serves a connection whose first byte says whether it is a health check: where it belongs, if
    /// the runtime has places.
    fn admit<F>(
        stream: Self::Stream,
        serve: impl FnOnce(Self::Stream) -> F + 'static,
    ) -> impl Future<Output = ()> + 'static
    where
        F: Future<Output = ()> + 'static,
    {
        serve(stream)
    }
}
