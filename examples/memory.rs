//! What a task and a partition take of the memory, measured by the growth of this process.
//!
//! ```text
//!     200,000 × spawn(pending)          ─►  a task
//!     200,000 × spawn(64 bytes, pending)─►  a task that holds something
//!     200,000 × spawn_in(i, pending)    ─►  a task and a partition with a key
//!     200,000 × Partition::anonymous()  ─►  a partition
//! ```
//!
//! Linux only, since it reads `/proc/self/status`. Prints:
//!
//! ```text
//! a pending task                        128 bytes
//! a pending task that holds 64 bytes    154 bytes
//! a pending task in its own partition   561 bytes
//! an idle partition                     191 bytes
//! ```

use std::future::{Future, pending};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

use evenloop::{Partition, spawn, spawn_in, yield_now};

const COUNT: u64 = 200_000;

/// The resident set of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Waits for ever, and holds 64 bytes meanwhile.
#[derive(Debug)]
struct Holder([u8; 64]);

impl Future for Holder {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(&self.0);
        Poll::Pending
    }
}

/// Lets everything that was spawned run up to its wait.
async fn settle() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

fn main() {
    evenloop::block_on(async {
        let start = resident();
        for _ in 0..COUNT {
            drop(spawn(pending::<()>()));
        }
        settle().await;
        let tasks = resident();
        for i in 0..COUNT {
            drop(spawn(Holder([i as u8; 64])));
        }
        settle().await;
        let holders = resident();
        for i in 0..COUNT {
            drop(spawn_in(i, pending::<()>()));
        }
        settle().await;
        let keyed = resident();
        let held: Vec<Partition> = (0..COUNT).map(|_| Partition::anonymous()).collect();
        let partitions = resident();

        println!("a pending task                        {:3} bytes", (tasks - start) / COUNT);
        println!("a pending task that holds 64 bytes    {:3} bytes", (holders - tasks) / COUNT);
        println!("a pending task in its own partition   {:3} bytes", (keyed - holders) / COUNT);
        println!("an idle partition                     {:3} bytes", (partitions - keyed) / COUNT);
        drop(held);
    });
}
