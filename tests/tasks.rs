//! Tasks: spawning, order, joining, aborting, panicking, in every combination.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use evenloop::{AbortHandle, Handle, JoinHandle, Runtime, block_on, spawn, yield_now};

/// A log that tasks of one loop write to.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Notes its drop.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn quiet() -> Runtime {
    Runtime::builder().on_unhandled_panic(drop).build().unwrap()
}

/// Without partitions the order is that of a plain FIFO loop, wakes and spawns alike.
#[test]
fn one_partition_runs_in_plain_fifo_order() {
    let log = Log::default();
    block_on(async {
        let tasks: Vec<_> = (0..3)
            .map(|i| {
                let log = log.clone();
                spawn(async move {
                    for step in 0..3 {
                        log.note(format!("{i}.{step}"));
                        yield_now().await;
                    }
                    let child = log.clone();
                    spawn(async move { child.note(format!("child of {i}")) });
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        yield_now().await;
    });
    let expected = [
        "0.0",
        "1.0",
        "2.0",
        "0.1",
        "1.1",
        "2.1",
        "0.2",
        "1.2",
        "2.2",
        "child of 0",
        "child of 1",
        "child of 2",
    ];
    assert_eq!(log.take(), expected);
}

/// The same program gives the same order as a queue written out by hand, whatever it does.
#[test]
fn fifo_matches_a_model_queue() {
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Task `i` yields `yields[i]` times and spawns the next unspawned task at its first poll.
    fn model(yields: &[usize]) -> Vec<usize> {
        let mut queue = VecDeque::from([(0, yields[0])]);
        let (mut next, mut order) = (1, Vec::new());
        let mut begun = vec![false; yields.len()];
        while let Some((task, left)) = queue.pop_front() {
            order.push(task);
            if !begun[task] {
                begun[task] = true;
                if next < yields.len() {
                    queue.push_back((next, yields[next]));
                    next += 1;
                }
            }
            if left > 0 {
                queue.push_back((task, left - 1));
            }
        }
        order
    }

    fn run(
        task: usize,
        yields: Rc<Vec<usize>>,
        next: Rc<Cell<usize>>,
        order: Rc<RefCell<Vec<usize>>>,
    ) {
        let left = yields[task];
        let mut first = true;
        let mut left = left;
        spawn(poll_fn(move |cx| {
            order.borrow_mut().push(task);
            if std::mem::take(&mut first) && next.get() < yields.len() {
                let child = next.get();
                next.set(child + 1);
                run(child, yields.clone(), next.clone(), order.clone());
            }
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
    }

    proptest!(ProptestConfig::with_cases(64), |(yields in prop::collection::vec(0usize..6, 1..40))| {
        let expected = model(&yields);
        let order = Rc::new(RefCell::new(Vec::new()));
        let runtime = Runtime::new().unwrap();
        let (seen, total) = (order.clone(), expected.len());
        runtime.block_on(async move {
            run(0, Rc::new(yields), Rc::new(Cell::new(1)), seen.clone());
            while seen.borrow().len() < total {
                yield_now().await;
            }
        });
        prop_assert_eq!(&*order.borrow(), &expected);
    });
}

/// A wake during the task's own poll means exactly one more poll.
#[test]
fn waking_oneself_many_times_polls_once_more() {
    let polls = Rc::new(Cell::new(0));
    block_on(async {
        let counted = polls.clone();
        let task = spawn(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            if counted.get() == 2 {
                return Poll::Ready(());
            }
            for _ in 0..10 {
                cx.waker().wake_by_ref();
                let owned = cx.waker().clone();
                owned.wake();
            }
            Poll::Pending
        }));
        task.await.unwrap();
        for _ in 0..10 {
            yield_now().await;
        }
    });
    assert_eq!(polls.get(), 2);
}

/// The future of `block_on` is polled when it is woken, and not otherwise.
#[test]
fn main_future_has_no_extra_polls() {
    let runtime = Runtime::new().unwrap();
    for _ in 0..3 {
        let mut polls = 0;
        runtime.block_on(async {
            let quiet = spawn(async {
                for _ in 0..100 {
                    yield_now().await;
                }
            });
            let mut quiet = std::pin::pin!(quiet);
            poll_fn(|cx| {
                polls += 1;
                // Leaves a wake behind for the next `block_on` to trip over.
                let done = quiet.as_mut().poll(cx).map(|done| done.unwrap());
                if done.is_ready() {
                    cx.waker().wake_by_ref();
                }
                done
            })
            .await;
        });
        assert_eq!(polls, 2);
    }
}

/// Handles are ready only after everything the future held was dropped.
#[test]
fn join_comes_after_destructors() {
    let dropped = Rc::new(Cell::new(false));
    block_on(async {
        let flag = dropped.clone();
        let guard = OnDrop(move || flag.set(true));
        let task = spawn(async move {
            let _guard = guard;
            yield_now().await;
        });
        task.await.unwrap();
        assert!(dropped.get());
    });
}

/// What a task was doing when it was ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforeFirstPoll,
    WhilePending,
    WhileQueued,
    InsideItsPoll,
    AfterItEnded,
}

/// Who ended it.
#[derive(Clone, Copy, Debug)]
enum Who {
    Loop,
    OtherThread,
    LoopThenDropsHandle,
}

fn abort(handle: &AbortHandle, who: Who) {
    match who {
        Who::Loop | Who::LoopThenDropsHandle => handle.abort(),
        Who::OtherThread => {
            let handle = handle.clone();
            thread::spawn(move || handle.abort()).join().unwrap();
        }
    }
}

/// Every way to end a task drops its future once, on the loop's thread, and says so to the joiner.
#[test]
fn abort_matrix() {
    let whens = [
        When::BeforeFirstPoll,
        When::WhilePending,
        When::WhileQueued,
        When::InsideItsPoll,
        When::AfterItEnded,
    ];
    for when in whens {
        for who in [Who::Loop, Who::OtherThread, Who::LoopThenDropsHandle] {
            for panics_in_drop in [false, true] {
                abort_case(when, who, panics_in_drop);
            }
        }
    }
}

fn abort_case(when: When, who: Who, panics_in_drop: bool) {
    let case = format!("{when:?} {who:?} panics in drop: {panics_in_drop}");
    let home = thread::current().id();
    let drops = Arc::new(AtomicUsize::new(0));
    let runtime = quiet();
    runtime.block_on(async {
        let own: Rc<RefCell<Option<AbortHandle>>> = Rc::default();
        let (counted, itself) = (drops.clone(), own.clone());
        let guard = OnDrop(move || {
            assert_eq!(thread::current().id(), home, "dropped on a foreign thread");
            counted.fetch_add(1, Ordering::SeqCst);
            if panics_in_drop && !thread::panicking() {
                panic!("expected: the destructor panics");
            }
        });
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let wake = waker.clone();
        let task: JoinHandle<u32> = spawn(async move {
            let _guard = guard;
            if when == When::InsideItsPoll {
                let own = itself.borrow().clone().expect("set before the first poll");
                abort(&own, who);
            }
            if when == When::AfterItEnded {
                return 7;
            }
            poll_fn(|cx| {
                *wake.borrow_mut() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
            7
        });
        let handle = task.abort_handle();
        *own.borrow_mut() = Some(handle.clone());
        assert_eq!(handle.id(), task.id());
        if when != When::BeforeFirstPoll {
            yield_now().await;
        }
        if when == When::WhileQueued {
            waker.borrow().as_ref().expect("polled once").wake_by_ref();
        }
        if when != When::InsideItsPoll {
            abort(&handle, who);
        }
        if let Who::LoopThenDropsHandle = who {
            drop(task);
            // The abort takes effect within one pass of the queue.
            yield_now().await;
            yield_now().await;
        } else {
            let result = task.await;
            match (when, panics_in_drop) {
                // The panic of the destructor is the task's own.
                (_, true) => assert!(result.unwrap_err().is_panic(), "{case}"),
                (When::AfterItEnded, false) => assert_eq!(result.unwrap(), 7, "{case}"),
                (_, false) => assert!(result.unwrap_err().is_cancelled(), "{case}"),
            }
        }
        assert_eq!(drops.load(Ordering::SeqCst), 1, "{case}");
        handle.abort();
        // The loop is as good as new.
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1, "{case}");
    });
    assert!(runtime.shutdown(Duration::ZERO).is_clean(), "{case}");
}

/// A dropped handle lets the task go on; its output is dropped where it ends.
#[test]
fn dropping_the_handle_detaches() {
    block_on(async {
        let done = Rc::new(Cell::new(false));
        let flag = done.clone();
        drop(spawn(async move {
            yield_now().await;
            flag.set(true);
        }));
        for _ in 0..3 {
            yield_now().await;
        }
        assert!(done.get());
    });
}

/// Every kind of reentrancy from a destructor: wake, spawn, abort, join, time, partitions.
#[test]
fn destructors_may_do_anything() {
    let log = Log::default();
    block_on(async {
        let victim = spawn(pending::<()>());
        let (other, notes) = (victim.abort_handle(), log.clone());
        let guard = OnDrop(move || {
            other.abort();
            let notes = notes.clone();
            let inherited = evenloop::Partition::current().name();
            drop(spawn(async move { notes.note(format!("spawned in {inherited}")) }));
        });
        let task = evenloop::spawn_in("place", async move {
            let _guard = guard;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(victim.await.unwrap_err().is_cancelled());
        // Where the machine took its time in a handle of "place", that sits out some rounds.
        while log.0.borrow().is_empty() {
            yield_now().await;
        }
    });
    assert_eq!(log.take(), ["spawned in place"]);
}

/// Waking happens by queueing alone: no waker ever polls on its caller's stack.
#[test]
fn wakes_never_poll_inline() {
    block_on(async {
        let depth = Rc::new(Cell::new(0));
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let (inside, slot) = (depth.clone(), waker.clone());
        let task = spawn(poll_fn(move |cx| {
            assert_eq!(inside.get(), 0, "polled from inside a wake");
            if slot.borrow_mut().replace(cx.waker().clone()).is_some() {
                return Poll::Ready(());
            }
            Poll::Pending
        }));
        yield_now().await;
        depth.set(1);
        let waker = waker.borrow().clone().unwrap();
        waker.wake();
        depth.set(0);
        task.await.unwrap();
    });
}

/// A cycle of a task that holds its own waker is broken by shutdown.
#[test]
fn shutdown_breaks_reference_cycles() {
    let alive = Rc::new(());
    let runtime = Runtime::new().unwrap();
    let held = alive.clone();
    runtime.block_on(async {
        let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
        drop(spawn(async move {
            let _held = held;
            poll_fn(|cx| {
                *slot.borrow_mut() = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        }));
        yield_now().await;
    });
    assert_eq!(Rc::strong_count(&alive), 2);
    drop(runtime);
    assert_eq!(Rc::strong_count(&alive), 1);
}

/// Tasks of other threads come in, in order, and their outputs go out.
#[test]
fn spawning_from_other_threads() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let spawner = thread::spawn(move || {
        (0..100).map(|i| handle.spawn_in("remote", async move { i })).collect::<Vec<_>>()
    });
    let tasks = spawner.join().unwrap();
    runtime.block_on(async {
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), i);
        }
    });
}

/// A task spawned from outside can be aborted from outside, before and after it arrived.
#[test]
fn aborting_remote_tasks() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let before = thread::spawn(move || {
        let task = handle.spawn(pending::<()>());
        task.abort();
        task
    });
    let before = before.join().unwrap();
    let after = runtime.handle().spawn(pending::<()>());
    runtime.block_on(async {
        assert!(before.await.unwrap_err().is_cancelled());
        yield_now().await;
        let remote = after.abort_handle();
        thread::spawn(move || remote.abort()).join().unwrap();
        assert!(after.await.unwrap_err().is_cancelled());
    });
}

/// Calls outside a runtime say what to do; a loop inside a loop is refused at once.
#[test]
fn misuse_is_told_in_a_sentence() {
    fn message(f: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => (*payload.downcast_ref::<&str>().unwrap()).to_owned(),
        }
    }
    let outside = message(|| drop(spawn(async {})));
    assert!(outside.contains("evenloop::spawn") && outside.contains("block_on"), "{outside}");
    assert!(message(|| drop(Handle::current())).contains("Handle::current"));
    assert!(message(|| drop(evenloop::Partition::current())).contains("block_on"));
    assert!(message(|| drop(evenloop::Partition::named("x"))).contains("block_on"));
    let nested = message(|| block_on(async { block_on(async {}) }));
    assert!(nested.contains("inside a loop"), "{nested}");
    let other = message(|| {
        let inner = Runtime::new().unwrap();
        block_on(async { inner.block_on(async {}) });
    });
    assert!(other.contains("inside a loop"), "{other}");
    assert!(message(|| drop(Runtime::builder().blocking_threads(0))).contains("at least one"));
    assert!(
        message(|| assert!(evenloop::Budget::handles(0).quantum().is_none()))
            .contains("at least one")
    );
    assert!(
        message(|| assert!(evenloop::Budget::time(Duration::ZERO).quantum().is_none()))
            .contains("no time")
    );
}
