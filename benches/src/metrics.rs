//! What a work is measured by, and how it is timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Figures by name.
pub type Metrics = BTreeMap<&'static str, f64>;

/// Times a number of operations.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_of_this_process() }
    }

    /// Stops after `ops` operations: nanoseconds each, as `wall`, and as `cpu` for the whole
    /// process, with its helper threads.
    #[must_use]
    pub fn stop(self, ops: usize) -> Metrics {
        let cpu = cpu_of_this_process().saturating_sub(self.cpu);
        let each = |time: Duration| time.as_nanos() as f64 / ops as f64;
        Metrics::from([("wall", each(self.wall.elapsed())), ("cpu", each(cpu))])
    }
}

fn cpu_of_this_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Returns the quantile `q` of what was measured; 0 of nothing.
#[must_use]
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * q).round() as usize).copied().unwrap_or_default()
}

/// Returns the middle of what was measured.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}
