//! Wakes in crowds, under locks, at the last moment, and from executors that are not ours.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use evenloop::{Runtime, block_on, spawn, spawn_blocking, yield_now};

use crate::{Count, bounded, settle};

/// Two threads wake one task a million times, while it sleeps, runs, and falls asleep. Every
/// thousand wakes they go on only when it has seen them: one that is lost would be the last.
#[test]
fn a_million_wakes_of_two_threads_end() {
    const WAKES: usize = 500_000;
    const STRIDE: usize = 1_000;
    bounded(|| {
        let sent: Arc<[AtomicUsize; 2]> = Arc::default();
        let seen: Arc<[AtomicUsize; 2]> = Arc::default();
        let slot: Arc<Mutex<Option<Waker>>> = Arc::default();
        let threads: Vec<_> = (0..2)
            .map(|own| {
                let (sent, seen, slot) = (sent.clone(), seen.clone(), slot.clone());
                thread::spawn(move || {
                    let waker = loop {
                        if let Some(waker) = slot.lock().unwrap().clone() {
                            break waker;
                        }
                        thread::yield_now();
                    };
                    for wake in 1..=WAKES {
                        sent[own].store(wake, Ordering::Release);
                        waker.wake_by_ref();
                        while wake % STRIDE == 0 && seen[own].load(Ordering::Acquire) < wake {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        block_on(async {
            spawn(poll_fn(move |cx| {
                slot.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
                let mut done = true;
                for (sent, seen) in sent.iter().zip(&*seen) {
                    let sent = sent.load(Ordering::Acquire);
                    seen.store(sent, Ordering::Release);
                    done &= sent == WAKES;
                }
                if done { Poll::Ready(()) } else { Poll::Pending }
            }))
            .await
            .unwrap();
        });
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// However many threads wake a task before its next poll, that is one poll.
#[test]
fn many_wakes_are_one_poll() {
    bounded(|| {
        block_on(async {
            let polls = Count::default();
            let slot: Arc<Mutex<Option<Waker>>> = Arc::default();
            let (counted, left) = (polls.clone(), slot.clone());
            let task = spawn(poll_fn(move |cx| -> Poll<()> {
                counted.add();
                *left.lock().unwrap() = Some(cx.waker().clone());
                Poll::Pending
            }));
            settle().await;
            for round in 1..=20 {
                assert_eq!(polls.get(), round);
                let waker = slot.lock().unwrap().clone().unwrap();
                // The loop stands still meanwhile.
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        let waker = waker.clone();
                        thread::spawn(move || {
                            (0..100).for_each(|_| waker.wake_by_ref());
                            waker.wake();
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join().unwrap();
                }
                waker.wake();
                settle().await;
            }
            assert_eq!(polls.get(), 21);
            task.abort();
        });
    });
}

/// Whoever wakes may hold a lock that the woken task takes: the task is not polled on that stack.
#[test]
fn a_wake_under_a_lock_is_not_a_poll() {
    bounded(|| {
        let lock = Arc::new(Mutex::new(0));
        let slot: Arc<Mutex<Option<Waker>>> = Arc::default();
        let (locks, left) = (lock.clone(), slot.clone());
        block_on(async {
            let task = spawn(poll_fn(move |cx| {
                *left.lock().unwrap() = Some(cx.waker().clone());
                // Polled by whoever holds the lock, it would never get it.
                let mut polls = locks.lock().unwrap();
                *polls += 1;
                if *polls == 3 { Poll::Ready(()) } else { Poll::Pending }
            }));
            settle().await;
            let waker = slot.lock().unwrap().clone().unwrap();
            {
                let polls = lock.lock().unwrap();
                waker.wake_by_ref();
                assert_eq!(*polls, 1);
            }
            settle().await;
            let (locks, wakes) = (lock.clone(), waker.clone());
            let (woke, has_woken) = futures::channel::oneshot::channel();
            let other = thread::spawn(move || {
                let polls = locks.lock().unwrap();
                wakes.wake();
                woke.send(()).unwrap();
                // The loop waits for the lock now, if it is quick.
                thread::sleep(Duration::from_millis(20));
                assert_eq!(*polls, 2);
            });
            has_woken.await.unwrap();
            task.await.unwrap();
            other.join().unwrap();
        });
    });
}

/// A yield that is the last thing a task does before the loop is left resumes when the loop runs
/// again; one in a loop of its own, on a thread of the pool, at once.
#[test]
fn a_yield_at_the_end_of_the_loop_resumes() {
    const ROUNDS: usize = 1_000;
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let steps = Rc::new(Cell::new(0));
        let counted = steps.clone();
        let task = runtime.spawn(async move {
            for _ in 0..ROUNDS {
                yield_now().await;
                counted.set(counted.get() + 1);
            }
        });
        for round in 0..ROUNDS {
            runtime.block_on(yield_now());
            assert!(steps.get() >= round, "{} steps in {round} rounds", steps.get());
        }
        runtime.block_on(task).unwrap();
        assert_eq!(steps.get(), ROUNDS);
        runtime.block_on(async {
            let nested = || spawn_blocking(|| block_on(async { (yield_now().await, 7).1 }));
            for _ in 0..50 {
                assert_eq!(nested().await.unwrap(), 7);
            }
        });
    });
}

/// A foreign `block_on` inside a task has a parker of its own: its wakes end it and reach nobody
/// else, and those of the task are still there afterwards.
#[test]
fn a_foreign_block_on_takes_no_wakes() {
    bounded(|| {
        block_on(async {
            let polls = Rc::new(Cell::new(0));
            let counted = polls.clone();
            let task = spawn(poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                if counted.get() == 2 {
                    return Poll::Ready(());
                }
                // This one is meant for the task.
                cx.waker().wake_by_ref();
                let (send, receive) = futures::channel::oneshot::channel();
                let other = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(5));
                    send.send(7).unwrap();
                });
                assert_eq!(futures::executor::block_on(receive), Ok(7));
                other.join().unwrap();
                Poll::Pending
            }));
            task.await.unwrap();
            settle().await;
            assert_eq!(polls.get(), 2);
        });
    });
}
