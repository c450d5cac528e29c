//! How costs and memory grow: the cost of a handle against partitions and tasks, of a timer against
//! timers, of an event against descriptors.
//!
//! ```text
//!     this program ──► itself, --point partitions 1000 ──► ns, bytes      docs/curves/partitions.csv
//!                  ──► itself, --point partitions 3000 ──► ns, bytes      docs/curves/partitions.svg
//! ```
//!
//! Each point is the median of three processes. `cargo bench -p evenloop-benches --bench curves` takes
//! a few minutes and rewrites the files; `-- --quick` shows that it works and writes nothing; names of
//! curves choose among them.

#[path = "../src/cores.rs"]
#[allow(dead_code)]
mod cores;
mod draw;
#[path = "../src/metrics.rs"]
#[allow(dead_code)]
mod metrics;
mod points;
#[path = "../src/usage.rs"]
#[allow(dead_code)]
mod usage;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::draw::Line;
use crate::metrics::median;
use crate::points::CURVES;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--point") {
        cores::take_the_first();
        let point = points::measure(&args[1], args[2].parse().expect("a number"));
        println!("{} {}", point.nanos, point.bytes);
        return ExitCode::SUCCESS;
    }
    // `cargo bench` says so; under `cargo test` it is enough to see that it works.
    let quick = !args.iter().any(|arg| arg == "--bench") || args.iter().any(|arg| arg == "--quick");
    args.retain(|arg| !arg.starts_with("--"));
    for curve in &CURVES {
        if !args.is_empty() && !args.iter().any(|arg| arg == curve.name) {
            continue;
        }
        if let Err(error) = plot(curve, quick) {
            eprintln!("curves: {}: {error}", curve.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// 1, 3, 10, 30 … up to `most`.
fn counts(most: usize) -> impl Iterator<Item = usize> {
    let steps = (0..8).flat_map(|power| [10_usize.pow(power), 3 * 10_usize.pow(power)]);
    steps.take_while(move |count| *count <= most)
}

fn plot(curve: &points::Curve, quick: bool) -> Result<(), String> {
    let rounds = if quick { 1 } else { 3 };
    let most = if quick { 1_000 } else { curve.most() };
    let mut csv = format!("line,{},ns,bytes\n", curve.name);
    let mut lines = Vec::new();
    for name in curve.lines {
        let mut line = Line { name, nanos: Vec::new(), bytes: Vec::new() };
        for count in counts(most) {
            // A million of anything is steady enough, and takes its time.
            let rounds = if count >= 1_000_000 { 1 } else { rounds };
            let taken: Result<Vec<_>, _> = (0..rounds).map(|_| point(name, count)).collect();
            let (nanos, bytes): (Vec<f64>, Vec<f64>) = taken?.into_iter().unzip();
            let (nanos, bytes) = (median(nanos), median(bytes));
            println!(
                "{:<12} {name:<24} {count:>9} {nanos:>10.1} ns {bytes:>14.0} bytes",
                curve.name
            );
            csv += &format!("{name},{count},{nanos:.1},{bytes:.0}\n");
            line.nanos.push((count as f64, nanos));
            line.bytes.push((count as f64, bytes));
        }
        lines.push(line);
    }
    if quick {
        return Ok(());
    }
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/curves"));
    let write = |kind: &str, text: &str| {
        let file = folder.join(format!("{}.{kind}", curve.name));
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    };
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write("csv", &csv)?;
    write("svg", &draw::svg(curve, &lines).map_err(|error| error.to_string())?)
}

fn point(line: &str, count: usize) -> Result<(f64, f64), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).args(["--point", line, &count.to_string()]).output();
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let figures = said.split_once(' ').filter(|_| output.status.success());
    let (nanos, bytes) = figures
        .ok_or_else(|| format!("{line} {count}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let number = |text: &str| text.trim().parse().map_err(|_| format!("not a number: {text}"));
    Ok((number(nanos)?, number(bytes)?))
}
