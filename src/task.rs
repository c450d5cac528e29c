//! The task cell: a future, what is known of it, and what becomes of it.
//!
//! `async-task` holds the raw pointers: one allocation, atomic states, a waker that may outlive
//! everything. Here is what the loop adds: a header that says whose the task is, panics caught at
//! the poll, and an end that is reported once, however the task ends.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;

use crate::sched::PartitionId;

/// One poll to come of a task: what is queued in a partition.
pub(crate) type Runnable<L> = async_task::Runnable<Header<L>>;

/// The right to a task's outcome.
pub(crate) type Joint<T, L> = async_task::Task<Outcome<T, L>, Header<L>>;

/// What a caught panic carried.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// Returns the text of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Names a task: unique among the tasks of its runtime that live at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({:x})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Where tasks live: the loop, seen from a task.
pub(crate) trait Home: Send + Sync + Sized + 'static {
    /// Queues the task for another poll. Called by wakers, on any thread.
    fn schedule(task: Runnable<Self>);

    /// Forgets the task: its future has been dropped.
    fn ended(header: &Header<Self>);

    /// Takes note that the running task was polled and pends, if somebody said
    /// [`attend_polls`].
    fn pends();

    /// Reports a panic that no join handle took.
    fn unhandled(&self, id: TaskId, location: &'static Location<'static>, payload: Payload);

    /// Reports a panic of foreign code that belongs to no task any more.
    fn stray(payload: Payload);
}

/// What the loop keeps in the task's own allocation.
pub(crate) struct Header<L> {
    pub(crate) home: Arc<L>,
    pub(crate) id: TaskId,
    pub(crate) location: &'static Location<'static>,
    /// The id of the partition that the task is queued in, as bits; zero before it is registered.
    /// Written by the loop's thread alone.
    partition: AtomicU64,
    /// Where the loop's registry has the task; written by the loop's thread alone.
    key: AtomicU64,
    /// Whether the next poll is to be the last, and why: LIVE, ABORTED or REFUSED.
    verdict: AtomicU8,
}

const LIVE: u8 = 0;
const ABORTED: u8 = 1;
const REFUSED: u8 = 2;

impl<L> Header<L> {
    pub(crate) fn new(home: Arc<L>, id: TaskId, location: &'static Location<'static>) -> Self {
        Self {
            home,
            id,
            location,
            partition: AtomicU64::new(0),
            key: AtomicU64::new(0),
            verdict: AtomicU8::new(LIVE),
        }
    }

    /// Returns the partition the task was registered in last.
    #[inline]
    pub(crate) fn partition(&self) -> PartitionId {
        PartitionId::from_bits(self.partition.load(Ordering::Relaxed))
    }

    pub(crate) fn set_partition(&self, partition: PartitionId) {
        self.partition.store(partition.to_bits(), Ordering::Relaxed);
    }

    /// Returns the key in the loop's registry.
    #[inline]
    pub(crate) fn key(&self) -> u64 {
        self.key.load(Ordering::Relaxed)
    }

    pub(crate) fn set_key(&self, key: u64) {
        self.key.store(key, Ordering::Relaxed);
    }

    /// Makes the next poll the last: it drops the future.
    pub(crate) fn end(&self) {
        self.verdict.store(ABORTED, Ordering::Relaxed);
    }
}

impl<L> fmt::Debug for Header<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("id", &self.id).field("location", &self.location).finish()
    }
}

/// Ends a task that nobody takes in: its future is dropped here and now, unpolled, and its handle
/// says so. A runnable is never just dropped.
pub(crate) fn refuse<L: Home>(task: Runnable<L>) {
    task.metadata().verdict.store(REFUSED, Ordering::Relaxed);
    task.run();
}

/// How a task ended.
pub(crate) enum Outcome<T, L: Home> {
    Done(Output<T, L>),
    Cancelled,
    /// It was never taken in.
    Refused,
    Panicked(Caught<L>),
}

/// What a task returned, on its way to the join handle. If nobody takes it, it is dropped wherever
/// the last interest in the task ends, and a panic of its destructor stays inside.
pub(crate) struct Output<T, L: Home> {
    value: Option<T>,
    home: PhantomData<fn(L)>,
}

impl<T, L: Home> Output<T, L> {
    fn new(value: T) -> Self {
        Self { value: Some(value), home: PhantomData }
    }

    pub(crate) fn take(mut self) -> T {
        self.value.take().expect("an output is taken once, by value")
    }
}

impl<T, L: Home> Drop for Output<T, L> {
    fn drop(&mut self) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.value = None)) {
            L::stray(payload);
        }
    }
}

/// A panic on its way to the join handle; reported as unhandled if it is dropped on the way.
pub(crate) struct Caught<L: Home> {
    payload: Option<Payload>,
    home: Arc<L>,
    id: TaskId,
    location: &'static Location<'static>,
}

impl<L: Home> Caught<L> {
    fn new(header: &Header<L>, payload: Payload) -> Self {
        Self {
            payload: Some(payload),
            home: header.home.clone(),
            id: header.id,
            location: header.location,
        }
    }

    /// Hands the panic over to somebody who handles it.
    pub(crate) fn take(mut self) -> Payload {
        self.payload.take().expect("a panic is taken once, by value")
    }
}

impl<L: Home> Drop for Caught<L> {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.take() {
            self.home.unhandled(self.id, self.location, payload);
        }
    }
}

/// Makes a task of `future`. It runs when the runnable is run, for the first time when the caller
/// schedules it.
///
/// A future that is not `Send` must be run and dropped on one thread: see the proof inside.
pub(crate) fn cell<F, L>(header: Header<L>, future: F) -> (Runnable<L>, Joint<F::Output, L>)
where
    F: Future + 'static,
    F::Output: 'static,
    L: Home,
{
    let make = |header| Spawned { future: Some(future), header };
    // SAFETY: the contract of `spawn_unchecked` has four points.
    // The future need not be `Send`: if it is not, the loop's own thread makes the task, and the
    // runnable is run or dropped there only. `Home::schedule` queues it there, wherever the wake
    // came from, and shutdown waits until every future has been dropped on that thread before it
    // lets go of the queues. Tasks made or run on other threads have futures that are `Send`.
    // The future is `'static`; it borrows the header alone, which lives in the same allocation
    // and is freed after it.
    // The schedule function is a plain function: `'static`, `Send` and `Sync`.
    // The waker a task hands out is dropped anywhere; it frees the cell, never the future, since
    // the registry keeps a waker of its own until the future is gone.
    #[allow(unsafe_code)]
    let (runnable, task) =
        unsafe { async_task::Builder::new().metadata(header).spawn_unchecked(make, L::schedule) };
    (runnable, task)
}

thread_local! {
    /// The data of the waker that the running poll was given.
    static OWN: Cell<*const ()> = const { Cell::new(std::ptr::null()) };

    /// Whether the loop wants to know of polls that leave their task pending.
    static ATTENTIVE: Cell<bool> = const { Cell::new(false) };
}

/// Has [`Home::pends`] called on this thread, or not any more.
pub(crate) fn attend_polls(attentive: bool) {
    ATTENTIVE.set(attentive);
}

/// Tells the loop that its running task, or main future, was polled and pends.
#[inline]
pub(crate) fn pends<L: Home>() {
    if ATTENTIVE.get() {
        L::pends();
    }
}

/// Notes that a poll begins with a waker of ours, which is known not to panic.
#[inline]
pub(crate) fn polling_with(waker: &Waker) {
    OWN.set(waker.data());
}

/// Returns a waker to be called where a panic would be fatal: `waker` itself if it is that of the
/// running task, else one that catches what it throws.
pub(crate) fn contained<L: Home>(waker: &Waker) -> Cow<'_, Waker> {
    struct Contained<L: Home>(Option<Waker>, PhantomData<fn(L)>);
    impl<L: Home> Contained<L> {
        fn contain(f: impl FnOnce()) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
                L::stray(payload);
            }
        }
    }
    impl<L: Home> Drop for Contained<L> {
        fn drop(&mut self) {
            Self::contain(|| self.0 = None);
        }
    }
    impl<L: Home> Wake for Contained<L> {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }
        fn wake_by_ref(self: &Arc<Self>) {
            Self::contain(|| self.0.iter().for_each(Waker::wake_by_ref));
        }
    }
    if waker.data() == OWN.get() {
        return Cow::Borrowed(waker);
    }
    Cow::Owned(Waker::from(Arc::new(Contained::<L>(Some(waker.clone()), PhantomData))))
}

pin_project! {
    struct Spawned<'a, F, L: Home> {
        #[pin]
        future: Option<F>,
        header: &'a Header<L>,
    }

    impl<'a, F, L: Home> PinnedDrop for Spawned<'a, F, L> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Err(payload) = discard(this.future) {
                this.header.home.unhandled(this.header.id, this.header.location, payload);
            }
            L::ended(this.header);
        }
    }
}

/// Drops a future in place and catches what its destructors throw.
fn discard<F>(mut future: Pin<&mut Option<F>>) -> Result<(), Payload> {
    catch_unwind(AssertUnwindSafe(|| future.set(None)))
}

impl<F: Future, L: Home> Future for Spawned<'_, F, L> {
    type Output = Outcome<F::Output, L>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let header: &Header<L> = this.header;
        polling_with(cx.waker());
        let verdict = header.verdict.load(Ordering::Relaxed);
        if verdict != LIVE {
            return Poll::Ready(match discard(this.future) {
                Ok(()) if verdict == REFUSED => Outcome::Refused,
                Ok(()) => Outcome::Cancelled,
                Err(payload) => Outcome::Panicked(Caught::new(header, payload)),
            });
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            this.future.as_mut().as_pin_mut().expect("a finished task is not polled").poll(cx)
        }));
        match polled {
            Ok(Poll::Pending) => {
                pends::<L>();
                Poll::Pending
            }
            // The destructors run before the handle can see the end, and what they throw is the
            // task's own panic.
            Ok(Poll::Ready(output)) => Poll::Ready(match discard(this.future) {
                Ok(()) => Outcome::Done(Output::new(output)),
                Err(payload) => Outcome::Panicked(Caught::new(header, payload)),
            }),
            Err(payload) => {
                if let Err(second) = discard(this.future) {
                    header.home.unhandled(header.id, header.location, second);
                }
                Poll::Ready(Outcome::Panicked(Caught::new(header, payload)))
            }
        }
    }
}
