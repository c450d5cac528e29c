//! Instructions of the pure paths, held to committed numbers.
//!
//! ```text
//!     cargo bench -p evenloop-benches --bench instructions               evenloop's counts
//!     cargo bench -p evenloop-benches --bench instructions -- --check    fails above the numbers
//!     cargo bench -p evenloop-benches --bench instructions -- --update   writes the numbers
//! ```
//!
//! Needs `valgrind`. Counts do not depend on what else the machine does, but on the compiler: after
//! another version of it, `--update` and look at what has changed.

#[path = "src/count.rs"]
mod count;

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use crate::count::instructions;

const NUMBERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
const WORKS: [&str; 7] = [
    "yield",
    "yield of 1000",
    "spawn and join",
    "spawn and join many",
    "spawn and join from main",
    "ping-pong",
    "timeout",
];
/// How much more than the numbers is still taken for the same.
const TOLERANCE: f64 = 0.03;

const HEAD: &str = "\
# Instructions of evenloop's pure paths, an operation: what `.ci/instructions` holds them to.
# Written by `cargo bench -p evenloop-benches --bench instructions -- --update`.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let result = match args.first().map(String::as_str) {
        // Under `cargo test` and `cargo bench` without a word.
        None => count().map(|counts| print(&counts)),
        Some("--check") => count().and_then(|counts| check(&counts)),
        Some("--update") => count().and_then(|counts| update(&counts)),
        Some(other) => Err(format!("unknown: {other}; there are --check and --update")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn count() -> Result<BTreeMap<&'static str, f64>, String> {
    let program = env!("CARGO_BIN_EXE_counted");
    WORKS.into_iter().map(|work| Ok((work, instructions(program, work, "evenloop")?))).collect()
}

fn print(counts: &BTreeMap<&str, f64>) {
    for (work, count) in counts {
        println!("{work:<26} {count:>8.1}");
    }
}

fn check(counts: &BTreeMap<&str, f64>) -> Result<(), String> {
    let text = fs::read_to_string(NUMBERS).map_err(|error| format!("{NUMBERS}: {error}"))?;
    let mut more = Vec::new();
    println!("{:<26} {:>8} {:>8}", "instructions", "held to", "now");
    for (&work, &count) in counts {
        let line = text.lines().find_map(|line| line.strip_prefix(work)?.trim().parse().ok());
        let held: f64 = line.ok_or_else(|| format!("{NUMBERS} has no number for {work:?}"))?;
        println!("{work:<26} {held:>8.1} {count:>8.1} {:>+7.1} %", (count / held - 1.0) * 100.0);
        if count > held * (1.0 + TOLERANCE) {
            more.push(work);
        }
    }
    if more.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {} % above the numbers: {}. If that is what it has to cost, say so in the commit and \
         update them: cargo bench -p evenloop-benches --bench instructions -- --update",
        TOLERANCE * 100.0,
        more.join(", "),
    ))
}

fn update(counts: &BTreeMap<&str, f64>) -> Result<(), String> {
    let lines: String =
        counts.iter().map(|(work, count)| format!("{work:<26} {count:>8.1}\n")).collect();
    print(counts);
    fs::write(NUMBERS, format!("{HEAD}{lines}")).map_err(|error| format!("{NUMBERS}: {error}"))
}
