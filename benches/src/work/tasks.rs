//! Tasks alone: spawning, polling, channels.

use std::hint::black_box;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};

use super::pure::{Polls, pings, run, spawns, timeouts};
use crate::metrics::{Metrics, Stopwatch};
use crate::peer::{Peer, Timers};
use crate::size::Size;

/// Awaits every one of `tasks`, which run meanwhile.
pub(crate) async fn join<T>(tasks: Vec<impl Future<Output = T>>) {
    for task in tasks {
        black_box(task.await);
    }
}

/// Times `body`, which does so many operations, as a task.
fn time<P: Peer>(ops: usize, body: impl Future<Output = ()> + 'static) -> Metrics {
    run::<P, _>(async move {
        let watch = Stopwatch::start();
        body.await;
        watch.stop(ops)
    })
}

pub(crate) fn yields<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(1_000_000);
    time::<P>(ops, Polls { left: ops })
}

pub(crate) fn spawn_one<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(200_000);
    time::<P>(ops, spawns::<P>(ops))
}

pub(crate) fn ping_pong<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(100_000);
    time::<P>(ops, pings::<P>(ops))
}

pub(crate) fn timeout<P: Timers>(size: Size) -> Metrics {
    let ops = size.of(200_000);
    time::<P>(ops, timeouts::<P>(ops))
}

pub(crate) fn spawn_many<P: Peer>(size: Size) -> Metrics {
    let (rounds, many) = (size.of(200), 1000);
    time::<P>(rounds * many, async move {
        for _ in 0..rounds {
            join((0..many).map(|op| P::spawn(async move { op })).collect()).await;
        }
    })
}

pub(crate) fn poll_many<P: Peer>(size: Size) -> Metrics {
    poll_tasks::<P, _>(1000, size.of(1000), |_, polls| P::spawn(polls))
}

pub(crate) fn poll_crowd<P: Peer>(size: Size) -> Metrics {
    poll_tasks::<P, _>(size.of(100_000), 10, |_, polls| P::spawn(polls))
}

/// Polls `tasks` tasks `each` times, and once more to their end.
pub(crate) fn poll_tasks<P: Peer, T: Future<Output = ()> + 'static>(
    tasks: usize,
    each: usize,
    spawn: impl Fn(usize, Polls) -> T + 'static,
) -> Metrics {
    run::<P, _>(async move {
        let spawned: Vec<T> = (0..tasks).map(|i| spawn(i, Polls { left: each })).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        watch.stop(tasks * (each + 1))
    })
}

pub(crate) fn yield_one<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(100_000);
    time::<P>(ops, async move {
        for _ in 0..ops {
            P::yield_now().await;
        }
    })
}

pub(crate) fn yield_many<P: Peer>(size: Size) -> Metrics {
    let (tasks, each) = (1000, size.of(500));
    run::<P, _>(async move {
        let yields = |_| {
            P::spawn(async move {
                for _ in 0..each {
                    P::yield_now().await;
                }
            })
        };
        let spawned = (0..tasks).map(yields).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        watch.stop(tasks * (each + 1))
    })
}

/// Two tasks, a channel of one message each way. An operation is a message.
pub(crate) fn channels<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(100_000);
    run::<P, _>(async move {
        let (mut ping, mut pinged) = mpsc::channel(1);
        let (mut pong, mut ponged) = mpsc::channel(1);
        let other = P::spawn(async move {
            while let Some(op) = pinged.next().await {
                pong.send(op).await.expect("the receiver waits");
            }
        });
        let watch = Stopwatch::start();
        for op in 0..ops {
            ping.send(op).await.expect("the receiver waits");
            black_box(ponged.next().await);
        }
        let metrics = watch.stop(2 * ops);
        drop(ping);
        other.await;
        metrics
    })
}
