//! Timers, and sockets with both ends on the same loop.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::poll;

use super::pure::{Polls, run};
use super::tasks::join;
use crate::metrics::{Metrics, Stopwatch, quantile};
use crate::peer::{Net, Timers};
use crate::size::Size;

/// The bytes of a message.
pub(crate) const MESSAGE: usize = 64;

/// Timers an hour away, which are armed and dropped.
pub(crate) fn arm_and_cancel<P: Timers>(size: Size) -> Metrics {
    let ops = size.of(200_000);
    run::<P, _>(async move {
        let watch = Stopwatch::start();
        for op in 0..ops {
            let mut sleep = pin!(P::sleep(Duration::from_secs(3600)));
            assert!(poll!(sleep.as_mut()).is_pending(), "an hour is not over");
            // Runtimes with a cooperative budget refuse to arm more timers in one poll.
            if op % 32 == 31 {
                Polls { left: 1 }.await;
            }
        }
        watch.stop(ops)
    })
}

/// Tasks that sleep and end, all at about the same time.
pub(crate) fn sleeps_expire<P: Timers>(size: Size) -> Metrics {
    let ops = size.of(10_000);
    run::<P, _>(async move {
        let watch = Stopwatch::start();
        let sleep = |_| P::spawn(P::sleep(Duration::from_millis(10)));
        join((0..ops).map(sleep).collect()).await;
        watch.stop(ops)
    })
}

/// Tasks whose sleeps end within 100 ms, in no order, when all of them are under way. Tells how late
/// they were as well, in milliseconds.
pub(crate) fn sleeps_apart<P: Timers>(size: Size) -> Metrics {
    /// Longer than it takes to begin them all.
    const BEFORE: Duration = Duration::from_millis(400);
    const WITHIN: Duration = Duration::from_millis(100);
    /// Prime, so that multiples of it come by every number, in no order.
    const STEP: usize = 7_368_787;
    let ops = size.of(100_000);
    run::<P, _>(async move {
        let late = Rc::new(RefCell::new(Vec::with_capacity(ops)));
        let begin = Instant::now() + BEFORE;
        let sleeper = |i: usize| {
            let due = begin + WITHIN.mul_f64((i * STEP % ops) as f64 / ops as f64);
            let late = late.clone();
            P::spawn(async move {
                P::sleep(due.saturating_duration_since(Instant::now())).await;
                let over = Instant::now().saturating_duration_since(due);
                late.borrow_mut().push(over.as_secs_f64() * 1e3);
            })
        };
        let spawned: Vec<_> = (0..ops).map(sleeper).collect();
        let watch = Stopwatch::start();
        join(spawned).await;
        let mut metrics = watch.stop(ops);
        let mut late = late.borrow_mut();
        metrics.insert("p50", quantile(&mut late, 0.5));
        metrics.insert("p99", quantile(&mut late, 0.99));
        metrics
    })
}

pub(crate) fn echo_one<P: Net>(size: Size) -> Metrics {
    echo::<P>(1, size.of(5000))
}

pub(crate) fn echo_many<P: Net>(size: Size) -> Metrics {
    echo::<P>(64, size.of(100))
}

/// Round trips over the loopback, server and clients on the same loop.
fn echo<P: Net>(connections: usize, each: usize) -> Metrics {
    run::<P, _>(async move {
        let (listener, addr) = P::listen().await.expect("a free port");
        let mut servers = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..connections {
            let client = P::spawn(P::connect(addr));
            let server = P::accept(&listener).await.expect("the client connects");
            servers.push(P::spawn(serve::<P>(server)));
            clients.push(client.await.expect("the server listens"));
        }
        let watch = Stopwatch::start();
        let clients = clients.into_iter().map(|client| P::spawn(ask::<P>(client, each)));
        join(clients.collect()).await;
        let metrics = watch.stop(connections * each);
        join(servers).await;
        metrics
    })
}

/// Answers messages with themselves until the peer hangs up.
pub(crate) async fn serve<P: Net>(mut stream: P::Stream) {
    let mut buf = vec![0; MESSAGE];
    while read_exact::<P>(&mut stream, &mut buf).await {
        let (written, bytes) = P::write_all(&mut stream, buf).await;
        buf = bytes;
        if written.is_err() {
            return;
        }
    }
}

/// Reads a message; returns whether one was left to be read.
pub(crate) async fn read_exact<P: Net>(stream: &mut P::Stream, buf: &mut Vec<u8>) -> bool {
    let (read, bytes) = P::read(stream, std::mem::take(buf)).await;
    *buf = bytes;
    match read {
        Ok(0) | Err(_) => false,
        // A message comes in pieces where it lies at the end of what the socket held.
        Ok(len) if len < MESSAGE => {
            let mut have = len;
            while have < MESSAGE {
                let (read, piece) = P::read(stream, vec![0; MESSAGE - have]).await;
                let Ok(len @ 1..) = read else { return false };
                buf[have..have + len].copy_from_slice(&piece[..len]);
                have += len;
            }
            true
        }
        Ok(_) => true,
    }
}

async fn ask<P: Net>(mut stream: P::Stream, times: usize) {
    let mut buf = vec![7; MESSAGE];
    for _ in 0..times {
        let (written, bytes) = P::write_all(&mut stream, buf).await;
        written.expect("the server reads");
        buf = bytes;
        assert!(read_exact::<P>(&mut stream, &mut buf).await, "the server hung up");
    }
}
