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
    println!("  time   bulk req/s   health p50        p99        max");
}

/// Prints how it goes.
pub(crate) fn live(sample: &Sample) {
    let Latency { p50, p99, max, .. } = sample.health;
    println!(
        "{:>4.0} s {:>12.0} {:>12} {:>10} {:>10}",
        sample.at.as_secs_f64(),
        sample.bulk_rps,
        show(p50),
        show(p99),
        show(max),
    );
}

/// Prints the results side by side, each figure the median of the rounds' own.
pub(crate) fn table(rounds: &[Vec<Row>]) {
    println!("\nruntime          health p50        p99      p99.9        max   bulk req/s");
    for (server, name) in servers(rounds) {
        let time = |of: fn(&Latency) -> Duration| {
            show(median(rounds.iter().map(|rows| of(&rows[server].1.health))))
        };
        println!(
            "{name:<15} {:>11} {:>10} {:>10} {:>10} {:>12.1}",
            time(|health| health.p50),
            time(|health| health.p99),
            time(|health| health.p999),
            time(|health| health.max),
            bulk_rps(rounds, server),
        );
    }
    println!();
    ratio(rounds, ("p99", p99), "tokio", "evenloop");
    ratio(rounds, ("p99", p99), "tokio", "evenloop_shared");
    ratio(rounds, ("p99", p99), "evenloop_shared", "evenloop");
    ratio(rounds, ("bulk", bulk), "evenloop", "tokio");
    ratio(rounds, ("bulk", bulk), "evenloop_shared", "evenloop_plain");
}

/// Prints a ratio of two servers, if both were measured: the median of the rounds' own, since
/// what disturbs one round disturbs both.
fn ratio(rounds: &[Vec<Row>], (figure, of): (&str, fn(&Outcome) -> f64), name: &str, by: &str) {
    let find = |name| servers(rounds).find(|(_, other)| *other == name).map(|(server, _)| server);
    if let (Some(upper), Some(lower)) = (find(name), find(by)) {
        let ratios = rounds.iter().map(|rows| of(&rows[upper].1) / of(&rows[lower].1));
        println!("{name} {figure} / {by} {figure} = {:.3}", median(ratios));
    }
}

fn p99(outcome: &Outcome) -> f64 {
    outcome.health.p99.as_secs_f64()
}

fn bulk(outcome: &Outcome) -> f64 {
    outcome.bulk_rps
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
pub(crate) fn notes((name, outcome): &Row) {
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
    if outcome.unanswered > 0 {
        println!("{name}: {} probes were never answered", outcome.unanswered);
    }
    if let Some(first) = &outcome.first_failure {
        println!("{name}: {} requests or connections failed, first: {first}", outcome.failures);
    }
}

/// Prints one JSON object on one line, times in whole microseconds.
pub(crate) fn json(rounds: &[Vec<Row>]) {
    let fields: Vec<String> =
        servers(rounds).map(|(server, name)| json_row(rounds, server, name)).collect();
    println!("{{{}}}", fields.join(", "));
}

fn json_row(rounds: &[Vec<Row>], server: usize, name: &str) -> String {
    let micros = |of: fn(&Latency) -> Duration| {
        median(rounds.iter().map(|rows| of(&rows[server].1.health).as_micros()))
    };
    format!(
        "\"{name}\": {{\"health_p50_us\": {}, \"health_p99_us\": {}, \"health_p999_us\": {}, \
         \"health_max_us\": {}, \"bulk_rps\": {:.1}}}",
        micros(|health| health.p50),
        micros(|health| health.p99),
        micros(|health| health.p999),
        micros(|health| health.max),
        bulk_rps(rounds, server),
    )
}

fn show(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
