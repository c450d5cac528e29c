//! Paths that take neither the kernel nor another thread, so often as is asked: to be timed, and to
//! be counted by the instruction.

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use futures::poll;

use super::tasks::join;
use crate::peer::{Peer, Timers};

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
pub(crate) fn run<P: Peer, T: 'static>(body: impl Future<Output = T> + 'static) -> T {
    P::block_on(async { P::spawn(body).await })
}

pub(crate) fn yields<P: Peer>(ops: usize) {
    run::<P, _>(Polls { left: ops });
}

pub(crate) fn spawn_and_join<P: Peer>(ops: usize) {
    run::<P, _>(spawns::<P>(ops));
}

pub(crate) fn spawn_and_join_from_main<P: Peer>(ops: usize) {
    P::block_on(spawns::<P>(ops));
}

/// Tasks that live at once, where it takes several.
const CROWD: usize = 1_000;
const BATCH: usize = 100;

pub(crate) fn yields_of_many<P: Peer>(ops: usize) {
    run::<P, _>(async move {
        let polls = |_| P::spawn(Polls { left: ops / CROWD });
        join((0..CROWD).map(polls).collect()).await;
    });
}

pub(crate) fn spawn_and_join_many<P: Peer>(ops: usize) {
    run::<P, _>(async move {
        for _ in 0..ops / BATCH {
            join((0..BATCH).map(|op| P::spawn(async move { op })).collect()).await;
        }
    });
}

pub(crate) fn ping_pong<P: Peer>(ops: usize) {
    run::<P, _>(pings::<P>(ops));
}

pub(crate) fn timeout<P: Timers>(ops: usize) {
    run::<P, _>(timeouts::<P>(ops));
}

pub(crate) async fn spawns<P: Peer>(ops: usize) {
    for op in 0..ops {
        black_box(P::spawn(async move { op }).await);
    }
}

/// Two tasks, a channel each way: every message is a wake. An operation is a round trip.
pub(crate) async fn pings<P: Peer>(ops: usize) {
    let (ping, mut pinged) = mpsc::unbounded();
    let (pong, mut ponged) = mpsc::unbounded();
    let other = P::spawn(async move {
        while let Some(op) = pinged.next().await {
            pong.unbounded_send(op).expect("the receiver waits");
        }
    });
    for op in 0..ops {
        ping.unbounded_send(op).expect("the receiver waits");
        black_box(ponged.next().await);
    }
    drop(ping);
    other.await;
}

/// Timers that are armed and never expire, as those of timeouts mostly do not.
pub(crate) async fn timeouts<P: Timers>(ops: usize) {
    for op in 0..ops {
        let mut sleep = pin!(P::sleep(Duration::from_secs(10)));
        assert!(poll!(sleep.as_mut()).is_pending(), "ten seconds are not over");
        // Runtimes with a cooperative budget refuse to arm more timers in one poll.
        if op % 32 == 31 {
            Polls { left: 1 }.await;
        }
    }
}
