//! Wakers and handles on other threads: nothing is lost, nothing is dropped where it must not be.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::time::sleep;
use evenloop::{Handle, Partition, Runtime, block_on, spawn, spawn_in, yield_now};

/// A flag that a task waits for and another thread sets.
#[derive(Clone, Default)]
struct Signal(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Signal {
    fn set(&self) {
        self.0.0.store(true, Ordering::Release);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        *self.0.1.lock().unwrap() = Some(cx.waker().clone());
        if self.0.0.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A loop asleep with nothing to do is woken by a wake from another thread, every time.
#[test]
fn remote_wakes_end_the_sleep() {
    let (there, back) = (Signal::default(), Signal::default());
    let (ping, pong) = (there.clone(), back.clone());
    let (go, gone) = mpsc::channel::<()>();
    let partner = thread::spawn(move || {
        while gone.recv().is_ok() {
            ping.set();
        }
        drop(pong);
    });
    block_on(async move {
        for _ in 0..2_000 {
            go.send(()).unwrap();
            poll_fn(|cx| there.poll(cx)).await;
        }
    });
    partner.join().unwrap();
}

/// Many threads wake many tasks, all at once, while the loop is busy and while it sleeps.
#[test]
fn wake_storm_loses_nothing() {
    const THREADS: usize = 4;
    const TASKS: usize = 16;
    const ROUNDS: usize = 500;
    let signals: Vec<Signal> = (0..THREADS * TASKS).map(|_| Signal::default()).collect();
    let acks: Arc<Vec<AtomicUsize>> =
        Arc::new((0..THREADS * TASKS).map(|_| AtomicUsize::new(0)).collect());
    let threads: Vec<_> = signals
        .chunks(TASKS)
        .enumerate()
        .map(|(t, chunk)| {
            let (chunk, acks) = (chunk.to_vec(), acks.clone());
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    for (i, signal) in chunk.iter().enumerate() {
                        // One at a time for each task: a signal is a flag, not a count.
                        while acks[t * TASKS + i].load(Ordering::Acquire) < round {
                            thread::yield_now();
                        }
                        signal.set();
                    }
                }
            })
        })
        .collect();
    block_on(async {
        let tasks: Vec<_> = signals
            .into_iter()
            .enumerate()
            .map(|(i, signal)| {
                let acks = acks.clone();
                spawn_in((i % 5) as u64, async move {
                    for _ in 0..ROUNDS {
                        poll_fn(|cx| signal.poll(cx)).await;
                        acks[i].fetch_add(1, Ordering::Release);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A task that is not `Send` is dropped on its own thread, whoever lets go of it last.
#[test]
fn futures_never_drop_on_a_foreign_thread() {
    struct Bound(thread::ThreadId, Arc<AtomicUsize>, #[allow(dead_code)] Cell<u8>);
    impl Drop for Bound {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.0, "dropped on a foreign thread");
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    for way in 0..4 {
        let runtime = Runtime::new().unwrap();
        let bound = Bound(thread::current().id(), drops.clone(), Cell::new(0));
        let (send, wakers) = mpsc::channel();
        let task = runtime.spawn(async move {
            let _bound = bound;
            poll_fn(|cx| {
                send.send(cx.waker().clone()).unwrap();
                Poll::<()>::Pending
            })
            .await;
        });
        runtime.block_on(yield_now());
        let waker = wakers.recv().unwrap();
        let elsewhere = |act: Box<dyn FnOnce() + Send>| thread::spawn(act);
        match way {
            // Aborted there; the loop takes note.
            0 => {
                elsewhere(Box::new(move || (task.abort(), drop(waker)).1)).join().unwrap();
                runtime.block_on(async {
                    yield_now().await;
                    yield_now().await;
                });
                assert_eq!(drops.load(Ordering::SeqCst), way + 1);
                drop(runtime);
            }
            // The handle and the last waker are dropped there; the task pends on.
            1 => {
                elsewhere(Box::new(move || (drop(task), drop(waker)).1)).join().unwrap();
                drop(runtime);
            }
            // Woken there after the runtime is gone.
            2 => {
                drop(runtime);
                elsewhere(Box::new(move || (waker.wake(), drop(task)).1)).join().unwrap();
            }
            // Woken there while the runtime goes.
            _ => {
                let other = elsewhere(Box::new(move || {
                    (0..1_000).for_each(|_| waker.wake_by_ref());
                    drop(task);
                }));
                drop(runtime);
                other.join().unwrap();
            }
        }
        assert_eq!(drops.load(Ordering::SeqCst), way + 1);
    }
}

/// Wakes race the runtime's end: no hang, no crash, and every future is dropped.
#[test]
fn wakes_race_shutdown() {
    let drops = Arc::new(AtomicUsize::new(0));
    const ROUNDS: usize = 300;
    for _ in 0..ROUNDS {
        struct Count(Arc<AtomicUsize>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let runtime = Runtime::new().unwrap();
        let (send, wakers) = mpsc::channel::<Waker>();
        let count = Count(drops.clone());
        drop(runtime.spawn(async move {
            let _count = count;
            poll_fn(|cx| {
                let _ = send.send(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        }));
        runtime.block_on(yield_now());
        let waker = wakers.recv().unwrap();
        let other = thread::spawn(move || {
            for _ in 0..50 {
                waker.wake_by_ref();
            }
            waker.wake();
        });
        drop(runtime);
        other.join().unwrap();
    }
    assert_eq!(drops.load(Ordering::SeqCst), ROUNDS);
}

/// Spawns race the runtime's end: each task either ran or is refused, and its handle says which.
#[test]
fn spawns_race_shutdown() {
    for _ in 0..100 {
        let runtime = Runtime::new().unwrap();
        let handle = runtime.handle();
        let spawner =
            thread::spawn(move || (0..50).map(|_| handle.spawn(async { 1 })).collect::<Vec<_>>());
        runtime.block_on(yield_now());
        drop(runtime);
        let tasks = spawner.join().unwrap();
        block_on(async {
            for task in tasks {
                match task.await {
                    Ok(one) => assert_eq!(one, 1),
                    Err(error) => assert!(error.is_cancelled()),
                }
            }
        });
    }
}

/// A waker may live in a thread-local and be called when that thread dies.
#[test]
fn wakers_in_thread_locals() {
    struct WakesOnDrop(Option<Waker>);
    impl Drop for WakesOnDrop {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                waker.wake();
            }
        }
    }
    thread_local! {
        static SLOT: std::cell::RefCell<WakesOnDrop> =
            const { std::cell::RefCell::new(WakesOnDrop(None)) };
    }
    block_on(async {
        let mut other = None;
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if other.is_none() {
                let waker = cx.waker().clone();
                let thread =
                    thread::spawn(move || SLOT.with(|slot| slot.borrow_mut().0 = Some(waker)));
                other = Some(thread);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        other.unwrap().join().unwrap();
        assert_eq!(polls, 2);
    });
}

/// A runtime may live in a thread-local and die with its thread.
#[test]
fn runtime_in_a_thread_local() {
    thread_local! {
        static RUNTIME: Runtime = Runtime::new().unwrap();
    }
    thread::spawn(|| {
        RUNTIME.with(|runtime| {
            drop(runtime.spawn(pending::<()>()));
            runtime.block_on(async { spawn(async {}).await.unwrap() });
        });
    })
    .join()
    .unwrap();
}

/// A runtime in a thread-local ends with its thread, although the destructors of its tasks use that
/// very thread-local, others that are gone by then, and the runtime.
#[test]
fn a_runtime_in_a_thread_local_ends_with_its_thread() {
    thread_local! {
        static EARLY: RefCell<Option<String>> = const { RefCell::new(None) };
        static RUNTIME: Runtime = Runtime::new().unwrap();
        static LATE: RefCell<Option<String>> = const { RefCell::new(None) };
    }
    struct Busy(mpsc::Sender<(bool, bool, bool)>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let own = RUNTIME.try_with(|runtime| runtime.spawn(async {}).is_finished());
            let refused = spawn(async {}).is_finished();
            let _ = (EARLY.try_with(|_| ()), LATE.try_with(|_| ()));
            let handle = Handle::current();
            let nested = handle.enter();
            drop(sleep(Duration::from_secs(1)));
            drop(nested);
            let fresh = catch_unwind(|| block_on(async {})).is_err();
            self.0.send((own.unwrap_or(true), refused, fresh)).unwrap();
        }
    }
    for entered in [false, true] {
        let (sender, dropped) = mpsc::channel();
        thread::spawn(move || {
            EARLY.with(|early| *early.borrow_mut() = Some("early".to_owned()));
            RUNTIME.with(|runtime| {
                let busy = Busy(sender);
                drop(runtime.spawn_in("bulk", async move {
                    let _busy = busy;
                    pending::<()>().await;
                }));
                let _guard = entered.then(|| runtime.enter());
                runtime.block_on(yield_now());
                drop(runtime.spawn(async {}));
            });
            LATE.with(|late| *late.borrow_mut() = Some("late".to_owned()));
        })
        .join()
        .unwrap();
        assert_eq!(dropped.recv().unwrap(), (true, true, true));
    }
}

/// A handle may be awaited on another thread, in another runtime or none.
#[test]
fn joining_from_another_runtime() {
    let (send, receive) = mpsc::channel();
    let one = thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        send.send(runtime.spawn(async {
            for _ in 0..10 {
                yield_now().await;
            }
            11
        }))
        .unwrap();
        runtime.block_on(async { sleep(Duration::from_millis(20)).await });
    });
    let task = receive.recv().unwrap();
    assert_eq!(block_on(task).unwrap(), 11);
    one.join().unwrap();
}

/// A sleeping loop uses no processor time, and one that was flooded sleeps again.
#[test]
fn an_idle_loop_sleeps() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let before = handle.metrics();
    runtime.block_on(async { sleep(Duration::from_millis(100)).await });
    let ticks = handle.metrics().ticks - before.ticks;
    assert!(ticks <= 5, "{ticks} ticks to sleep once");
}

/// A wake is not lost when it comes while the loop is about to sleep: bounded stress.
#[test]
fn wake_against_sleep_stress() {
    let deadline = Instant::now() + Duration::from_secs(20);
    let signal = Signal::default();
    let remote = signal.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(AtomicUsize::new(0));
    let (stopped, counted) = (stop.clone(), seen.clone());
    let other = thread::spawn(move || {
        let mut sent = 0;
        while !stopped.load(Ordering::Acquire) {
            remote.set();
            sent += 1;
            while counted.load(Ordering::Acquire) < sent && !stopped.load(Ordering::Acquire) {
                std::hint::spin_loop();
                assert!(Instant::now() < deadline, "a wake was lost");
            }
        }
    });
    block_on(async {
        for _ in 0..20_000 {
            poll_fn(|cx| signal.poll(cx)).await;
            seen.fetch_add(1, Ordering::Release);
        }
    });
    stop.store(true, Ordering::Release);
    other.join().unwrap();
}

/// Streams of wakes from outside do not starve the tasks inside.
#[test]
fn remote_spawns_do_not_starve_local_tasks() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let flood = thread::spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            drop(handle.spawn_in("flood", async {}));
        }
    });
    runtime.block_on(async {
        for _ in 0..1_000 {
            spawn(async {}).await.unwrap();
        }
    });
    stop.store(true, Ordering::Release);
    flood.join().unwrap();
}

/// Handles to a partition that are cloned and dropped on another thread keep it exactly as long.
#[test]
fn a_partition_lives_as_long_as_its_handles_anywhere() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let (send, receive) = mpsc::channel::<Partition>();
    let thread = thread::spawn(move || {
        for partition in receive {
            let again = partition.clone();
            drop(partition);
            drop(again.clone());
        }
    });
    runtime.block_on(async {
        for round in 0..20_000 {
            let held = Partition::named("held");
            send.send(held.clone()).unwrap();
            if round % 3 == 0 {
                drop(held.clone());
            }
            yield_now().await;
            assert!(handle.partitions().contains(&held), "gone in round {round}");
        }
        drop(send);
        thread.join().unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        while handle.partitions().len() > 1 {
            assert!(Instant::now() < patience, "kept by nobody");
            yield_now().await;
        }
    });
}

/// Everything a user holds is `Send + Sync`; tasks need not be.
#[test]
fn what_users_hold_travels() {
    fn travels<T: Send + Sync>() {}
    travels::<evenloop::Handle>();
    travels::<evenloop::Partition>();
    travels::<evenloop::JoinHandle<u8>>();
    travels::<evenloop::AbortHandle>();
    travels::<evenloop::JoinSet<u8>>();
    travels::<evenloop::time::Sleep>();
    travels::<evenloop::time::Interval>();
    travels::<evenloop::ShutdownReport>();
}
