//! A health check that answers in time, while bulk requests saturate the loop it shares.
//!
//! ```text
//!   thread "load"                             thread "server": one event loop
//!
//!   256 connections, closed loop     ┌──────► /work    burns 1 ms of CPU   partition "bulk"
//!   ask, wait, ask again ────────────┘
//!   probe, open loop: 100 a second, ────────► /health  answers at once     partition "health"
//!   timed from when each was due
//!
//!   in arrival order:  bulk bulk bulk bulk … 256 of them … bulk health     waits for them all
//!   in partitions:     bulk health bulk bulk …                             waits for one
//! ```
//!
//! The same service and load run on evenloop with the two partitions, on evenloop without, and
//! on tokio's `current_thread` runtime, one after the other. Expect the same bulk rate from all,
//! and a health p99 near one bulk request (milliseconds) with partitions, near all 256 of them
//! (a quarter of a second) without. `--help` lists the flags.
//!
//! `--shared` sends the probes through the door of the bulk, each on a new connection, which
//! evenloop tells apart by its first bytes. `--shared --work 20` is the hard case: requests so light
//! that most of what they cost is hyper and the kernel.

mod client;
mod cores;
mod flags;
mod load;
mod measure;
mod probe;
mod report;
mod server;
mod server_evenloop;
mod server_shared;
mod server_tokio;
mod service;
mod stats;

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use futures::channel::oneshot;

use crate::flags::Flags;
use crate::measure::{allow_many_files, measure};
use crate::report::Figure;
use crate::server::Server;
use crate::service::{Doors, Session};

fn main() -> ExitCode {
    let flags = match flags::parse() {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("healthcheck: {error}; --help lists the flags");
            return ExitCode::from(2);
        }
    };
    if flags.help {
        println!("{}", flags::HELP);
        return ExitCode::SUCCESS;
    }
    allow_many_files();
    cores::leave_the_first();
    let done = if flags.serve { serve(&flags) } else { compare(&flags) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("healthcheck: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Loads one server after the other, in rounds, and prints what came of it.
fn compare(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let mut rounds = Vec::new();
    for _ in 0..flags.rounds {
        let mut rows = Vec::new();
        for server in Server::ALL.into_iter().filter(|server| flags.compares(*server)) {
            report::live_head(server.name());
            let doors = server.doors(flags.port, flags.shared);
            let outcome =
                measure(move |session| server.run(session), doors, flags.work, &flags.plan)?;
            report::notes(server.name(), &outcome);
            rows.push((server.name(), outcome));
        }
        rounds.push(rows);
    }
    report::table("health", &rounds);
    report::ratio(&rounds, Figure::P99, "tokio", "evenloop");
    report::ratio(&rounds, Figure::P99, "tokio", "evenloop_shared");
    report::ratio(&rounds, Figure::P99, "evenloop_shared", "evenloop");
    report::ratio(&rounds, Figure::Bulk, "evenloop", "tokio");
    report::ratio(&rounds, Figure::Bulk, "evenloop_shared", "evenloop_plain");
    if flags.json {
        report::json("health", &rounds);
    }
    Ok(())
}

/// Serves on this thread until the process is killed.
fn serve(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let server = flags.only.unwrap_or(Server::Evenloop);
    let (_never, stop) = oneshot::channel();
    let (ready, doors) = mpsc::channel::<Doors>();
    thread::spawn(move || {
        if let Ok(doors) = doors.recv() {
            println!("{} serves bulk on http://{}/work", server.name(), doors.bulk);
            println!("{} serves health on http://{}/health", server.name(), doors.health());
        }
    });
    cores::take_the_first();
    let session =
        Session { listen: server.doors(flags.port, flags.shared), work: flags.work, ready, stop };
    Ok(server.run(session)?)
}
