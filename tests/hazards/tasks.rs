//! Tasks under races and panics.

use std::future::{pending, poll_fn};
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use evenloop::net::UdpSocket;
use evenloop::time::{Instant, sleep};
use evenloop::{
    Handle, JoinSet, Partition, Runtime, block_on, spawn, spawn_blocking, spawn_in, spawn_isolated,
    yield_now,
};

use crate::{Count, HOUR, OnDrop, bounded, settle};

/// Panics without the message.
fn silent_panic() -> ! {
    resume_unwind(Box::new("as planned"))
}

/// An abort from another thread that races the end of the task: one of them wins, the handle tells
/// which, and the future is dropped once.
#[test]
fn an_abort_may_race_the_end() {
    const ROUNDS: usize = 2_000;
    bounded(|| {
        block_on(async {
            let drops = Count::default();
            let (send, aborts) = mpsc::channel::<evenloop::AbortHandle>();
            let other = thread::spawn(move || aborts.into_iter().for_each(|task| task.abort()));
            let (mut ended, mut cancelled) = (0, 0);
            for round in 0..ROUNDS {
                let guard = drops.on_drop();
                let task = spawn_in((round % 3) as u64, async move {
                    let _guard = guard;
                    for _ in 0..round % 7 {
                        yield_now().await;
                    }
                    round
                });
                send.send(task.abort_handle()).unwrap();
                match task.await {
                    Ok(output) => {
                        assert_eq!(output, round);
                        ended += 1;
                    }
                    Err(error) => {
                        assert!(error.is_cancelled() && !error.is_refused());
                        cancelled += 1;
                    }
                }
                assert_eq!(drops.get(), round + 1);
            }
            drop(send);
            other.join().unwrap();
            assert_eq!(ended + cancelled, ROUNDS);
        });
    });
}

/// One thread aborts, one wakes, one joins or lets go, and the loop polls, all at once.
#[test]
fn abort_wake_join_and_detach_may_race() {
    const ROUNDS: usize = 500;
    bounded(|| {
        block_on(async {
            let drops = Count::default();
            for round in 0..ROUNDS {
                let guard = drops.on_drop();
                let (give, wakers) = mpsc::channel::<Waker>();
                let task = spawn(async move {
                    let _guard = guard;
                    let mut polls = 0;
                    poll_fn(|cx| {
                        polls += 1;
                        let _ = give.send(cx.waker().clone());
                        if polls == 5 { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                });
                let abort = task.abort_handle();
                let threads = [
                    thread::spawn(move || abort.abort()),
                    thread::spawn(move || {
                        for waker in wakers.into_iter().take(4) {
                            waker.wake_by_ref();
                            drop(waker);
                        }
                    }),
                    thread::spawn(move || {
                        if round % 2 == 0 {
                            drop(task);
                        } else if let Err(error) = futures::executor::block_on(task) {
                            assert!(error.is_cancelled());
                        }
                    }),
                ];
                while !threads.iter().all(|thread| thread.is_finished()) {
                    yield_now().await;
                }
                for thread in threads {
                    thread.join().unwrap();
                }
                settle().await;
                assert_eq!(drops.get(), round + 1);
            }
        });
    });
}

/// Whatever is left of a runtime that has shut down may be used and dropped on a thread that never
/// ran a loop: nothing happens, and nothing panics.
#[test]
fn what_is_left_of_a_runtime_is_harmless_anywhere() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let handle = runtime.handle();
        let (give, wakers) = mpsc::channel::<Waker>();
        let task = runtime.spawn(poll_fn(move |cx| {
            let _ = give.send(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let (nap, socket, partition, set) = runtime.block_on(async {
            let mut nap = sleep(HOUR);
            let mut set = JoinSet::new();
            set.spawn(pending::<()>());
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            assert!(futures::poll!(&mut nap).is_pending());
            assert!(futures::poll!(std::pin::pin!(socket.recv(&mut [0]))).is_pending());
            (nap, socket, Partition::named("left"), set)
        });
        runtime.block_on(settle());
        drop(runtime);
        thread::spawn(move || {
            let abort = task.abort_handle();
            task.abort();
            abort.abort();
            assert!(task.is_finished());
            for waker in wakers.try_iter() {
                waker.wake_by_ref();
                drop(waker.clone());
                waker.wake();
            }
            assert!(futures::executor::block_on(task).unwrap_err().is_cancelled());
            abort.abort();
            let mut nap = nap;
            nap.reset(Instant::now() + HOUR);
            drop(nap);
            assert!(socket.try_recv(&mut [0]).is_err());
            drop(socket);
            partition.set_weight(3);
            partition.close(evenloop::Close::Cancel);
            assert_eq!(partition.metrics().queued, 0);
            drop(partition);
            let mut set = set;
            set.abort_all();
            let joined = futures::executor::block_on(set.join_next());
            assert!(joined.unwrap().unwrap_err().is_cancelled());
            drop(set);
            assert!(handle.spawn(async {}).is_finished());
            assert!(handle.spawn_in("new", async {}).is_finished());
            assert!(handle.spawn_blocking(|| ()).is_finished());
            assert!(handle.load() <= 1.0);
        })
        .join()
        .unwrap();
    });
}

/// In partitions of every kind at once tasks panic in polls, in destructors of futures and in those
/// of outputs. Each panic is told once; who does not panic is not harmed.
#[test]
fn panics_stay_in_every_kind_of_partition() {
    const EACH: usize = 10;
    bounded(|| {
        let unheard = Count::default();
        let counted = unheard.clone();
        let runtime =
            Runtime::builder().on_unhandled_panic(move |_| counted.add()).build().unwrap();
        let kinds = runtime.block_on(async {
            let partitions = [
                Partition::root(),
                Partition::named("named"),
                Partition::anonymous(),
                Partition::builder("heavy").weight(7).build(),
                Partition::builder("member").group("some").build(),
                Partition::builder("other member").group("some").build(),
                Partition::builder("isolated").isolated_io(true).build(),
            ];
            let mut joined = JoinSet::new();
            let mut sound = Vec::new();
            for partition in &partitions {
                for i in 0..EACH {
                    // Heard by a handle.
                    joined.spawn_in(partition, async {
                        yield_now().await;
                        silent_panic()
                    });
                    joined.spawn_in(partition, async {
                        let _guard = OnDrop(|| silent_panic());
                        yield_now().await;
                    });
                    // Heard by nobody: the hook is told.
                    drop(partition.spawn(async { OnDrop(|| silent_panic()) }));
                    drop(partition.spawn(async { silent_panic() }));
                    sound.push(partition.spawn(async move {
                        for _ in 0..i {
                            yield_now().await;
                        }
                        i
                    }));
                }
            }
            joined.spawn(async { spawn_isolated(async { silent_panic() }).await.unwrap() });
            let mut panics = 0;
            while let Some(outcome) = joined.join_next().await {
                assert!(outcome.unwrap_err().is_panic());
                panics += 1;
            }
            assert_eq!(panics, 2 * EACH * partitions.len() + 1);
            let mut sum = 0;
            for task in sound {
                sum += task.await.unwrap();
            }
            assert_eq!(sum, partitions.len() * EACH * (EACH - 1) / 2);
            settle().await;
            partitions.len()
        });
        assert_eq!(unheard.get(), 2 * EACH * kinds);
        runtime.block_on(settle());
        assert_eq!(runtime.handle().partitions().len(), 1, "ROOT is left");
        assert!(runtime.shutdown(Duration::ZERO).is_clean());
    });
}

/// A hundred blocking jobs panic; each awaiter is told, and the pool serves on with the threads it
/// may have.
#[test]
fn panicking_jobs_leave_the_pool_whole() {
    bounded(|| {
        let runtime = Runtime::builder().blocking_threads(2).build().unwrap();
        runtime.block_on(async {
            let panicking: Vec<_> =
                (0..100).map(|_| spawn_blocking(|| -> usize { silent_panic() })).collect();
            for job in panicking {
                assert!(job.await.unwrap_err().is_panic());
            }
            // Both threads are there: two jobs that wait for each other come to an end.
            for _ in 0..10 {
                let (here, there) = (mpsc::channel(), mpsc::channel());
                let one = spawn_blocking(move || (here.0.send(1).unwrap(), there.1.recv()).1);
                let other = spawn_blocking(move || (there.0.send(2).unwrap(), here.1.recv()).1);
                assert_eq!(one.await.unwrap(), Ok(2));
                assert_eq!(other.await.unwrap(), Ok(1));
            }
        });
    });
}

/// Waking by value may give up the last waker there is, of a task that nobody holds any more, while
/// it is being queued: on the loop, and elsewhere.
#[test]
fn the_last_waker_is_spent_by_its_wake() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        for elsewhere in [false, true] {
            let drops = Count::default();
            let guard = drops.on_drop();
            let (give, wakers) = mpsc::channel::<Waker>();
            runtime.block_on(async {
                let mut polls = 0;
                drop(spawn(poll_fn(move |cx| {
                    let _ = &guard;
                    polls += 1;
                    if polls == 1 {
                        give.send(cx.waker().clone()).unwrap();
                        return Poll::Pending;
                    }
                    Poll::Ready(())
                })));
                settle().await;
                let waker = wakers.recv().unwrap();
                assert_eq!(drops.get(), 0);
                if elsewhere {
                    thread::spawn(move || waker.wake()).join().unwrap();
                } else {
                    waker.wake();
                }
                settle().await;
                assert_eq!(drops.get(), 1);
            });
        }
        // And where the runtime goes in between.
        let (give, wakers) = mpsc::channel::<Waker>();
        drop(runtime.spawn(poll_fn(move |cx| {
            give.send(cx.waker().clone()).unwrap();
            Poll::<()>::Pending
        })));
        runtime.block_on(settle());
        let waker = wakers.recv().unwrap();
        drop(runtime);
        waker.wake();
        assert!(wakers.recv().is_err(), "the future is gone");
    });
}

/// A task of which nobody holds a handle, and whose runtime runs on, can be made on one thread and
/// driven on another.
#[test]
fn spawned_here_driven_there() {
    bounded(|| {
        let (give, handles) = mpsc::channel::<Handle>();
        let (end, over) = futures::channel::oneshot::channel::<()>();
        let driver = thread::spawn(move || {
            block_on(async {
                give.send(Handle::current()).unwrap();
                over.await.unwrap();
            });
        });
        let handle = handles.recv().unwrap();
        let (give, ran_on) = mpsc::channel();
        for _ in 0..100 {
            let give = give.clone();
            drop(handle.spawn(async move { give.send(thread::current().id()).unwrap() }));
        }
        let there = driver.thread().id();
        assert!(ran_on.iter().take(100).all(|id| id == there));
        end.send(()).unwrap();
        driver.join().unwrap();
    });
}
