//! Wakes from another thread.

use std::future::poll_fn;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Instant;

use futures::StreamExt;
use futures::channel::mpsc;
use futures::task::AtomicWaker;

use super::pure::run;
use crate::cores;
use crate::metrics::{Metrics, Stopwatch};
use crate::peer::Peer;
use crate::size::Size;

/// A task asks another thread, which answers: each answer wakes a loop that sleeps.
pub(crate) fn ping_pong<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(10_000);
    run::<P, _>(async move {
        let (ask, asked) = std::sync::mpsc::channel();
        let (answer, mut answers) = mpsc::unbounded();
        let helper = thread::spawn(move || {
            cores::leave_the_first();
            for op in asked {
                answer.unbounded_send(op).expect("the receiver waits");
            }
        });
        let watch = Stopwatch::start();
        for op in 0..ops {
            ask.send(op).expect("the helper waits");
            black_box(answers.next().await);
        }
        let metrics = watch.stop(ops);
        drop(ask);
        helper.join().expect("the helper ends");
        metrics
    })
}

/// What a task and another thread say to each other: how far either has come.
#[derive(Debug, Default)]
struct Desk {
    asked: AtomicUsize,
    answered: AtomicUsize,
    over: AtomicBool,
    waiter: AtomicWaker,
}

/// The same when nobody sleeps: the other thread spins, and on the loop a task yields all the time.
/// As often as half a second allows: a runtime that notices wakes by a timer takes its time.
pub(crate) fn spinning<P: Peer>(size: Size) -> Metrics {
    let time = size.seconds(0.5);
    run::<P, _>(async move {
        let desk = Arc::new(Desk::default());
        let theirs = desk.clone();
        let helper = thread::spawn(move || {
            cores::leave_the_first();
            let mut done = 0;
            while !theirs.over.load(Ordering::Relaxed) {
                let asked = theirs.asked.load(Ordering::Acquire);
                if asked == done {
                    spin_loop();
                    continue;
                }
                done = asked;
                theirs.answered.store(done, Ordering::Release);
                theirs.waiter.wake();
            }
        });
        let ours = desk.clone();
        let busy = P::spawn(async move {
            while !ours.over.load(Ordering::Relaxed) {
                P::yield_now().await;
            }
        });
        let watch = Stopwatch::start();
        let start = Instant::now();
        let mut op = 0;
        while op % 8 != 0 || start.elapsed() < time {
            op += 1;
            desk.asked.store(op, Ordering::Release);
            poll_fn(|cx| {
                desk.waiter.register(cx.waker());
                let done = desk.answered.load(Ordering::Acquire) >= op;
                if done { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        let metrics = watch.stop(op);
        desk.over.store(true, Ordering::Relaxed);
        busy.await;
        helper.join().expect("the helper ends");
        metrics
    })
}

/// Another thread sends as fast as it can; the task takes what there is.
pub(crate) fn flood<P: Peer>(size: Size) -> Metrics {
    let ops = size.of(1_000_000);
    run::<P, _>(async move {
        let (send, mut received) = mpsc::unbounded();
        let watch = Stopwatch::start();
        let helper = thread::spawn(move || {
            cores::leave_the_first();
            for op in 0..ops {
                send.unbounded_send(op).expect("the receiver waits");
            }
        });
        while let Some(op) = received.next().await {
            black_box(op);
        }
        let metrics = watch.stop(ops);
        helper.join().expect("the helper ends");
        metrics
    })
}
