//! evenloop beside its peers: one table of what each does at each work, with the best peer, the
//! floor, and the target.
//!
//! ```text
//!     row     round 1   evenloop  tokio  smol  …  floor
//!             round 2             tokio  smol  …  floor  evenloop
//!             …                                            medians over the rounds
//! ```
//!
//! The runtimes take turns within each round, so that a noisy machine disturbs them alike; a ratio
//! is the median of the rounds' own ratios, above 1 where evenloop is the better one. Each figure is
//! taken in a process of its own on the first core, with the clients of servers on the others;
//! instructions are counted by `valgrind`, on builds alike.
//!
//! `cargo bench -p evenloop-benches --bench runtimes` runs everything in about a quarter of an hour;
//! `-- --quick` shows in a minute or two that it works, `-- echo` runs the rows with "echo" in the
//! name, and `--json` prints a line for each row instead of the table.

// Not as a library: then the programs alone are linked with all runtimes, which takes its time.
#[path = "../src/count.rs"]
mod count;
mod measure;
#[path = "../src/metrics.rs"]
#[allow(dead_code)]
mod metrics;
mod rows;
#[path = "../src/size.rs"]
#[allow(dead_code)]
mod size;
mod table;

use std::process::ExitCode;

use crate::measure::Bench;
use crate::rows::{Row, rows};
use crate::size::Size;

fn main() -> ExitCode {
    let flags = match Flags::parse() {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("runtimes: {error}\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if flags.help {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let rows: Vec<Row> = rows().into_iter().filter(|row| flags.wants(row)).collect();
    let mut bench = Bench::new(flags.size);
    if !flags.json {
        table::head();
    }
    let mut failed = false;
    for row in &rows {
        let rounds = bench.rounds(row);
        failed |= rounds.subject_failed();
        if flags.json { table::json(row, rounds) } else { table::line(row, rounds) }
    }
    if !flags.json {
        table::foot(&rows, &bench);
    }
    // A peer that cannot run is a line under the table; evenloop has to.
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

const HELP: &str = "cargo bench -p evenloop-benches --bench runtimes -- \
     [--quick] [--json] [parts of rows' names]";

#[derive(Debug)]
struct Flags {
    size: Size,
    json: bool,
    help: bool,
    parts: Vec<String>,
}

impl Flags {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        // `cargo bench` says so; under `cargo test` it is enough to see that every row works.
        let mut flags = Self { size: Size::Quick, json: false, help: false, parts: Vec::new() };
        let mut quick = false;
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("bench") => flags.size = Size::Full,
                Long("quick") => quick = true,
                Long("json") => flags.json = true,
                Long("help") => flags.help = true,
                Value(part) => flags.parts.push(part.string()?),
                other => return Err(other.unexpected()),
            }
        }
        if quick {
            flags.size = Size::Quick;
        }
        Ok(flags)
    }

    fn wants(&self, row: &Row) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| row.name.contains(part.as_str()))
    }
}
