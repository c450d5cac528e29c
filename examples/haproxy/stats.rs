//! HAProxy's own counters, as its stats socket gives them.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What HAProxy has counted by now.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    /// Answers of the server that carry what was asked for.
    pub(crate) useful: u64,
    /// Answers that HAProxy made up because there was no server: 503, unless `broken` says that
    /// some are of another kind.
    pub(crate) refused: u64,
    /// Connections to the server that failed or ended before the answer did.
    pub(crate) broken: u64,
    /// Checks that failed while the server was in service.
    pub(crate) failed_checks: u64,
    /// Times the server was taken out of service.
    pub(crate) went_down: u64,
    /// Whether the server is in service now.
    pub(crate) up: bool,
    /// How the last check went, if there was one.
    pub(crate) check: Option<Checked>,
}

/// How a check went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) passed: bool,
    /// In whole milliseconds, as HAProxy counts.
    pub(crate) took: Duration,
}

/// Asks for the counters.
///
/// # Errors
///
/// If HAProxy does not answer, or not as expected.
pub(crate) fn ask(socket: &Path) -> Result<Stats, Box<dyn Error>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"show stat\n")?;
    parse(&io::read_to_string(stream)?)
}

fn parse(csv: &str) -> Result<Stats, Box<dyn Error>> {
    let (head, lines) = csv.split_once('\n').ok_or("no counters")?;
    let names: Vec<&str> = head.trim_start_matches("# ").split(',').collect();
    let row = |proxy: &str, server: &str| {
        let start = format!("{proxy},{server},");
        let line = lines.lines().find(|line| line.starts_with(&start));
        let line = line.ok_or_else(|| format!("no counters of {proxy}/{server}"))?;
        Ok::<HashMap<_, _>, String>(names.iter().copied().zip(line.split(',')).collect())
    };
    let (front, app) = (row("front", "FRONTEND")?, row("app", "app")?);
    // A star says that another check is under way.
    let status = app["check_status"].trim_start_matches("* ");
    let took = app["check_duration"].parse().ok().map(Duration::from_millis);
    Ok(Stats {
        useful: front["hrsp_2xx"].parse()?,
        refused: front["hrsp_5xx"].parse::<u64>()? - app["hrsp_5xx"].parse::<u64>()?,
        broken: app["econ"].parse::<u64>()? + app["eresp"].parse::<u64>()?,
        failed_checks: app["chkfail"].parse()?,
        went_down: app["chkdown"].parse()?,
        up: app["status"].starts_with("UP"),
        check: took.map(|took| Checked { passed: status == "L7OK", took }),
    })
}
