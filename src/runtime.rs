//! The runtime: one loop, the thread it runs on, and the ways to reach it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Source};
use crate::config::{Budget, Clock};
use crate::driver::{Driver, Unpark};
use crate::injector::Drained;
use crate::instrument::{Hooks, Instrument, InstrumentId};
use crate::runtime::core::Core;
use crate::runtime::local::{Birth, Local};
use crate::runtime::offload::Blocking;
use crate::runtime::panics::PanicHook;
use crate::runtime::shared::Shared;
use crate::sched::Settings;

mod block_on;
pub(crate) mod blocking;
pub(crate) mod context;
pub(crate) mod coop;
pub(crate) mod core;
mod directory;
mod enter;
mod handle;
mod info;
pub(crate) mod inside;
mod join;
mod join_set;
mod local;
pub(crate) mod moves;
mod offload;
mod panics;
mod partition;
#[cfg(feature = "test-util")]
pub(crate) mod pause;
mod probe;
pub(crate) mod registration;
mod run;
pub(crate) mod shared;
mod shutdown;
mod spawn;
mod tasks;
pub(crate) mod timers;

#[cfg(feature = "sim")]
pub use probe::Holdings;
#[cfg(feature = "sim")]
pub(crate) use probe::Limits;

pub use coop::{Progress, poll_proceed};
pub use enter::{EnterGuard, TryCurrentError};
pub use handle::Handle;
pub use join::{AbortHandle, JoinError, JoinHandle};
pub use join_set::JoinSet;
pub use moves::{Within, switch_to, within};
pub use panics::UnhandledPanic;
pub use partition::{Close, IntoPartition, Partition, PartitionBuilder};
pub use shutdown::{PendingTask, ShutdownReport};
pub use spawn::{Spawn, spawn, spawn_blocking, spawn_in, spawn_isolated, yield_now};

/// Runs `fut` on a runtime of its own, on this thread, until it is done.
///
/// `fut` runs in ROOT. Tasks it spawned that still pend when it is done are dropped; see
/// [`Runtime`] for keeping them.
///
/// # Panics
///
/// If called inside a runtime, if `fut` panics, or if the operating system refuses the runtime its
/// file descriptors.
///
/// # Examples
///
/// ```
/// let answer = evenloop::block_on(async {
///     let task = evenloop::spawn(async { 6 });
///     task.await.unwrap() * 7
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn block_on<F: Future>(fut: F) -> F::Output {
    context::refuse_nesting();
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(fut),
        Err(error) => panic!("no runtime could be made: {error}"),
    }
}

/// An event loop and everything that lives on it.
///
/// It belongs to the thread that made it and runs while that thread is in
/// [`block_on`](Runtime::block_on). Tasks survive between two `block_on`s; they need not be
/// `Send`.
///
/// # Dropping
///
/// Dropping the runtime shuts it down, in this order: nothing new is taken in; every task is
/// dropped on this thread, in the order of spawning; whoever waits elsewhere for its sockets and
/// timers is woken and finds them gone; blocking jobs that have not started are dropped; those that
/// run are waited for.
/// [`shutdown`](Runtime::shutdown) does the same with a limit and tells what was still pending.
///
/// # Examples
///
/// ```
/// use evenloop::{Budget, Runtime};
/// use std::rc::Rc;
///
/// let runtime = Runtime::builder().budget(Budget::handles(16)).build()?;
/// let shared = Rc::new(7);
/// let task = runtime.spawn({
///     let shared = shared.clone();
///     async move { *shared + 1 }
/// });
/// assert_eq!(runtime.block_on(task).unwrap(), 8);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Runtime {
    local: Rc<Local>,
    /// Set once the runtime has been shut down.
    down: Cell<bool>,
}

impl Runtime {
    /// Makes a runtime with the default settings.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the file descriptors it needs.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Begins to describe a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `fut` in ROOT until it is done, and with it everything else on the loop.
    ///
    /// Without partitions the order in which tasks run is that of a plain FIFO loop.
    ///
    /// # Panics
    ///
    /// If this thread is in a runtime already, and if `fut` panics. After a panic the runtime is
    /// as usable as before.
    #[track_caller]
    pub fn block_on<F: Future>(&self, fut: F) -> F::Output {
        self.local.block_on(fut)
    }

    /// Makes this the runtime of this thread until the guard is dropped, without running it: what
    /// is spawned runs in the next [`block_on`](Self::block_on).
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::{Handle, Runtime};
    ///
    /// let runtime = Runtime::new()?;
    /// assert!(Handle::try_current().is_err());
    /// let guard = runtime.enter();
    /// assert!(Handle::try_current().is_ok());
    /// drop(guard);
    /// assert!(Handle::try_current().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard::new(&self.local.shared)
    }

    /// Spawns a task; it runs in the next [`block_on`](Self::block_on), in ROOT.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.local.spawn(future, Birth::here())
    }

    /// Spawns a task into a partition, which is made if need be.
    #[track_caller]
    pub fn spawn_in<F>(&self, partition: impl IntoPartition, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let birth = Birth::here();
        self.local.spawn_named(partition, future, birth)
    }

    /// Returns a handle for use by other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.local.shared.clone())
    }

    /// Adds an instrument, which need not be `Send`.
    pub fn add_instrument(&self, instrument: impl Instrument + 'static) -> InstrumentId {
        let id = InstrumentId::new();
        self.local.hooks.add(id, Box::new(instrument));
        id
    }

    /// Takes an instrument out again; `None` if it is not there, since it panicked, say.
    pub fn remove_instrument(&self, id: InstrumentId) -> Option<Box<dyn Instrument>> {
        self.local.hooks.remove(id)
    }

    /// Shuts the runtime down: drops every task on this thread, then waits until the blocking jobs
    /// that run have ended, at most for `timeout`.
    ///
    /// Zero waits for none of them, [`Duration::MAX`] for all. The report names what was still
    /// pending, with the place it was spawned at.
    ///
    /// # Panics
    ///
    /// If called inside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = evenloop::Runtime::new()?;
    /// runtime.spawn(std::future::pending::<()>());
    /// let report = runtime.shutdown(Duration::from_secs(1));
    /// assert_eq!(report.pending().len(), 1);
    /// assert!(report.pending()[0].location().file().ends_with(".rs"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn shutdown(self, timeout: Duration) -> ShutdownReport {
        context::refuse_nesting();
        self.end(Some(timeout))
    }

    /// Shuts the runtime down as [`shutdown`](Self::shutdown) does, for those who do not ask what
    /// was pending.
    ///
    /// # Panics
    ///
    /// If called inside a runtime.
    #[track_caller]
    pub fn shutdown_timeout(self, timeout: Duration) {
        context::refuse_nesting();
        let _ = self.end(Some(timeout));
    }

    /// Shuts the runtime down and waits for no blocking job; those that run have their threads to
    /// themselves. Every task is dropped before it returns, on this thread.
    ///
    /// It may be called inside another runtime, whose loop it does not make wait.
    ///
    /// # Examples
    ///
    /// ```
    /// evenloop::block_on(async {
    ///     let inner = evenloop::Runtime::new().unwrap();
    ///     inner.handle().spawn_blocking(|| std::thread::sleep(std::time::Duration::from_secs(1)));
    ///     inner.shutdown_background();
    /// });
    /// ```
    pub fn shutdown_background(self) {
        let _ = self.end(Some(Duration::ZERO));
    }

    /// Ends it, once.
    fn end(&self, patience: Option<Duration>) -> ShutdownReport {
        if self.down.replace(true) {
            return ShutdownReport::default();
        }
        let report = self.local.shut_down(patience);
        context::unsettle(&self.local);
        report
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Who wants the report calls `shutdown`.
        let _ = self.end(None);
    }
}

/// Describes a [`Runtime`].
///
/// # Examples
///
/// ```
/// use evenloop::{Budget, Runtime};
/// use std::time::Duration;
///
/// let runtime = Runtime::builder()
///     .budget(Budget::time(Duration::from_micros(50)))
///     .blocking_threads(4)
///     .on_unhandled_panic(|panic| eprintln!("lost a task: {panic}"))
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is made before `build`"]
pub struct Builder {
    budget: Budget,
    clock: Clock,
    blocking_threads: usize,
    panic_hook: PanicHook,
    #[cfg(feature = "test-util")]
    start_paused: bool,
    #[cfg(feature = "mutants")]
    mutation: Option<crate::sched::Mutation>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            clock: Clock::default(),
            blocking_threads: blocking::THREADS_DEFAULT,
            panic_hook: PanicHook::default(),
            #[cfg(feature = "test-util")]
            start_paused: false,
            #[cfg(feature = "mutants")]
            mutation: None,
        }
    }
}

impl Builder {
    /// Sets what one turn grants a partition of weight 1.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets what the loop measures with how long handles take.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how many threads [`spawn_blocking`] may use at most; 512 if it is not set. They are
    /// started as they are needed.
    ///
    /// # Panics
    ///
    /// If `n` is zero: blocking jobs would never run.
    #[track_caller]
    pub fn blocking_threads(mut self, n: usize) -> Self {
        assert!(n > 0, "a pool of no threads would never run a job; grant at least one");
        self.blocking_threads = n;
        self
    }

    /// Sets what is done with the panic of a task whose handle nobody holds.
    ///
    /// It is called once for each, on the thread that dropped the last interest in the task's
    /// outcome. The default writes the message and where the task was spawned to standard error.
    pub fn on_unhandled_panic(
        mut self,
        hook: impl Fn(UnhandledPanic) + Send + Sync + 'static,
    ) -> Self {
        self.panic_hook = PanicHook::new(hook);
        self
    }

    /// Sets whether time stands still from the start, as after
    /// [`time::pause`](crate::time::pause); it does not if this is not set.
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::Runtime;
    /// use evenloop::time::{Duration, Instant, sleep};
    ///
    /// let runtime = Runtime::builder().start_paused(true).build()?;
    /// runtime.block_on(async {
    ///     let start = Instant::now();
    ///     sleep(Duration::from_secs(3_600)).await; // takes no time
    ///     assert_eq!(start.elapsed(), Duration::from_secs(3_600));
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    pub fn start_paused(mut self, paused: bool) -> Self {
        self.start_paused = paused;
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the file descriptors it needs. Nothing is left behind then.
    pub fn build(self) -> io::Result<Runtime> {
        let (driver, unpark) = Driver::open()?;
        let time = Source::real();
        #[cfg(feature = "test-util")]
        if self.start_paused {
            time.pause();
        }
        Ok(self.build_on(driver, unpark, time))
    }

    /// Makes the runtime on a driver, which `unpark` wakes, and a clock.
    pub(crate) fn build_on(self, driver: Driver, unpark: Unpark, time: Source) -> Runtime {
        let settings = self.settings();
        let blocking = Blocking::new(self.blocking_threads);
        let shared = Arc::new(Shared::new(time.clone(), unpark, self.panic_hook, blocking));
        let core = Core::new(settings, clock::Clock::new(time, self.clock));
        core.publish(core.current, &shared);
        let hooks = Hooks::new(shared.counters.clone());
        let local = Rc::new(Local {
            shared,
            core: RefCell::new(core),
            driver: RefCell::new(driver),
            hooks,
            inbox: RefCell::new(Drained::empty()),
            has_inbox: Cell::new(false),
        });
        context::settle(&local);
        Runtime { local, down: Cell::new(false) }
    }

    fn settings(&self) -> Settings {
        let settings = Settings::from(self.budget);
        #[cfg(feature = "mutants")]
        if let Some(mutation) = self.mutation.or_else(shuffled) {
            return settings.with_mutation(mutation);
        }
        settings
    }

    /// Breaks the loop in one way.
    #[cfg(all(feature = "mutants", feature = "sim"))]
    pub(crate) fn mutation(mut self, mutation: crate::sched::Mutation) -> Self {
        self.mutation = Some(mutation);
        self
    }
}

/// The defect that `EVENLOOP_SHUFFLE` asks for, a seed. It tells which, so that a test that fails
/// says how to see it fail again.
#[cfg(feature = "mutants")]
fn shuffled() -> Option<crate::sched::Mutation> {
    let seed = std::env::var("EVENLOOP_SHUFFLE").ok()?;
    eprintln!("evenloop: handles are shuffled, EVENLOOP_SHUFFLE={seed}");
    let seed = seed.parse().expect("EVENLOOP_SHUFFLE is a number, the seed");
    Some(crate::sched::Mutation::Shuffled(seed))
}
