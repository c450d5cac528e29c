//! What a simulation costs: handles a second, and memory.
//!
//! ```text
//! 1,000 tasks in 10 partitions                handles   a handle   virtual
//! compute                                   …
//! ```
//!
//! In processor time. `cargo bench -p evenloop-benches --features sim --bench simulation` runs it in a few
//! seconds; `-- --quick` runs a hundredth.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::sim;
use evenloop::time::{Duration, interval, sleep};
use evenloop::{spawn_in, yield_now};
use rustix::time::{ClockId, clock_gettime};

const US: Duration = Duration::from_micros(1);
const SECOND: Duration = Duration::from_secs(1);

/// The processor time this process has used: what others do on the machine does not count.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Spawns 1,000 tasks in ten partitions which do `work` for ever.
fn crowd<F>(sim: &sim::Runtime, work: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + 'static,
{
    for who in 0..1_000 {
        sim.spawn_in(who % 10, work(who));
    }
}

async fn compute(_: u64) {
    loop {
        sim::burn(US).await;
    }
}

async fn nap(who: u64) {
    loop {
        sleep(US * (500 + who as u32)).await;
        sim::spend(US);
    }
}

async fn heartbeat(_: u64) {
    let mut beats = interval(Duration::from_millis(1));
    loop {
        beats.tick().await;
        sim::spend(Duration::from_nanos(500));
    }
}

/// Runs `work` until so many handles have run, and prints how long that took.
fn time<F>(name: &str, trace: usize, handles: u64, work: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let sim = sim::Runtime::builder().seed(1).trace_limit(trace).build();
    crowd(&sim, work);
    let ran = || sim.handle().metrics().handles;
    let start = used();
    while ran() < handles {
        sim.run_for(SECOND / 100);
    }
    let (handles, took) = (ran(), used() - start);
    println!(
        "{name:<42} {:>10.2} M/s {:>7.1} ns   {:>8.1} s in {:.2} s",
        handles as f64 / took.as_secs_f64() / 1e6,
        took.as_nanos() as f64 / handles as f64,
        sim.elapsed().as_secs_f64(),
        took.as_secs_f64(),
    );
}

/// An hour of a service with `clients` connections that ask ten times a second each.
fn hour_of_service(clients: u64, time: Duration) {
    let sim = sim::Runtime::builder().seed(1).trace_limit(0).build();
    let served = Rc::new(Cell::new(0_u64));
    let count = served.clone();
    sim.spawn(async move {
        let listener = TcpListener::bind("10.0.0.1:80").await.expect("the port is free");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            spawn_in("service", serve(stream, count.clone()));
        }
    });
    for _ in 0..clients {
        sim.spawn_in("clients", async {
            let stream = TcpStream::connect("10.0.0.1:80").await.expect("somebody listens");
            let mut beats = interval(SECOND / 10);
            let mut answer = [0; 128];
            loop {
                beats.tick().await;
                stream.write_all(&[7; 128]).await.expect("it goes out");
                stream.read_exact(&mut answer).await.expect("it comes back");
            }
        });
    }
    let start = used();
    sim.run_for(time);
    let took = (used() - start).as_secs_f64();
    println!(
        "{:<42} {:>10} requests in {took:.2} s, {:.0} times as fast as real time",
        format!("{:.0} s of service over TCP", time.as_secs_f64()),
        served.get(),
        time.as_secs_f64() / took,
    );
}

async fn serve(stream: TcpStream, served: Rc<Cell<u64>>) {
    let mut request = [0; 128];
    while stream.read_exact(&mut request).await.is_ok() {
        sim::spend(US * 50);
        served.set(served.get() + 1);
        if stream.write_all(&request).await.is_err() {
            break;
        }
    }
}

/// The resident set of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Prints what a task that waits for ever takes, with what the trace keeps of it. The simulation is
/// to be kept, or the next would be made in the memory it leaves.
#[must_use]
fn memory(tasks: u64, trace: usize, name: &str) -> sim::Runtime {
    let sim = sim::Runtime::builder().trace_limit(trace).build();
    let before = resident();
    sim.block_on(async {
        for _ in 0..tasks {
            drop(spawn_in("crowd", pending::<()>()));
        }
        for _ in 0..1_000 {
            yield_now().await;
        }
    });
    println!("{name:<42} {:>10} bytes", (resident() - before) / tasks);
    sim
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let handles = if quick { 50_000 } else { 5_000_000 };
    println!(
        "{:<42} {:>14} {:>10}   {:>10}",
        "1,000 tasks in 10 partitions", "handles", "a handle", "virtual"
    );
    for (how, trace) in [("", usize::MAX), (", hash only", 0)] {
        time(&format!("compute{how}"), trace, handles, compute);
        time(&format!("sleep and compute{how}"), trace, handles, nap);
        time(&format!("tick each millisecond{how}"), trace, handles, heartbeat);
    }
    hour_of_service(20, SECOND * if quick { 10 } else { 3_600 });
    let tasks = if quick { 10_000 } else { 500_000 };
    let kept = memory(tasks, 0, "a pending task, hash only");
    let traced = memory(tasks, usize::MAX, "a pending task, with its trace");
    drop((kept, traced));
}
