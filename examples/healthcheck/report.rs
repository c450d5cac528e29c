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

/// Prints the results side by side, then what the reader must know to trust them.
pub(crate) fn table(rows: &[Row]) {
    println!("\nruntime          health p50        p99      p99.9        max   bulk req/s");
    for (name, outcome) in rows {
        let Latency { p50, p99, p999, max } = outcome.health;
        println!(
            "{name:<15} {:>11} {:>10} {:>10} {:>10} {:>12.1}",
            show(p50),
            show(p99),
            show(p999),
            show(max),
            outcome.bulk_rps,
        );
    }
    if let (Some(even), Some(tokio)) = (find(rows, "evenloop"), find(rows, "tokio")) {
        let p99 = tokio.health.p99.as_secs_f64() / even.health.p99.as_secs_f64();
        let bulk = even.bulk_rps / tokio.bulk_rps;
        println!("\ntokio p99 / evenloop p99 = {p99:.1}; evenloop bulk / tokio bulk = {bulk:.3}");
    }
    rows.iter().for_each(notes);
}

fn notes((name, outcome): &Row) {
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
pub(crate) fn json(rows: &[Row]) {
    let fields: Vec<String> = rows.iter().map(json_row).collect();
    println!("{{{}}}", fields.join(", "));
}

fn json_row((name, outcome): &Row) -> String {
    let Latency { p50, p99, p999, max } = outcome.health;
    format!(
        "\"{name}\": {{\"health_p50_us\": {}, \"health_p99_us\": {}, \"health_p999_us\": {}, \
         \"health_max_us\": {}, \"bulk_rps\": {:.1}}}",
        p50.as_micros(),
        p99.as_micros(),
        p999.as_micros(),
        max.as_micros(),
        outcome.bulk_rps,
    )
}

fn find<'a>(rows: &'a [Row], name: &str) -> Option<&'a Outcome> {
    rows.iter().find(|(other, _)| *other == name).map(|(_, outcome)| outcome)
}

fn show(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
