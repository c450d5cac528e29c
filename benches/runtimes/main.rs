//! evenloop beside its peers: nanoseconds an operation, and how the peers compare.
//!
//! ```text
//!     row     round 1   evenloop  tokio  smol  bare
//!             round 2             tokio  smol  bare  evenloop
//!             …                                                 medians over the rounds
//! ```
//!
//! The runtimes take turns within each round, so that a noisy machine disturbs them alike; a
//! ratio is the median of the rounds' own ratios, above 1 where evenloop is faster. `bare` is
//! the floor: a queue and a loop. CPU time is the process's, wall time where waiting counts.
//!
//! `cargo bench` runs everything in about a minute; `cargo bench -- --quick` shows in seconds
//! that it works; `cargo bench -- echo` runs the rows with "echo" in the name.

mod bare;
mod evenloop;
mod idle;
mod io;
mod peer;
mod smol;
mod tasks;
mod tokio;

use std::process::ExitCode;

use crate::bare::Bare;
use crate::evenloop::Evenloop;
use crate::peer::{Sample, Size};
use crate::smol::Smol;
use crate::tokio::Tokio;

const PEERS: [&str; 4] = ["evenloop", "tokio", "smol", "bare"];

type Cell = fn(Size) -> Sample;

/// Which of a sample's times a row shows.
#[derive(Clone, Copy, Debug)]
enum Basis {
    Cpu,
    Wall,
}

/// One operation on the peers that offer it: all of [`PEERS`], or the first few.
#[derive(Debug)]
struct Row {
    name: &'static str,
    basis: Basis,
    cells: Vec<Cell>,
}

/// Makes a [`Row`] of a function that is generic over the peers named.
macro_rules! row {
    ($name:literal, $basis:ident, $module:ident::$run:ident, $($peer:ident)+) => {
        Row { name: $name, basis: Basis::$basis, cells: vec![$($module::$run::<$peer>),+] }
    };
}

fn rows() -> Vec<Row> {
    let alone = |name, run: Cell| Row { name, basis: Basis::Cpu, cells: vec![run] };
    vec![
        row!("spawn and join, one by one", Cpu, tasks::spawn_one, Evenloop Tokio Smol Bare),
        row!("spawn and join, 1000 at once", Cpu, tasks::spawn_many, Evenloop Tokio Smol Bare),
        row!("poll, 1 task", Cpu, tasks::poll_one, Evenloop Tokio Smol Bare),
        row!("poll, 1000 tasks", Cpu, tasks::poll_many, Evenloop Tokio Smol Bare),
        row!("poll, 100,000 tasks", Cpu, tasks::poll_crowd, Evenloop Tokio Smol Bare),
        row!("yield_now, 1 task", Cpu, tasks::yield_one, Evenloop Tokio Smol Bare),
        row!("yield_now, 1000 tasks", Cpu, tasks::yield_many, Evenloop Tokio Smol Bare),
        row!("channel ping-pong, a message", Cpu, tasks::channels, Evenloop Tokio Smol Bare),
        row!("cross-thread ping-pong, wall", Wall, tasks::cross_ping_pong, Evenloop Tokio Smol),
        row!("cross-thread ping-pong, CPU", Cpu, tasks::cross_ping_pong, Evenloop Tokio Smol),
        row!("cross-thread flood, wall", Wall, tasks::cross_flood, Evenloop Tokio Smol),
        row!("cross-thread flood, CPU", Cpu, tasks::cross_flood, Evenloop Tokio Smol),
        row!("timer, arm and cancel", Cpu, io::arm_and_cancel, Evenloop Tokio Smol),
        row!("timer, 10,000 tasks sleep", Cpu, io::sleeps_expire, Evenloop Tokio Smol),
        row!("TCP echo, 1 connection, wall", Wall, io::echo_one, Evenloop Tokio Smol),
        row!("TCP echo, 1 connection, CPU", Cpu, io::echo_one, Evenloop Tokio Smol),
        row!("TCP echo, 64 connections", Cpu, io::echo_many, Evenloop Tokio Smol),
        row!("poll beside 10,000 idle sockets", Cpu, idle::beside_sockets, Evenloop Tokio Smol),
        alone("poll beside 100,000 idle partitions", idle::beside_partitions),
        alone("poll, 100,000 tasks in 1 partition", idle::crowd_in::<1>),
        alone("poll, 100,000 tasks in 10", idle::crowd_in::<10>),
        alone("poll, 100,000 tasks in 1000", idle::crowd_in::<1000>),
        alone("poll, 100,000 tasks in 100,000", idle::crowd_in::<100_000>),
        alone("the same in 10, in turns of 1", idle::crowd_one_by_one::<10>),
        alone("the same in 100,000, turns of 1", idle::crowd_one_by_one::<100_000>),
        alone("poll, 1000 tasks in 1000", idle::one_in_each_of_1000),
    ]
}

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
    let files = files_max();
    print_head();
    for row in rows() {
        let wanted = row.name.contains(flags.filter.as_str());
        // The idle sockets of the row, their peers' wakers and the standard streams.
        let fits = !row.name.contains("sockets") || files > flags.size.of(idle::SOCKETS) + 64;
        match (wanted, fits) {
            (true, true) => print_row(&row, &measure(&row, flags.size)),
            (true, false) => println!("{:<36} needs more open files than {files}", row.name),
            (false, _) => {}
        }
    }
    ExitCode::SUCCESS
}

const HELP: &str = "cargo bench -- [--quick] [part of a row's name]";

#[derive(Debug)]
struct Flags {
    size: Size,
    filter: String,
    help: bool,
}

impl Flags {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        // `cargo bench` says so; under `cargo test` it is enough to see that every row works.
        let mut flags = Self { size: Size::Quick, filter: String::new(), help: false };
        let mut quick = false;
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("bench") => flags.size = Size::Full,
                Long("quick") => quick = true,
                Long("help") => flags.help = true,
                Value(part) => flags.filter = part.string()?,
                other => return Err(other.unexpected()),
            }
        }
        if quick {
            flags.size = Size::Quick;
        }
        Ok(flags)
    }
}

/// Lifts the limit of open files as far as it goes and returns it.
fn files_max() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let current = getrlimit(Resource::Nofile).current;
        current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    usize::MAX
}

/// Returns for each round what each peer took.
fn measure(row: &Row, size: Size) -> Vec<Vec<f64>> {
    let rounds = if size == Size::Full { 9 } else { 3 };
    let peers = row.cells.len();
    let mut times = vec![vec![0.0; peers]; rounds];
    for (round, times) in times.iter_mut().enumerate() {
        for peer in 0..peers {
            // Another begins each round, so that none always runs in another's wake.
            let peer = (round + peer) % peers;
            let sample = row.cells[peer](size);
            times[peer] = match row.basis {
                Basis::Cpu => sample.cpu,
                Basis::Wall => sample.wall,
            };
        }
    }
    times
}

fn print_head() {
    print!("{:<36}{:>10}", "ns an operation", PEERS[0]);
    for peer in &PEERS[1..] {
        print!("{peer:>11}  ratio");
    }
    println!();
}

fn print_row(row: &Row, rounds: &[Vec<f64>]) {
    print!("{:<36}", row.name);
    for peer in 0..PEERS.len() {
        let width = if peer == 0 { 10 } else { 11 };
        if peer >= row.cells.len() {
            print!("{:>width$}{:>7}", "–", "–");
            continue;
        }
        print!("{:>width$.1}", median(rounds.iter().map(|times| times[peer])));
        if peer > 0 {
            print!("{:>7.2}", median(rounds.iter().map(|times| times[peer] / times[0])));
        }
    }
    println!();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
