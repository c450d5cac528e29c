//! Sets of tasks: outcomes in the order of ending, aborting, letting go.

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use evenloop::{JoinSet, Partition, Runtime, block_on, spawn, yield_now};

async fn yields(times: u32) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Counts its drop.
struct OnDrop(Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Spawns `n` tasks that never end; the cell counts those that were dropped.
fn sleepers(set: &mut JoinSet<()>, n: u32) -> Rc<Cell<u32>> {
    let dropped = Rc::new(Cell::new(0));
    for _ in 0..n {
        let guard = OnDrop(dropped.clone());
        set.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
    }
    dropped
}

/// A set may be moved to any thread if the outputs may.
#[test]
fn sets_travel() {
    fn travels<T: Send + Sync + Unpin + 'static>() {}
    travels::<JoinSet<String>>();
}

/// Outcomes come in the order in which the tasks end, not that of spawning.
#[test]
fn outcomes_come_as_tasks_end() {
    block_on(async {
        let mut set = JoinSet::new();
        assert!(set.join_next().await.is_none(), "an empty set waits for nothing");
        for n in [30, 10, 20, 0] {
            set.spawn(async move {
                yields(n).await;
                n
            });
        }
        assert_eq!((set.len(), set.try_join_next().is_none()), (4, true));
        let mut order = Vec::new();
        while let Some(outcome) = set.join_next().await {
            order.push(outcome.unwrap());
        }
        assert_eq!(order, [0, 10, 20, 30]);
        assert!(set.is_empty());
    });
}

/// Twenty thousand tasks are joined one by one; a cost that grew with the set would show.
#[test]
fn large_sets_are_joined() {
    block_on(async {
        let mut set = JoinSet::new();
        for n in 0..20_000_u64 {
            set.spawn_in(n % 10, async move {
                yields((n % 3) as u32).await;
                n
            });
        }
        let mut sum = 0;
        while let Some(outcome) = set.join_next().await {
            sum += outcome.unwrap();
        }
        assert_eq!(sum, 20_000 * 19_999 / 2);
    });
}

/// A task that panicked or was aborted is an outcome, and the set goes on.
#[test]
fn bad_ends_are_outcomes_too() {
    block_on(async {
        let mut set = JoinSet::new();
        let panicking = set.spawn(async { panic!("as planned") });
        let aborted = set.spawn(pending());
        let done = set.spawn(async {});
        aborted.abort();
        let (mut panics, mut cancels, mut ends) = (0, 0, 0);
        while let Some(outcome) = set.join_next().await {
            match outcome {
                Ok(()) => ends += 1,
                Err(error) if error.is_panic() => {
                    assert_eq!(error.id(), panicking.id());
                    panics += 1;
                }
                Err(error) => {
                    assert_eq!((error.is_cancelled(), error.id()), (true, aborted.id()));
                    cancels += 1;
                }
            }
        }
        assert_eq!((panics, cancels, ends), (1, 1, 1));
        done.abort();
    });
}

/// Dropping a set ends its tasks; detaching them first lets them go on.
#[test]
fn a_dropped_set_ends_its_tasks() {
    block_on(async {
        let mut set = JoinSet::new();
        let dropped = sleepers(&mut set, 5);
        yield_now().await;
        drop(set);
        yields(2).await;
        assert_eq!(dropped.get(), 5);

        let mut set = JoinSet::new();
        let (done, outcome) = mpsc::channel();
        set.spawn(async move {
            yields(3).await;
            done.send(()).unwrap();
        });
        set.detach_all();
        assert!(set.is_empty());
        drop(set);
        yields(6).await;
        outcome.try_recv().expect("it went on");
    });
}

/// When a shutdown is over, every future has been dropped.
#[test]
fn shutdown_waits_for_the_futures_to_be_dropped() {
    block_on(async {
        let mut set = JoinSet::new();
        let dropped = sleepers(&mut set, 100);
        yield_now().await;
        assert_eq!(dropped.get(), 0);
        set.shutdown().await;
        assert_eq!((dropped.get(), set.len()), (100, 0));
    });
}

/// Tasks live where they were spawned, in a partition or on a thread that may block.
#[test]
fn members_live_where_they_were_spawned() {
    block_on(async {
        let mut set = JoinSet::new();
        set.spawn_in("members", async { Partition::current().name() });
        assert_eq!(set.join_next().await.unwrap().unwrap(), "members");
        set.spawn_blocking(|| thread::current().name().unwrap_or_default().to_owned());
        assert!(set.join_next().await.unwrap().unwrap().starts_with("evenloop-blocking-"));
    });
}

/// Whoever polled last is woken, and one wait that was dropped loses nothing.
#[test]
fn the_last_to_wait_is_woken() {
    #[derive(Default)]
    struct Wakes(AtomicU32);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    block_on(async {
        let mut set = JoinSet::new();
        set.spawn(yields(2));
        let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        for wakes in [&first, &second] {
            let waker = Waker::from(wakes.clone());
            assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
        }
        yields(4).await;
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
        let poll = set.poll_join_next(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Ready(Some(Ok(())))));
    });
}

/// All outputs, or the first panic.
#[test]
fn all_are_joined_or_the_panic_goes_on() {
    let outputs = block_on(async {
        let mut set = JoinSet::new();
        for n in [2, 0, 1] {
            set.spawn(async move {
                yields(n).await;
                n
            });
        }
        set.join_all().await
    });
    assert_eq!(outputs, [0, 1, 2]);

    let runtime = Runtime::builder().on_unhandled_panic(drop).build().unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut set = JoinSet::new();
            set.spawn(pending::<()>());
            set.spawn(async { panic!("as planned") });
            set.join_all().await
        })
    }));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"as planned"));
}

/// A set with many finished tasks does not hold the loop.
#[test]
fn joining_lets_others_run() {
    block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..10_000 {
            set.spawn(async {});
        }
        yields(2).await;
        let other = spawn(async {});
        let mut joined = 0;
        while !other.is_finished() {
            set.join_next().await.unwrap().unwrap();
            joined += 1;
        }
        assert!(joined < 10_000, "it had to wait for all of them");
    });
}

/// Nor does joining a crowd one by one, all of whom have ended already.
#[test]
fn joining_one_by_one_lets_others_run() {
    block_on(async {
        let tasks: Vec<_> = (0..10_000).map(|n| spawn(async move { n })).collect();
        while !tasks.iter().all(|task| task.is_finished()) {
            yield_now().await;
        }
        let ran = Rc::new(Cell::new(false));
        let other = ran.clone();
        drop(spawn(async move { other.set(true) }));
        let mut before_it = 0;
        for task in tasks {
            task.await.unwrap();
            before_it += u32::from(!ran.get());
        }
        assert!(before_it < 1_000, "{before_it} were joined before another task had its go");
    });
}
