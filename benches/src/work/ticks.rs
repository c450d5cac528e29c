//! A health check that ticks beside work in bulk.

use std::cell::Cell;
use std::hint::spin_loop;
use std::mem::forget;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::pure::run;
use crate::child;
use crate::metrics::{Metrics, quantile};
use crate::peer::{Role, Timers};

/// How many tasks work in bulk, and how long each of their polls takes.
const BULK: usize = 10_000;
use crate::size::Size;
const POLL: Duration = Duration::from_micros(10);
const TICK: Duration = Duration::from_millis(10);

/// Keeps the processor busy for `time`.
pub(crate) fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        spin_loop();
    }
}

/// Works for ever, a poll's time at once.
#[derive(Debug)]
struct Bulk {
    polls: Rc<Cell<usize>>,
}

impl Future for Bulk {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        spin(POLL);
        self.polls.set(self.polls.get() + 1);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// 10,000 tasks in bulk of 10 µs a poll, and one that sleeps for 10 ms at a time: how late it is, in
/// milliseconds, and how many polls a second the bulk gets.
pub(crate) fn health<P: Timers>(size: Size) -> Metrics {
    let time = size.seconds(3.0);
    run::<P, _>(async move {
        let polls = Rc::new(Cell::new(0));
        for _ in 0..BULK {
            forget(P::spawn_as(Role::Bulk, Bulk { polls: polls.clone() }));
        }
        P::spawn_as(Role::Health, async move {
            let mut late = Vec::new();
            let (start, polled) = (Instant::now(), polls.get());
            while start.elapsed() < time {
                let due = Instant::now() + TICK;
                P::sleep(TICK).await;
                late.push((Instant::now() - due).as_secs_f64() * 1e3);
            }
            let polls = (polls.get() - polled) as f64 / start.elapsed().as_secs_f64();
            let (p50, p99) = (quantile(&mut late, 0.5), quantile(&mut late, 0.99));
            // The bulk never ends.
            child::finish(&Metrics::from([("p50", p50), ("p99", p99), ("polls", polls)]))
        })
        .await
    })
}
