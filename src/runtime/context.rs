//! Which loop this thread runs, and which ones it has entered.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::clock;
use crate::runtime::local::Local;
use crate::runtime::shared::Shared;
use crate::sched::PartitionId;
use crate::task::Runnable;

thread_local! {
    // Without a destructor the cells outlive all others of their thread, so that a runtime kept in
    // one of those still finds itself when it shuts down. `Entered` is what empties them.

    /// The loop that was entered last, if it lives on this thread.
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<Local>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };

    /// What threads share of the loop in `CURRENT`, by its address.
    static HERE: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };

    /// Everything that was entered, the last on top.
    static FRAMES: ManuallyDrop<RefCell<Option<Rc<Frame>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };

    /// The loops that live on this thread, entered or not.
    static RESIDENTS: ManuallyDrop<RefCell<Vec<Weak<Local>>>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };

    /// The loop, by its address, and the partition, as bits, of the handles that run; zeros in
    /// between.
    static HANDLE: Cell<(usize, u64)> = const { Cell::new((0, 0)) };
}

/// Notes that handles of a partition begin, one after the other.
#[inline]
pub(crate) fn begin_handles(shared: &Arc<Shared>, partition: PartitionId) {
    HANDLE.set((Arc::as_ptr(shared).addr(), partition.to_bits()));
}

/// Notes that they have ended.
#[inline]
pub(crate) fn end_handles() {
    HANDLE.set((0, 0));
}

/// Whether a handle of `partition` runs on this thread: a load and two comparisons. `false` also
/// while a delivery of the partition runs, or its destructors at the end.
#[inline]
pub(crate) fn is_handle_of(shared: &Arc<Shared>, partition: PartitionId) -> bool {
    HANDLE.get() == (Arc::as_ptr(shared).addr(), partition.to_bits())
}

/// A loop that this thread is in.
#[derive(Debug)]
struct Frame {
    place: Place,
    /// Whether this thread is busy with it until it is left, as in `block_on`.
    busy: bool,
    /// It was left, but not in order: those above it keep it in its place.
    left: Cell<bool>,
    outer: Option<Rc<Frame>>,
}

#[derive(Debug)]
enum Place {
    /// The loop lives on this thread.
    Here(Rc<Local>),
    /// It lives on another one, or not any more.
    Elsewhere(Arc<Shared>),
}

impl Frame {
    fn local(&self) -> Option<&Rc<Local>> {
        match &self.place {
            Place::Here(local) => Some(local),
            Place::Elsewhere(_) => None,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        match &self.place {
            Place::Here(local) => &local.shared,
            Place::Elsewhere(shared) => shared,
        }
    }
}

/// Leaves the loop again when dropped, back to the one it was entered from.
///
/// Out of order it works as well: the loop is forgotten, and those that were entered later stay.
#[derive(Debug)]
pub(crate) struct Entered {
    frame: Rc<Frame>,
}

impl Entered {
    /// Leaves the loop, once. Returns whether it was the one entered last.
    pub(crate) fn leave(&self) -> bool {
        if self.frame.left.replace(true) {
            return true;
        }
        let top = FRAMES.with(|frames| frames.borrow().clone());
        let in_order = top.as_ref().is_some_and(|top| Rc::ptr_eq(top, &self.frame));
        let mut stays = top;
        while let Some(frame) = stays.take_if(|frame| frame.left.get()) {
            stays.clone_from(&frame.outer);
        }
        put_on_top(stays);
        in_order
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Makes `local`, which lives on this thread, the loop of it, and runs it until it is left.
///
/// The thread may be in another: a loop can end inside of one, though not run.
#[must_use = "the loop is left again when this is dropped"]
pub(crate) fn enter_busy(local: Rc<Local>) -> Entered {
    push(Place::Here(local), true)
}

/// Makes the loop that `shared` belongs to the one of this thread.
#[must_use = "the loop is left again when this is dropped"]
pub(crate) fn enter(shared: &Arc<Shared>) -> Entered {
    push(place_of(shared), false)
}

/// Makes the loop that `shared` belongs to, and which runs elsewhere, the one of this thread, which
/// waits for it until it is left.
#[must_use = "the loop is left again when this is dropped"]
pub(crate) fn enter_waiting(shared: &Arc<Shared>) -> Entered {
    push(Place::Elsewhere(shared.clone()), true)
}

fn place_of(shared: &Arc<Shared>) -> Place {
    resident(shared).map_or_else(|| Place::Elsewhere(shared.clone()), Place::Here)
}

fn push(place: Place, busy: bool) -> Entered {
    let outer = FRAMES.with(|frames| frames.borrow().clone());
    let frame = Rc::new(Frame { place, busy, left: Cell::new(false), outer });
    put_on_top(Some(frame.clone()));
    Entered { frame }
}

fn put_on_top(frame: Option<Rc<Frame>>) {
    let local = frame.as_ref().and_then(|frame| frame.local().cloned());
    clock::tell_by(frame.as_ref().map(|frame| &frame.shared().time));
    HERE.set(local.as_ref().map_or(std::ptr::null(), |local| Arc::as_ptr(&local.shared)));
    let old_local = CURRENT.with(|current| current.replace(local));
    let old_frame = FRAMES.with(|frames| frames.replace(frame));
    // With nothing borrowed: it may be the end of a loop, and of instruments of its user.
    drop((old_local, old_frame));
}

/// The frames of this thread that were not left, the last one first, until `f` finds something.
fn find_frame<R>(mut f: impl FnMut(&Frame) -> Option<R>) -> Option<R> {
    let mut next = FRAMES.with(|frames| frames.borrow().clone());
    while let Some(frame) = next {
        let found = if frame.left.get() { None } else { f(&frame) };
        if found.is_some() {
            return found;
        }
        next = frame.outer.clone();
    }
    None
}

/// Notes that a loop lives on this thread from now on.
pub(crate) fn settle(local: &Rc<Local>) {
    RESIDENTS.with(|residents| residents.borrow_mut().push(Rc::downgrade(local)));
}

/// Notes that a loop has ended.
pub(crate) fn unsettle(local: &Rc<Local>) {
    RESIDENTS.with(|residents| {
        let mut residents = residents.borrow_mut();
        residents.retain(|resident| !std::ptr::eq(resident.as_ptr(), Rc::as_ptr(local)));
        if residents.is_empty() {
            // The thread would leave the space behind.
            residents.shrink_to_fit();
        }
    });
}

/// Returns the loop that `shared` belongs to, if it lives on this thread. O(loops of the thread).
pub(crate) fn resident(shared: &Arc<Shared>) -> Option<Rc<Local>> {
    RESIDENTS.with(|residents| {
        let residents = residents.borrow();
        let mut locals = residents.iter().filter_map(Weak::upgrade);
        locals.find(|local| Arc::ptr_eq(&local.shared, shared))
    })
}

/// Refuses to run a loop inside a loop.
///
/// # Panics
///
/// If this thread runs a loop already, or waits for one.
#[track_caller]
pub(crate) fn refuse_nesting() {
    assert!(
        find_frame(|frame| frame.busy.then_some(())).is_none(),
        "this thread runs an evenloop already, and a loop inside a loop would stop the outer one: \
         `.await` the future, `spawn` it, or move the call to `spawn_blocking`"
    );
}

/// Returns the loop this thread is in, if it lives here.
pub(crate) fn get() -> Option<Rc<Local>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Returns the loop this thread is in, wherever it lives.
#[inline]
pub(crate) fn shared() -> Option<Arc<Shared>> {
    let here = CURRENT.with(|current| current.borrow().as_ref().map(|local| local.shared.clone()));
    here.or_else(shared_elsewhere)
}

#[cold]
fn shared_elsewhere() -> Option<Arc<Shared>> {
    find_frame(|frame| Some(frame.shared().clone()))
}

/// Returns the loop this thread is in.
///
/// # Panics
///
/// If it is in none, or in one that lives elsewhere; the message names what was called and says
/// what to do.
#[track_caller]
pub(crate) fn expect(what: &str) -> Rc<Local> {
    match get() {
        Some(local) => local,
        None if shared().is_some() => panic!(
            "{what} needs the thread of its evenloop, and this one has only entered it: spawn by \
             `Handle::spawn` or `Handle::spawn_in`, from any thread, a future that does it"
        ),
        None => panic!("{}", Missing(what)),
    }
}

/// Returns the loop this thread is in, wherever it lives.
///
/// # Panics
///
/// If it is in none; the message names what was called and says what to do.
#[track_caller]
pub(crate) fn expect_shared(what: &str) -> Arc<Shared> {
    match shared() {
        Some(shared) => shared,
        None => panic!("{}", Missing(what)),
    }
}

/// Says that something needs a loop and where to find one.
pub(crate) struct Missing<'a>(pub(crate) &'a str);

impl std::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} needs a running evenloop: call it inside `evenloop::block_on` or \
             `Runtime::block_on`, or reach the loop from another thread by its `Handle`",
            self.0
        )
    }
}

/// Returns the loop that `shared` belongs to, if this thread is in it and it lives here.
#[inline]
pub(crate) fn loop_of(shared: &Arc<Shared>) -> Option<Rc<Local>> {
    get().filter(|local| Arc::ptr_eq(&local.shared, shared)).or_else(|| beneath(shared))
}

/// Runs `f` if this thread is in the loop that `shared` belongs to and that lives here.
#[inline]
pub(crate) fn with_loop<R>(shared: &Arc<Shared>, f: impl FnOnce(&Rc<Local>) -> R) -> Option<R> {
    // Nothing is borrowed during the call: it may drop a waker, and that may end another loop.
    loop_of(shared).map(|local| f(&local))
}

/// The loop that `shared` belongs to, if another one was entered on top of it.
#[cold]
fn beneath(shared: &Arc<Shared>) -> Option<Rc<Local>> {
    find_frame(|frame| frame.local().filter(|local| Arc::ptr_eq(&local.shared, shared)).cloned())
}

/// Whether the loop that `shared` belongs to is the one of this thread: a load and a comparison.
#[inline]
pub(crate) fn is_loop_of(shared: &Shared) -> bool {
    std::ptr::eq(HERE.get(), shared)
}

/// As [`with_loop`], for `f` that runs no foreign code and enters no loop.
#[inline]
pub(crate) fn with_loop_briefly<R>(
    shared: &Arc<Shared>,
    f: impl FnOnce(&Rc<Local>) -> R,
) -> Option<R> {
    if !is_loop_of(shared) {
        return with_loop(shared, f);
    }
    CURRENT.with(|current| current.borrow().as_ref().map(f))
}

/// Queues a task in its partition. This thread runs its loop.
#[inline]
pub(crate) fn queue(task: Runnable<Shared>) {
    CURRENT.with(|current| match &*current.borrow() {
        Some(local) => local.queue(task),
        None => unreachable!("a task was queued off its loop"),
    });
}
