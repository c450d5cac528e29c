//! The flags of the command line.

use std::time::Duration;

use lexopt::prelude::*;

use crate::rig::Check;
use crate::server::Server;

pub(crate) const HELP: &str = "\
Puts HAProxy in front of a saturated server and shows whether its health checks keep the server
in service: tokio, tokio with the health check on its own thread, and evenloop without
partitions, with two ports, and with one.

    examples/haproxy/run.sh [flags]      (looks first for haproxy, wrk and taskset)
    cargo run --release --example haproxy -- [flags]

    --check NAME      aggressive: every 100 ms, may take 50 ms, fall 2, rise 2;
                      default: HAProxy's own, every 2 s, fall 3, rise 2 [aggressive]
    --connections N   connections of wrk [256]
    --work MICROS     CPU time of each bulk request [1000]
    --seconds S       load of each server, in whole seconds [8]
    --short           4 seconds
    --only NAME       just one of: evenloop, evenloop_shared, evenloop_plain, tokio, tokio_thread
    --serve           only serve (what --only names) until killed
    --json            print the results as one JSON object on the last line
    --help            print this";

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) check: Check,
    pub(crate) connections: u32,
    pub(crate) work: Duration,
    pub(crate) seconds: u32,
    pub(crate) only: Option<Server>,
    pub(crate) serve: bool,
    pub(crate) json: bool,
    pub(crate) help: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            check: Check::Aggressive,
            connections: 256,
            work: Duration::from_millis(1),
            seconds: 8,
            only: None,
            serve: false,
            json: false,
            help: false,
        }
    }
}

/// Reads the command line.
///
/// # Errors
///
/// If a flag is unknown, lacks its value, or has one that cannot be.
pub(crate) fn parse() -> Result<Flags, lexopt::Error> {
    let mut flags = Flags::default();
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("check") => flags.check = args.value()?.parse_with(check)?,
            Long("connections") => flags.connections = args.value()?.parse_with(count)?,
            Long("work") => flags.work = Duration::from_micros(args.value()?.parse()?),
            Long("seconds") => flags.seconds = args.value()?.parse_with(count)?,
            Long("short") => flags.seconds = 4,
            Long("only") => flags.only = Some(args.value()?.parse_with(Server::named)?),
            Long("serve") => flags.serve = true,
            Long("json") => flags.json = true,
            Long("help") | Short('h') => flags.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(flags)
}

fn check(name: &str) -> Result<Check, &'static str> {
    match name {
        "aggressive" => Ok(Check::Aggressive),
        "default" => Ok(Check::Default),
        _ => Err("the checks are aggressive and default"),
    }
}

fn count(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(count @ 1..=3600) => Ok(count),
        _ => Err("that is a whole number from 1 to 3600"),
    }
}
