//! The flags of the command line.

use std::time::Duration;

use lexopt::prelude::*;

use crate::load::Plan;
use crate::tenant::TENANTS;

pub(crate) const HELP: &str = "\
Measures how long the requests of 49 tenants wait while the 50th saturates the port they share,
for evenloop with a partition for each, evenloop without, and tokio.

    cargo run --release --example tenants -- [flags]

    --noisy N         connections of the noisy tenant, which always ask [200]
    --work MICROS     CPU time of each of its requests [1000]
    --light MICROS    CPU time of each request of the others [100]
    --rate N          requests a second of each of the others [10]
    --seconds S       measured time of each server, in whole seconds [5]
    --short           2 seconds
    --rounds N        measure all servers N times, and print medians [1]
    --json            print the results as one JSON object on the last line
    --help            print this";

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Flags {
    noisy: u16,
    pub(crate) work: Duration,
    light: u32,
    rate: u16,
    seconds: u16,
    pub(crate) rounds: u16,
    pub(crate) json: bool,
    pub(crate) help: bool,
}

impl Default for Flags {
    fn default() -> Self {
        let work = Duration::from_millis(1);
        Self {
            noisy: 200,
            work,
            light: 100,
            rate: 10,
            seconds: 5,
            rounds: 1,
            json: false,
            help: false,
        }
    }
}

impl Flags {
    /// The load: tenant 0 is the noisy one, and each of the others a prober.
    pub(crate) fn plan(&self) -> Plan {
        let quiet = 1..TENANTS;
        let ask = |tenant| {
            format!("GET /work?{} HTTP/1.1\r\nhost: app\r\nx-tenant: {tenant}\r\n\r\n", self.light)
        };
        Plan {
            connections: self.noisy.into(),
            bulk: b"GET /work HTTP/1.1\r\nhost: app\r\nx-tenant: 0\r\n\r\n",
            bulk_rate: None,
            probes: quiet.map(|tenant| ask(tenant).into_bytes()).collect(),
            probe_rate: u32::from(self.rate) * (TENANTS - 1),
            fresh_probes: false,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(self.seconds.into()),
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
            Long("noisy") => flags.noisy = args.value()?.parse_with(count)?,
            Long("work") => flags.work = Duration::from_micros(args.value()?.parse()?),
            Long("light") => flags.light = args.value()?.parse()?,
            Long("rate") => flags.rate = args.value()?.parse_with(count)?,
            Long("seconds") => flags.seconds = args.value()?.parse_with(count)?,
            Long("short") => flags.seconds = 2,
            Long("rounds") => flags.rounds = args.value()?.parse_with(count)?,
            Long("json") => flags.json = true,
            Long("help") | Short('h') => flags.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(flags)
}

fn count(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(count @ 1..=3600) => Ok(count),
        _ => Err("that is a whole number from 1 to 3600"),
    }
}
