//! The flags of the command line.

use std::time::Duration;

use lexopt::prelude::*;

use crate::load::Plan;
use crate::server::Server;

pub(crate) const HELP: &str = "\
Measures how long a health check waits while bulk requests saturate a server, for evenloop
with partitions, evenloop without, and tokio.

    cargo run --release --example healthcheck -- [flags]

    --connections N   bulk connections [256]
    --work MICROS     CPU time of each bulk request [1000]
    --bulk-rate N     send N bulk requests a second, whatever the answers
                      [each connection sends the next when answered]
    --probe-rate N    health probes a second [100]
    --shared          the health check shares the bulk's port, beside evenloop with
                      ports of their own; implies --fresh-probes
    --fresh-probes    a new connection for each probe [keep them alive]
    --seconds S       measured time of each server, after a second of warm-up [5]
    --rounds N        measure all servers N times, and print medians [1]
    --port P          bulk on P, health on P+1 [0: any free ports]
    --only NAME       just one of: evenloop, evenloop_shared, evenloop_plain, tokio, tokio_thread
    --serve           only serve (evenloop, or what --only names) until killed
    --json            print the results as one JSON object on the last line
    --help            print this";

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) plan: Plan,
    pub(crate) work: Duration,
    pub(crate) shared: bool,
    pub(crate) rounds: u32,
    pub(crate) port: u16,
    pub(crate) only: Option<Server>,
    pub(crate) serve: bool,
    pub(crate) json: bool,
    pub(crate) help: bool,
}

impl Default for Flags {
    fn default() -> Self {
        let plan = Plan {
            connections: 256,
            bulk: b"GET /work HTTP/1.1\r\nhost: bulk\r\n\r\n",
            bulk_rate: None,
            probes: vec![b"GET /health HTTP/1.1\r\nhost: health\r\n\r\n".to_vec()],
            probe_rate: 100,
            fresh_probes: false,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(5),
        };
        let work = Duration::from_millis(1);
        Self {
            plan,
            work,
            shared: false,
            rounds: 1,
            port: 0,
            only: None,
            serve: false,
            json: false,
            help: false,
        }
    }
}

impl Flags {
    /// Whether `server` is to be measured.
    pub(crate) fn compares(&self, server: Server) -> bool {
        match (self.only, server) {
            (Some(only), server) => server == only,
            (None, Server::EvenloopShared) => self.shared,
            (None, Server::TokioThread) => false,
            (None, _) => true,
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
            Long("connections") => flags.plan.connections = args.value()?.parse()?,
            Long("work") => flags.work = Duration::from_micros(args.value()?.parse()?),
            Long("bulk-rate") => flags.plan.bulk_rate = Some(rate(&mut args)?),
            Long("probe-rate") => flags.plan.probe_rate = rate(&mut args)?,
            Long("shared") => {
                flags.shared = true;
                flags.plan.fresh_probes = true;
            }
            Long("fresh-probes") => flags.plan.fresh_probes = true,
            Long("seconds") => flags.plan.measured = args.value()?.parse_with(seconds)?,
            Long("rounds") => flags.rounds = args.value()?.parse_with(rounds)?,
            Long("port") => flags.port = args.value()?.parse_with(port)?,
            Long("only") => flags.only = Some(args.value()?.parse_with(Server::named)?),
            Long("serve") => flags.serve = true,
            Long("json") => flags.json = true,
            Long("help") | Short('h') => flags.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(flags)
}

fn rate(args: &mut lexopt::Parser) -> Result<u32, lexopt::Error> {
    args.value()?.parse_with(|text| match text.parse() {
        Ok(0) | Err(_) => Err("a rate is a whole number of one or more a second"),
        Ok(rate) => Ok(rate),
    })
}

/// An hour at most, so that a slip of the finger ends some day.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("the seconds are a number above 0 and up to 3600"),
    }
}

fn rounds(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("the rounds are a whole number from 1 to 1000"),
    }
}

fn port(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(u16::MAX) | Err(_) => Err("a port is 0 to 65534: the health check takes the next one"),
        Ok(port) => Ok(port),
    }
}
