//! Fifty tenants on one port, one of them noisy, and how long the other 49 wait.
//!
//! ```text
//!   tenant 0        200 connections, always asking ──┐              ┌─ 0   ▢▢▢▢▢▢▢▢▢▢▢▢▢▢
//!   tenants 1 … 49  ten light requests a second each ┴─► one port ──┼─ 1   ▢
//!                                                       by header   ┊
//!                                                                   └─ 49
//! ```
//!
//! A health check can be given a port and a thread of its own. Fifty tenants cannot: what they
//! need is to be kept apart where they are. Here a connection is told apart by the `x-tenant`
//! header of its first request and served in its tenant's partition; beside it, the same service
//! in one partition, and on tokio. Expect the quiet tenants to wait for about one request of the
//! noisy one (1 ms) in partitions, and for all 200 of them without. `--help` lists the flags.

#[path = "../healthcheck/client.rs"]
mod client;
#[path = "../healthcheck/cores.rs"]
mod cores;
mod flags;
#[path = "../healthcheck/load.rs"]
mod load;
#[path = "../healthcheck/measure.rs"]
mod measure;
#[path = "../healthcheck/probe.rs"]
mod probe;
#[path = "../healthcheck/report.rs"]
mod report;
#[path = "../healthcheck/server_evenloop.rs"]
mod server_evenloop;
#[path = "../healthcheck/server_shared.rs"]
mod server_shared;
#[path = "../healthcheck/server_tokio.rs"]
mod server_tokio;
#[path = "../healthcheck/service.rs"]
mod service;
#[path = "../healthcheck/stats.rs"]
mod stats;
mod tenant;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::flags::Flags;
use crate::measure::{allow_many_files, measure};
use crate::report::Figure;
use crate::service::{Doors, Session};

/// Serves until the session is stopped.
type Serve = fn(Session) -> io::Result<()>;

/// The servers, by name.
const SERVERS: [(&str, Serve); 3] = [
    ("evenloop", |session| server_shared::run(session, tenant::HEAD_MAX, tenant::partition_of)),
    ("evenloop_plain", |session| server_evenloop::run(session, false)),
    ("tokio", |session| server_tokio::run(session, false)),
];

fn main() -> ExitCode {
    let flags = match flags::parse() {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("tenants: {error}; --help lists the flags");
            return ExitCode::from(2);
        }
    };
    if flags.help {
        println!("{}", flags::HELP);
        return ExitCode::SUCCESS;
    }
    allow_many_files();
    cores::leave_the_first();
    match compare(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenants: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Loads one server after the other, in rounds, and prints what came of it.
fn compare(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let plan = flags.plan();
    let mut rounds = Vec::new();
    for _ in 0..flags.rounds {
        let mut rows = Vec::new();
        for (name, serve) in SERVERS {
            report::live_head(name);
            let outcome = measure(serve, Doors::shared(0), flags.work, &plan)?;
            report::notes(name, &outcome);
            rows.push((name, outcome));
        }
        rounds.push(rows);
    }
    println!("\nThe 49 quiet tenants, and the noisy one's rate:");
    report::table("quiet", &rounds);
    report::ratio(&rounds, Figure::P99, "tokio", "evenloop");
    report::ratio(&rounds, Figure::Bulk, "evenloop", "evenloop_plain");
    if flags.json {
        report::json("quiet", &rounds);
    }
    Ok(())
}
