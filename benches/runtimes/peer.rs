//! What a runtime must offer to take part, and how its work is timed.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Spawns and runs tasks on one thread.
///
/// All futures are `Send`, so that each runtime may take its fastest way. Whoever spawns keeps
/// what it gets: dropping it detaches the task in some runtimes and cancels it in others.
pub(crate) trait Peer: 'static {
    /// Runs `fut`, and what it spawns, on a fresh runtime.
    fn block_on<F: Future>(fut: F) -> F::Output;

    /// Spawns onto the runtime of this thread.
    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static;

    /// Yields the way the runtime tells its users to.
    fn yield_now() -> impl Future<Output = ()> + Send {
        futures_lite::future::yield_now()
    }
}

/// A peer with timers.
pub(crate) trait Timers: Peer {
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static;
}

/// A peer with TCP.
pub(crate) trait Net: Peer {
    type Listener: Send + Sync + 'static;
    type Stream: Send + 'static;

    /// Listens on any free port of the loopback.
    fn listen() -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send;
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    fn connect(to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;
    fn read(
        stream: &mut Self::Stream,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send;
    fn write_all(
        stream: &mut Self::Stream,
        bytes: &[u8],
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// How much to do: everything, or enough to see that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Full,
    Quick,
}

impl Size {
    /// Returns `full`, or a twentieth of it.
    pub(crate) fn of(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full.div_ceil(20),
        }
    }
}

/// Nanoseconds an operation took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    /// Of the whole process, its helper threads included.
    pub(crate) cpu: f64,
}

/// Times a number of operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let wall = Instant::now();
        Self { wall, cpu: cpu_of_this_process(wall) }
    }

    /// Stops after `ops` operations.
    pub(crate) fn stop(self, ops: usize) -> Sample {
        let cpu = cpu_of_this_process(self.wall).saturating_sub(self.cpu);
        let each = |time: Duration| time.as_nanos() as f64 / ops as f64;
        Sample { wall: each(self.wall.elapsed()), cpu: each(cpu) }
    }
}

/// Returns the CPU time the process has used; where the system does not tell, the time since
/// `start`.
fn cpu_of_this_process(start: Instant) -> Duration {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
        cpu.unwrap_or_else(|_| start.elapsed())
    }
    #[cfg(not(unix))]
    start.elapsed()
}
