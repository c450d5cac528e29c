use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn io() -> ScheduledIo {
    ScheduledIo::new(PartitionId::from_bits(1 << 32), false, false)
}

fn event(readable: bool, writable: bool, read_closed: bool) -> Readied {
    Readied { token: 0, readable, writable, read_closed, since: None }
}

fn deliver(io: &ScheduledIo, direction: Direction) {
    let mut wakers = Vec::new();
    io.take_wakers(direction, &mut wakers);
    wakers.into_iter().for_each(Waker::wake);
}

fn seen(io: &ScheduledIo, direction: Direction) -> Seen {
    io.ready(direction).expect("it is ready").expect("the loop is there")
}

fn is_ready(io: &ScheduledIo, direction: Direction) -> bool {
    io.ready(direction).is_some()
}

/// However many events came between a look and its clear, the clear takes none of them away.
#[test]
fn stale_clear_is_harmless() {
    for events in [1, 2, 255, 256, 257, 65_535, 65_536] {
        let io = io();
        io.set_ready(event(true, false, false));
        let old = seen(&io, Direction::Read);
        for _ in 0..events {
            io.set_ready(event(true, false, false));
        }
        io.clear(Direction::Read, old);
        assert!(is_ready(&io, Direction::Read), "{events} events were lost");
        io.clear(Direction::Read, seen(&io, Direction::Read));
        assert!(!is_ready(&io, Direction::Read));
    }
}

/// A stream of write events does not keep a reader from clearing, nor the other way round.
#[test]
fn directions_do_not_disturb_each_other() {
    let io = io();
    io.set_ready(event(true, true, false));
    let read = seen(&io, Direction::Read);
    for _ in 0..100 {
        io.set_ready(event(false, true, false));
    }
    io.clear(Direction::Read, read);
    assert!(!is_ready(&io, Direction::Read));
    assert!(is_ready(&io, Direction::Write));
}

/// A short read clears, but not when the peer's end is still to be read.
#[test]
fn short_read_keeps_the_end_of_the_stream() {
    let io = io();
    io.set_ready(event(true, false, false));
    io.clear_short(Direction::Read, seen(&io, Direction::Read));
    assert!(!is_ready(&io, Direction::Read));

    io.set_ready(event(true, false, true));
    io.clear_short(Direction::Read, seen(&io, Direction::Read));
    assert!(is_ready(&io, Direction::Read));
}

/// Everybody who waits is woken, the one in the slot and those in the list, and once.
#[test]
fn all_waiters_wake() {
    let io = io();
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(io.poll_ready(Direction::Read, &mut cx).is_pending());
    assert!(io.poll_ready(Direction::Read, &mut cx).is_pending(), "the slot holds one waker");
    let mut keys = [None; 5];
    for key in &mut keys {
        assert!(io.poll_listed(Direction::Read, key, &mut cx).is_pending());
    }
    assert!(io.has_waiter(Direction::Read));
    assert!(!io.has_waiter(Direction::Write));

    io.set_ready(event(true, false, false));
    assert_eq!(woken.get(), 0, "a harvest wakes nobody");
    deliver(&io, Direction::Read);
    assert_eq!(woken.get(), 6);
    assert!(!io.has_waiter(Direction::Read));
    deliver(&io, Direction::Read);
    assert_eq!(woken.get(), 6);
    for key in keys {
        io.unlist(Direction::Read, key.expect("it waited"));
    }
}

/// A future that is dropped leaves no waker behind.
#[test]
fn leaving_frees_the_place() {
    let io = io();
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut key = None;
    let waiting =
        io.poll_listed(Direction::Write, &mut key, &mut Context::from_waker(&waker)).is_pending();
    assert!(waiting);
    assert!(io.has_waiter(Direction::Write));
    io.unlist(Direction::Write, key.expect("it waited"));
    assert!(!io.has_waiter(Direction::Write));
    drop(waker);
    assert_eq!(Arc::strong_count(&woken), 1);
}

/// The end of the loop wakes those who wait and fails them and everybody after.
#[test]
fn shutdown_wakes_with_an_error() {
    let io = io();
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(io.poll_ready(Direction::Read, &mut cx).is_pending());
    io.shutdown().into_iter().for_each(Waker::wake);
    assert_eq!(woken.get(), 1);
    for direction in [Direction::Read, Direction::Write] {
        let Poll::Ready(Err(error)) = io.poll_ready(direction, &mut cx) else {
            panic!("a socket outlived its loop without an error");
        };
        assert!(error.to_string().contains("has shut down"));
    }
}

/// Waking, replacing and dropping a waker may come back to the very same source.
#[test]
fn wakers_run_without_the_lock() {
    struct Reenter(Arc<ScheduledIo>);
    impl Wake for Reenter {
        fn wake(self: Arc<Self>) {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.0.poll_ready(Direction::Read, &mut cx);
        }
    }
    impl Drop for Reenter {
        fn drop(&mut self) {
            let _ = self.0.has_waiter(Direction::Read);
            let mut wakers = Vec::new();
            self.0.take_wakers(Direction::Read, &mut wakers);
        }
    }
    let io = Arc::new(io());
    for _ in 0..2 {
        let waker = Waker::from(Arc::new(Reenter(io.clone())));
        let _ = io.poll_ready(Direction::Read, &mut Context::from_waker(&waker));
    }
    let _ = io.poll_ready(Direction::Read, &mut Context::from_waker(Waker::noop()));
    let waker = Waker::from(Arc::new(Reenter(io.clone())));
    let _ = io.poll_ready(Direction::Read, &mut Context::from_waker(&waker));
    drop(waker);
    deliver(&io, Direction::Read);
    io.shutdown().into_iter().for_each(Waker::wake);
}

/// No event is lost between a thread that waits and one that harvests, whoever is first.
#[test]
fn waiter_and_harvest_race() {
    let io = Arc::new(io());
    let rounds = 20_000;
    let harvester = std::thread::spawn({
        let io = io.clone();
        move || {
            for _ in 0..rounds {
                io.set_ready(event(true, false, false));
                while is_ready(&io, Direction::Read) {
                    if io.has_waiter(Direction::Read) {
                        deliver(&io, Direction::Read);
                    }
                    std::thread::yield_now();
                }
            }
        }
    });
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    for _ in 0..rounds {
        let seen = loop {
            match io.poll_ready(Direction::Read, &mut Context::from_waker(&waker)) {
                Poll::Ready(seen) => break seen.expect("the loop is there"),
                Poll::Pending => std::thread::park(),
            }
        };
        io.clear(Direction::Read, seen);
    }
    harvester.join().expect("the harvester ended");
}
