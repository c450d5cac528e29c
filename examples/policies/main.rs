//! The same workloads under five policies, in virtual time: who waits how long, and who gets what.
//!
//! ```text
//!   workload ──► reference loop ──► policy: who runs next?
//!                  │    queues, timers,      FIFO · one handle each · virtual runtime ·
//!                  ▼    harvests, costs      debt forgotten · evenloop
//!            waits of the victim, Jain's index of the backlogged
//! ```
//!
//! `cargo run --release --features sim --example policies` prints the table of
//! `docs/fairness.md`, to the digit: nothing in it depends on the machine.

mod rows;

use std::fmt::Write;
use std::time::Duration;

use evenloop::sim::policy::{DebtForgotten, Fifo, OneHandleEach, Scrr, VirtualRuntime};
use evenloop::sim::reference::{Outcome, Reference};

use rows::{Row, Victim, rows};

fn main() {
    print!("{}", table());
}

/// Returns the table, in Markdown.
pub(crate) fn table() -> String {
    let mut text = String::new();
    for (number, row) in rows().iter().enumerate() {
        let outcomes = under_all_policies(row);
        if number == 0 {
            let names: Vec<_> = outcomes.iter().map(Outcome::policy).collect();
            writeln!(text, "| workload | {} |", names.join(" | ")).unwrap();
            writeln!(text, "|---|{}", "---:|".repeat(names.len())).unwrap();
        }
        let cells: Vec<_> = outcomes.iter().map(|outcome| cell(row, outcome)).collect();
        writeln!(text, "| {} | {} |", row.title, cells.join(" | ")).unwrap();
    }
    text
}

fn under_all_policies(row: &Row) -> [Outcome; 5] {
    let reference = Reference::new(&row.load).until(row.until);
    [
        reference.run(Fifo::default()),
        reference.run(OneHandleEach::default()),
        reference.run(VirtualRuntime::default()),
        reference.run(DebtForgotten::default()),
        reference.run(Scrr::default()),
    ]
}

/// The victim's waits in milliseconds, p50 / p99 / max, and Jain's index of those that are busy.
fn cell(row: &Row, outcome: &Outcome) -> String {
    let waits = match row.victim {
        Victim::Busy(name) => outcome.waits(name),
        Victim::Comes { name, every } => outcome.waits_every(every, name),
    };
    let times = [waits.quantile(0.5), waits.quantile(0.99), waits.max()].map(millis);
    let mut cell = times.join(" / ");
    if !row.busy.is_empty() {
        let busy = || row.busy.iter().map(String::as_str);
        let service: Duration = busy().map(|name| outcome.service(name)).sum();
        // Two who got nothing got the same.
        let starved = service < outcome.elapsed() / 100;
        let jain = if starved { "starved".into() } else { format!("{:.2}", outcome.jain(busy())) };
        write!(cell, " · {jain}").unwrap();
    }
    cell
}

/// A time in milliseconds, to three digits or so.
fn millis(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        ms if ms < 9.995 => format!("{ms:.2}"),
        ms if ms < 99.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}
