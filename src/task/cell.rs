//! The allocation of a task: its header, and behind it the future or what came of it.
//!
//! ```text
//!            waker   runnable   registry   join handle          a cell
//!              │        │          │            │       ┌──────────────────────┐
//!              └────────┴──────────┴────────────┴──────►│ header               │
//!                                                       │  word      all threads
//!                                                       │  local     loop's thread
//!                                                       │  joiner    see `Word`│
//!                                                       ├──────────────────────┤
//!                                                       │ stage                │
//!                                                       │  future ► outcome ► nothing
//!                                                       └──────────────────────┘
//! ```
//!
//! Nearly everything that happens to a task happens on its loop's thread, so what is needed most is
//! kept in a plain number there, [`Local`]: whether it is queued or running, and references. Other
//! threads count theirs in the [`Word`], the way of biased reference counting (Choi, Shull,
//! Torrellas: Biased Reference Counting, PACT 2018), and a wake of theirs is a notice to the loop.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::home::{Home, Outcome, Payload, TaskId};
use super::sync::{AtomicU32, AtomicU64, Ordering, UnsafeCell};
use super::waker;
use super::word::{Left, Word};

/// What is known of a task whatever its future is.
pub(crate) struct Header<L: Home> {
    vtable: &'static VTable<L>,
    home: Arc<L>,
    pub(super) word: Word,
    pub(super) local: Local,
    /// Where the loop's registry has the task; written by the loop's thread alone.
    index: AtomicU32,
    /// The partition that the task is queued in, as bits; written by the loop's thread alone.
    place: AtomicU64,
    id: TaskId,
    location: &'static Location<'static>,
    /// The waker of who awaits the outcome. The flag WAITED says whose it is.
    joiner: UnsafeCell<Option<Waker>>,
}

/// A task whose index was not set yet.
const NOWHERE: u32 = u32::MAX;

impl<L: Home> Header<L> {
    #[inline]
    pub(crate) fn home(&self) -> &Arc<L> {
        &self.home
    }

    #[inline]
    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    #[inline]
    pub(super) fn vtable(&self) -> &'static VTable<L> {
        self.vtable
    }

    /// The place of the waker of who awaits the outcome.
    pub(super) fn joiner(&self) -> &UnsafeCell<Option<Waker>> {
        &self.joiner
    }

    /// Where it was spawned.
    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// The slot in the loop's registry; meaningless before the task [`arrived`](Self::has_arrived).
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    /// Whether the loop has ever had the task in its registry.
    pub(crate) fn has_arrived(&self) -> bool {
        self.index() != NOWHERE
    }

    pub(crate) fn set_index(&self, index: u32) {
        self.index.store(index, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    pub(crate) fn set_place(&self, place: u64) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// Whether this thread may use [`Local`]: it runs the task's loop, and the task goes on.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.home.is_here() && !self.local.is_given_up()
    }
}

impl<L: Home> fmt::Debug for Header<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id).field("location", &self.location).finish()
    }
}

/// What the loop's thread knows of a task: three flags, and above them references.
///
/// Atomic only so that it can be shared; every access is a plain load or store.
///
/// | state              | wake                | run      | pends                  | ends     |
/// |--------------------|---------------------|----------|------------------------|----------|
/// | waits              | QUEUED, and queued  |          |                        |          |
/// | QUEUED             | QUEUED              | RUNNING  |                        |          |
/// | RUNNING            | RUNNING and QUEUED  |          | waits                  | GIVEN_UP |
/// | RUNNING and QUEUED | the same            |          | QUEUED, and queued     | GIVEN_UP |
/// | GIVEN_UP           | GIVEN_UP            |          |                        |          |
#[derive(Debug)]
pub(super) struct Local(AtomicU32);

const QUEUED: u32 = 1;
const RUNNING: u32 = 1 << 1;
/// The word counts all references, and nothing here is written any more.
const GIVEN_UP: u32 = 1 << 2;
const ONE: u32 = 1 << 3;

impl Local {
    /// A new task is on its way to a queue, and refers to itself.
    fn new() -> Self {
        Self(AtomicU32::new(QUEUED + ONE))
    }

    /// Of a task that has no loop.
    fn without_loop() -> Self {
        Self(AtomicU32::new(GIVEN_UP))
    }

    #[inline]
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, bits: u32) {
        self.0.store(bits, Ordering::Relaxed);
    }

    #[inline]
    fn is_given_up(&self) -> bool {
        self.get() & GIVEN_UP != 0
    }

    /// Takes note of a wake. Returns whether the task is to be queued.
    #[inline]
    pub(super) fn wake(&self) -> bool {
        let bits = self.get();
        if bits & (QUEUED | GIVEN_UP) != 0 {
            return false;
        }
        self.set(bits | QUEUED);
        bits & RUNNING == 0
    }

    /// Begins a poll.
    #[inline]
    pub(super) fn begin(&self) {
        self.set(self.get() & !QUEUED | RUNNING);
    }

    /// Ends a poll that left the task pending. Returns whether it was woken meanwhile.
    #[inline]
    pub(super) fn pend(&self) -> bool {
        let bits = self.get() & !RUNNING;
        self.set(bits);
        bits & QUEUED != 0
    }

    /// Counts one reference more. What does not fit is counted in `word`.
    #[inline]
    pub(super) fn retain(&self, word: &Word) {
        match (self.get() as i32).checked_add(ONE as i32) {
            Some(bits) => self.set(bits as u32),
            None => word.retain(),
        }
    }

    /// Counts one reference less; the task itself keeps the last one.
    #[inline]
    pub(super) fn release(&self, word: &Word) {
        match (self.get() as i32).checked_sub(ONE as i32) {
            Some(bits) => self.set(bits as u32),
            None => word.retain_many(-1),
        }
    }

    /// Returns the references, for the word to count from now on.
    fn give_up(&self) -> isize {
        let bits = self.get();
        if bits & GIVEN_UP != 0 {
            // The task never had a loop. Another thread than this one may look.
            return 0;
        }
        self.set(GIVEN_UP);
        (bits as i32 >> ONE.trailing_zeros()) as isize
    }
}

/// What depends on the future. The first two are for who holds the runnable, and give it up if the
/// task ends; `take` and `discard` for who owns the outcome; `free` for the last reference.
pub(super) struct VTable<L: Home> {
    /// Polls the future. If that is done, or panics, ends the task and returns `false`.
    pub(super) poll: unsafe fn(NonNull<Header<L>>) -> bool,
    /// Drops the future unpolled and ends the task.
    pub(super) cancel: unsafe fn(NonNull<Header<L>>, Verdict),
    /// Moves the outcome, which is there, to where the pointer points: a place for one.
    pub(super) take: unsafe fn(NonNull<Header<L>>, *mut ()),
    /// Drops the outcome, which is there.
    pub(super) discard: unsafe fn(NonNull<Header<L>>),
    pub(super) free: unsafe fn(NonNull<Header<L>>),
}

/// Why a task is ended without another poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Aborted,
    Refused,
}

#[repr(C)]
struct Cell<F: Future, L: Home> {
    // First, so that a pointer to the cell is one to its header.
    header: Header<L>,
    stage: UnsafeCell<Stage<F>>,
}

/// The future until the task ends, then the outcome until that is taken or discarded. Which it is,
/// the word and the local state say, so that no space is spent on it.
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<F::Output>>,
}

/// Where a task is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stays {
    /// On the thread of its loop.
    OnLoop,
    /// On whatever thread runs it, to its end.
    Nowhere,
}

/// Makes a task of `future`, which refers to itself; a join handle's reference is counted too.
pub(super) fn make<F, L>(
    home: Arc<L>,
    id: TaskId,
    location: &'static Location<'static>,
    stays: Stays,
    future: F,
) -> NonNull<Header<L>>
where
    F: Future + 'static,
    L: Home,
{
    let (local, word) = match stays {
        Stays::OnLoop => (Local::new(), Word::new(1)),
        Stays::Nowhere => (Local::without_loop(), Word::new(2)),
    };
    let cell = Cell {
        header: Header {
            vtable: &Cell::<F, L>::VTABLE,
            home,
            word,
            local,
            index: AtomicU32::new(NOWHERE),
            place: AtomicU64::new(0),
            id,
            location,
            joiner: UnsafeCell::new(None),
        },
        stage: UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }),
    };
    NonNull::from(Box::leak(Box::new(cell))).cast()
}

#[allow(unsafe_code)]
impl<F: Future, L: Home> Cell<F, L> {
    const VTABLE: VTable<L> = VTable {
        poll: Self::poll,
        cancel: Self::cancel,
        take: Self::take,
        discard: Self::discard,
        free: Self::free,
    };

    /// # Safety
    ///
    /// `task` is a cell of this type that lives.
    unsafe fn stage<'a>(task: NonNull<Header<L>>) -> &'a UnsafeCell<Stage<F>> {
        // SAFETY: the header is the cell's first field and the pointer was made from the whole.
        unsafe { &task.cast::<Self>().as_ref().stage }
    }

    unsafe fn poll(task: NonNull<Header<L>>) -> bool {
        // SAFETY: the caller holds the runnable, so the task lives.
        let stage = unsafe { Self::stage(task) };
        // SAFETY: the waker is not dropped, so the reference it does not have is not given up; what
        // is cloned of it counts itself.
        let waker = ManuallyDrop::new(unsafe { waker::borrowed(task) });
        let mut cx = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            stage.with_mut(|stage| {
                // SAFETY: the stage is for who holds the runnable until the task has ended, and has
                // the future until then, which stays where it is until it is dropped there.
                let future = unsafe { Pin::new_unchecked(&mut *(*stage).future) };
                future.poll(&mut cx)
            })
        }));
        let outcome = match polled {
            Ok(Poll::Pending) => return true,
            Ok(Poll::Ready(output)) => Outcome::Done(output),
            Err(payload) => Outcome::Panicked(payload),
        };
        // SAFETY: as above.
        unsafe { Self::end(task, outcome) };
        false
    }

    unsafe fn cancel(task: NonNull<Header<L>>, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Aborted => Outcome::Cancelled,
            Verdict::Refused => Outcome::Refused,
        };
        // SAFETY: the caller holds the runnable.
        unsafe { Self::end(task, outcome) };
    }

    /// Drops the future and hands the outcome over. The task may be freed when this returns.
    unsafe fn end(task: NonNull<Header<L>>, outcome: Outcome<F::Output>) {
        // SAFETY: the caller holds the runnable, so the task lives and nobody else uses the stage.
        let (stage, header) = unsafe { (Self::stage(task), task.as_ref()) };
        // The destructors run before the handle can see the end, and what they throw is the task's
        // own panic.
        let dropped = contained(|| {
            stage.with_mut(|stage| {
                // SAFETY: the future is dropped in place, once: from here on it is not looked at,
                // also if this panics.
                unsafe { ManuallyDrop::drop(&mut (*stage).future) };
            });
        });
        let outcome = match (outcome, dropped) {
            (outcome, Ok(())) => outcome,
            (Outcome::Panicked(first), Err(second)) => {
                header.home.unhandled(header.id, header.location, second);
                Outcome::Panicked(first)
            }
            (Outcome::Done(output), Err(payload)) => {
                if let Err(second) = contained(|| drop(output)) {
                    header.home.stray(second);
                }
                Outcome::Panicked(payload)
            }
            (_, Err(payload)) => Outcome::Panicked(payload),
        };
        L::ended(header);
        let outcome = Stage { outcome: ManuallyDrop::new(outcome) };
        // SAFETY: the future is gone, so the stage is free.
        stage.with_mut(|stage| unsafe { stage.write(outcome) });
        // SAFETY: the runnable is given up here.
        unsafe { complete(task) };
    }

    unsafe fn take(task: NonNull<Header<L>>, to: *mut ()) {
        // SAFETY: the caller has a reference, has seen DONE, and takes the outcome once.
        let outcome = unsafe { Self::outcome(task) };
        // SAFETY: the caller points to a place for the outcome of this type.
        unsafe { to.cast::<Outcome<F::Output>>().write(outcome) };
    }

    unsafe fn discard(task: NonNull<Header<L>>) {
        // SAFETY: as in `take`.
        let outcome = unsafe { Self::outcome(task) };
        // SAFETY: the caller has a reference.
        let header = unsafe { task.as_ref() };
        match outcome {
            Outcome::Panicked(payload) => {
                header.home.unhandled(header.id, header.location, payload);
            }
            Outcome::Done(output) => {
                if let Err(payload) = contained(|| drop(output)) {
                    header.home.stray(payload);
                }
            }
            Outcome::Cancelled | Outcome::Refused => {}
        }
    }

    /// Moves the outcome out of the stage.
    unsafe fn outcome(task: NonNull<Header<L>>) -> Outcome<F::Output> {
        // SAFETY: the caller has a reference.
        let stage = unsafe { Self::stage(task) };
        // SAFETY: the caller owns the outcome, and nobody reads the stage after this.
        stage.with_mut(|stage| unsafe { ManuallyDrop::take(&mut (*stage).outcome) })
    }

    unsafe fn free(task: NonNull<Header<L>>) {
        // SAFETY: nobody refers to the task any more, and it was made by `Box`.
        let cell = unsafe { Box::from_raw(task.cast::<Self>().as_ptr()) };
        // What was in the stage is gone by now, and no waker is left.
        drop(cell);
    }
}

/// Runs foreign code, and catches what it throws.
pub(super) fn contained(f: impl FnOnce()) -> Result<(), Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Publishes the outcome, wakes who awaits it, and gives up the task's reference to itself.
///
/// # Safety
///
/// The outcome is there, and the caller held the runnable.
#[allow(unsafe_code)]
unsafe fn complete<L: Home>(task: NonNull<Header<L>>) {
    // SAFETY: the task refers to itself until the end of this function.
    let header = unsafe { task.as_ref() };
    let kept = header.local.give_up();
    let left = match header.word.complete(kept, false) {
        Some(left) => left,
        None => {
            // SAFETY: nobody wants the outcome, so it is ours.
            unsafe { (header.vtable.discard)(task) };
            header.word.complete(kept, true).expect("an outcome that was discarded is no obstacle")
        }
    };
    match left {
        Left::Nothing => {}
        // SAFETY: that was the last reference.
        Left::Free => unsafe { (header.vtable.free)(task) },
        Left::Wake => {
            // SAFETY: WAITED was set when DONE was, so the waker is ours.
            let waker = header.joiner.with_mut(|joiner| unsafe { (*joiner).take() });
            if let Some(waker) = waker {
                match waker::into_task::<L>(waker) {
                    Ok(joiner) => joiner.wake(),
                    Err(waker) => wake_foreign(header, waker),
                }
            }
            // SAFETY: this is the task's own reference.
            unsafe { release_shared(task) };
        }
    }
}

/// Calls a waker that is not of a task.
#[inline(never)]
fn wake_foreign<L: Home>(header: &Header<L>, waker: Waker) {
    // One after the other: it may throw when it is called and when it is dropped.
    for thrown in [contained(|| waker.wake_by_ref()), contained(|| drop(waker))] {
        if let Err(payload) = thrown {
            header.home.stray(payload);
        }
    }
}

/// Gives up a reference that the word counts.
///
/// # Safety
///
/// There is one to give up.
#[allow(unsafe_code)]
pub(super) unsafe fn release_shared<L: Home>(task: NonNull<Header<L>>) {
    // SAFETY: the reference keeps the task until here, and the last one frees it.
    unsafe {
        if task.as_ref().word.release() {
            (task.as_ref().vtable.free)(task);
        }
    }
}
