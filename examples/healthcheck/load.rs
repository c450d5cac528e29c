//! The load: bulk connections that saturate the server, and probes that do not wait.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until};

use crate::client::Client;
use crate::probe::{self, Probe, Prober};
use crate::service::Doors;
use crate::stats::{Outcome, Sample, Stats, cpu_of_this_thread};

/// Pause of a connection that broke, before it is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What to load a server with.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// What each of them asks for.
    pub(crate) bulk: &'static [u8],
    /// Bulk requests a second in open loop; `None` sends the next when the last is answered.
    pub(crate) bulk_rate: Option<u32>,
    /// What the probers ask for, each on connections of its own.
    pub(crate) probes: Vec<Vec<u8>>,
    /// Probes a second; the probers take turns.
    pub(crate) probe_rate: u32,
    /// Makes a connection for each probe rather than keep them alive.
    pub(crate) fresh_probes: bool,
    /// Loads without measuring.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// Loads `server` as planned, on this thread, and tells `watch` once a second how it goes.
///
/// # Errors
///
/// If the generator's own runtime cannot be made. Errors of connections are counted.
pub(crate) fn run(plan: &Plan, server: Doors, watch: mpsc::Sender<Sample>) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, drive(plan, server, watch)))
}

async fn drive(plan: &Plan, server: Doors, watch: mpsc::Sender<Sample>) -> Outcome {
    let begin = Instant::now() + plan.warm_up;
    let end = begin + plan.measured;
    let stats = Rc::new(RefCell::new(Stats::new(begin, end, plan.probes.len())));
    let probes = spawn_local(probe(plan, server.health(), end, stats.clone()));

    let gate = plan.bulk_rate.map(|rate| {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        metronome(rate, end, move |_| opened.add_permits(1));
        gate
    });
    for _ in 0..plan.connections {
        spawn_local(bulk(server.bulk, plan.bulk, gate.clone(), stats.clone()));
    }

    sleep_until(begin.into()).await;
    let cpu = cpu_of_this_thread();
    let mut second = begin + Duration::from_secs(1);
    while second <= end {
        sleep_until(second.into()).await;
        // Whoever watched may be gone; the measurement goes on.
        let _ = watch.send(stats.borrow_mut().sample(Instant::now()));
        second += Duration::from_secs(1);
    }
    sleep_until(end.into()).await;
    let cpu = cpu_of_this_thread().zip(cpu).map(|(now, then)| now.saturating_sub(then));
    if let Err(panic) = probes.await {
        std::panic::resume_unwind(panic.into_panic());
    }
    stats.borrow().outcome(cpu)
}

/// Makes all probers probe, each in its turn, until `end`; returns when the last are answered.
fn probe(
    plan: &Plan,
    server: SocketAddr,
    end: Instant,
    stats: Rc<RefCell<Stats>>,
) -> impl Future<Output = ()> + use<> {
    let (senders, runs): (Vec<_>, Vec<_>) = plan
        .probes
        .iter()
        .enumerate()
        .map(|(number, request)| {
            let (sender, probes) = unbounded_channel();
            let (request, stats) = (request.clone().into(), stats.clone());
            (sender, probe::run(probes, Prober { number, server, request, stats }))
        })
        .unzip();
    let (requests, fresh) = (plan.probes.clone(), plan.fresh_probes);
    let mut turns = (0..requests.len()).cycle();
    metronome(plan.probe_rate, end, move |at| {
        let Some(turn) = turns.next() else { return };
        let probe = if fresh { Probe::send(at, server, &requests[turn]) } else { Probe::due(at) };
        // The receivers live until their senders are gone.
        let _ = senders[turn].send(probe);
    });
    async { drop(join_all(runs).await) }
}

/// Calls `tick` with each instant that is due, `rate` times a second, until `end`.
///
/// On a thread of its own, since tokio rounds its timers up to whole milliseconds: as long as
/// the latencies to be measured.
fn metronome(rate: u32, end: Instant, mut tick: impl FnMut(Instant) + Send + 'static) {
    thread::spawn(move || {
        let start = Instant::now();
        for beat in 1u64.. {
            let due = start + Duration::from_nanos(beat * 1_000_000_000 / u64::from(rate));
            if due >= end {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            tick(due);
        }
    });
}

/// Keeps one bulk connection busy: one request after the other, each through the gate if there
/// is one.
async fn bulk(
    server: SocketAddr,
    request: &[u8],
    gate: Option<Arc<Semaphore>>,
    stats: Rc<RefCell<Stats>>,
) {
    loop {
        let broken = bulk_connection(server, request, gate.as_deref(), &stats).await;
        stats.borrow_mut().failed(&broken);
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn bulk_connection(
    server: SocketAddr,
    request: &[u8],
    gate: Option<&Semaphore>,
    stats: &RefCell<Stats>,
) -> io::Error {
    let mut client = match Client::connect(server).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    loop {
        if let Some(gate) = gate {
            gate.acquire().await.expect("the gate is never closed").forget();
        }
        match client.ask(request).await {
            Ok(()) => stats.borrow_mut().bulk_answered(Instant::now()),
            Err(error) => return error,
        }
    }
}
