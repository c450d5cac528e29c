//! Rows of partitions, and of what idles beside the one task that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::evenloop::Evenloop;
use crate::peer::{Net, Peer, Sample, Size, Stopwatch};
use crate::tasks::{Polls, join, poll_tasks, run};

/// Idle sockets of the row that has some.
pub(crate) const SOCKETS: usize = 10_000;

/// Tasks of the rows that spread a crowd over partitions.
const CROWD: usize = 100_000;

/// 100,000 tasks in `PARTITIONS` partitions, a hundred polls each. Those of a partition were spawned
/// one after the other, so that rows differ by the scheduling, not by where the tasks lie in memory.
pub(crate) fn crowd_in<const PARTITIONS: usize>(size: Size) -> Sample {
    let tasks = size.of(CROWD);
    poll_tasks::<Evenloop, _>(tasks, 100, move |i, polls| {
        Evenloop::spawn_in((i * PARTITIONS / tasks) as u64, polls)
    })
}

/// The same with a budget of one handle a turn: each handle is another partition's, which is all
/// the work a dispatcher can be given.
pub(crate) fn crowd_one_by_one<const PARTITIONS: usize>(size: Size) -> Sample {
    let tasks = size.of(CROWD);
    let budget = ::evenloop::Budget::handles(1);
    let runtime = ::evenloop::Runtime::builder().budget(budget).build();
    runtime.expect("an evenloop runtime").block_on(async move {
        let spawn = |i| Evenloop::spawn_in((i * PARTITIONS / tasks) as u64, Polls { left: 100 });
        let spawned: Vec<_> = (0..tasks).map(spawn).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        watch.stop(tasks * 101)
    })
}

/// As many tasks as partitions, a thousand polls each.
pub(crate) fn one_in_each_of_1000(size: Size) -> Sample {
    poll_tasks::<Evenloop, _>(1000, size.of(1000), |i, polls| Evenloop::spawn_in(i as u64, polls))
}

/// One task runs beside 100,000 partitions, with a task in each that waits for ever.
pub(crate) fn beside_partitions(size: Size) -> Sample {
    beside::<Evenloop, _>(size, size.of(100_000), |i, begun| {
        Evenloop::spawn_in(i as u64, async move {
            begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        })
    })
}

/// One task runs beside [`SOCKETS`] listeners that nobody connects to.
pub(crate) fn beside_sockets<P: Net>(size: Size) -> Sample {
    beside::<P, _>(size, size.of(SOCKETS), |_, begun| {
        P::spawn(async move {
            let (listener, _) = P::listen().await.expect("a free port and file");
            begun.fetch_add(1, Ordering::Relaxed);
            drop(P::accept(&listener).await);
        })
    })
}

fn beside<P: Peer, T: Future + Send + 'static>(
    size: Size,
    idlers: usize,
    idle: impl Fn(usize, Arc<AtomicUsize>) -> T + Send + 'static,
) -> Sample {
    let ops = size.of(500_000);
    run::<P>(async move {
        let begun = Arc::new(AtomicUsize::new(0));
        let idle: Vec<T> = (0..idlers).map(|i| idle(i, begun.clone())).collect();
        while begun.load(Ordering::Relaxed) < idlers {
            Polls { left: 1 }.await;
        }
        let watch = Stopwatch::start();
        Polls { left: ops }.await;
        let sample = watch.stop(ops);
        drop(idle);
        sample
    })
}
