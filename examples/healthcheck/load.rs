//! The load: bulk connections that saturate the server, and a health probe that does not wait.
//!
//! The probe is an *open loop*: a metronome says when each one is due, and its latency counts
//! from then, also if the one before is still unanswered (it then goes out on another
//! connection). A closed loop would send fewer probes the worse the server is, and so hide
//! the very waits it is to measure ("coordinated omission").

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until, timeout};

use crate::client::Client;
use crate::service::Doors;
use crate::stats::{Outcome, Sample, Stats, cpu_of_this_thread};

const WORK: &[u8] = b"GET /work HTTP/1.1\r\nhost: bulk\r\n\r\n";
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: health\r\n\r\n";
/// Pause of a connection that broke, before it is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// How long the last probes may still be answered.
const GRACE: Duration = Duration::from_secs(5);

/// What to load a server with.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Bulk requests a second in open loop; `None` sends the next when the last is answered.
    pub(crate) bulk_rate: Option<u32>,
    /// Health probes a second.
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
    let stats = Rc::new(RefCell::new(Stats::new(begin, end)));

    let (beat, beats) = unbounded_channel();
    metronome(plan.probe_rate, end, move |due| {
        // The receiver lives until this sender is gone.
        let _ = beat.send(due);
    });
    let probes = spawn_local(probe(beats, server.health, plan.fresh_probes, stats.clone()));

    let gate = plan.bulk_rate.map(|rate| {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        metronome(rate, end, move |_| opened.add_permits(1));
        gate
    });
    for _ in 0..plan.connections {
        spawn_local(bulk(server.bulk, gate.clone(), stats.clone()));
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
async fn bulk(server: SocketAddr, gate: Option<Arc<Semaphore>>, stats: Rc<RefCell<Stats>>) {
    loop {
        let broken = bulk_connection(server, gate.as_deref(), &stats).await;
        stats.borrow_mut().failed(&broken);
        sleep(RECONNECT_PAUSE).await;
    }
}

async fn bulk_connection(
    server: SocketAddr,
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
        match client.ask(WORK).await {
            Ok(()) => stats.borrow_mut().bulk_answered(Instant::now()),
            Err(error) => return error,
        }
    }
}

/// Sends a probe whenever one is due, then waits for the answers still out.
async fn probe(
    mut beats: UnboundedReceiver<Instant>,
    server: SocketAddr,
    fresh: bool,
    stats: Rc<RefCell<Stats>>,
) {
    let idle = Rc::new(RefCell::new(Vec::new()));
    let mut out = JoinSet::new();
    while let Some(due) = beats.recv().await {
        stats.borrow_mut().probe_sent(due, Instant::now());
        let (idle, stats) = (idle.clone(), stats.clone());
        let mut waiting = Waiting { due, answered: false, stats };
        out.spawn_local(async move {
            let kept = idle.borrow_mut().pop();
            match probe_once(kept, server).await {
                Ok(client) => {
                    waiting.answered = true;
                    drop(waiting);
                    if !fresh {
                        idle.borrow_mut().push(client);
                    }
                }
                Err(error) => waiting.stats.borrow_mut().failed(&error),
            }
        });
        while out.try_join_next().is_some() {}
    }
    let _ = timeout(GRACE, async { while out.join_next().await.is_some() {} }).await;
    out.shutdown().await;
}

async fn probe_once(kept: Option<Client>, server: SocketAddr) -> io::Result<Client> {
    let mut client = match kept {
        Some(client) => client,
        None => Client::connect(server).await?,
    };
    client.ask(HEALTH).await?;
    Ok(client)
}

/// A probe on its way. Dropped without an answer, it still counts, with the time it waited.
struct Waiting {
    due: Instant,
    answered: bool,
    stats: Rc<RefCell<Stats>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.stats.borrow_mut().probe_ended(self.due, Instant::now(), self.answered);
    }
}
