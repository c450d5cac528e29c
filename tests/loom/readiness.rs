//! A source's readiness: events on the loop's thread against those who wait elsewhere.

use loom::thread;
use std::sync::Arc;
use std::task::{Context, Poll};

use evenloop::sched::{Direction, PartitionId};

use crate::driver::Readied;
use crate::driver::scheduled_io::ScheduledIo;
use crate::{Outcomes, Wakes, model};

const READABLE: Readied = Readied { readable: true, writable: false, read_closed: false };

fn source() -> Arc<ScheduledIo> {
    Arc::new(ScheduledIo::new(PartitionId::from_bits(1), false, false))
}

/// What the loop does when the kernel reports an event: the harvest, then the delivery.
fn event(io: &ScheduledIo) {
    io.set_ready(READABLE);
    if io.has_waiter(Direction::Read) {
        let mut wakers = Vec::new();
        io.take_wakers(Direction::Read, &mut wakers);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

/// A task that comes to wait as an event comes sees it, or is woken by it.
#[test]
fn wait_against_event() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let io = source();
        let (wakes, waker) = Wakes::new();
        let waiting = {
            let io = io.clone();
            thread::spawn(move || {
                let polled = io.poll_ready(Direction::Read, &mut Context::from_waker(&waker));
                polled.is_pending()
            })
        };
        event(&io);
        let pends = waiting.join().unwrap();
        assert!(!pends || wakes.count() == 1, "a wake is lost");
        assert!(matches!(io.ready(Direction::Read), Some(Ok(_))));
        noted.note(usize::from(pends));
    });
    outcomes.assert(&[0, 1]);
}

/// Of two tasks in the list, one that leaves as the event comes takes no wake away from the other.
#[test]
fn leave_against_event() {
    model(|| {
        let io = source();
        let (wakes, waker) = Wakes::new();
        let (of_leaver, leaver) = Wakes::new();
        let (mut stays, mut leaves) = (None, None);
        let poll = |key: &mut _, waker| {
            io.poll_listed(Direction::Read, key, &mut Context::from_waker(waker)).is_pending()
        };
        assert!(poll(&mut stays, &waker) && poll(&mut leaves, &leaver));
        drop(leaver);
        let leaving = {
            let io = io.clone();
            thread::spawn(move || io.unlist(Direction::Read, leaves.unwrap()))
        };
        event(&io);
        leaving.join().unwrap();
        assert_eq!(wakes.count(), 1, "who stays is woken");
        assert!(of_leaver.count() <= 1);
        assert_eq!(Arc::strong_count(&of_leaver), 1, "its waker is left");
        io.unlist(Direction::Read, stays.unwrap());
    });
}

/// A task that joins another as the event comes sees it, or is woken by it: by the delivery that the
/// other waited for, or by its own.
#[test]
fn join_against_event() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let io = source();
        let (first, waker) = Wakes::new();
        let (second, joiner) = Wakes::new();
        let mut key = None;
        let mut cx = Context::from_waker(&waker);
        assert!(io.poll_listed(Direction::Read, &mut key, &mut cx).is_pending());
        let joining = {
            let io = io.clone();
            thread::spawn(move || {
                let mut key = None;
                let mut cx = Context::from_waker(&joiner);
                (io.poll_listed(Direction::Read, &mut key, &mut cx).is_pending(), key)
            })
        };
        event(&io);
        let (pends, joined) = joining.join().unwrap();
        assert_eq!(first.count(), 1);
        assert!(!pends || second.count() == 1, "a wake is lost");
        for key in [key, joined].into_iter().flatten() {
            io.unlist(Direction::Read, key);
        }
        noted.note(usize::from(pends));
    });
    outcomes.assert(&[0, 1]);
}

/// A task that found nothing, and says so, does not undo an event that came since it looked.
#[test]
fn clear_against_event() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let io = source();
        io.set_ready(READABLE);
        let Some(Ok(seen)) = io.ready(Direction::Read) else { panic!("it was just set") };
        let clearing = {
            let io = io.clone();
            thread::spawn(move || io.clear(Direction::Read, seen))
        };
        let cleared = io.ready(Direction::Read).is_none();
        event(&io);
        clearing.join().unwrap();
        assert!(matches!(io.ready(Direction::Read), Some(Ok(_))), "the event is forgotten");
        noted.note(usize::from(cleared));
    });
    outcomes.assert(&[0, 1]);
}

/// Who comes to wait as the loop ends is told, or woken to be told.
#[test]
fn wait_against_the_end() {
    model(|| {
        let io = source();
        let (wakes, waker) = Wakes::new();
        let waiting = {
            let io = io.clone();
            thread::spawn(move || {
                match io.poll_ready(Direction::Read, &mut Context::from_waker(&waker)) {
                    Poll::Pending => true,
                    Poll::Ready(told) => {
                        assert!(told.is_err(), "there was no event");
                        false
                    }
                }
            })
        };
        io.shutdown().into_iter().for_each(std::task::Waker::wake);
        let pends = waiting.join().unwrap();
        assert!(!pends || wakes.count() == 1, "it waits for ever");
        assert!(matches!(io.ready(Direction::Read), Some(Err(_))));
    });
}
