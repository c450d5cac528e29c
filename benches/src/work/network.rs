//! Servers on the first core, and their clients on the other.

use std::mem::forget;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::io::{MESSAGE, read_exact, serve};
use super::load::{Clients, HEALTH, probe};
use super::pure::run;
use super::ticks::spin;
use crate::child::{self, files_max};
use crate::cores;
use crate::metrics::{Metrics, quantile};
use crate::peer::{Net, Role};
use crate::usage::Usage;

/// What a request in bulk takes.
pub(crate) const WORK: Duration = Duration::from_micros(20);
use crate::size::Size;
/// How long servers are loaded before anything is measured.
const WARM: Duration = Duration::from_millis(300);

/// Where a server listens: for bulk, and for health checks.
pub(crate) type Doors = (SocketAddr, SocketAddr);

/// Runs `clients` in a thread on the other core, which is told the doors; their figures end the
/// process.
pub(crate) fn beside(clients: impl FnOnce(Doors) -> Metrics + Send + 'static) -> Sender<Doors> {
    let (tell, told) = channel();
    thread::spawn(move || {
        cores::leave_the_first();
        let Ok(doors) = told.recv() else { return };
        child::finish(&clients(doors));
    });
    tell
}

/// 64 connections with one request in flight each: what one takes of the server, and how many there
/// are in a second.
pub(crate) fn echo_load(size: Size) -> Sender<Doors> {
    beside(move |(door, _)| {
        let mut clients = Clients::connect(door, 64, 1);
        clients.begin();
        clients.run(WARM);
        let before = Usage::of_others();
        let served = clients.run(size.seconds(2.0));
        let used = Usage::of_others() - before;
        let each = |nanos: f64| nanos / 1e3 / served.all() as f64;
        Metrics::from([
            ("user", each(used.user)),
            ("cpu", each(used.cpu)),
            ("requests", served.per_second()),
        ])
    })
}

/// 256 connections with 32 requests in flight each, and a probe beside them.
pub(crate) fn saturating_load(size: Size, fresh: bool) -> Sender<Doors> {
    beside(move |(bulk, health)| {
        let mut clients = Clients::connect(bulk, 256, 32);
        clients.begin();
        clients.run(WARM);
        let time = size.seconds(3.0);
        let probe = thread::spawn(move || probe(health, fresh, time));
        let served = clients.run(time);
        // The load stays until the last probe is answered.
        while !probe.is_finished() {
            clients.run(Duration::from_millis(5));
        }
        let mut took = probe.join().expect("the probe ends");
        Metrics::from([
            ("p50", quantile(&mut took, 0.5)),
            ("p99", quantile(&mut took, 0.99)),
            ("evenness", served.evenness()),
            ("requests", served.per_second()),
        ])
    })
}

/// 10,000 connections over which nothing goes: what the server uses in three seconds.
pub(crate) fn idle_load(size: Size) -> Sender<Doors> {
    // Both ends are in this process, and the server needs some files for itself.
    let connections = size.of(10_000).min(files_max().saturating_sub(200) / 2);
    beside(move |(door, _)| {
        let clients = Clients::connect(door, connections, 1);
        thread::sleep(WARM * 3);
        let before = Usage::of_others();
        thread::sleep(size.seconds(3.0));
        let used = Usage::of_others() - before;
        drop(clients);
        Metrics::from([
            ("cpu", used.cpu / 1e6),
            ("wakes", used.sleeps),
            ("connections", connections as f64),
        ])
    })
}

pub(crate) fn echo<P: Net>(size: Size) -> Metrics {
    let tell = echo_load(size);
    run::<P, _>(async move {
        let (listener, addr) = P::listen().await.expect("a free port");
        tell.send((addr, addr)).expect("the clients wait");
        loop {
            let stream = P::accept(&listener).await.expect("a client connects");
            forget(P::spawn(serve::<P>(stream)));
        }
    })
}

pub(crate) fn idle<P: Net>(size: Size) -> Metrics {
    let tell = idle_load(size);
    run::<P, _>(async move {
        let (listener, addr) = P::listen().await.expect("a free port");
        tell.send((addr, addr)).expect("the clients wait");
        loop {
            let stream = P::accept(&listener).await.expect("a client connects");
            forget(P::spawn(serve::<P>(stream)));
        }
    })
}

/// Answers requests: those in bulk after some work.
async fn work<P: Net>(mut stream: P::Stream) {
    let mut buf = vec![0; MESSAGE];
    while read_exact::<P>(&mut stream, &mut buf).await {
        if buf[0] != HEALTH {
            spin(WORK);
        }
        let (written, bytes) = P::write_all(&mut stream, buf).await;
        buf = bytes;
        if written.is_err() {
            return;
        }
    }
}

/// Bulk and health checks each have a listener.
pub(crate) fn own_listener<P: Net>(size: Size) -> Metrics {
    let tell = saturating_load(size, false);
    run::<P, _>(async move {
        let (bulk, bulk_addr) = P::listen().await.expect("a free port");
        let (health, health_addr) = P::listen().await.expect("a free port");
        tell.send((bulk_addr, health_addr)).expect("the clients wait");
        forget(P::spawn_as(Role::Health, accept::<P>(health)));
        P::spawn_as(Role::Bulk, accept::<P>(bulk)).await
    })
}

async fn accept<P: Net>(listener: P::Listener) -> Metrics {
    loop {
        let stream = P::accept(&listener).await.expect("a client connects");
        forget(P::spawn(work::<P>(stream)));
    }
}

/// They share one, and each health check is a new connection.
pub(crate) fn shared_listener<P: Net>(size: Size) -> Metrics {
    let tell = saturating_load(size, true);
    run::<P, _>(async move {
        let (listener, addr) = P::listen().await.expect("a free port");
        tell.send((addr, addr)).expect("the clients wait");
        P::spawn_as(Role::Acceptor, async move {
            loop {
                let stream = P::accept(&listener).await.expect("a client connects");
                forget(P::spawn(P::admit(stream, work::<P>)));
            }
        })
        .await
    })
}
