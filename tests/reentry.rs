//! Where foreign code meets the loop: between two handles, in hooks, and in a runtime inside
//! another. Each of these once hung, or hit somebody else's task.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::instrument::{Events, Instrument, IoEnd, IoStart};
use evenloop::time::sleep;
use evenloop::{Budget, Close, Handle, JoinSet, Partition, Runtime};
use evenloop::{block_on, spawn, spawn_in, yield_now};

/// Longer than any test takes, and shorter than anybody waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a thread of its own and fails if it does not come to an end.
fn bounded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, ended) = mpsc::channel();
    let thread = thread::spawn(move || send.send(test()));
    match ended.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end in sight"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(_) => panic!("a test without an outcome"),
        },
    }
}

/// A runtime may be dropped where another one runs: its tasks are dropped in it, and the outer
/// loop is the current one again afterwards.
#[test]
fn a_runtime_ends_inside_another() {
    struct Named(mpsc::Sender<String>);
    impl Drop for Named {
        fn drop(&mut self) {
            self.0.send(Partition::current().name()).unwrap();
        }
    }
    let names = bounded(|| {
        let (send, names) = mpsc::channel();
        block_on(async move {
            spawn_in("outer", async move {
                let inner = Runtime::new().unwrap();
                let named = Named(send.clone());
                drop(inner.spawn_in("inner", async move {
                    let _named = named;
                    pending::<()>().await;
                }));
                let task = inner.spawn(pending::<()>());
                drop(inner);
                assert!(task.await.unwrap_err().is_cancelled());
                send.send(Partition::current().name()).unwrap();
            })
            .await
            .unwrap();
        });
        names.iter().collect::<Vec<_>>()
    });
    assert_eq!(names, ["inner", "outer"]);
}

/// The last to hold a runtime may be a waker that the outer loop drops.
#[test]
fn a_runtime_ends_in_a_wakers_destructor() {
    struct Holds(Mutex<Option<thread::JoinHandle<()>>>, mpsc::Sender<bool>);
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Holds {
        fn drop(&mut self) {
            let _ = self.0.lock().unwrap().take();
            let inner = Runtime::new().unwrap();
            let task = inner.spawn(pending::<()>());
            drop(inner);
            let _ = self.1.send(task.is_finished());
        }
    }
    let ended = bounded(|| {
        let (send, ended) = mpsc::channel();
        block_on(async move {
            let waker = Waker::from(Arc::new(Holds(Mutex::new(None), send)));
            let mut nap = Box::pin(sleep(PATIENCE));
            poll_fn(|_| {
                let mut cx = std::task::Context::from_waker(&waker);
                assert!(std::future::Future::poll(nap.as_mut(), &mut cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(waker);
            drop(nap);
        });
        ended.try_recv()
    });
    assert_eq!(ended, Ok(true));
}

/// The handle of a refused task names that task and no other: aborting it hits nobody.
#[test]
fn a_refused_handle_aborts_nobody() {
    bounded(|| {
        block_on(async {
            let closed = Partition::named("closed");
            closed.close(Close::Drain);
            let refused = closed.spawn(async {});
            let bystander = spawn(async {
                yield_now().await;
                7
            });
            assert_ne!(refused.id(), bystander.id());
            refused.abort();
            assert_eq!(bystander.await.unwrap(), 7);

            let mut set = JoinSet::new();
            set.spawn_in(&closed, async {});
            let bystander = spawn(async {
                yield_now().await;
                8
            });
            drop(set);
            assert_eq!(bystander.await.unwrap(), 8);
        });
    });
}

/// A task of another thread can be aborted on the loop before the loop has heard of it.
#[test]
fn aborting_what_has_not_arrived() {
    bounded(|| {
        block_on(async {
            let handle = Handle::current();
            let task = thread::spawn(move || handle.spawn(pending::<()>())).join().unwrap();
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    });
}

/// Tasks of other threads live in ROOT, whoever's turn it is when they arrive.
#[test]
fn strangers_arrive_in_root() {
    let name = bounded(|| {
        block_on(async {
            spawn_in("busy", async {
                // Another handle is queued here, so that the turn goes on across the arrival.
                let next = spawn(async {});
                let handle = Handle::current();
                let arrive = move || handle.spawn(async { Partition::current().name() });
                let stranger = thread::spawn(arrive).join().unwrap();
                next.await.unwrap();
                stranger.await.unwrap()
            })
            .await
            .unwrap()
        })
    });
    assert_eq!(name, "ROOT");
}

/// A closed partition takes nothing in from other threads, not even while its own turn is out.
#[test]
fn a_closed_partition_is_closed_in_its_own_turn() {
    let refused = bounded(|| {
        block_on(async {
            spawn_in("closing", async {
                let next = spawn(async {});
                let here = Partition::current();
                here.close(Close::Drain);
                let handle = Handle::current();
                let stranger = thread::spawn(move || handle.spawn_in(&here, async {}));
                let stranger = stranger.join().unwrap();
                next.await.unwrap();
                stranger.await.unwrap_err().is_refused()
            })
            .await
            .unwrap()
        })
    });
    assert!(refused);
}

/// Spawns a task in every hook and counts how often it lived in ROOT.
struct Spawner(Arc<AtomicUsize>);

impl Instrument for Spawner {
    fn interests(&self) -> Events {
        Events::TICK
    }

    fn tick_end(&mut self, _: &evenloop::instrument::TickEnd) {
        assert_eq!(Partition::current().name(), "ROOT");
        let in_root = self.0.clone();
        drop(spawn(async move {
            if Partition::current().name() == "ROOT" {
                in_root.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
}

/// What a hook does, it does between handles: in ROOT, whoever's turn is out.
#[test]
fn hooks_run_in_root() {
    let in_root = Arc::new(AtomicUsize::new(0));
    let counted = in_root.clone();
    bounded(move || {
        let runtime = Runtime::new().unwrap();
        runtime.add_instrument(Spawner(in_root));
        runtime.block_on(async {
            spawn_in("busy", async {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(20) {
                    // Heavy enough for a tick to end in the middle of the turn.
                    let handle = Instant::now();
                    while handle.elapsed() < Duration::from_micros(30) {}
                    yield_now().await;
                }
            })
            .await
            .unwrap();
            yield_now().await;
        });
        assert!(runtime.handle().metrics().instrument_panics == 0);
    });
    assert!(counted.load(Ordering::Relaxed) > 0);
}

/// Wakes whoever waits, when the loop is about to sleep.
struct WakesAtSleep(Arc<Mutex<Option<Waker>>>);

impl Instrument for WakesAtSleep {
    fn interests(&self) -> Events {
        Events::IO
    }

    fn io_start(&mut self, event: &IoStart) {
        if event.timeout != Some(Duration::ZERO) {
            if let Some(waker) = self.0.lock().unwrap().take() {
                waker.wake();
            }
        }
    }
}

/// The loop does not sleep on work that a hook made just before.
#[test]
fn a_wake_in_a_hook_keeps_the_loop_awake() {
    bounded(|| {
        let slot = Arc::new(Mutex::new(None));
        let runtime = Runtime::new().unwrap();
        runtime.add_instrument(WakesAtSleep(slot.clone()));
        let mut polls = 0;
        runtime.block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(());
            }
            *slot.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }));
    });
}

/// Takes its time after every harvest.
struct Slow;

impl Instrument for Slow {
    fn interests(&self) -> Events {
        Events::IO | Events::TICK
    }

    fn io_end(&mut self, _: &IoEnd) {
        thread::sleep(Duration::from_micros(300));
    }

    fn tick_start(&mut self, _: &evenloop::instrument::TickStart) {
        thread::sleep(Duration::from_micros(300));
    }
}

/// A hook slower than the harvest period slows the loop down, and does not stop it.
#[test]
fn a_slow_hook_does_not_stop_the_loop() {
    bounded(|| {
        let runtime = Runtime::builder().budget(Budget::default()).build().unwrap();
        runtime.add_instrument(Slow);
        runtime.block_on(async {
            let _socket = evenloop::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            for _ in 0..3 {
                sleep(Duration::from_millis(1)).await;
                spawn(yield_now()).await.unwrap();
            }
        });
    });
}
