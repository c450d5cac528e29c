//! A timer that a task on another thread waits for: armed, fired and cancelled on the loop's.

use loom::thread;
use std::sync::Arc;

use crate::injector::{Drained, Injector};
use crate::relay::Relay;
use crate::{Outcomes, Wakes, model};

/// What is sent to the loop.
enum Message {
    Arm(Arc<Relay<u64>>),
    Cancel(u64),
}

/// The loop, as far as it has to do with one timer.
#[derive(Default)]
struct Loop {
    armed: Option<(u64, std::task::Waker)>,
    next: u64,
    cancelled: usize,
}

impl Loop {
    fn take(&mut self, messages: Drained<Message>) {
        for message in messages {
            match message {
                Message::Arm(relay) => {
                    assert!(relay.arm(|waker| {
                        self.next += 1;
                        self.armed = Some((self.next, waker));
                        Some(self.next)
                    }));
                }
                Message::Cancel(id) => {
                    // One that has fired is none any more.
                    let timer = self.armed.take_if(|armed| armed.0 == id);
                    self.cancelled += usize::from(timer.is_some());
                }
            }
        }
    }

    fn expire(&mut self) {
        if let Some((_, waker)) = self.armed.take() {
            waker.wake();
        }
    }
}

/// A wait that is given up while the timer expires wakes once or not at all, and leaves neither a
/// timer nor a waker behind.
#[test]
fn remote_drop_against_expiry() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = loom::sync::Arc::new(Injector::new());
        let (wakes, waker) = Wakes::new();
        let remote = {
            let injector = injector.clone();
            thread::spawn(move || {
                let relay = Relay::new(waker);
                assert!(injector.push(Message::Arm(relay.clone())).is_ok());
                if let Some(id) = relay.give_up() {
                    assert!(injector.push(Message::Cancel(id)).is_ok());
                }
            })
        };
        let mut on_loop = Loop::default();
        on_loop.take(injector.drain());
        on_loop.expire();
        on_loop.take(injector.drain());
        remote.join().unwrap();
        on_loop.take(injector.drain());

        assert!(on_loop.armed.is_none(), "a timer that nobody waits for is left");
        assert!(wakes.count() <= 1);
        let count = wakes.count();
        drop(injector);
        assert_eq!(Arc::strong_count(&wakes), 1, "a waker is left");
        // Given up before it was armed, or woken, or cancelled.
        noted.note(count + 2 * on_loop.cancelled + 4 * on_loop.next as usize);
    });
    // Not armed; armed, and given up while it fired; woken; cancelled in time.
    outcomes.assert(&[0, 4, 5, 6]);
}

/// A task that comes to wait anew while its timer fires is woken, or told that it has fired.
#[test]
fn remote_wait_against_expiry() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let (early, first) = Wakes::new();
        let (late, second) = Wakes::new();
        let relay = Relay::<u64>::new(first);
        let firing = {
            let relay = relay.clone();
            thread::spawn(move || relay.fire())
        };
        let waits = relay.watch(&second);
        firing.join().unwrap();
        assert_eq!((early.count(), late.count()), if waits { (0, 1) } else { (1, 0) });
        noted.note(usize::from(waits));
    });
    outcomes.assert(&[0, 1]);
}
