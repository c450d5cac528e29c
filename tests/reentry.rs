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
