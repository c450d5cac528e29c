//! What the reader sees: a line a second, a table at the end, and JSON if asked for.

use std::time::Duration;

use crate::stats::{Latency, Outcome, Sample};

/// Above this share of a core the generator, not the server, may be what limits the bulk rate.
const GENERATOR_BUSY: f64 = 0.8;

/// What came of one server.
pub(crate) type Row = (&'static str, Outcome);

/// Prints the head of the live lines.
pub(crate) fn live_head(name: &str) {
    println!("\n{name}");
    println!("  time   bulk req/s    probe p50        p99        max");
}

/// Prints how it goes.
pub(crate) fn live(sample: &Sample) {
    let Latency { p50, p99, max, .. } = sample.waits;
    println!(
        "{:>4.0} s {:>12.0} {:>12} {:>10} {:>10}",
        sample.at.as_secs_f64(),
        sample.bulk_rps,
        show(p50),
        show(p99),
        show(max),
    );
}

/// Prints the results side by side, each figure the median of the rounds' own; `probes` names who
/// waited.
pub(crate) fn table(probes: &str, rounds: &[Vec<Row>]) {
    let head = format!("{probes} p50");
    println!("\nruntime         {head:>11}        p99      p99.9        max   bulk req/s");
    for (server, name) in servers(rounds) {
        let time = |of: fn(&Latency) -> Duration| {
            show(median(rounds.iter().map(|rows| of(&rows[server].1.waits))))
        };
        println!(
            "{name:<15} {:>11} {:>10} {:>10} {:>10} {:>12.1}",
            time(|waits| waits.p50),
            time(|waits| waits.p99),
            time(|waits| waits.p999),
            time(|waits| waits.max),
            bulk_rps(rounds, server),
        );
    }
    println!();
}

/// What two servers are compared by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    P99,
    Bulk,
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::P99 => "p99",
            Self::Bulk => "bulk",
        }
    }

    fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::P99 => outcome.waits.p99.as_secs_f64(),
            Self::Bulk => outcome.bulk_rps,
        }
    }
}

/// Prints a ratio of two servers, if both were measured: the median of the rounds' own, since
/// what disturbs one round disturbs both.
pub(crate) fn ratio(rounds: &[Vec<Row>], figure: Figure, name: &str, by: &str) {
    let find = |name| servers(rounds).find(|(_, other)| *other == name).map(|(server, _)| server);
    if let (Some(upper), Some(lower)) = (find(name), find(by)) {
        let ratios =
            rounds.iter().map(|rows| figure.of(&rows[upper].1) / figure.of(&rows[lower].1));
        println!("{name} {0} / {by} {0} = {1:.3}", figure.name(), median(ratios));
    }
}

fn bulk_rps(rounds: &[Vec<Row>], server: usize) -> f64 {
    median(rounds.iter().map(|rows| rows[server].1.bulk_rps))
}

/// Lists the servers: their place in each round, and their names.
fn servers(rounds: &[Vec<Row>]) -> impl Iterator<Item = (usize, &'static str)> {
    rounds[0].iter().map(|(name, _)| *name).enumerate()
}

/// Returns the middle one, or the upper of the two that are.
fn median<T: PartialOrd>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("a figure is a number"));
    let middle = values.len() / 2;
    values.swap_remove(middle)
}

/// Prints what the reader must know to trust the figures of a server.
pub(crate) fn notes(name: &str, outcome: &Outcome) {
    let share = outcome.cpu_share.unwrap_or_default();
    println!(
        "{name}: {} probes, sent at most {} late by a generator that used {:.0} % of a core",
        outcome.probes,
        show(outcome.late_max),
        share * 100.0,
    );
    // Well below all of it, something else wanted the core: then bulk rates cannot be compared.
    if let Some(server) = outcome.server_share {
        println!("{name}: the server had {:.0} % of a core", server * 100.0);
    }
    if share > GENERATOR_BUSY {
        println!("{name}: the generator was the limit; give it less to do (more --work)");
    }
    if outcome.worst_p99 != outcome.waits.p99 {
        println!("{name}: the prober that fared worst had a p99 of {}", show(outcome.worst_p99));
    }
    if outcome.unanswered > 0 {
        println!("{name}: {} probes were never answered", outcome.unanswered);
    }
    if let Some(first) = &outcome.first_failure {
        println!("{name}: {} requests or connections failed, first: {first}", outcome.failures);
    }
}

/// Prints one JSON object on one line, times in whole microseconds.
pub(crate) fn json(probes: &str, rounds: &[Vec<Row>]) {
    let fields: Vec<String> = servers(rounds)
        .map(|(server, name)| format!("\"{name}\": {}", json_row(probes, rounds, server)))
        .collect();
    println!("{{{}}}", fields.join(", "));
}

fn json_row(probes: &str, rounds: &[Vec<Row>], server: usize) -> String {
    let micros = |of: fn(&Latency) -> Duration| {
        median(rounds.iter().map(|rows| of(&rows[server].1.waits).as_micros()))
    };
    format!(
        "{{\"{probes}_p50_us\": {}, \"{probes}_p99_us\": {}, \"{probes}_p999_us\": {}, \
         \"{probes}_max_us\": {}, \"bulk_rps\": {:.1}}}",
        micros(|waits| waits.p50),
        micros(|waits| waits.p99),
        micros(|waits| waits.p999),
        micros(|waits| waits.max),
        bulk_rps(rounds, server),
    )
}

fn show(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
