//! The way in: pushes against a loop that drains, sleeps and closes.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::injector::{Injector, Pushed};
use crate::{Outcomes, model};

/// A push while the loop decides to sleep is either seen by the loop or wakes it: never neither.
#[test]
fn push_against_sleep_is_never_lost() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = Arc::new(Injector::new());
        let wakes = Arc::new(AtomicUsize::new(0));

        let producer = {
            let (injector, wakes) = (injector.clone(), wakes.clone());
            thread::spawn(move || {
                if injector.push(7).unwrap() == Pushed::WakeLoop {
                    wakes.fetch_add(1, Ordering::Release);
                }
            })
        };

        let mut taken: Vec<i32> = injector.drain().collect();
        let slept = injector.try_sleep();
        producer.join().unwrap();
        let woken = wakes.load(Ordering::Acquire);
        noted.note(2 * usize::from(slept) + woken);
        if slept {
            // The item came before the sleep, or the producer had to wake us for it.
            assert_eq!(woken, usize::from(taken.is_empty()));
        } else {
            assert_eq!(woken, 0, "a loop that is awake needs no wake");
        }
        injector.awake();
        taken.extend(injector.drain());
        assert_eq!(taken, [7]);
    });
    // Awake all the time; asleep after the push was taken in; asleep and woken.
    outcomes.assert(&[0, 2, 3]);
}

/// Of two pushes to a sleeping loop exactly one wakes it, and neither is lost.
#[test]
fn two_pushes_wake_once() {
    model(|| {
        let injector = Arc::new(Injector::new());
        assert!(injector.try_sleep());
        let producers: Vec<_> = (0..2)
            .map(|i| {
                let injector = injector.clone();
                thread::spawn(move || usize::from(injector.push(i).unwrap() == Pushed::WakeLoop))
            })
            .collect();
        let wakes: usize = producers.into_iter().map(|p| p.join().unwrap()).sum();
        assert_eq!(wakes, 1);
        let mut taken: Vec<_> = injector.drain().collect();
        taken.sort();
        assert_eq!(taken, [0, 1]);
    });
}

/// Draining while others push neither loses nor doubles, and keeps each producer's order.
#[test]
fn drain_against_pushes_keeps_order() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = Arc::new(Injector::new());
        let producer = {
            let injector = injector.clone();
            thread::spawn(move || {
                let _ = injector.push(1).unwrap();
                let _ = injector.push(2).unwrap();
            })
        };
        let mut taken: Vec<i32> = injector.drain().collect();
        noted.note(taken.len());
        taken.extend(injector.drain());
        producer.join().unwrap();
        taken.extend(injector.drain());
        assert_eq!(taken, [1, 2]);
    });
    outcomes.assert(&[0, 1, 2]);
}

/// A push racing the close is either taken by the close or handed back to the pusher.
#[test]
fn push_against_close_has_one_owner() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = Arc::new(Injector::new());
        let item = Arc::new(());
        let producer = {
            let (injector, item) = (injector.clone(), item.clone());
            thread::spawn(move || injector.push(item).is_err())
        };
        let taken = injector.close().count();
        let refused = producer.join().unwrap();
        noted.note(taken);
        assert_eq!(taken + usize::from(refused), 1);
        drop(injector);
        assert_eq!(Arc::strong_count(&item), 1, "the item leaked");
    });
    outcomes.assert(&[0, 1]);
}

/// What a producer wrote before its push is visible to the loop that drains it.
#[test]
fn drain_sees_what_came_before_the_push() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = Arc::new(Injector::new());
        let data = Arc::new(AtomicUsize::new(0));
        let producer = {
            let (injector, data) = (injector.clone(), data.clone());
            thread::spawn(move || {
                data.store(42, Ordering::Relaxed);
                let _ = injector.push(()).unwrap();
            })
        };
        let taken = injector.drain().count();
        noted.note(taken);
        if taken == 1 {
            assert_eq!(data.load(Ordering::Relaxed), 42);
        }
        producer.join().unwrap();
    });
    outcomes.assert(&[0, 1]);
}
