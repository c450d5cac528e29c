use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;
use std::time::Duration;

use super::*;
use crate::clock::Instant;
use crate::runtime::timers::Timer;
use crate::{Partition, block_on, spawn, spawn_in, yield_now};

type Std = std::os::unix::net::UnixStream;

fn watched() -> (Watched<Std>, Std) {
    let (near, far) = Std::pair().expect("a pair");
    near.set_nonblocking(true).expect("it can be set");
    let near = Watched::new(near, Interest::READABLE, None, "a test").expect("registers");
    (near, far)
}

/// Waits once, in vain.
fn wait(watched: &Watched<Std>, direction: Direction) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(watched.registration().readiness(direction)).poll(&mut cx).is_pending());
    assert!(watched.registration().poll_ready(direction, &mut cx).is_pending());
}

fn current() -> PartitionId {
    context::expect("a test").core.borrow().scope()
}

fn poller_of_current() -> PollerId {
    context::expect("a test").core.borrow().poller_of(current())
}

/// Each direction belongs to whoever waited for it last; the fd goes with the reader, into the
/// poller of an isolated partition and out of it again.
#[test]
fn ownership_follows_the_waiter() {
    block_on(async {
        let (watched, _far) = watched();
        let watched = Arc::new(watched);
        let registration = watched.registration();
        let root = current();
        assert_eq!(registration.home().poller, PollerId::SHARED);

        let isolated = Partition::builder("isolated").isolated_io(true).build();
        let there = watched.clone();
        let (moved_to, poller) = spawn_in(&isolated, async move {
            wait(&there, Direction::Read);
            (current(), poller_of_current())
        })
        .await
        .expect("it ran");
        assert_ne!(poller, PollerId::SHARED);
        assert_eq!(registration.home().poller, poller);
        assert_eq!(registration.io.owner(Direction::Read), moved_to);
        assert_eq!(registration.io.owner(Direction::Write), root, "nobody else waits to write");

        let there = watched.clone();
        let writer = spawn_in("writer", async move {
            wait(&there, Direction::Write);
            current()
        });
        let writer = writer.await.expect("it ran");
        assert_eq!(registration.io.owner(Direction::Write), writer);
        assert_eq!(registration.home().poller, poller, "the fd goes with the reader");

        wait(&watched, Direction::Read);
        assert_eq!(registration.io.owner(Direction::Read), root);
        assert_eq!(registration.home().poller, PollerId::SHARED);
    });
}

/// A source that is only written goes with its writer, until somebody waits to read it.
#[test]
fn a_lone_writer_takes_the_fd_along() {
    block_on(async {
        let (watched, _far) = watched();
        let watched = Arc::new(watched);
        let registration = watched.registration();
        let (owner, home) = (|side| registration.io.owner(side), || registration.home().poller);
        let root = current();
        let isolated = Partition::builder("isolated").isolated_io(true).build();
        let write = || {
            let there = watched.clone();
            isolated.spawn(async move {
                wait(&there, Direction::Write);
                (current(), poller_of_current())
            })
        };
        let (writer, poller) = write().await.expect("it ran");
        assert_eq!((owner(Direction::Read), owner(Direction::Write)), (writer, writer));
        assert_eq!(home(), poller);
        wait(&watched, Direction::Read);
        assert_eq!((owner(Direction::Read), owner(Direction::Write)), (root, writer));
        assert_eq!(home(), PollerId::SHARED);
        wait(&watched, Direction::Write);
        write().await.expect("it ran");
        assert_eq!((owner(Direction::Read), owner(Direction::Write)), (root, writer));
        assert_eq!(home(), PollerId::SHARED, "the reader has it");
    });
}

#[derive(Default)]
struct Wakes(AtomicU32);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets the loop harvest and deliver a few times.
async fn settle() {
    for _ in 0..5 {
        let mut timer = Timer::new(Instant::now() + Duration::from_millis(1));
        poll_fn(|cx| timer.poll_elapsed(cx, "a test")).await;
    }
}

/// Moved into another poller with something unread, a source wakes its reader once: there and back,
/// although there was no news of it since it was found not to be ready.
#[test]
fn a_move_with_unread_bytes_is_one_event() {
    block_on(async {
        let isolated = Partition::builder("isolated").isolated_io(true).build();
        let (watched, mut far) = watched();
        let watched = Arc::new(watched);
        far.write_all(b"x").expect("there is room");
        for round in 0..6 {
            let seen = watched.registration().readiness(Direction::Read).await.expect("it lives");
            let there = watched.clone();
            let moved = async move {
                there.registration().clear(Direction::Read, seen);
                let wakes = Arc::new(Wakes::default());
                let waker = Waker::from(wakes.clone());
                let mut cx = Context::from_waker(&waker);
                assert!(there.registration().poll_ready(Direction::Read, &mut cx).is_pending());
                settle().await;
                let woken = wakes.0.load(Ordering::Relaxed);
                assert!(there.registration().poll_ready(Direction::Read, &mut cx).is_ready());
                woken
            };
            let woken = if round % 2 == 0 { isolated.spawn(moved) } else { spawn(moved) };
            assert_eq!(woken.await.expect("it ran"), 1, "in round {round}");
        }
    });
}

/// A poller that refuses a source leaves it where it was, watched as before.
#[test]
fn a_refused_move_leaves_the_fd_where_it_was() {
    use std::os::fd::{AsRawFd, RawFd};
    #[derive(Debug)]
    struct Same(RawFd);
    impl AsRawFd for Same {
        fn as_raw_fd(&self) -> RawFd {
            self.0
        }
    }
    block_on(async {
        let isolated = Partition::builder("isolated").isolated_io(true).build();
        let (watched, mut far) = watched();
        let watched = Arc::new(watched);
        // A poller takes an fd once.
        let same = Same(watched.as_raw_fd());
        let same = Watched::new_in(same, Interest::READABLE, None, "a test", &isolated);
        let same = same.expect("registers");
        let there = watched.clone();
        let reader = isolated.spawn(async move {
            there.registration().readiness(Direction::Read).await.map(drop).expect("it lives");
            current()
        });
        settle().await;
        assert_eq!(watched.registration().home().poller, PollerId::SHARED);
        far.write_all(b"x").expect("there is room");
        let owner = reader.await.expect("it ran");
        assert_eq!(watched.registration().io.owner(Direction::Read), owner);
        drop(same);
    });
}

/// A group has one poller for all its members, those included that were there before, whichever
/// of them asks for it and how often.
#[test]
fn a_group_has_one_poller() {
    block_on(async {
        let poller = |partition: &Partition| {
            context::expect("a test").core.borrow().poller_of(partition.id())
        };
        let member =
            |name, isolated| Partition::builder(name).group("crowd").isolated_io(isolated).build();
        let early = member("early", false);
        assert_eq!(poller(&early), PollerId::SHARED);
        let asking = member("asking", true);
        let theirs = poller(&asking);
        assert_ne!(theirs, PollerId::SHARED);
        for partition in [&early, &member("early", true), &member("late", false)] {
            assert_eq!(poller(partition), theirs);
        }
        drop(asking);
        yield_now().await;
        yield_now().await;
        assert_eq!(poller(&early), theirs, "it stays until the last of them goes");
    });
}

/// A wait elsewhere takes nothing from the loop's partitions.
#[test]
fn other_threads_own_nothing() {
    block_on(async {
        let (watched, mut far) = watched();
        let owner = watched.registration().io.owner(Direction::Read);
        std::thread::scope(|scope| {
            scope.spawn(|| wait(&watched, Direction::Read));
        });
        assert_eq!(watched.registration().io.owner(Direction::Read), owner);
        far.write_all(b"x").expect("there is room");
        watched.registration().readiness(Direction::Read).await.map(drop).expect("the loop lives");
    });
}

/// Whatever thread drops a source, the loop forgets it and its partitions.
#[test]
fn dropped_sources_are_forgotten() {
    block_on(async {
        let local = context::expect("a test");
        let sources = || local.core.borrow().io.len();
        let (here, _far) = watched();
        let (there, _far) = watched();
        assert_eq!(sources(), 2);
        drop(here);
        assert_eq!(sources(), 1);
        std::thread::spawn(move || drop(there)).join().expect("it ended");
        while sources() > 0 {
            yield_now().await;
        }
        assert!(local.driver.borrow().is_empty());
    });
}

/// A registration the kernel refuses leaves nothing behind.
#[test]
fn refused_registration_leaves_nothing() {
    block_on(async {
        let local = context::expect("a test");
        let file = std::fs::File::open("Cargo.toml");
        let file = file.expect("tests run beside their manifest");
        assert!(Watched::new(file, Interest::READABLE, None, "a test").is_err());
        assert_eq!(local.core.borrow().io.len(), 0);
        assert!(local.driver.borrow().is_empty());
    });
}

/// The waker of a dropped source may use the loop while it is being dropped itself.
#[test]
fn wakers_of_dropped_sources_are_free_to_act() {
    struct Spawner;
    impl std::task::Wake for Spawner {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Spawner {
        fn drop(&mut self) {
            spawn(async {});
        }
    }
    block_on(async {
        let (watched, _far) = watched();
        let waker = Waker::from(Arc::new(Spawner));
        let waiting =
            watched.registration().poll_ready(Direction::Read, &mut Context::from_waker(&waker));
        assert!(waiting.is_pending());
        drop(waker);
        drop(watched);
        yield_now().await;
    });
}

/// A waker that panics when it is dropped ends nothing but itself, though it is the loop that drops
/// it, for a source that was dropped elsewhere.
#[test]
fn wakers_of_dropped_sources_may_panic() {
    struct Fragile;
    impl std::task::Wake for Fragile {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Fragile {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("a destructor of somebody else's"));
        }
    }
    let stray = Arc::new(AtomicU32::new(0));
    let counted = stray.clone();
    let count = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let runtime = crate::Runtime::builder().on_unhandled_panic(count).build().expect("a runtime");
    runtime.block_on(async {
        for elsewhere in [false, true] {
            let (watched, _far) = watched();
            let waker = Waker::from(Arc::new(Fragile));
            let mut cx = Context::from_waker(&waker);
            assert!(watched.registration().poll_ready(Direction::Read, &mut cx).is_pending());
            drop(waker);
            if elsewhere {
                std::thread::spawn(move || drop(watched)).join().expect("it is not its waker");
            } else {
                // Here the holder's part goes last, and so it is told, as of any destructor.
                let dropped = std::panic::AssertUnwindSafe(|| drop(watched));
                assert!(std::panic::catch_unwind(dropped).is_err());
            }
            yield_now().await;
        }
    });
    assert_eq!(stray.load(Ordering::Relaxed), 1);
}
