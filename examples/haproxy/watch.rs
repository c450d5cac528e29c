//! One run: the load comes and goes, and what HAProxy made of it is written down.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::flags::Flags;
use crate::rig::Rig;
use crate::server::Server;
use crate::stats::{self, Checked, Stats};

/// Time between two looks at HAProxy's counters.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the first check may take to pass, before there is any load.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of one run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) server: Server,
    /// How long the load lasted.
    pub(crate) lasted: Duration,
    pub(crate) useful: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) failed_checks: u64,
    pub(crate) went_down: u64,
    /// Whenever HAProxy took the server out of service, or back in.
    pub(crate) changes: Vec<Change>,
    /// Each look: when it was, whether the server was in service, and how its last check went.
    pub(crate) looks: Vec<(Duration, bool, Option<Checked>)>,
    /// Share of its core that the server had.
    pub(crate) core: f64,
    /// What wrk says of the answers it got.
    pub(crate) wrk: Vec<String>,
}

/// A line of the timeline.
#[derive(Debug)]
pub(crate) struct Change {
    /// Since the load began.
    pub(crate) at: Duration,
    pub(crate) up: bool,
    /// How the last check ended, in HAProxy's words.
    pub(crate) why: String,
}

/// Runs `server` behind HAProxy and under load.
///
/// # Errors
///
/// If a process does not start, or HAProxy never takes the idle server for alive.
pub(crate) fn run(server: Server, flags: &Flags) -> Result<Outcome, Box<dyn Error>> {
    let (rig, log) = Rig::start(server, flags)?;
    let lines = follow(log);
    let socket = rig.stats_socket();
    let idle = until_checked(&rig)?;

    let (begin, cpu) = (Instant::now(), rig.server_cpu()?);
    let lasts = Duration::from_secs(flags.seconds.into());
    let load = rig.load(flags)?;
    let mut looks = Vec::new();
    let mut latest = idle.clone();
    while begin.elapsed() < lasts {
        latest = stats::ask(&socket)?;
        looks.push((begin.elapsed(), latest.up, latest.check));
        let next = LOOK_EVERY * u32::try_from(looks.len())?;
        thread::sleep(next.min(lasts).saturating_sub(begin.elapsed()));
    }
    let (lasted, cpu) = (begin.elapsed(), rig.server_cpu()?.saturating_sub(cpu));
    let wrk = load.report()?;
    // With HAProxy its log ends, and so do the lines.
    drop(rig);
    Ok(Outcome {
        server,
        lasted,
        useful: latest.useful - idle.useful,
        refused: latest.refused - idle.refused,
        broken: latest.broken - idle.broken,
        failed_checks: latest.failed_checks - idle.failed_checks,
        went_down: latest.went_down - idle.went_down,
        changes: changes(lines.into_iter(), begin, begin + lasted),
        looks,
        core: cpu.as_secs_f64() / lasted.as_secs_f64(),
        wrk: wrk.lines().filter(|line| tells_of_answers(line)).map(squeeze).collect(),
    })
}

/// Waits until HAProxy has checked the idle server.
fn until_checked(rig: &Rig) -> Result<Stats, Box<dyn Error>> {
    let started = Instant::now();
    loop {
        let stats = stats::ask(&rig.stats_socket())?;
        if stats.up && stats.check.is_some_and(|check| check.passed) {
            return Ok(stats);
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("HAProxy's check does not pass: {:?}", stats.check).into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads a log to its end, noting when each line came.
fn follow(log: impl Read + Send + 'static) -> mpsc::Receiver<(Instant, String)> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if send.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    lines
}

/// Finds the changes of state in HAProxy's log, and what the last check before each said.
fn changes(
    lines: impl Iterator<Item = (Instant, String)>,
    begin: Instant,
    end: Instant,
) -> Vec<Change> {
    let mut why = String::new();
    let mut changes = Vec::new();
    for (at, line) in lines.filter(|(at, _)| (begin..end).contains(at)) {
        if let Some((_, reason)) = line.split_once(", reason: ") {
            let (reason, _) = reason.split_once(", status: ").unwrap_or((reason, ""));
            reason.clone_into(&mut why);
        }
        let up = line.contains("Server app/app is UP");
        if up || line.contains("Server app/app is DOWN") {
            changes.push(Change { at: at - begin, up, why: why.clone() });
        }
    }
    changes
}

fn tells_of_answers(line: &str) -> bool {
    ["requests in", "Non-2xx", "Socket errors"].iter().any(|word| line.contains(word))
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
