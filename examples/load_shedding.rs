//! Shedding load: tasks look at how busy the loop is, and give up rather than queue.
//!
//! ```text
//!   tasks come ──► load > 0.9 ? ──no──► 15 ms of work ──► done
//!                      │                      │
//!                      yes                    ▼
//!                      ▼            io_start ─┴─ io_end: the instrument
//!                   give up         counts the time the loop sleeps
//! ```
//!
//! Up to 60 tasks a second there is room for all. Beyond, the loop stays just below full, and
//! answers those it took in, however many come.
//!
//! `cargo run --example load_shedding` takes five seconds and prints about this:
//!
//! ```text
//!  25 tasks/s ask for  38 %: load 0.36,   0 of  30 gave up
//!  50 tasks/s ask for  75 %: load 0.73,   0 of  60 gave up
//! 100 tasks/s ask for 150 %: load 0.90,  48 of 120 gave up
//! 200 tasks/s ask for 300 %: load 0.90, 168 of 240 gave up
//! ```

use std::io;
use std::time::{Duration, Instant};

use evenloop::instrument::LoadInstrument;
use evenloop::time::{interval, sleep_until};
use evenloop::{JoinSet, Runtime};

const WORK: Duration = Duration::from_millis(15);
const LOAD_MAX: f64 = 0.9;
/// How long tasks come at each rate.
const SPAN: Duration = Duration::from_millis(1200);

fn main() -> io::Result<()> {
    for tasks_a_second in [25, 50, 100, 200] {
        let load = LoadInstrument::new();
        let runtime = Runtime::new()?;
        runtime.add_instrument(load.clone());
        runtime.block_on(offer(tasks_a_second, &load));
    }
    Ok(())
}

/// Has tasks come at a steady rate and prints what became of them.
async fn offer(tasks_a_second: u32, load: &LoadInstrument) {
    let pause = Duration::from_secs(1) / tasks_a_second;
    let mut coming = interval(pause);
    coming.tick().await;

    let ends = Instant::now() + SPAN;
    let mut tasks = JoinSet::new();
    while Instant::now() < ends {
        coming.tick().await;
        tasks.spawn(work_unless_busy(load.clone()));
    }
    sleep_until(ends).await;
    let settled = load.load();

    let offered = tasks.len();
    let done = tasks.join_all().await.into_iter().filter(|done| *done).count();
    let asked = 100.0 * WORK.as_secs_f64() * f64::from(tasks_a_second);
    println!(
        "{tasks_a_second:3} tasks/s ask for {asked:3.0} %: load {settled:.2}, {:3} of {offered:3} gave up",
        offered - done
    );
}

/// Does a piece of work, or gives up if the loop has enough to do; returns whether it was done.
async fn work_unless_busy(load: LoadInstrument) -> bool {
    if load.load() > LOAD_MAX {
        return false;
    }
    let started = Instant::now();
    while started.elapsed() < WORK {
        std::hint::spin_loop();
    }
    true
}
