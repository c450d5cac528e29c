//! Whose is what: everything belongs to the partition it was made in, and what comes from outside
//! belongs to ROOT, whoever's turn it is.

#![cfg(unix)]

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use evenloop::instrument::{Instrument, IoStart, TickEnd};
use evenloop::net::UnixDatagram;
use evenloop::time::{Sleep, sleep};
use evenloop::{Handle, JoinHandle, Partition, Runtime, block_on, spawn, spawn_in, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn here() -> String {
    Partition::current().name()
}

fn exists(name: &str) -> bool {
    Handle::current().partitions().iter().any(|partition| partition.name() == name)
}

/// Lets the loop free what is not needed any more.
async fn settle() {
    for _ in 0..4 {
        yield_now().await;
    }
}

/// A timer that waits and a socket: what holds its partition while it lives.
type Held = Rc<RefCell<Vec<(Sleep, UnixDatagram)>>>;

fn hold(held: &Held) {
    let mut timer = sleep(HOUR);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(&mut timer).poll(&mut cx).is_pending());
    held.borrow_mut().push((timer, UnixDatagram::unbound().unwrap()));
}

/// Checks that `held` keeps the partition called `name` alive, by the timer and by the socket.
async fn holds(held: Held, name: &str) {
    settle().await;
    let (timer, socket) = held.borrow_mut().pop().expect("something was made");
    assert!(exists(name), "both");
    drop(timer);
    settle().await;
    assert!(exists(name), "the socket alone");
    drop(socket);
    settle().await;
    assert!(!exists(name), "nothing");
}

/// Timers and sockets made in the first poll belong to the partition of that poll.
#[test]
fn what_the_first_poll_makes_is_its_partitions() {
    block_on(async {
        let held = Held::default();
        let made = held.clone();
        spawn_in("first", async move { hold(&made) }).await.unwrap();
        holds(held, "first").await;
    });
}

/// So do those made in destructors, whether the task ends by itself or is aborted, and from
/// whatever partition.
#[test]
fn what_destructors_make_is_their_partitions() {
    struct HoldsOnDrop(Held);
    impl Drop for HoldsOnDrop {
        fn drop(&mut self) {
            hold(&self.0);
        }
    }
    block_on(async {
        for (name, aborted) in [("ended", false), ("aborted", true)] {
            let held = Held::default();
            let guard = HoldsOnDrop(held.clone());
            let task = spawn_in(name, async move {
                let _guard = guard;
                if aborted {
                    pending::<()>().await;
                }
            });
            settle().await;
            if aborted {
                let abort = task.abort_handle();
                spawn_in("killer", async move { abort.abort() }).await.unwrap();
            }
            assert_eq!(task.await.is_err(), aborted);
            holds(held, name).await;
        }
    });
}

/// Keeps two partitions busy until the stop, so that some turn is out at every boundary.
fn busy() -> (Rc<()>, Vec<JoinHandle<()>>) {
    let stop = Rc::new(());
    let task = |name| {
        let stop = Rc::downgrade(&stop);
        spawn_in(name, async move {
            while stop.strong_count() > 0 {
                yield_now().await;
            }
        })
    };
    let tasks = vec![task("one"), task("other")];
    (stop, tasks)
}

/// Spawned from another thread, a task is ROOT's, even if it arrives in the middle of the turn of
/// some other partition; and so is what is called on the loop for that thread.
#[test]
fn what_comes_from_other_threads_is_roots() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        let (stop, _tasks) = busy();
        let sender = thread::spawn(move || {
            let spawn_one = |_| {
                thread::sleep(Duration::from_micros(200));
                handle.spawn(async { here() })
            };
            (0..100).map(spawn_one).collect::<Vec<_>>()
        });
        while !sender.is_finished() {
            yield_now().await;
        }
        for task in sender.join().unwrap() {
            assert_eq!(task.await.unwrap(), "ROOT");
        }
        drop(stop);
    });
}

/// What a hook makes is ROOT's, although it is called between two handles of a turn.
#[test]
fn what_hooks_spawn_is_roots() {
    struct Spawns(mpsc::Sender<String>);
    impl Instrument for Spawns {
        fn tick_end(&mut self, _: &TickEnd) {
            let names = self.0.clone();
            spawn(async move { names.send(here()) });
        }
    }
    let runtime = Runtime::new().unwrap();
    let (sender, names) = mpsc::channel();
    runtime.add_instrument(Spawns(sender));
    runtime.block_on(async {
        let (stop, _tasks) = busy();
        for _ in 0..100 {
            assert_eq!(names.try_iter().find(|name| name != "ROOT"), None);
            sleep(Duration::from_micros(200)).await;
        }
        drop(stop);
    });
}

/// A loop that is about to sleep runs what a hook spawns at that moment.
#[test]
fn a_loop_does_not_sleep_on_what_a_hook_spawned() {
    struct SpawnsOnce(Option<(Arc<AtomicBool>, Waker)>);
    impl Instrument for SpawnsOnce {
        fn io_start(&mut self, event: &IoStart) {
            if event.timeout == Some(Duration::ZERO) {
                return;
            }
            if let Some((ran, main)) = self.0.take() {
                spawn(async move {
                    ran.store(true, Ordering::Relaxed);
                    main.wake();
                });
            }
        }
    }
    block_on(async {
        let ran = Arc::new(AtomicBool::new(false));
        let mut polled = false;
        // It lets the loop sleep for long, and ends a test that fails.
        let mut limit = sleep(Duration::from_secs(30));
        poll_fn(|cx| {
            assert!(pin!(&mut limit).poll(cx).is_pending(), "the loop slept");
            if !std::mem::replace(&mut polled, true) {
                let spawns = SpawnsOnce(Some((ran.clone(), cx.waker().clone())));
                Handle::current().add_instrument(spawns);
            }
            if ran.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
}
