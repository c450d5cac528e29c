//! The ways to spawn, from inside the runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::runtime::context;
use crate::runtime::directory::Plan;
use crate::runtime::join::JoinHandle;
use crate::runtime::local::{Birth, Local};
use crate::runtime::partition::sealed::Name;
use crate::runtime::partition::{IntoPartition, Partition};

/// Spawns a task in the partition of whoever calls this.
///
/// The task need not be `Send`. Its first poll is queued at the tail of the partition's queue; it
/// runs whether the handle is kept or dropped.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # evenloop::block_on(async {
/// let sum = evenloop::spawn(async { 1 + 2 });
/// assert_eq!(sum.await.unwrap(), 3);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(fut: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let birth = Birth::here();
    context::expect("evenloop::spawn").spawn(fut, birth)
}

/// Spawns a task into a partition: a name, a number or a [`Partition`].
///
/// A name or number that is not in use makes a partition, which lives as long as anything refers
/// to it. Even the first poll of `fut` is queued there, and what the task spawns inherits it.
///
/// On a closed partition the task is refused: see [`JoinError::is_refused`].
///
/// # Panics
///
/// Outside a runtime, and if a [`Partition`] of another runtime is given.
///
/// # Examples
///
/// ```
/// # evenloop::block_on(async {
/// let task = evenloop::spawn_in("healthcheck", async {
///     evenloop::spawn(async { evenloop::Partition::current().name() }).await.unwrap()
/// });
/// assert_eq!(task.await.unwrap(), "healthcheck");
/// # });
/// ```
///
/// [`JoinError::is_refused`]: crate::JoinError::is_refused
#[track_caller]
pub fn spawn_in<F>(partition: impl IntoPartition, fut: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let birth = Birth::here();
    context::expect("evenloop::spawn_in").spawn_named(partition, fut, birth)
}

/// Spawns a task into a fresh partition of its own, which is freed when nothing refers to it.
///
/// Everything the task spawns shares that partition. For floods of such tasks, one a connection,
/// put the partitions into a group instead: see [`PartitionBuilder::group`].
///
/// # Panics
///
/// Outside a runtime.
///
/// [`PartitionBuilder::group`]: crate::PartitionBuilder::group
#[track_caller]
pub fn spawn_isolated<F>(fut: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let birth = Birth::here();
    let local = context::expect("evenloop::spawn_isolated");
    let id = local.core.borrow_mut().create(Plan::default(), &local.shared);
    local.spawn_at(id, fut, birth)
}

/// Runs `f` on a thread where it may block, in a pool whose size the
/// [`Builder`](crate::Builder::blocking_threads) sets.
///
/// Jobs beyond that number wait in a queue, which never makes the loop wait. Dropping the handle
/// lets the job run; [`abort`](JoinHandle::abort) only stops a job that has not started.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # evenloop::block_on(async {
/// let text = evenloop::spawn_blocking(|| std::fs::read_to_string("Cargo.toml"));
/// assert!(text.await.unwrap().unwrap().contains("evenloop"));
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let birth = Birth::here();
    context::expect_shared("evenloop::spawn_blocking").spawn_blocking(f, birth)
}

/// Spawns a task with keywords: `partition`, `weight` and `name`, each optional, in any order.
///
/// Without keywords it is [`spawn()`]. The keywords are the methods of [`Spawn`](crate::Spawn):
/// `weight` sets the weight of the partition, also of one that exists; without `partition` it gives
/// the task a fresh partition of that weight. `name` is the task's name in reports.
///
/// # Panics
///
/// Outside a runtime, and if the weight is zero.
///
/// # Examples
///
/// ```
/// # evenloop::block_on(async {
/// let plain = evenloop::spawn!(async { 1 });
/// let health = evenloop::spawn!(async { 2 }, partition = "healthcheck");
/// let tenant = evenloop::spawn!(async { 3 }, partition = 17, weight = 4, name = "tenant 17");
/// assert_eq!(plain.await.unwrap() + health.await.unwrap() + tenant.await.unwrap(), 6);
/// # });
/// ```
#[macro_export]
macro_rules! spawn {
    ($fut:expr $(, $keyword:ident = $value:expr)* $(,)?) => {
        $crate::Spawn::new()$(.$keyword($value))*.spawn($fut)
    };
}

/// What [`spawn!`](crate::spawn!) collects before it spawns; of use by itself where a macro is not.
#[derive(Debug, Default)]
#[must_use = "nothing is spawned before `spawn`"]
pub struct Spawn {
    partition: Option<Partition>,
    weight: Option<u32>,
    name: Option<Box<str>>,
}

impl Spawn {
    /// Begins with the caller's partition and no name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the partition.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn partition(mut self, partition: impl IntoPartition) -> Self {
        let local = context::expect("Spawn::partition");
        self.partition = Some(partition.with_name(|name| match name {
            Name::Partition(partition) => partition.clone(),
            Name::Key(key) => {
                let id = local.core.borrow_mut().by_key(key, &local.shared);
                local.partition(id).expect("a partition that was just found or made")
            }
        }));
        self
    }

    /// Sets the weight of the partition; of a fresh one if none was named.
    ///
    /// # Panics
    ///
    /// When spawning, if it is zero.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Sets the task's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Spawns the task.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and if the weight is zero.
    #[track_caller]
    pub fn spawn<F>(self, fut: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let birth = Birth { name: self.name, ..Birth::here() };
        let local = context::expect("Spawn::spawn");
        let partition = match (self.partition, self.weight) {
            (None, None) => return local.spawn(fut, birth),
            (None, Some(_)) => Partition::anonymous(),
            (Some(partition), _) => partition,
        };
        if let Some(weight) = self.weight {
            partition.set_weight(weight);
        }
        local.spawn_in(&partition, fut, birth)
    }
}

impl Local {
    pub(crate) fn spawn_named<F>(
        &self,
        partition: impl IntoPartition,
        future: F,
        birth: Birth,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        partition.with_name(|name| match name {
            Name::Key(key) => self.spawn_by_key(key, future, birth),
            Name::Partition(partition) => self.spawn_in(partition, future, birth),
        })
    }
}

/// Goes to the back of the queue: the other handles of this partition run first, and the other
/// partitions take their turns as the budgets say.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
pub async fn yield_now() {
    YieldNow { yielded: false }.await;
}

struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
