//! What the promise costs: the same polls under a budget that counts them, under the default, and
//! under one that times them only.
//!
//! ```text
//!     handles(64)   every handle costs 1           no clock is read to schedule
//!     default       64 handles and 100 µs          one reading a handle, if several partitions compete
//!     time(100 µs)  every handle costs its time    one reading a handle, likewise
//! ```
//!
//! Nanoseconds of processor time a poll, medians over interleaved rounds. `cargo bench -p
//! evenloop-benches --bench promise` takes about a minute; `-- --quick` shows that it works.

#[path = "src/cores.rs"]
#[allow(dead_code)]
mod cores;
#[path = "src/metrics.rs"]
#[allow(dead_code)]
mod metrics;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evenloop::{Budget, Clock, Runtime, spawn_in};

use crate::metrics::{Stopwatch, median};

const TASKS: [usize; 4] = [10, 100, 1_000, 10_000];
const PARTITIONS: [usize; 3] = [1, 10, 1_000];
const QUANTUM: Duration = Duration::from_micros(100);

/// What is compared: the name, the budget, and what measures it.
fn hows() -> [(&'static str, Budget, Clock); 4] {
    [
        ("handles(64)", Budget::handles(64), Clock::Fastest),
        ("default", Budget::default(), Clock::Fastest),
        ("time(100 µs)", Budget::time(QUANTUM), Clock::Fastest),
        ("default, Monotonic", Budget::default(), Clock::Monotonic),
    ]
}

/// Wakes itself and pends, `left` times.
#[derive(Debug)]
struct Polls {
    left: usize,
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

/// Polls `tasks` tasks in `partitions` partitions, about `polls` times together.
fn run(budget: Budget, clock: Clock, tasks: usize, partitions: usize, polls: usize) -> f64 {
    let runtime = Runtime::builder().budget(budget).clock(clock).build();
    let each = polls / tasks;
    runtime.expect("a runtime").block_on(async move {
        let spawn = |i| spawn_in((i * partitions / tasks) as u64, Polls { left: each });
        let spawned: Vec<_> = (0..tasks).map(spawn).collect();
        let watch = Stopwatch::start();
        for task in spawned {
            task.await.expect("the task ends");
        }
        watch.stop(tasks * (each + 1))["cpu"]
    })
}

fn main() {
    cores::take_the_first();
    let quick = !std::env::args().any(|arg| arg == "--bench")
        || std::env::args().any(|arg| arg == "--quick");
    let (rounds, polls) = if quick { (1, 50_000) } else { (9, 1_000_000) };
    print!("| tasks | partitions |");
    hows().iter().for_each(|(name, ..)| print!(" {name} |"));
    println!(" the clock |\n|---:|---:|---:|---:|---:|---:|---:|");
    for tasks in TASKS {
        for partitions in PARTITIONS.into_iter().filter(|partitions| *partitions <= tasks) {
            let mut took = hows().map(|_| Vec::new());
            for round in 0..rounds {
                for how in 0..took.len() {
                    // Another begins each round, so that none always runs in another's wake.
                    let how = (round + how) % took.len();
                    let (_, budget, clock) = hows()[how];
                    took[how].push(run(budget, clock, tasks, partitions, polls));
                }
            }
            let [counted, both, ..] = &took;
            let costs = both.iter().zip(counted).map(|(both, counted)| both - counted).collect();
            print!("| {tasks} | {partitions} |");
            took.into_iter().for_each(|took| print!(" {:.1} |", median(took)));
            println!(" {:+.1} |", median(costs));
        }
    }
}
