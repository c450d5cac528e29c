//! Groups of tasks, and what idles beside the one task that runs.

use std::cell::Cell;
use std::rc::Rc;

use ::evenloop::{Budget, Runtime};

use super::pure::{Polls, run};
use super::tasks::{join, poll_tasks};
use crate::metrics::{Metrics, Stopwatch};
use crate::peer::{Groups, Net, Peer};
use crate::peers::Evenloop;

/// Tasks of the works that spread a crowd over groups.
const CROWD: usize = 100_000;
use crate::size::Size;

/// 100,000 tasks in `GROUPS` groups, `EACH` polls each and one to end. Those of a group were spawned
/// one after the other, so that works differ by the scheduling, not by where tasks lie in memory.
pub(crate) fn crowd_in<P: Groups, const GROUPS: usize, const EACH: usize>(size: Size) -> Metrics {
    let tasks = size.of(CROWD);
    let groups = GROUPS.min(tasks);
    run::<P, _>(async move {
        let groups: Vec<P::Group> = (0..groups).map(P::group).collect();
        let spawn = |i| P::spawn_in(groups[i * groups.len() / tasks], Polls { left: EACH });
        let spawned: Vec<_> = (0..tasks).map(spawn).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        watch.stop(tasks * (EACH + 1))
    })
}

/// The same with a budget of one handle a turn: each handle is another partition's, which is all
/// the work a dispatcher can be given.
pub(crate) fn crowd_one_by_one<const GROUPS: usize>(size: Size) -> Metrics {
    let tasks = size.of(CROWD);
    let runtime = Runtime::builder().budget(Budget::handles(1)).build();
    runtime.expect("an evenloop runtime").block_on(async move {
        let spawn = |i| Evenloop::spawn_in((i * GROUPS / tasks) as u64, Polls { left: 100 });
        let spawned: Vec<_> = (0..tasks).map(spawn).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        watch.stop(tasks * 101)
    })
}

/// As many tasks as partitions, a thousand polls each.
pub(crate) fn one_in_each_of_1000(size: Size) -> Metrics {
    poll_tasks::<Evenloop, _>(1000, size.of(1000), |i, polls| Evenloop::spawn_in(i as u64, polls))
}

/// One task runs beside 100,000 partitions, with a task in each that waits for ever.
pub(crate) fn beside_partitions(size: Size) -> Metrics {
    beside::<Evenloop, _>(size, size.of(100_000), |i, begun| {
        Evenloop::spawn_in(i as u64, async move {
            begun.set(begun.get() + 1);
            std::future::pending::<()>().await;
        })
    })
}

/// One task runs beside 10,000 listeners that nobody connects to.
pub(crate) fn beside_sockets<P: Net>(size: Size) -> Metrics {
    beside::<P, _>(size, size.of(10_000), |_, begun| {
        P::spawn(async move {
            let (listener, _) = P::listen().await.expect("a free port and file");
            begun.set(begun.get() + 1);
            drop(P::accept(&listener).await);
        })
    })
}

fn beside<P: Peer, T: Future + 'static>(
    size: Size,
    idlers: usize,
    idle: impl Fn(usize, Rc<Cell<usize>>) -> T + 'static,
) -> Metrics {
    let ops = size.of(500_000);
    run::<P, _>(async move {
        let begun = Rc::new(Cell::new(0));
        let idle: Vec<T> = (0..idlers).map(|i| idle(i, begun.clone())).collect();
        while begun.get() < idlers {
            P::yield_now().await;
        }
        let watch = Stopwatch::start();
        Polls { left: ops }.await;
        let metrics = watch.stop(ops);
        drop(idle);
        metrics
    })
}
