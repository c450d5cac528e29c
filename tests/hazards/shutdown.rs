//! The end of a runtime under destructors, cycles and threads that still wait for it.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use evenloop::net::{AsyncFd, Direction, UnixDatagram};
use evenloop::time::sleep;
use evenloop::{AbortHandle, Handle, JoinSet, Runtime, spawn, spawn_in, yield_now};

use crate::{Count, HOUR, OnDrop, bounded, settle};

/// The destructors of a hundred tasks wake, abort and join each other, spawn, and take a lock that
/// all of them take: the shutdown ends, each is dropped once, and nothing new is taken in.
#[test]
fn destructors_may_meddle_with_each_other() {
    const TASKS: usize = 100;
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let (drops, refused) = (Count::default(), Count::default());
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let aborts: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let common = Arc::new(Mutex::new(0));
        runtime.block_on(async {
            for i in 0..TASKS as u64 {
                let (drops, refused) = (drops.clone(), refused.clone());
                let (wakers, aborts, common) = (wakers.clone(), aborts.clone(), common.clone());
                let (left, theirs) = (wakers.clone(), aborts.clone());
                let guard = OnDrop(move || {
                    *common.lock().unwrap() += 1;
                    drops.add();
                    // One lock after the other is taken while all this goes on.
                    let others = wakers.lock().unwrap().clone();
                    others.iter().for_each(Waker::wake_by_ref);
                    let others = aborts.lock().unwrap().clone();
                    others.iter().for_each(AbortHandle::abort);
                    let news = [spawn(async {}), spawn_in(i, pending()), spawn_in("x", async {})];
                    for task in news {
                        assert!(task.is_finished());
                        refused.add();
                    }
                    drop(Handle::current().spawn(async {}));
                });
                let task = spawn_in(i % 5, async move {
                    let _guard = guard;
                    std::future::poll_fn(|cx| {
                        left.lock().unwrap().push(cx.waker().clone());
                        std::task::Poll::<()>::Pending
                    })
                    .await;
                });
                theirs.lock().unwrap().push(task.abort_handle());
            }
            settle().await;
        });
        let report = runtime.shutdown(Duration::ZERO);
        assert_eq!(report.pending().len(), TASKS);
        assert_eq!((drops.get(), refused.get()), (TASKS, 3 * TASKS));
        assert_eq!(*common.lock().unwrap(), TASKS);
    });
}

/// A thousand tasks that wait for timers, in as many partitions, go with the runtime, and so does
/// what they hold.
#[test]
fn armed_timers_go_with_the_runtime() {
    bounded(|| {
        let held = Arc::new(());
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            for i in 0..1_000_u64 {
                let held = held.clone();
                drop(spawn_in(i, async move {
                    let (mut one, mut other) = (sleep(HOUR), sleep(2 * HOUR));
                    futures::future::select(&mut one, &mut other).await;
                    drop(held);
                }));
            }
            settle().await;
        });
        assert_eq!(Arc::strong_count(&held), 1_001);
        drop(runtime);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

/// Keeps what keeps it: a waker that owns the thing it was left with.
struct Cycle {
    _drops: Box<dyn std::any::Any + Send + Sync>,
    owned: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

impl Wake for Cycle {
    fn wake(self: Arc<Self>) {}
}

/// A waker that owns the socket, timer, handle or set which it waits for is let go by the end of the
/// runtime: nothing is left of either.
#[test]
fn wakers_that_own_what_they_wait_for_are_freed() {
    bounded(|| {
        let drops = Count::default();
        let runtime = Runtime::new().unwrap();
        let cycle = |owned: &mut dyn FnMut(&mut Context<'_>) -> Box<dyn std::any::Any + Send>| {
            let _drops = Box::new(drops.on_drop());
            let cycle = Arc::new(Cycle { _drops, owned: Mutex::new(None) });
            let waker = Waker::from(cycle.clone());
            let owned = owned(&mut Context::from_waker(&waker));
            *cycle.owned.lock().unwrap() = Some(owned);
        };
        // The far ends live on, so that nothing is ready.
        let far = runtime.block_on(async {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let near = AsyncFd::new(near).unwrap();
            let mut near = Some(near);
            cycle(&mut |cx| {
                let near = near.take().unwrap();
                assert!(near.poll_ready(Direction::Read, cx).is_pending());
                Box::new(near)
            });
            cycle(&mut |cx| {
                let mut nap = Box::pin(sleep(HOUR));
                assert!(nap.as_mut().poll(cx).is_pending());
                Box::new(nap)
            });
            cycle(&mut |cx| {
                let mut task = spawn(pending::<()>());
                assert!(Pin::new(&mut task).poll(cx).is_pending());
                Box::new(task)
            });
            cycle(&mut |cx| {
                let mut set = JoinSet::new();
                set.spawn(pending::<()>());
                assert!(set.poll_join_next(cx).is_pending());
                Box::new(set)
            });
            far
        });
        assert_eq!(drops.get(), 0);
        drop(runtime);
        assert_eq!(drops.get(), 4);
        drop(far);
    });
}

/// Threads come to wait for a socket, a task or a blocking job at the very moment the runtime goes:
/// each is told, and none waits for ever.
#[test]
fn waiting_elsewhere_may_race_the_end() {
    bounded(|| {
        for round in 0..100 {
            let runtime = Runtime::new().unwrap();
            let (near, _far) = runtime.block_on(async { UnixDatagram::pair().unwrap() });
            let task = runtime.spawn(pending::<()>());
            let remote = runtime.handle();
            let (go, begun) = mpsc::channel::<()>();
            let threads = [
                thread::spawn({
                    let go = go.clone();
                    move || {
                        drop(go);
                        let received = futures::executor::block_on(near.recv(&mut [0; 4]));
                        assert!(received.is_err());
                    }
                }),
                thread::spawn({
                    let go = go.clone();
                    move || {
                        drop(go);
                        assert!(futures::executor::block_on(task).unwrap_err().is_cancelled());
                    }
                }),
                thread::spawn(move || {
                    drop(go);
                    // Taken in before the end and dropped with it, or refused.
                    let task = remote.spawn(pending::<()>());
                    assert!(futures::executor::block_on(task).unwrap_err().is_cancelled());
                    let job = remote.spawn_blocking(|| 1);
                    match futures::executor::block_on(job) {
                        Ok(one) => assert_eq!(one, 1),
                        Err(error) => assert!(error.is_cancelled()),
                    }
                }),
            ];
            assert!(begun.recv().is_err());
            if round % 2 == 0 {
                runtime.block_on(yield_now());
            }
            drop(runtime);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    });
}

/// A loop cannot be shut down from inside one: that is told at once, and the loop that was asked in
/// goes on.
#[test]
fn a_shutdown_inside_a_loop_is_refused() {
    bounded(|| {
        let outer = Runtime::new().unwrap();
        outer.block_on(async {
            let inner = Runtime::new().unwrap();
            let task = inner.spawn(pending::<()>());
            let shut = std::panic::AssertUnwindSafe(|| inner.shutdown(Duration::ZERO));
            let payload = std::panic::catch_unwind(shut).unwrap_err();
            let text = payload.downcast::<String>().map_or_else(
                |other| (*other.downcast::<&str>().expect("a text")).to_owned(),
                |text| *text,
            );
            assert!(text.contains("inside a loop"), "{text}");
            // It went as a runtime goes that is dropped.
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
        });
        assert!(outer.shutdown(Duration::MAX).is_clean());
    });
}
