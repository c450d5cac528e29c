//! Work from other threads: each spawns onto the loop, and waits for what comes of it.
//!
//! ```text
//!   thread 0 ── handle.spawn_in("sums", …) ──►┐
//!   thread 1 ── handle.spawn_in("sums", …) ──►├── injector ──► the loop, partition "sums"
//!   thread 2 ── …                             │                    │
//!   thread 0 ◄── join handle ─────────────────┴────────────────────┘
//! ```
//!
//! `cargo run --example cross_thread` prints this:
//!
//! ```text
//! 4 threads had 1000 sums each done on the loop: 7998000
//! ```

use std::thread;

use evenloop::Handle;
use futures::channel::oneshot;

const THREADS: u64 = 4;
const SUMS: u64 = 1000;

fn main() {
    evenloop::block_on(async {
        let mut totals = Vec::new();
        for i in 0..THREADS {
            let (send, total) = oneshot::channel();
            let handle = Handle::current();
            thread::spawn(move || {
                // Nobody else holds the sender, and the loop waits for it.
                let _ = send.send(ask_for_sums(&handle, i));
            });
            totals.push(total);
        }
        let mut sum = 0;
        for total in totals {
            sum += total.await.expect("the thread sends its total");
        }
        println!("{THREADS} threads had {SUMS} sums each done on the loop: {sum}");
    });
}

/// Runs on a thread of its own, to which the loop is somewhere else.
fn ask_for_sums(handle: &Handle, i: u64) -> u64 {
    let tasks: Vec<_> = (0..SUMS)
        .map(|k| {
            handle.spawn_in("sums", async move {
                evenloop::yield_now().await;
                i * SUMS + k
            })
        })
        .collect();
    // A join handle is a future like others: any executor may wait for it.
    let wait = |task| futures_lite::future::block_on(task);
    tasks.into_iter().map(|task| wait(task).expect("the task ends")).sum()
}
