//! Has valgrind count instructions, which no other work on the machine disturbs.
//!
//! ```text
//!     valgrind ──► counted, so many operations      count
//!              ──► counted, twice as many           count
//!                                                   ─────
//!                           their difference, an operation
//! ```
//!
//! The difference leaves out what the start and the end of a process take.

use std::process::Command;

/// Operations of the shorter of the two runs.
const OPS: usize = 20_000;

/// Counts the instructions of an operation of a work, by a program of the kind of `counted`.
///
/// # Errors
///
/// If valgrind is not there or the runtime does not run in it, in a sentence.
pub fn instructions(program: &str, work: &str, peer: &str) -> Result<f64, String> {
    let more = count(program, work, peer, 2 * OPS)?;
    let less = count(program, work, peer, OPS)?;
    Ok(more.saturating_sub(less) as f64 / OPS as f64)
}

fn count(program: &str, work: &str, peer: &str, ops: usize) -> Result<u64, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", program]);
    valgrind.args([work, peer, &ops.to_string()]);
    let output = valgrind.output().map_err(|error| format!("valgrind does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let panicked = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
        return Err(format!("in valgrind: {}", panicked.unwrap_or("it failed")));
    }
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing: {said}"))
}
