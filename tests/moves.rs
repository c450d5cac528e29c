//! Tasks that move from partition to partition.

#[path = "moves/adopting.rs"]
mod adopting;
#[path = "moves/bounds.rs"]
mod bounds;
#[path = "moves/ends.rs"]
mod ends;
#[path = "moves/misuse.rs"]
mod misuse;
#[path = "moves/switching.rs"]
mod switching;
#[path = "moves/visiting.rs"]
mod visiting;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use evenloop::time::sleep;
use evenloop::{Handle, Partition};

fn here() -> String {
    Partition::current().name()
}

/// The partitions there are, by name, and the tasks in each.
fn census() -> Vec<(String, u64)> {
    let partitions = Handle::current().partitions();
    let count = |partition: &Partition| (partition.name(), partition.metrics().tasks);
    let mut census: Vec<_> = partitions.iter().map(count).collect();
    census.sort();
    census
}

fn exists(name: &str) -> bool {
    Handle::current().partitions().iter().any(|partition| partition.name() == name)
}

/// Lets everybody else run as far as they get, and the loop free what is not needed any more.
async fn settle() {
    for _ in 0..3 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Polls `future` to its end; returns its output, and where each poll happened.
async fn traced<F: Future>(future: F) -> (F::Output, Vec<String>) {
    let mut future = pin!(future);
    let mut places = Vec::new();
    let output = poll_fn(|cx| {
        places.push(here());
        future.as_mut().poll(cx)
    });
    (output.await, places)
}

/// A future that is polled `times` and notes where.
async fn steps(times: usize, places: &std::cell::RefCell<Vec<String>>) {
    let mut left = times;
    poll_fn(|cx| {
        places.borrow_mut().push(here());
        left -= 1;
        if left == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
