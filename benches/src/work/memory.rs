//! What pending tasks and idle partitions take of the memory: bytes asked of the allocator, where
//! the program counts them, and growth of the resident set.

use std::cell::Cell;
use std::hint::black_box;
use std::mem::forget;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::evenloop::Partition;

use super::pure::run;
use crate::child;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::peers::Evenloop;
use crate::size::Size;
use crate::usage::resident;
use crate::weigh;

/// Waits for ever, and holds 64 bytes meanwhile. Tells its first poll.
#[derive(Debug)]
struct Holder {
    held: [u8; 56],
    begun: Option<Rc<Cell<usize>>>,
}

impl Future for Holder {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(&self.held);
        if let Some(begun) = self.begun.take() {
            begun.set(begun.get() + 1);
        }
        Poll::Pending
    }
}

const _: () = assert!(size_of::<Holder>() == 64, "a task holds as much as its row says");

/// A pending task that holds 64 bytes.
pub(crate) fn task<P: Peer>(size: Size) -> Metrics {
    let count = size.of(200_000);
    run::<P, _>(async move {
        let begun = Rc::new(Cell::new(0));
        let spawn = |i: usize| {
            let holder = Holder { held: [i as u8; 56], begun: Some(begun.clone()) };
            // Its place is nobody's; the task neither ends nor is cancelled by it.
            forget(P::spawn(holder));
        };
        // Whatever is made once for all.
        (0..count / 10).for_each(spawn);
        while begun.get() < count / 10 {
            P::yield_now().await;
        }
        let before = Weight::now();
        (0..count).for_each(spawn);
        while begun.get() < count / 10 + count {
            P::yield_now().await;
        }
        // Nobody is to end what waits for ever.
        child::finish(&before.grown_by(count))
    })
}

/// An idle partition that somebody holds.
pub(crate) fn partition(size: Size) -> Metrics {
    let count = size.of(200_000);
    run::<Evenloop, _>(async move {
        (0..count / 10).for_each(|_| forget(Partition::anonymous()));
        let before = Weight::now();
        (0..count).for_each(|_| forget(Partition::anonymous()));
        before.grown_by(count)
    })
}

/// What the process has of the memory.
#[derive(Clone, Copy, Debug)]
struct Weight {
    bytes: f64,
    resident: f64,
}

impl Weight {
    fn now() -> Self {
        Self { bytes: weigh::bytes(), resident: resident() }
    }

    fn grown_by(self, count: usize) -> Metrics {
        let now = Self::now();
        Metrics::from([
            ("bytes", (now.bytes - self.bytes) / count as f64),
            ("resident", (now.resident - self.resident) / count as f64),
        ])
    }
}
