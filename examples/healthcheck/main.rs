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
mod probe;
mod report;
mod server;
mod server_evenloop;
mod server_tokio;
mod service;
mod stats;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use futures::channel::oneshot;

use crate::flags::Flags;
use crate::server::Server;
use crate::service::{Doors, Session};
use crate::stats::Outcome;

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
            let row = (server.name(), measure(server, flags)?);
            report::notes(&row);
            rows.push(row);
        }
        rounds.push(rows);
    }
    report::table(&rounds);
    if flags.json {
        report::json(&rounds);
    }
    Ok(())
}

/// Runs `server` on a fresh thread, loads it from another, and ends both.
fn measure(server: Server, flags: &Flags) -> Result<Outcome, Box<dyn Error>> {
    let (stop, stopped) = oneshot::channel();
    let (ready, doors) = mpsc::channel();
    let session = Session {
        listen: server.doors(flags.port, flags.shared),
        work: flags.work,
        ready,
        stop: stopped,
    };
    let serving = thread::Builder::new().name("server".to_owned()).spawn(move || {
        cores::take_the_first();
        let start = Instant::now();
        server.run(session)?;
        Ok::<_, io::Error>(stats::cpu_share_since(start))
    })?;

    let outcome = match doors.recv() {
        Ok(doors) => Some(load(doors, flags)?),
        // The server ended before it listened; below it says why.
        Err(mpsc::RecvError) => None,
    };
    drop(stop);
    let server_share = serving.join().map_err(|_| "the server panicked")??;
    let outcome = outcome.ok_or("the server ended early")?;
    Ok(Outcome { server_share, ..outcome })
}

fn load(doors: Doors, flags: &Flags) -> Result<Outcome, Box<dyn Error>> {
    let plan = flags.plan.clone();
    let (watch, samples) = mpsc::channel();
    let loading = thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || load::run(&plan, doors, watch))?;
    for sample in samples {
        report::live(&sample);
    }
    Ok(loading.join().map_err(|_| "the load generator panicked")??)
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

/// Lifts the soft limit of open files to the hard one: each connection has both its ends here.
fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where the system refuses, large runs report the connections that failed.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
