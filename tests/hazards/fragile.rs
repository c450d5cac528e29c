//! Wakers that panic: each harms nobody but itself, and is told of.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use evenloop::net::AsyncFd;
use evenloop::time::{Instant, sleep};
use evenloop::{JoinSet, Runtime, spawn, spawn_in};
use futures::FutureExt;

use crate::subjects::{KINDS, Subject, subjects};
use crate::{Count, HOUR, PATIENCE, bounded, settle};

/// Panics when it is called, or only when it is dropped.
struct Fragile {
    in_drop: bool,
}

impl Wake for Fragile {
    fn wake(self: Arc<Self>) {
        if !self.in_drop {
            resume_unwind(Box::new("a waker of somebody else's"));
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if self.in_drop {
            resume_unwind(Box::new("a destructor of somebody else's"));
        }
    }
}

/// A runtime that counts what panics on it, and what nobody else hears.
fn counting() -> (Runtime, Count) {
    let stray = Count::default();
    let counted = stray.clone();
    let runtime = Runtime::builder().on_unhandled_panic(move |_| counted.add()).build().unwrap();
    (runtime, stray)
}

/// Of forty who wait for one thing two have wakers that panic, one when it is called and one when
/// it is dropped; the other 38 are woken all the same, in one batch, and so is the loop's work.
#[test]
fn of_forty_wakers_two_may_panic() {
    const ALL: usize = 40;
    bounded(|| {
        for kind in ["timers", "listed fd", "tasks", "join set"] {
            let (runtime, stray) = counting();
            runtime.block_on(async {
                let woken = Count::default();
                let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
                let near = AsyncFd::new(near).unwrap();
                let naps: Vec<_> = (0..ALL).map(|_| Mutex::new(sleep(HOUR))).collect();
                let (tell, told) = futures::channel::oneshot::channel::<()>();
                let told = told.map(|_| ()).shared();
                let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
                for nap in &naps {
                    let near = &near;
                    match kind {
                        "timers" => waits.push(Box::pin(poll_fn(|cx| {
                            Pin::new(&mut *nap.lock().unwrap()).poll(cx)
                        }))),
                        "listed fd" => {
                            waits.push(Box::pin(async move { drop(near.readable().await) }));
                        }
                        "tasks" => {
                            let task = spawn(told.clone());
                            waits.push(Box::pin(async { task.await.unwrap() }));
                        }
                        _ => {
                            let mut set = JoinSet::new();
                            set.spawn(told.clone());
                            let joins = async move { set.join_next().await.unwrap().unwrap() };
                            waits.push(Box::pin(joins));
                        }
                    }
                }
                settle().await;
                for (i, wait) in waits.iter_mut().enumerate() {
                    let waker = match i {
                        7 => Waker::from(Arc::new(Fragile { in_drop: false })),
                        11 => Waker::from(Arc::new(Fragile { in_drop: true })),
                        _ => woken.waker(),
                    };
                    let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(polled.is_pending(), "{kind}");
                }
                drop(tell);
                let now = Instant::now();
                naps.iter().for_each(|nap| nap.lock().unwrap().reset(now));
                std::io::Write::write_all(&mut &far, b"x").unwrap();
                while woken.get() < ALL - 2 {
                    sleep(Duration::from_millis(1)).await;
                }
                settle().await;
                assert_eq!(woken.get(), ALL - 2, "{kind}");
                for wait in waits {
                    wait.await;
                }
            });
            assert!(stray.get() >= 1, "{kind}: nobody was told of the panics");
            assert!(runtime.shutdown(Duration::ZERO).is_clean());
        }
    });
}

/// Where what holds the waker is dropped.
#[derive(Clone, Copy, Debug)]
enum Dropped {
    Here,
    Elsewhere,
    WithTheRuntime,
}

/// It does not hurt if a waker that panics is dropped with what holds it: a socket, a timer, a task's
/// handle, a set; here, on another thread, or with the runtime.
#[test]
fn wakers_that_panic_when_dropped_harm_nobody() {
    bounded(|| {
        for kind in 0..KINDS {
            for ends in [Dropped::Here, Dropped::Elsewhere, Dropped::WithTheRuntime] {
                let (runtime, stray) = counting();
                let (name, left) = runtime.block_on(async {
                    let Subject { name, mut waits, fire, touch, _alive } =
                        subjects(HOUR).await.swap_remove(kind);
                    drop(touch);
                    settle().await;
                    let waker = Waker::from(Arc::new(Fragile { in_drop: true }));
                    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    drop(waker);
                    let mut left = None;
                    let dropped = match ends {
                        Dropped::Here => catch_unwind(AssertUnwindSafe(|| drop(waits))),
                        Dropped::Elsewhere => thread::spawn(move || drop(waits)).join(),
                        _ => {
                            left = Some(waits);
                            Ok(())
                        }
                    };
                    // Whoever drops what holds the waker may be told, as of any destructor. The
                    // loop may not: it goes on.
                    if dropped.is_err() {
                        stray.add();
                    }
                    settle().await;
                    assert_eq!(spawn_in("next", async { 5 }).await.unwrap(), 5);
                    fire();
                    settle().await;
                    (name, left)
                });
                let report = runtime.shutdown(PATIENCE);
                assert_eq!(report.blocking_running(), 0);
                drop(left);
                // The threads of the pool have no loop whose hook they could tell.
                let told = if name == "blocking job" { 0..=1 } else { 1..=1 };
                assert!(told.contains(&stray.get()), "{name}, {ends:?}: {}", stray.get());
            }
        }
    });
}
