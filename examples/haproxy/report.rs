//! What the reader sees: a timeline for each server, a table at the end, and JSON if asked for.

use std::time::Duration;

use crate::stats::Checked;
use crate::watch::Outcome;

/// Marks on a timeline.
const MARKS: u32 = 80;
/// Changes of state that are listed.
const LISTED: usize = 24;

/// Prints when the server was in service, and each change.
pub(crate) fn timeline(outcome: &Outcome) {
    let mark = outcome.lasted / MARKS;
    println!(
        "\n{}   (a mark is {:.2} s: █ in service, · not)",
        outcome.server.name(),
        seconds(mark)
    );
    println!("  {}", marks(outcome, mark));
    for change in outcome.changes.iter().take(LISTED) {
        let to = if change.up { "UP  " } else { "DOWN" };
        println!("  {:>6.2} s  {to}  {}", seconds(change.at), change.why);
    }
    if let Some(more) = outcome.changes.len().checked_sub(LISTED + 1) {
        println!("  and {} more", more + 1);
    }
    for line in &outcome.wrk {
        println!("  wrk: {line}");
    }
    if outcome.broken > 0 {
        println!("  {} connections to the server failed or broke off", outcome.broken);
    }
}

fn marks(outcome: &Outcome, mark: Duration) -> String {
    let in_service = |at: Duration| {
        let look = outcome.looks.iter().rev().find(|(seen, ..)| *seen <= at);
        look.is_none_or(|(_, up, _)| *up)
    };
    (1..=MARKS).map(|i| if in_service(mark * i) { '█' } else { '·' }).collect()
}

/// Prints the results side by side.
pub(crate) fn table(outcomes: &[Outcome]) {
    println!(
        "\nserver            DOWN    out      503s  useful/s  check p50      p90      max  failed  core"
    );
    for outcome in outcomes {
        let check = |q| format!("{} ms", check_ms(outcome, q));
        println!(
            "{:<16} {:>5} {:>4.0} % {:>9} {:>9.1} {:>10} {:>8} {:>8} {:>7} {:>3.0} %",
            outcome.server.name(),
            outcome.went_down,
            100.0 * out_of_service(outcome),
            outcome.refused,
            useful_rps(outcome),
            check(0.5),
            check(0.9),
            check(1.0),
            outcome.failed_checks,
            100.0 * outcome.core,
        );
    }
    println!(
        "\nDOWN: times taken out of service; out: the share of time spent there; useful: answers of"
    );
    println!(
        "the server a second; failed: checks that failed in service; core: how much of its core"
    );
    println!(
        "the server had. HAProxy times checks in whole milliseconds, and gives up on the longest."
    );
}

/// Share of the looks at which the server was out of service.
fn out_of_service(outcome: &Outcome) -> f64 {
    let out = outcome.looks.iter().filter(|(_, up, _)| !up).count();
    out as f64 / outcome.looks.len().max(1) as f64
}

fn useful_rps(outcome: &Outcome) -> f64 {
    outcome.useful as f64 / outcome.lasted.as_secs_f64()
}

/// A quantile of the checks, the latest at each look.
fn check_ms(outcome: &Outcome, q: f64) -> u128 {
    let checks = outcome.looks.iter().filter_map(|(_, _, check)| *check);
    let mut took: Vec<_> = checks.map(|Checked { took, .. }| took.as_millis()).collect();
    took.sort_unstable();
    let rank = (took.len() as f64 * q).ceil() as usize;
    took.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Prints one JSON object on one line.
pub(crate) fn json(outcomes: &[Outcome]) {
    let fields: Vec<String> = outcomes.iter().map(json_row).collect();
    println!("{{{}}}", fields.join(", "));
}

fn json_row(outcome: &Outcome) -> String {
    format!(
        "\"{}\": {{\"went_down\": {}, \"out_of_service\": {:.3}, \"refused\": {}, \
         \"useful_rps\": {:.1}, \"check_p50_ms\": {}, \"check_p90_ms\": {}, \"check_max_ms\": {}, \
         \"failed_checks\": {}, \"core\": {:.3}}}",
        outcome.server.name(),
        outcome.went_down,
        out_of_service(outcome),
        outcome.refused,
        useful_rps(outcome),
        check_ms(outcome, 0.5),
        check_ms(outcome, 0.9),
        check_ms(outcome, 1.0),
        outcome.failed_checks,
        outcome.core,
    )
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
