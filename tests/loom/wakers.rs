//! Wakers that note what they pass on: of the parts of a task, and of an acceptor's connections.

use loom::thread;
use std::sync::Arc;
use std::task::Waker;

use crate::bells::{Bell, Bells};
use crate::signal::Signal;
use crate::sole_handle::SoleHandle;
use crate::{Outcomes, Wakes, model};

/// A part of a task that is woken as the task looks for what to poll is polled now, or the task is
/// woken to look again.
#[test]
fn a_part_is_woken_against_the_look() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let (wakes, task) = Wakes::new();
        let signal = Signal::new();
        signal.reset();
        let waking = {
            let waker = Waker::from(signal.clone());
            thread::spawn(move || waker.wake())
        };
        signal.watch(&task);
        let seen = signal.is_set();
        waking.join().unwrap();
        assert!(seen || wakes.count() == 1, "a wake is lost");
        assert!(signal.is_set());
        noted.note(usize::from(seen) + 2 * wakes.count());
    });
    // Seen before there was a task to wake; woken; both.
    outcomes.assert(&[1, 2, 3]);
}

/// Two that ring as the task looks are each heard, in this look or in the next one, for which the
/// task is woken; and each is in the queue once.
#[test]
fn bells_against_the_look() {
    model(|| {
        let (wakes, task) = Wakes::new();
        let bells = Arc::new(Bells::default());
        let ringing = [1, 2].map(|key| {
            let waker = Waker::from(Bell::new(key, &bells));
            thread::spawn(move || waker.wake_by_ref())
        });
        bells.watch(&task);
        let mut heard = Vec::new();
        heard.extend(bells.next());
        let silent = bells.is_silent();
        for thread in ringing {
            thread.join().unwrap();
        }
        let before = heard.len();
        while let Some(key) = bells.next() {
            heard.push(key);
        }
        if silent && heard.len() > before {
            assert!(wakes.count() > 0, "the task has gone to sleep with somebody unheard");
        }
        heard.sort_unstable();
        assert_eq!(heard, [1, 2]);
    });
}

/// A bell that rings again as it is heard is queued anew, or what it rang for is seen by the look
/// that follows.
#[test]
fn a_bell_rings_again() {
    use loom::sync::atomic::{AtomicUsize, Ordering};
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let bells = Arc::new(Bells::default());
        let bell = Bell::new(1, &bells);
        let news = loom::sync::Arc::new(AtomicUsize::new(0));
        Waker::from(bell.clone()).wake();
        let ringing = {
            let (waker, news) = (Waker::from(bell.clone()), news.clone());
            thread::spawn(move || {
                news.store(1, Ordering::Relaxed);
                waker.wake();
            })
        };
        assert_eq!(bells.next(), Some(1));
        bell.hear();
        let seen = news.load(Ordering::Relaxed);
        ringing.join().unwrap();
        let again = bells.next().is_some();
        assert!(seen == 1 || again, "its news is heard of by nobody");
        noted.note(seen + 2 * usize::from(again));
    });
    outcomes.assert(&[1, 2, 3]);
}

/// Two wakes of what `block_on` runs, from two threads, as it is polled: what was written before
/// them is seen by that poll or by another one, and there is never more than one handle.
#[test]
fn two_wakes_against_a_poll() {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let handle = Arc::new(SoleHandle::queued());
        let news = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let waking = [0, 1].map(|i| {
            let (handle, news) = (handle.clone(), news.clone());
            thread::spawn(move || {
                news[i].store(1, Ordering::Relaxed);
                usize::from(handle.ask())
            })
        });
        let look = || news.iter().map(|news| news.load(Ordering::Relaxed)).sum::<usize>();
        handle.begin_poll();
        let mut seen = look();
        let ours = usize::from(handle.end_poll());
        let theirs: usize = waking.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(ours + theirs <= 1, "two handles");
        if ours + theirs == 1 {
            handle.begin_poll();
            seen = look();
            assert!(!handle.end_poll());
        }
        assert_eq!(seen, 2, "a wake is lost");
        noted.note(ours + 2 * theirs);
    });
    // Both before the poll; during it; after it.
    outcomes.assert(&[0, 1, 2]);
}
