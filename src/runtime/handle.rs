//! The loop as other threads reach it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::instrument::{Instrument, InstrumentId, RuntimeMetrics};
use crate::runtime::context;
use crate::runtime::directory::Target;
use crate::runtime::enter::{EnterGuard, TryCurrentError};
use crate::runtime::join::JoinHandle;
use crate::runtime::local::{Birth, Local};
use crate::runtime::partition::sealed::Name;
use crate::runtime::partition::{IntoPartition, Partition};
use crate::runtime::shared::Shared;

/// Reaches a runtime from any thread; cheap to clone.
///
/// It does not keep the runtime alive: what is spawned after it has shut down is refused.
///
/// # Examples
///
/// ```
/// let runtime = evenloop::Runtime::new()?;
/// let handle = runtime.handle();
/// let other = std::thread::spawn(move || handle.spawn_in("worker", async { 6 * 7 }));
/// let task = other.join().unwrap();
/// assert_eq!(runtime.block_on(task).unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Whether jobs can run on threads of their own: not in a simulation.
    pub(crate) fn has_threads(&self) -> bool {
        self.shared.time.is_real()
    }

    /// Returns a handle to the runtime this thread is in: one that it runs, or has
    /// [entered](Self::enter), or that a blocking job belongs to.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        Self::new(context::expect_shared("Handle::current"))
    }

    /// Returns a handle to the runtime this thread is in, as [`current`](Self::current) does.
    ///
    /// # Errors
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::Handle;
    ///
    /// assert!(Handle::try_current().is_err());
    /// evenloop::block_on(async { assert!(Handle::try_current().is_ok()) });
    /// ```
    pub fn try_current() -> Result<Self, TryCurrentError> {
        context::shared().map(Self::new).ok_or(TryCurrentError(()))
    }

    /// Makes this runtime the one of this thread until the guard is dropped.
    ///
    /// On the thread the runtime lives on, everything works that does between two
    /// [`block_on`](crate::Runtime::block_on)s. On any other thread, what needs not be there:
    /// [`Handle::current`], [`spawn_blocking`](crate::spawn_blocking()), sleeps, timeouts and
    /// intervals. Tasks that need not be `Send`, and new sockets, do not cross threads; what makes
    /// them panics, and says to use [`Handle::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::{Handle, Runtime};
    ///
    /// let runtime = Runtime::new()?;
    /// let handle = runtime.handle();
    /// let other = std::thread::spawn(move || {
    ///     let _guard = handle.enter();
    ///     Handle::current().spawn(async { 6 * 7 })
    /// });
    /// let task = other.join().unwrap();
    /// assert_eq!(runtime.block_on(task).unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard::new(&self.shared)
    }

    /// Waits on this thread until `fut` is done.
    ///
    /// On the thread the runtime lives on this is [`Runtime::block_on`](crate::Runtime::block_on).
    /// On any other thread `fut` is polled right there, without being `Send`, and the loop goes on
    /// meanwhile where it runs: if no thread runs it, what `fut` wants of it does not happen. It may
    /// wait for anything: timers, tasks, and sockets that are there. What it may not do is what
    /// [`enter`](Self::enter) lists; accepting a connection makes a socket, too.
    ///
    /// It runs besides the partitions: nobody's budget counts its polls.
    ///
    /// # Panics
    ///
    /// If this thread is in `block_on` already, and if `fut` panics. After the runtime has shut
    /// down, waiting for a timer panics; sockets and join handles tell it as an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::time::{Duration, sleep};
    ///
    /// let runtime = evenloop::Runtime::new()?;
    /// let handle = runtime.handle();
    /// let waits = runtime.handle().spawn_blocking(move || {
    ///     handle.block_on(async {
    ///         sleep(Duration::from_millis(1)).await;
    ///         evenloop::Handle::current().spawn(async { 6 * 7 }).await.unwrap()
    ///     })
    /// });
    /// assert_eq!(runtime.block_on(waits).unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, fut: F) -> F::Output {
        match context::resident(&self.shared) {
            Some(local) => local.block_on(fut),
            None => self.shared.wait_for(fut),
        }
    }

    /// Spawns a task from any thread: in the caller's partition on the loop's own thread, in ROOT
    /// from elsewhere.
    ///
    /// After shutdown it is refused: see [`JoinError::is_refused`](crate::JoinError::is_refused).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let birth = Birth::here();
        match self.local() {
            Some(local) => local.spawn(future, birth),
            None => self.shared.spawn_remote(Target::Root, future, birth),
        }
    }

    /// Spawns a task into a partition, from any thread; the partition is made if need be.
    ///
    /// After shutdown, and on a closed partition, it is refused.
    ///
    /// # Panics
    ///
    /// If a [`Partition`] of another runtime is given.
    #[track_caller]
    pub fn spawn_in<F>(&self, partition: impl IntoPartition, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let birth = Birth::here();
        if let Some(local) = self.local() {
            return local.spawn_named(partition, future, birth);
        }
        let target = partition.with_name(|name| {
            if let Name::Partition(partition) = &name {
                partition.id_in(&self.shared);
            }
            name.to_target()
        });
        self.shared.spawn_remote(target, future, birth)
    }

    /// Runs `f` on the runtime's pool of threads that may block; see
    /// [`spawn_blocking`](crate::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.shared.spawn_blocking(f, Birth::here())
    }

    /// Returns the partitions that exist now, ROOT first. O(partitions).
    ///
    /// These are views: holding one does not keep the partition alive, and spawning into one that
    /// is gone is refused.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        self.shared.infos().into_iter().map(|info| Partition::observe(&self.shared, info)).collect()
    }

    /// Returns the counters of the loop as they stand now, the state in progress included.
    #[must_use]
    pub fn metrics(&self) -> RuntimeMetrics {
        self.shared.counters.snapshot(self.shared.now())
    }

    /// Returns the load of the loop, from 0.0 to 1.0: how much of the last second or so it was not
    /// asleep. Right also during a stall.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.shared.counters.load(self.shared.now())
    }

    /// Adds an instrument to the loop: at once on its own thread, between two handles from others.
    pub fn add_instrument(&self, instrument: impl Instrument + Send + 'static) -> InstrumentId {
        let id = InstrumentId::new();
        self.shared.on_loop(move |local| local.hooks.add(id, Box::new(instrument)));
        id
    }

    /// Takes an instrument out of the loop, and drops it on the loop's thread.
    pub fn remove_instrument(&self, id: InstrumentId) {
        self.shared.on_loop(move |local| drop(local.hooks.remove(id)));
    }

    fn local(&self) -> Option<std::rc::Rc<Local>> {
        context::loop_of(&self.shared)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("load", &self.load()).finish_non_exhaustive()
    }
}
