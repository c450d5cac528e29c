//! Rows of tasks alone: spawning, polling, channels, wakes from another thread.

use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};

use crate::peer::{Peer, Sample, Size, Stopwatch};

/// Wakes itself and pends, `left` times: one handle each, and nothing but the handle.
#[derive(Debug)]
pub(crate) struct Polls {
    pub(crate) left: usize,
}

impl Future for Polls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs `body` as a task, so that no runtime's way to poll its main future gets into the way.
pub(crate) fn run<P: Peer>(body: impl Future<Output = Sample> + Send + 'static) -> Sample {
    P::block_on(async { P::spawn(body).await })
}

/// Awaits every one of `tasks`, which run meanwhile.
pub(crate) async fn join<T>(tasks: Vec<impl Future<Output = T>>) {
    for task in tasks {
        black_box(task.await);
    }
}

pub(crate) fn spawn_one<P: Peer>(size: Size) -> Sample {
    let ops = size.of(200_000);
    run::<P>(async move {
        let watch = Stopwatch::start();
        for op in 0..ops {
            black_box(P::spawn(async move { op }).await);
        }
        watch.stop(ops)
    })
}

pub(crate) fn spawn_many<P: Peer>(size: Size) -> Sample {
    let (rounds, many) = (size.of(200), 1000);
    run::<P>(async move {
        let watch = Stopwatch::start();
        for _ in 0..rounds {
            join((0..many).map(|op| P::spawn(async move { op })).collect()).await;
        }
        watch.stop(rounds * many)
    })
}

pub(crate) fn poll_one<P: Peer>(size: Size) -> Sample {
    let ops = size.of(1_000_000);
    run::<P>(async move {
        let watch = Stopwatch::start();
        Polls { left: ops }.await;
        watch.stop(ops)
    })
}

pub(crate) fn poll_many<P: Peer>(size: Size) -> Sample {
    poll_tasks::<P, _>(1000, size.of(1000), |_, polls| P::spawn(polls))
}

pub(crate) fn poll_crowd<P: Peer>(size: Size) -> Sample {
    poll_tasks::<P, _>(size.of(100_000), 10, |_, polls| P::spawn(polls))
}

/// Polls `tasks` tasks `each` times, and once more to their end.
pub(crate) fn poll_tasks<P: Peer, T: Future<Output = ()> + Send + 'static>(
    tasks: usize,
    each: usize,
    spawn: impl Fn(usize, Polls) -> T + Send + 'static,
) -> Sample {
    run::<P>(async move {
        let spawned: Vec<T> = (0..tasks).map(|i| spawn(i, Polls { left: each })).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        watch.stop(tasks * (each + 1))
    })
}

pub(crate) fn yield_one<P: Peer>(size: Size) -> Sample {
    let ops = size.of(100_000);
    run::<P>(async move {
        let watch = Stopwatch::start();
        for _ in 0..ops {
            P::yield_now().await;
        }
        watch.stop(ops)
    })
}

pub(crate) fn yield_many<P: Peer>(size: Size) -> Sample {
    let (tasks, each) = (1000, size.of(500));
    run::<P>(async move {
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

/// Two tasks, a channel each way: every message is a wake.
pub(crate) fn channels<P: Peer>(size: Size) -> Sample {
    let ops = size.of(100_000);
    run::<P>(async move {
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
        let sample = watch.stop(2 * ops);
        drop(ping);
        other.await;
        sample
    })
}

/// A task asks another thread, which answers: each answer wakes a loop that sleeps.
pub(crate) fn cross_ping_pong<P: Peer>(size: Size) -> Sample {
    let ops = size.of(10_000);
    run::<P>(async move {
        let (ask, asked) = std::sync::mpsc::channel();
        let (answer, mut answers) = mpsc::unbounded();
        let helper = thread::spawn(move || {
            for op in asked {
                answer.unbounded_send(op).expect("the receiver waits");
            }
        });
        let watch = Stopwatch::start();
        for op in 0..ops {
            ask.send(op).expect("the helper waits");
            black_box(answers.next().await);
        }
        let sample = watch.stop(ops);
        drop(ask);
        helper.join().expect("the helper ends");
        sample
    })
}

/// Another thread sends as fast as it can; the task takes what there is.
pub(crate) fn cross_flood<P: Peer>(size: Size) -> Sample {
    let ops = size.of(200_000);
    run::<P>(async move {
        let (send, mut received) = mpsc::unbounded();
        let watch = Stopwatch::start();
        let helper = thread::spawn(move || {
            for op in 0..ops {
                send.unbounded_send(op).expect("the receiver waits");
            }
        });
        while let Some(op) = received.next().await {
            black_box(op);
        }
        let sample = watch.stop(ops);
        helper.join().expect("the helper ends");
        sample
    })
}
