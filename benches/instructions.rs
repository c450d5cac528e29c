//! What tasks cost in instructions, which no other work on the machine disturbs.
//!
//! ```text
//!     this program ──► valgrind ──► this program, a row of so many operations    count
//!                  ──► valgrind ──► this program, a row of twice as many         count
//!                                                                                ─────
//!                                                        their difference, an operation
//! ```
//!
//! The difference leaves out what the start and the end of a process take. Needs `valgrind`.
//! `cargo bench --bench instructions --profile lto` counts as an application does that is built
//! with link-time optimisation; names of rows behind `--` choose among them.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::task::{Context, Poll};

use evenloop::spawn;
use futures::StreamExt;
use futures::channel::mpsc;

/// Operations of the shorter of a row's two runs.
const OPS: usize = 20_000;
/// Tasks that live at once, where it takes several.
const CROWD: usize = 1_000;
const BATCH: usize = 100;

type Row = (&'static str, fn(usize));

const ROWS: [Row; 6] = [
    ("yield, 1 task", |ops| run(Yields { left: ops })),
    ("yield, 1000 tasks", |ops| run(crowd(ops))),
    ("spawn and join, 100 at once", |ops| run(batches(ops))),
    ("spawn and join, one by one", |ops| run(one_by_one(ops))),
    ("spawn and join, from the main future", |ops| evenloop::block_on(one_by_one(ops))),
    ("channel ping-pong, a round trip", |ops| run(ping_pong(ops))),
];

/// Runs `body` as a task.
fn run(body: impl Future<Output = ()> + 'static) {
    evenloop::block_on(async { spawn(body).await.expect("the row ends") });
}

/// Wakes itself and pends: one handle each, and nothing but the handle.
#[derive(Debug)]
struct Yields {
    left: usize,
}

impl Future for Yields {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn crowd(ops: usize) {
    let tasks: Vec<_> = (0..CROWD).map(|_| spawn(Yields { left: ops / CROWD })).collect();
    for task in tasks {
        task.await.expect("a task ends");
    }
}

async fn batches(ops: usize) {
    for _ in 0..ops / BATCH {
        let tasks: Vec<_> = (0..BATCH).map(|op| spawn(async move { op })).collect();
        for task in tasks {
            black_box(task.await.expect("a task ends"));
        }
    }
}

async fn one_by_one(ops: usize) {
    for op in 0..ops {
        black_box(spawn(async move { op }).await.expect("a task ends"));
    }
}

/// Two tasks, a channel each way: every message is a wake.
async fn ping_pong(ops: usize) {
    let (ping, mut pinged) = mpsc::unbounded();
    let (pong, mut ponged) = mpsc::unbounded();
    let other = spawn(async move {
        while let Some(op) = pinged.next().await {
            pong.unbounded_send(op).expect("the receiver waits");
        }
    });
    for op in 0..ops {
        ping.unbounded_send(op).expect("the receiver waits");
        black_box(ponged.next().await);
    }
    drop(ping);
    other.await.expect("the other task ends");
}

/// Has valgrind count the instructions of a row of `ops` operations.
fn count(row: &str, ops: usize) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    valgrind.args(["--row", row, &ops.to_string()]);
    let output = valgrind.output().map_err(|error| format!("valgrind does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing:\n{said}"))
}

fn measure(chosen: &[String]) -> Result<(), String> {
    println!("instructions an operation");
    for (name, _) in ROWS {
        if chosen.is_empty() || chosen.iter().any(|part| name.contains(part.as_str())) {
            let more = count(name, 2 * OPS)?.saturating_sub(count(name, OPS)?);
            println!("{name:<40} {:>8.1}", more as f64 / OPS as f64);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, row, ops] = &args[..] {
        if flag == "--row" {
            let ops = ops.parse().expect("a number of operations");
            let (_, run) = ROWS.iter().find(|(name, _)| name == row).expect("the name of a row");
            run(ops);
            return ExitCode::SUCCESS;
        }
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
