//! What the load generator counts, and what it makes of it.

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Waits of health probes: from the instant each was due, or from its connect if it has a
/// connection of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
}

/// How it goes so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Measured for this long.
    pub(crate) at: Duration,
    /// Bulk requests a second, since the last sample.
    pub(crate) bulk_rps: f64,
    pub(crate) waits: Latency,
}

/// How it went.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) bulk_rps: f64,
    /// Of all probes.
    pub(crate) waits: Latency,
    /// The p99 of the prober that fared worst.
    pub(crate) worst_p99: Duration,
    pub(crate) probes: u64,
    /// Probes without an answer; `waits` counts them with the time they waited.
    pub(crate) unanswered: u64,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
    /// How late the generator itself was in sending a probe, at worst.
    pub(crate) late_max: Duration,
    /// Share of one core that the generator used, where the system tells.
    pub(crate) cpu_share: Option<f64>,
    /// Share of one core that the server had, from its start to its end; whoever ran it knows.
    pub(crate) server_share: Option<f64>,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) waited: Duration,
    pub(crate) answered: bool,
}

/// The counters, for the time from `begin` to `end`.
#[derive(Debug)]
pub(crate) struct Stats {
    begin: Instant,
    end: Instant,
    bulk: u64,
    /// When the last sample was taken and `bulk` then.
    sampled: (Instant, u64),
    /// Nanoseconds, of all probers.
    waits: Histogram<u64>,
    /// And of each.
    waits_each: Vec<Histogram<u64>>,
    unanswered: u64,
    failures: u64,
    first_failure: Option<String>,
    late_max: Duration,
}

impl Stats {
    /// Begins to count for so many probers.
    pub(crate) fn new(begin: Instant, end: Instant, probers: usize) -> Self {
        // From a nanosecond to an hour, to three digits.
        let waits = Histogram::new_with_bounds(1, 3_600_000_000_000, 3)
            .expect("the bounds are in order and the digits few");
        Self {
            begin,
            end,
            bulk: 0,
            sampled: (begin, 0),
            waits_each: vec![waits.clone(); probers],
            waits,
            unanswered: 0,
            failures: 0,
            first_failure: None,
            late_max: Duration::ZERO,
        }
    }

    pub(crate) fn bulk_answered(&mut self, now: Instant) {
        self.bulk += u64::from(self.measures(now));
    }

    pub(crate) fn probe_sent(&mut self, due: Instant, at: Instant) {
        if self.measures(due) {
            self.late_max = self.late_max.max(at - due);
        }
    }

    /// Counts a probe of the prober with this number.
    pub(crate) fn probe_ended(&mut self, prober: usize, due: Instant, ended: Ended) {
        if self.measures(due) {
            let nanos = u64::try_from(ended.waited.as_nanos()).unwrap_or(u64::MAX);
            self.waits.saturating_record(nanos);
            self.waits_each[prober].saturating_record(nanos);
            self.unanswered += u64::from(!ended.answered);
        }
    }

    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
    }

    /// Returns how it goes; the next sample's bulk rate counts from here.
    pub(crate) fn sample(&mut self, now: Instant) -> Sample {
        let (then, before) = std::mem::replace(&mut self.sampled, (now, self.bulk));
        Sample {
            at: now - self.begin,
            bulk_rps: rate(self.bulk - before, now - then),
            waits: self.latency(),
        }
    }

    /// Returns how it went, the generator having used `cpu` for it.
    pub(crate) fn outcome(&self, cpu: Option<Duration>) -> Outcome {
        let measured = self.end - self.begin;
        Outcome {
            bulk_rps: rate(self.bulk, measured),
            waits: self.latency(),
            worst_p99: self
                .waits_each
                .iter()
                .map(|waits| quantile(waits, 0.99))
                .max()
                .unwrap_or_default(),
            probes: self.waits.len(),
            unanswered: self.unanswered,
            failures: self.failures,
            first_failure: self.first_failure.clone(),
            late_max: self.late_max,
            cpu_share: cpu.map(|cpu| cpu.as_secs_f64() / measured.as_secs_f64()),
            server_share: None,
        }
    }

    fn measures(&self, at: Instant) -> bool {
        self.begin <= at && at < self.end
    }

    fn latency(&self) -> Latency {
        let quantile = |q| quantile(&self.waits, q);
        Latency {
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: quantile(1.0),
        }
    }
}

/// Quantiles and maximum alike are rounded up to the histogram's three digits.
fn quantile(waits: &Histogram<u64>, q: f64) -> Duration {
    Duration::from_nanos(waits.value_at_quantile(q))
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Returns the share of one core this thread has had since `start`, if it was made then.
pub(crate) fn cpu_share_since(start: Instant) -> Option<f64> {
    cpu_of_this_thread().map(|cpu| cpu.as_secs_f64() / start.elapsed().as_secs_f64())
}

/// Returns the CPU time this thread has used, where the system tells.
pub(crate) fn cpu_of_this_thread() -> Option<Duration> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).ok()
    }
    #[cfg(not(unix))]
    None
}
