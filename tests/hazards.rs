//! What has broken other runtimes, tried on this one: see `docs/reliability.md`.

#![cfg(unix)]

#[path = "hazards/fairness.rs"]
mod fairness;
#[path = "hazards/fragile.rs"]
mod fragile;
#[path = "hazards/hostile.rs"]
mod hostile;
#[path = "hazards/meddler.rs"]
mod meddler;
#[path = "hazards/reactor.rs"]
mod reactor;
#[path = "hazards/shutdown.rs"]
mod shutdown;
#[path = "hazards/subjects.rs"]
mod subjects;
#[path = "hazards/tasks.rs"]
mod tasks;
#[path = "hazards/timers.rs"]
mod timers;
#[path = "hazards/wakes.rs"]
mod wakes;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use evenloop::yield_now;

/// Longer than any test takes, and shorter than anybody waits for.
const PATIENCE: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs a test on a thread of its own and fails if it does not come to an end.
fn bounded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, ended) = mpsc::channel();
    let thread = thread::spawn(move || drop(send.send(test())));
    match ended.recv_timeout(PATIENCE) {
        Ok(outcome) => {
            // With what its thread-locals do when they go.
            thread.join().unwrap();
            outcome
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end in sight"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("a test that ends sends its outcome or panics"),
        },
    }
}

/// Counts what happens, from any thread.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// A waker whose wakes are counted.
    fn waker(&self) -> Waker {
        struct Counts(Count);
        impl Wake for Counts {
            fn wake(self: Arc<Self>) {
                self.0.add();
            }
        }
        Waker::from(Arc::new(Counts(self.clone())))
    }

    /// Something whose drop is counted.
    fn on_drop(&self) -> impl Send + Sync + 'static {
        OnDrop({
            let count = self.clone();
            move || count.add()
        })
    }
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Lets everything run that can, with what comes from other threads.
async fn settle() {
    for _ in 0..4 {
        yield_now().await;
    }
}
