//! Rows of timers and sockets.

use std::pin::pin;
use std::time::Duration;

use futures::poll;

use crate::peer::{Net, Sample, Size, Stopwatch, Timers};
use crate::tasks::{Polls, join, run};

const MESSAGE: [u8; 64] = [7; 64];

/// Timers that are armed and never expire, as timeouts mostly are.
pub(crate) fn arm_and_cancel<P: Timers>(size: Size) -> Sample {
    let ops = size.of(200_000);
    run::<P>(async move {
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
pub(crate) fn sleeps_expire<P: Timers>(size: Size) -> Sample {
    let ops = size.of(10_000);
    run::<P>(async move {
        let watch = Stopwatch::start();
        let sleep = |_| P::spawn(P::sleep(Duration::from_millis(10)));
        join((0..ops).map(sleep).collect()).await;
        watch.stop(ops)
    })
}

pub(crate) fn echo_one<P: Net>(size: Size) -> Sample {
    echo::<P>(1, size.of(5000))
}

pub(crate) fn echo_many<P: Net>(size: Size) -> Sample {
    echo::<P>(64, size.of(100))
}

/// Round trips over the loopback, server and clients on the same loop.
fn echo<P: Net>(connections: usize, each: usize) -> Sample {
    run::<P>(async move {
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
        let sample = watch.stop(connections * each);
        join(servers).await;
        sample
    })
}

async fn serve<P: Net>(mut stream: P::Stream) {
    let mut buf = [0; MESSAGE.len()];
    loop {
        match P::read(&mut stream, &mut buf).await.expect("the peer is in this process") {
            0 => return,
            len => P::write_all(&mut stream, &buf[..len]).await.expect("the peer reads"),
        }
    }
}

async fn ask<P: Net>(mut stream: P::Stream, times: usize) {
    let mut buf = [0; MESSAGE.len()];
    for _ in 0..times {
        P::write_all(&mut stream, &MESSAGE).await.expect("the server reads");
        let mut have = 0;
        while have < buf.len() {
            match P::read(&mut stream, &mut buf[have..]).await.expect("the server answers") {
                0 => panic!("the server hung up"),
                len => have += len,
            }
        }
    }
}
