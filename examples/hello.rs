//! A greeting that does not queue behind the bulk.
//!
//! ```text
//!   all in ROOT:     bulk bulk bulk … 100 of them … bulk hello
//!   in partitions:   "bulk"   bulk      bulk bulk bulk …
//!                    "hello"      hello
//! ```
//!
//! `cargo run --example hello` prints about this:
//!
//! ```text
//! in one partition, hello came after 100 of 100 bulk tasks
//! in two partitions, hello came after 1 of 100 bulk tasks
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

const BULK_TASKS: u32 = 100;

fn main() {
    evenloop::block_on(async {
        let after = greet("all", "all").await;
        println!("in one partition, hello came after {after} of {BULK_TASKS} bulk tasks");
        let after = greet("bulk", "hello").await;
        println!("in two partitions, hello came after {after} of {BULK_TASKS} bulk tasks");
    });
}

/// Spawns the bulk, then the greeting, and returns how many bulk tasks the greeting waited for.
async fn greet(bulk: &str, hello: &str) -> u32 {
    // Tasks stay on the thread of their loop, so they may share what is not `Send`.
    let done = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..BULK_TASKS)
        .map(|_| {
            let done = done.clone();
            evenloop::spawn_in(bulk, async move {
                burn(Duration::from_millis(1));
                done.set(done.get() + 1);
            })
        })
        .collect();
    let seen = done.clone();
    let after = evenloop::spawn_in(hello, async move { seen.get() }).await;
    for task in tasks {
        task.await.expect("a bulk task ends");
    }
    after.expect("the greeting ends")
}

/// Holds the thread, as a computation would.
fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
