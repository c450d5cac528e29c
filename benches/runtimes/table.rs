//! Prints rows.

use std::fmt::Write as _;

use crate::measure::{Bench, Rounds, SUBJECT};
use crate::rows::{Row, Target};

/// Columns of the floors, which are no peers.
const FLOORS: [&str; 2] = ["bare queue", "bare epoll"];
const PEERS: [&str; 8] = [
    "tokio",
    "smol",
    "glommio",
    "glommio tuned",
    "monoio epoll",
    "monoio uring",
    "compio",
    "futures",
];

/// Prints the columns' names.
pub(crate) fn head() {
    print!(
        "| work | unit | floor | **evenloop** | best peer | to best | to floor | target | met |"
    );
    PEERS.iter().for_each(|peer| print!(" {peer} |"));
    print!("\n|---|---|---:|---:|---|---:|---:|---:|---|");
    PEERS.iter().for_each(|_| print!("---:|"));
    println!();
}

/// The best of the peers, by the medians.
fn best(row: &Row, rounds: &Rounds) -> Option<(&'static str, f64)> {
    let peers = PEERS.iter().filter_map(|peer| Some((*peer, rounds.figure(peer, row.figure)?)));
    let better = |a: &(&str, f64), b: &(&str, f64)| {
        if row.less { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) }
    };
    peers.min_by(better)
}

fn floor(rounds: &Rounds) -> Option<&'static str> {
    FLOORS.into_iter().find(|floor| rounds.peers.iter().any(|peer| peer == floor))
}

/// How many times as good as another evenloop is.
fn ratio(row: &Row, rounds: &Rounds, peer: Option<&str>) -> Option<f64> {
    let ratio = rounds.ratio(peer?, row.figure)?;
    Some(if row.less { ratio } else { 1.0 / ratio })
}

/// Prints a row.
pub(crate) fn line(row: &Row, rounds: &Rounds) {
    let best = best(row, rounds);
    let floor = floor(rounds);
    let figure = |peer: Option<&str>| peer.and_then(|peer| rounds.figure(peer, row.figure));
    let best_name = best.map_or("–", |(peer, _)| peer);
    print!(
        "| {} | {} | {} | {} | {} |",
        row.name,
        row.unit,
        number(figure(floor)),
        number(figure(Some(SUBJECT))),
        best_name
    );
    let to = |peer| number(ratio(row, rounds, peer));
    print!(" {} | {} |", to(best.map(|(peer, _)| peer)), to(floor));
    print!(" {} | {} |", target(row), met(row, rounds));
    for peer in PEERS {
        let failed = rounds.failures.contains_key(peer);
        print!(" {} |", if failed { "✗".to_owned() } else { number(figure(Some(peer))) });
    }
    println!();
}

/// Prints what the table leaves open: targets that need two rows, and who could not run.
pub(crate) fn foot(rows: &[Row], bench: &Bench) {
    println!();
    for row in rows {
        let Target::TimesOf(other, times, _) = row.target else { continue };
        let of = |work| bench.done(row.program, work)?.figure(SUBJECT, row.figure);
        if let (Some(this), Some(that)) = (of(row.work), of(other)) {
            let met = if this / that <= times { "met" } else { "not met" };
            println!(
                "- {}: {:.2} times that of {other}; at most {times}: {met}.",
                row.name,
                this / that
            );
        }
    }
    for (work, peer, why) in bench.failures() {
        println!("- ✗ {peer}, {work}: {why}");
    }
}

fn target(row: &Row) -> String {
    match row.target {
        Target::None => "–".to_owned(),
        Target::AtMost(most) | Target::TimesOf(_, _, most) => format!("≤ {most}"),
        Target::AtLeast(least) => format!("≥ {least}"),
        Target::PartOf(peer, part) => format!("≥ {part} of {peer}"),
    }
}

fn met(row: &Row, rounds: &Rounds) -> &'static str {
    let Some(ours) = rounds.figure(SUBJECT, row.figure) else { return "✗" };
    let met = match row.target {
        Target::None => return "–",
        Target::AtMost(most) | Target::TimesOf(_, _, most) => ours <= most,
        Target::AtLeast(least) => ours >= least,
        Target::PartOf(peer, part) => match rounds.ratio(peer, row.figure) {
            Some(ratio) => 1.0 / ratio >= part,
            None => return "?",
        },
    };
    if met { "yes" } else { "**no**" }
}

/// Three digits that count.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 || value == 0.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 0.1 => format!("{value:.2}"),
        Some(value) => format!("{value:.4}"),
    }
}

/// Prints a row as a JSON object on a line.
pub(crate) fn json(row: &Row, rounds: &Rounds) {
    let mut line = String::new();
    let number = |value: Option<f64>| match value {
        Some(value) if value.is_finite() => value.to_string(),
        _ => "null".to_owned(),
    };
    let best = best(row, rounds).map(|(peer, _)| peer);
    let floor = floor(rounds);
    let _ = write!(
        line,
        r#"{{"row":"{}","unit":"{}","target":"{}","met":"{}""#,
        row.name,
        row.unit,
        target(row),
        met(row, rounds).trim_matches('*')
    );
    let _ = write!(
        line,
        r#","best":"{}","to_best":{},"to_floor":{}"#,
        best.unwrap_or_default(),
        number(ratio(row, rounds, best)),
        number(ratio(row, rounds, floor))
    );
    for peer in &rounds.peers {
        let _ = write!(line, r#","{peer}":{}"#, number(rounds.figure(peer, row.figure)));
    }
    println!("{line}}}");
}
