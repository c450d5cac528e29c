//! What timers cost: set and fired, kept, and how late they are.
//!
//! ```text
//!     100,000 tasks ──► each sleeps once, somewhere within 100 ms ──► lateness of each
//!     1 … 10⁷ timers set ──► one more set and dropped ──► time moves past all of them ──► dropped
//! ```
//!
//! Processor time of this thread. `cargo bench -p evenloop-benches --features test-util --bench
//! timers` runs everything, `-- --quick` as much as shows that it works.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use evenloop::time::{Instant, Sleep, sleep, sleep_until};
use evenloop::{Runtime, spawn};

const SLEEPERS: usize = 100_000;
const WITHIN: Duration = Duration::from_millis(100);
/// Timers set and dropped for one figure.
const OPS: usize = 200_000;

/// Returns the processor time this thread has used.
fn cpu() -> Duration {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(cpu).expect("processor time is not negative")
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }
}

fn nanos_each(used: Duration, count: usize) -> f64 {
    used.as_nanos() as f64 / count as f64
}

/// Numbers that look random, and are the same in each run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Tasks that sleep once each and end; prints what a timer took, its task included, and how late.
fn sleepers(count: usize) {
    let runtime = Runtime::new().expect("a runtime");
    let (used, mut late) = runtime.block_on(async move {
        let mut state = 1;
        let before = cpu();
        let start = Instant::now();
        let sleeper = |at: Instant| async move {
            sleep_until(at).await;
            at.elapsed()
        };
        let mut at = || start + WITHIN.mul_f64(random(&mut state) as f64 / (1_u64 << 31) as f64);
        let tasks: Vec<_> = (0..count).map(|_| spawn(sleeper(at()))).collect();
        let mut late = Vec::with_capacity(count);
        for task in tasks {
            late.push(task.await.expect("a task ends"));
        }
        (cpu() - before, late)
    });
    late.sort_unstable();
    let of = |part: f64| late[(part * (late.len() - 1) as f64) as usize].as_secs_f64() * 1e6;
    println!(
        "{count} tasks sleep within {WITHIN:?}: {:.0} ns of CPU each, its task included; late by µs: \
         p50 {:.0}, p99 {:.0}, max {:.0}",
        nanos_each(used, count),
        of(0.5),
        of(0.99),
        of(1.0)
    );
}

/// Polls them, once each: they are set, or set anew.
async fn poll_all(sleeps: &mut [Sleep]) {
    for sleep in sleeps {
        assert!(futures::poll!(sleep).is_pending(), "hours are not over");
    }
}

/// What the process has in memory, in bytes, if the system tells.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split_whitespace().nth(1)?.parse::<usize>().ok());
    resident.unwrap_or(0) * 4096
}

/// Prints what a timer costs beside `count` others, all in one partition.
fn curve(count: usize, ops: usize) {
    let runtime = Runtime::builder().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut state = 1;
        let mut hours =
            |from: u64| Duration::from_nanos(from * 3_600_000_000_000 + random(&mut state) * 1_676);
        let mut sleeps: Vec<_> = (0..count).map(|_| sleep(hours(1))).collect();
        let (before, empty) = (cpu(), memory());
        poll_all(&mut sleeps).await;
        let (set, bytes) = (cpu() - before, memory().saturating_sub(empty));

        let before = cpu();
        for _ in 0..ops {
            let mut limit = pin!(sleep(Duration::from_secs(10)));
            assert!(futures::poll!(&mut limit).is_pending(), "ten seconds are not over");
        }
        let timeout = cpu() - before;

        let before = cpu();
        evenloop::time::advance(Duration::from_secs(7200)).await;
        let fire = cpu() - before;
        assert!(sleeps.iter().all(Sleep::is_elapsed), "their hours are over");

        for sleep in &mut sleeps {
            sleep.reset(Instant::now() + hours(3));
        }
        poll_all(&mut sleeps).await;
        let before = cpu();
        drop(sleeps);
        let cancel = cpu() - before;
        println!(
            "| {count} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            nanos_each(set, count),
            nanos_each(fire, count),
            nanos_each(cancel, count),
            nanos_each(timeout, ops),
            bytes as f64 / count as f64,
        );
    });
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let (rounds, most, smaller) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (5, 7, 1),
        ["--quick"] => (1, 4, 20),
        _ => {
            eprintln!("cargo bench --bench timers [-- --quick]");
            return ExitCode::from(2);
        }
    };
    for _ in 0..rounds {
        sleepers(SLEEPERS / smaller);
    }
    println!(
        "| timers | ns to set | ns to fire | ns to drop | ns to set and drop one more | bytes |"
    );
    println!("|---:|---:|---:|---:|---:|---:|");
    for power in 0..=most {
        curve(10_usize.pow(power), OPS / smaller);
    }
    ExitCode::SUCCESS
}
