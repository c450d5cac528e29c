//! Models of a task's life across threads, run through every interleaving:
//! `.ci/loom`, or `.ci/loom --full` without a bound on preemptions.
//!
//! The loop's thread is the model's main thread. It takes notices off an injector and runs what is
//! queued; other threads hold wakers, handles and references.
#![cfg(evenloop_loom)]
#![allow(dead_code, unreachable_pub)]

#[path = "../src/injector.rs"]
mod injector;

#[path = "../src/task"]
mod task {
    pub(super) mod cell;
    pub(super) mod home;
    pub(super) mod joint;
    pub(super) mod refs;
    mod sync;
    pub(super) mod waker;
    mod word;
}

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::task::{Context, Poll, RawWakerVTable, Wake, Waker};

use injector::Injector;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use task::cell::Header;
use task::home::{Home, Outcome, Payload, TaskId};
use task::joint::{Joint, spawn};
use task::refs::{Notice, Ran, Runnable, Task};

struct Loop {
    injector: Injector<Notice<Loop>>,
}

loom::thread_local! {
    static IS_LOOP: Cell<bool> = Cell::new(false);
    static QUEUE: RefCell<Vec<Runnable<Loop>>> = RefCell::new(Vec::new());
}

impl Home for Loop {
    fn is_here(&self) -> bool {
        IS_LOOP.with(Cell::get)
    }
    fn wakers() -> &'static RawWakerVTable {
        static WAKERS: RawWakerVTable = task::waker::table::<Loop>();
        &WAKERS
    }
    fn queue(task: Runnable<Self>) {
        QUEUE.with(|queue| queue.borrow_mut().push(task));
    }
    fn notify(&self, notice: Notice<Self>) {
        let _ = self.injector.push(notice);
    }
    fn ended(_: &Header<Self>) {}
    fn unhandled(&self, _: TaskId, _: &'static Location<'static>, _: Payload) {
        unreachable!("nothing panics");
    }
    fn stray(&self, _: Payload) {
        unreachable!("nothing panics");
    }
}

/// What a task has given away.
type Wakers = std::rc::Rc<RefCell<Vec<Waker>>>;

type Handle = Option<Joint<Counted, Loop>>;

/// Counts itself while it lives.
struct Counted(std::sync::Arc<()>);

/// The loop, on its thread, and who counts what lives.
struct World {
    home: std::sync::Arc<Loop>,
    alive: std::sync::Arc<()>,
}

impl World {
    fn enter() -> Self {
        IS_LOOP.with(|is_loop| is_loop.set(true));
        let home = std::sync::Arc::new(Loop { injector: Injector::new() });
        Self { home, alive: std::sync::Arc::new(()) }
    }

    fn spawn<F>(&self, future: F) -> Handle
    where
        F: Future<Output = Counted> + 'static,
    {
        let (runnable, joint) = spawn(self.home.clone(), TaskId(1), Location::caller(), future);
        Loop::queue(runnable);
        Some(joint)
    }

    /// Spawns a task that waits until the number is as large as `least`.
    fn spawn_waiting(&self, least: usize) -> (Handle, Arc<AtomicUsize>, Wakers) {
        let (flag, wakers) = (Arc::new(AtomicUsize::new(0)), Wakers::default());
        let future = waits_for(flag.clone(), least, wakers.clone(), self.counted());
        (self.spawn(future), flag, wakers)
    }

    fn counted(&self) -> Counted {
        Counted(self.alive.clone())
    }

    /// Takes what was sent and runs what is queued, until there is neither.
    fn run(&self) {
        loop {
            for notice in self.home.injector.drain() {
                notice.take().into_iter().for_each(Loop::queue);
            }
            let Some(task) = QUEUE.with(|queue| queue.borrow_mut().pop()) else { return };
            if let Ran::Woken(task) = task.run() {
                Loop::queue(task);
            }
        }
    }

    /// Whatever was interleaved: nothing lives any more, neither outcomes nor cells.
    fn is_empty(self) {
        assert_eq!(std::sync::Arc::strong_count(&self.alive), 1, "an outcome leaked");
        for notice in self.home.injector.close() {
            assert!(notice.take().is_none(), "a task that has ended was queued");
        }
        assert_eq!(std::sync::Arc::strong_count(&self.home), 1, "a task leaked");
    }
}

#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

fn poll(handle: &mut Handle, waker: &Waker) -> Poll<Outcome<Counted>> {
    Joint::poll(handle, &mut Context::from_waker(waker))
}

fn is_finished(handle: &Handle) -> bool {
    handle.as_ref().is_none_or(Joint::is_finished)
}

fn task(handle: &Handle) -> Task<Loop> {
    handle.as_ref().map(Joint::task).expect("the outcome was not taken")
}

/// Runs a model with up to three preemptions, or with any number of them if the full mode is asked for.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    if std::env::var_os("EVENLOOP_LOOM_FULL").is_none() {
        builder.preemption_bound = Some(3);
    }
    builder.check(f);
}

/// A task that is done when `flag` is as large as asked; it gives its waker away at each poll.
fn waits_for(
    flag: Arc<AtomicUsize>,
    least: usize,
    wakers: Wakers,
    output: Counted,
) -> impl Future<Output = Counted> {
    let mut output = Some(output);
    poll_fn(move |cx| {
        wakers.borrow_mut().push(cx.waker().clone());
        if flag.load(Ordering::Relaxed) >= least {
            wakers.borrow_mut().clear();
            return Poll::Ready(output.take().unwrap());
        }
        Poll::Pending
    })
}

/// Two threads wake one task, which the loop polls in between or not: what either wrote before its
/// wake is seen by a poll after it. So the task ends.
#[test]
fn two_wakes_from_elsewhere_are_both_seen() {
    model(|| {
        let world = World::enter();
        let (handle, flag, wakers) = world.spawn_waiting(2);
        world.run();
        let waker = wakers.borrow_mut().pop().unwrap();
        let threads = [waker.clone(), waker].map(|waker| {
            let flag = flag.clone();
            thread::spawn(move || {
                flag.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            })
        });
        world.run();
        for thread in threads {
            thread.join().unwrap();
        }
        world.run();
        assert!(is_finished(&handle), "a wake was lost");
        drop(handle);
        world.is_empty();
    });
}

/// A wake by reference while the task runs and ends.
#[test]
fn wake_against_the_end() {
    model(|| {
        let world = World::enter();
        let (handle, flag, wakers) = world.spawn_waiting(1);
        world.run();
        let (ours, theirs) = {
            let waker = wakers.borrow_mut().pop().unwrap();
            (waker.clone(), waker)
        };
        flag.store(1, Ordering::Relaxed);
        let other = thread::spawn(move || {
            theirs.wake_by_ref();
            drop(theirs);
        });
        ours.wake();
        world.run();
        other.join().unwrap();
        world.run();
        assert!(is_finished(&handle));
        drop(handle);
        world.is_empty();
    });
}

/// The last wakers are cloned and dropped elsewhere while the task ends here, unjoined.
#[test]
fn last_waker_drop_against_the_end() {
    model(|| {
        let world = World::enter();
        let (handle, flag, wakers) = world.spawn_waiting(1);
        drop(handle);
        world.run();
        let theirs = wakers.borrow_mut().pop().unwrap();
        let ours = theirs.clone();
        flag.store(1, Ordering::Relaxed);
        let other = thread::spawn(move || {
            let clone = theirs.clone();
            drop(theirs);
            drop(clone);
        });
        ours.wake();
        world.run();
        other.join().unwrap();
        world.is_empty();
    });
}

/// The handle is dropped elsewhere while the task ends here: the output is dropped once.
#[test]
fn handle_drop_against_the_end() {
    model(|| {
        let world = World::enter();
        let output = world.counted();
        let handle = world.spawn(async { output });
        let other = thread::spawn(move || drop(handle));
        world.run();
        other.join().unwrap();
        world.is_empty();
    });
}

/// A handle that waits is dropped elsewhere while the task ends here: output and waker are dropped
/// once.
#[test]
fn waiting_handle_drop_against_the_end() {
    model(|| {
        let world = World::enter();
        let output = world.counted();
        let mut handle = world.spawn(async { output });
        let wakes = std::sync::Arc::new(Wakes::default());
        assert!(poll(&mut handle, &Waker::from(wakes.clone())).is_pending());
        let other = thread::spawn(move || drop(handle));
        world.run();
        other.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&wakes), 1, "the waker leaked");
        world.is_empty();
    });
}

/// The handle is awaited elsewhere while the task ends here: it has the outcome, or its waker is
/// called.
#[test]
fn await_against_the_end() {
    model(|| {
        let world = World::enter();
        let output = world.counted();
        let mut handle = world.spawn(async { output });
        let other = thread::spawn(move || {
            let wakes = std::sync::Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let first = poll(&mut handle, &waker).is_ready();
            (handle, wakes, first)
        });
        world.run();
        let (mut handle, wakes, first) = other.join().unwrap();
        assert!(first || wakes.count() == 1, "nobody told the handle");
        if !first {
            assert!(matches!(poll(&mut handle, Waker::noop()), Poll::Ready(Outcome::Done(_))));
        }
        drop(handle);
        world.is_empty();
    });
}

/// The handle changes its waker elsewhere while the task ends here: the new one is called, or the
/// outcome is there.
#[test]
fn change_of_waker_against_the_end() {
    model(|| {
        let world = World::enter();
        let output = world.counted();
        let mut handle = world.spawn(async { output });
        assert!(poll(&mut handle, Waker::noop()).is_pending());
        let other = thread::spawn(move || {
            let wakes = std::sync::Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let ready = poll(&mut handle, &waker).is_ready();
            (handle, wakes, ready)
        });
        world.run();
        let (handle, wakes, ready) = other.join().unwrap();
        assert!(ready || wakes.count() == 1, "the new waker was not called");
        drop(handle);
        world.is_empty();
    });
}

/// An abort from elsewhere while the task ends here: it ends once, in either way.
#[test]
fn abort_against_the_end() {
    let outcomes = std::sync::Arc::new(std::sync::Mutex::new([false; 2]));
    let seen = outcomes.clone();
    model(move || {
        let world = World::enter();
        let (mut handle, flag, wakers) = world.spawn_waiting(1);
        world.run();
        let task: Task<Loop> = task(&handle);
        let other = thread::spawn(move || task.abort());
        flag.store(1, Ordering::Relaxed);
        wakers.borrow_mut().drain(..).for_each(|waker| waker.wake());
        world.run();
        other.join().unwrap();
        world.run();
        match poll(&mut handle, Waker::noop()) {
            Poll::Ready(Outcome::Done(_)) => seen.lock().unwrap()[0] = true,
            Poll::Ready(Outcome::Cancelled) => seen.lock().unwrap()[1] = true,
            _ => panic!("the task did not end"),
        }
        wakers.borrow_mut().clear();
        drop(handle);
        world.is_empty();
    });
    assert_eq!(*outcomes.lock().unwrap(), [true; 2], "one way was never taken");
}

/// An abort from elsewhere of a task that waits for ever: it ends.
#[test]
fn abort_from_elsewhere_ends_a_task() {
    model(|| {
        let world = World::enter();
        let held = world.counted();
        let mut handle = world.spawn(async move {
            std::future::pending::<()>().await;
            held
        });
        let task = task(&handle);
        let other = thread::spawn(move || task.abort());
        world.run();
        other.join().unwrap();
        world.run();
        assert!(matches!(poll(&mut handle, Waker::noop()), Poll::Ready(Outcome::Cancelled)));
        drop(handle);
        world.is_empty();
    });
}

/// References come and go here and elsewhere while the task ends: it is freed once.
#[test]
fn references_on_both_sides() {
    model(|| {
        let world = World::enter();
        let output = world.counted();
        let handle = world.spawn(async { output });
        let (ours, theirs) = (task(&handle), task(&handle));
        drop(handle);
        let other = thread::spawn(move || {
            let again = theirs.clone();
            drop(theirs);
            drop(again);
        });
        let again = ours.clone();
        drop(ours);
        world.run();
        drop(again);
        other.join().unwrap();
        world.is_empty();
    });
}

/// A wake from elsewhere while the loop closes its way in: nothing leaks.
#[test]
fn wake_against_the_close() {
    model(|| {
        let world = World::enter();
        let (handle, _flag, wakers) = world.spawn_waiting(1);
        world.run();
        let waker = wakers.borrow_mut().pop().unwrap();
        let other = thread::spawn(move || waker.wake());
        // As shutdown does it: abort, run, close.
        task(&handle).abort();
        world.run();
        for notice in world.home.injector.close() {
            assert!(notice.take().is_none(), "a task that has ended was queued");
        }
        wakers.borrow_mut().clear();
        other.join().unwrap();
        assert!(is_finished(&handle));
        drop(handle);
        world.is_empty();
    });
}

/// A task that was made elsewhere is refused there while its handle is dropped here.
#[test]
fn refusal_against_the_handle_drop() {
    model(|| {
        let world = World::enter();
        let output = world.counted();
        let (runnable, handle) =
            spawn(world.home.clone(), TaskId(1), Location::caller(), async { output });
        let other = thread::spawn(move || {
            IS_LOOP.with(|is_loop| is_loop.set(false));
            runnable.refuse();
        });
        drop(handle);
        other.join().unwrap();
        world.is_empty();
    });
}

/// What was written before the end is visible to who takes the outcome elsewhere.
#[test]
fn the_outcome_is_published() {
    model(|| {
        let world = World::enter();
        let data = Arc::new(AtomicUsize::new(0));
        let (written, output) = (data.clone(), world.counted());
        let mut handle = world.spawn(async move {
            written.store(42, Ordering::Relaxed);
            output
        });
        let other = thread::spawn(move || {
            if poll(&mut handle, Waker::noop()).is_ready() {
                assert_eq!(data.load(Ordering::Relaxed), 42);
            }
        });
        world.run();
        other.join().unwrap();
        world.is_empty();
    });
}
