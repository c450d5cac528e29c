//! Every public future is dropped in the middle, in favour of another branch, and what it says about
//! that under "Cancel safety" holds: see `docs/reliability.md`.

#![cfg(unix)]

#[path = "cancel_safety/files.rs"]
mod files;
#[path = "cancel_safety/sockets.rs"]
mod sockets;
#[path = "cancel_safety/streams.rs"]
mod streams;
#[path = "cancel_safety/tasks.rs"]
mod tasks;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;

use evenloop::time::{Duration, sleep};
use evenloop::{block_on, yield_now};
use futures::future::{Either, select};

/// Longer than any test takes, and shorter than anybody waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs a test on a loop of its own, on a thread of its own, and fails if it does not end.
fn run<F: Future<Output = io::Result<()>>>(test: impl FnOnce() -> F + Send + 'static) {
    let (send, ended) = mpsc::channel();
    let thread = thread::spawn(move || drop(send.send(block_on(test()))));
    match ended.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome.unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end in sight"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("a test that ends sends its outcome or panics"),
        },
    }
}

/// Waits for `wait` until it pends and another branch is ready: after `yields` more handles.
///
/// Returns the output if it was ready first.
async fn give_up_after<F: Future>(yields: usize, wait: F) -> Option<F::Output> {
    let other = async {
        for _ in 0..yields {
            yield_now().await;
        }
    };
    match select(pin!(wait), pin!(other)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Waits for `wait` and drops it while it pends.
async fn give_up<F: Future>(wait: F) {
    assert!(give_up_after(2, wait).await.is_none(), "it was to be given up, and was ready");
}

/// Has what is ready harvested and delivered, while nobody polls.
async fn deliver() {
    sleep(Duration::from_millis(2)).await;
    for _ in 0..4 {
        yield_now().await;
    }
}

/// A path for a socket, removed when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("evenloop-cancel-{name}-{}", std::process::id());
        let place = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&place);
        Self(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
