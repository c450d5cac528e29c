//! Partitions as users hold them.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::driver::PollerId;
use crate::instrument::PartitionMetrics;
use crate::runtime::context;
use crate::runtime::directory::{Key, KeyRef, Plan, Target};
use crate::runtime::info::PartitionInfo;
use crate::runtime::join::JoinHandle;
use crate::runtime::local::{Birth, Local};
use crate::runtime::shared::{Message, Shared};
use crate::sched::{PartitionId, Weight};

/// One fair share of the loop: a queue of handles with its own timers and sockets.
///
/// A partition exists while a task, a timer, a socket or a `Partition` refers to it, and is freed
/// afterwards; a name then is free again. Cloning is cheap, and a `Partition` may be used and
/// dropped on any thread.
///
/// # Sizing
///
/// A partition keeps its promise of latency while what it asks for stays within the share its
/// weight gives it. One that asks for more still gets its share, but waits like everybody else.
///
/// # Examples
///
/// ```
/// use evenloop::Partition;
///
/// evenloop::block_on(async {
///     let bulk = Partition::builder("bulk").weight(4).group("tenants").build();
///     let task = bulk.spawn(async { Partition::current().name() });
///     assert_eq!(task.await.unwrap(), "bulk");
///
///     // The same partition, found by its name.
///     assert_eq!(Partition::named("bulk"), bulk);
/// });
/// ```
pub struct Partition {
    shared: Arc<Shared>,
    info: Arc<PartitionInfo>,
    /// Whether it keeps the partition alive.
    counted: bool,
}

impl Clone for Partition {
    fn clone(&self) -> Self {
        if self.counted {
            self.info.hold();
        }
        Self { shared: self.shared.clone(), info: self.info.clone(), counted: self.counted }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if !self.counted || !self.info.release() {
            return;
        }
        let id = self.info.id;
        // On the loop's thread too the release may come while the loop's state is borrowed, if it
        // is in the middle of something: then it takes the way of the other threads.
        let released =
            context::with_loop(&self.shared, |local| match local.core.try_borrow_mut() {
                Ok(mut core) => {
                    core.directory.check_unused(id);
                    true
                }
                Err(_) => false,
            });
        if released != Some(true) {
            // A loop that is gone holds no partitions.
            let _ = self.shared.send(Message::Release(id));
        }
    }
}

impl Partition {
    /// A handle, which keeps the partition alive. Its loop alone makes one without having one.
    pub(crate) fn new(shared: &Arc<Shared>, info: &Arc<PartitionInfo>) -> Self {
        info.hold();
        Self { shared: shared.clone(), info: info.clone(), counted: true }
    }

    /// A view from outside, which does not keep the partition alive.
    pub(crate) fn observe(shared: &Arc<Shared>, info: Arc<PartitionInfo>) -> Self {
        Self { shared: shared.clone(), info, counted: false }
    }

    /// Returns the partition called `name`, which is made if there is none.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::builder(name).build()
    }

    /// Makes a partition without a name: another one with each call.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use]
    pub fn anonymous() -> Self {
        PartitionBuilder::anonymous().build()
    }

    /// Begins to describe the partition called `name`.
    pub fn builder(name: &str) -> PartitionBuilder {
        PartitionBuilder {
            plan: Plan { key: Some(Key::Name(name.into())), ..Plan::default() },
            group_weight: None,
        }
    }

    /// Returns the partition of the running task, or ROOT between tasks.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use]
    pub fn current() -> Self {
        let local = context::expect("Partition::current");
        let id = local.core.borrow().scope();
        local.partition(id).expect("the current partition exists")
    }

    /// Returns ROOT, the partition of everything that was not spawned into another one.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use]
    pub fn root() -> Self {
        let local = context::expect("Partition::root");
        let id = local.core.borrow().sched.root();
        local.partition(id).expect("ROOT always exists")
    }

    /// Spawns `future` here: even its first poll is queued in this partition.
    ///
    /// On a closed partition the task is refused: see [`JoinError::is_refused`].
    ///
    /// # Panics
    ///
    /// Outside the runtime the partition belongs to. From another thread use
    /// [`Handle::spawn_in`](crate::Handle::spawn_in).
    ///
    /// [`JoinError::is_refused`]: crate::JoinError::is_refused
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let birth = Birth::here();
        context::expect("Partition::spawn").spawn_in(self, future, birth)
    }

    /// Returns the name: as given, the number in digits, `ROOT`, or `#` and the slot of an
    /// anonymous one.
    #[must_use]
    pub fn name(&self) -> String {
        self.info.name()
    }

    /// Returns the name of the group the partition is in, if it is in one.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.info.group()
    }

    /// Returns the weight: the share is this over the weights of all that have work.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.info.weight.load(Ordering::Relaxed)
    }

    /// Changes the weight, from any thread. What the partition has had so far keeps counting in
    /// proportion.
    ///
    /// # Panics
    ///
    /// If `weight` is zero: a partition without a share would never run. Close it instead.
    #[track_caller]
    pub fn set_weight(&self, weight: u32) {
        let weight = Weight::of(weight);
        let id = self.id();
        self.shared.on_loop(move |local| local.core.borrow_mut().set_weight(id, weight));
    }

    /// Returns the counters as they stand now, those of the state in progress included.
    #[must_use]
    pub fn metrics(&self) -> PartitionMetrics {
        self.info.metrics(self.shared.now())
    }

    /// Returns the load, from 0.0 to 1.0: how much of the last second or so the partition had
    /// something to run. Right also during a stall, and on any thread.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.info.load(self.shared.now())
    }

    /// Closes the partition: from now on it takes in nothing from outside, neither what is spawned
    /// nor a task that would move there. Its own tasks may still spawn within it while they run to
    /// their end ([`Close::Drain`]), or are aborted ([`Close::Cancel`]). It is freed when the last of
    /// them is gone.
    ///
    /// Its own are all tasks that are in it, those included that have come for a
    /// [`within`](crate::within) or are on their way, and those that are away for one: they come
    /// back to it although it is closed. The future of `block_on` is not aborted, wherever it is.
    ///
    /// ROOT can be closed like any other; it exists all the same.
    pub fn close(&self, how: Close) {
        self.info.close();
        if how == Close::Drain {
            return;
        }
        let id = self.id();
        self.shared.on_loop(move |local| local.abort_all_in(id));
    }

    /// Returns whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.info.is_closed()
    }

    pub(crate) fn id(&self) -> PartitionId {
        self.info.id
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The id, for use by the loop behind `shared`.
    #[track_caller]
    pub(crate) fn id_in(&self, shared: &Arc<Shared>) -> PartitionId {
        let same = Arc::ptr_eq(&self.shared, shared);
        assert!(same, "partition {:?} belongs to another runtime than this one", self.name());
        self.id()
    }
}

impl Local {
    /// Aborts every task that is in a partition, or belongs there and is away for a `within`.
    /// O(tasks of the loop).
    fn abort_all_in(&self, partition: PartitionId) {
        let tasks = self.core.borrow().tasks.of(partition);
        for task in tasks {
            task.abort();
        }
    }
}

impl PartialEq for Partition {
    /// The same partition of the same runtime.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.info, &other.info)
    }
}

impl Eq for Partition {}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("name", &self.name())
            .field("group", &self.group())
            .field("weight", &self.weight())
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// What becomes of the tasks of a partition that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// They run to their end.
    Drain,
    /// They are aborted: each is dropped at its next poll, which is queued at once. What their
    /// destructors spawn there runs to its end.
    Cancel,
}

/// Describes a partition before it is made.
#[derive(Debug)]
#[must_use = "nothing is made before `build`"]
pub struct PartitionBuilder {
    plan: Plan,
    group_weight: Option<Weight>,
}

impl PartitionBuilder {
    /// Describes a partition without a name.
    pub fn anonymous() -> Self {
        Self { plan: Plan::default(), group_weight: None }
    }

    /// Describes the partition with the number `key`, such as a tenant's.
    pub fn numbered(key: u64) -> Self {
        let plan = Plan { key: Some(Key::Number(key.into())), ..Plan::default() };
        Self { plan, group_weight: None }
    }

    /// Sets the weight; 1 if it is not set.
    ///
    /// # Panics
    ///
    /// If it is zero: a partition without a share would never run.
    #[track_caller]
    pub fn weight(mut self, weight: u32) -> Self {
        self.plan.weight = Some(Weight::of(weight));
        self
    }

    /// Puts the partition into a group: all its members together hold one share, however many
    /// they are.
    pub fn group(mut self, name: &str) -> Self {
        self.plan.group = Some((name.into(), None));
        self
    }

    /// Sets the weight of the group itself; 1 if nobody sets it.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn group_weight(mut self, weight: u32) -> Self {
        self.group_weight = Some(Weight::of(weight));
        self
    }

    /// Gives the partition, or the group it is in, a poller of its own in the kernel, so that
    /// thousands of ready sockets there delay nobody else's. Costs a file descriptor and some
    /// microseconds when made; meant for dozens, not thousands. Where pollers cannot be nested
    /// (Windows) the shared one is used.
    pub fn isolated_io(mut self, isolated: bool) -> Self {
        self.plan.isolated = isolated;
        self
    }

    /// Makes the partition, or finds the one that goes by the name; a weight that was set applies
    /// either way, and a group only to a partition that is made.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and if the operating system refuses the poller of an isolated one, where
    /// [`try_build`](Self::try_build) gives an error.
    #[track_caller]
    #[must_use]
    pub fn build(self) -> Partition {
        match self.try_build() {
            Ok(partition) => partition,
            Err(error) => panic!("no poller could be made for an isolated partition: {error}"),
        }
    }

    /// Makes the partition as [`build`](Self::build) does.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the poller of an isolated partition, as when descriptors
    /// have run out. A partition that was made for it is gone again; one that went by the name
    /// before stays as it was, but for a weight that was set.
    #[track_caller]
    pub fn try_build(self) -> io::Result<Partition> {
        context::expect("building a Partition").build(self.plan, self.group_weight)
    }
}

impl Local {
    fn build(
        self: &std::rc::Rc<Self>,
        mut plan: Plan,
        group_weight: Option<Weight>,
    ) -> io::Result<Partition> {
        let isolated = plan.isolated;
        if let Some(group) = &mut plan.group {
            group.1 = group_weight;
        }
        let known =
            plan.key.as_ref().and_then(|key| self.core.borrow().directory.find(key.as_ref()));
        let id = match (known, plan.weight) {
            (Some(id), Some(weight)) => {
                self.core.borrow_mut().set_weight(id, weight);
                id
            }
            (Some(id), None) => id,
            (None, _) => self.core.borrow_mut().create(plan, &self.shared),
        };
        let partition = self.partition(id).expect("a partition that was just found or made");
        if isolated && self.core.borrow().poller_of(id) == PollerId::SHARED {
            let poller = self.driver.borrow_mut().isolate()?;
            self.core.borrow_mut().set_poller(id, poller);
        }
        Ok(partition)
    }
}

/// What names a partition: a string, a number, or a [`Partition`].
///
/// A name or number that nobody uses yet makes a partition of weight 1. The number 7 is the same
/// partition whatever its type, and another one than the name "7".
pub trait IntoPartition: sealed::Named {}

impl<T: sealed::Named> IntoPartition for T {}

pub(crate) mod sealed {
    use super::{KeyRef, Partition};

    /// A name on loan.
    #[derive(Debug)]
    pub enum Name<'a> {
        #[doc(hidden)]
        Key(KeyRef<'a>),
        #[doc(hidden)]
        Partition(&'a Partition),
    }

    pub trait Named {
        fn with_name<R>(self, f: impl FnOnce(Name<'_>) -> R) -> R;
    }
}

use sealed::{Name, Named};

impl Target {
    pub(crate) fn as_name(&self) -> Name<'_> {
        match self {
            Self::Key(key) => Name::Key(key.as_ref()),
            Self::Partition(partition) => Name::Partition(partition),
            Self::Root => unreachable!("nobody but other threads asks for nothing"),
        }
    }
}

impl Name<'_> {
    /// A target that may travel to the loop.
    pub(crate) fn to_target(&self) -> Target {
        match self {
            Self::Key(key) => Target::Key((*key).into()),
            Self::Partition(partition) => Target::Partition((*partition).clone()),
        }
    }
}

macro_rules! named_by_text {
    ($($text:ty),*) => {$(
        impl Named for $text {
            fn with_name<R>(self, f: impl FnOnce(Name<'_>) -> R) -> R {
                f(Name::Key(KeyRef::Name(&self)))
            }
        }
    )*};
}

named_by_text!(&str, &&str, String, &String, Cow<'_, str>, Box<str>, Arc<str>);

macro_rules! named_by_number {
    ($($number:ty),*) => {$(
        impl Named for $number {
            fn with_name<R>(self, f: impl FnOnce(Name<'_>) -> R) -> R {
                f(Name::Key(KeyRef::Number(self as i128)))
            }
        }
    )*};
}

named_by_number!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl Named for Partition {
    fn with_name<R>(self, f: impl FnOnce(Name<'_>) -> R) -> R {
        f(Name::Partition(&self))
    }
}

impl Named for &Partition {
    fn with_name<R>(self, f: impl FnOnce(Name<'_>) -> R) -> R {
        f(Name::Partition(self))
    }
}
