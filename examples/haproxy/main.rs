//! A load balancer's health check, and whether a server that is merely busy survives it.
//!
//! ```text
//!   core 1 …                                          core 0
//!
//!   wrk ──256 connections──► HAProxy ──/work────────► server: burns 1 ms of CPU, one thread
//!                               └──────/health──────► the same thread, ten times a second
//!
//!   in arrival order:  the check waits for 256 requests: time-out, time-out, DOWN. Clients get
//!                      503 until the queue is empty, checks pass, UP, and so on.
//!   in partitions:     the check waits for one request.
//! ```
//!
//! One after the other: tokio's `current_thread` runtime, the same with the health check on a
//! thread of its own, evenloop without partitions, with a port for each of two partitions, and
//! with both kinds told apart on one port. `run.sh` looks for what is needed; the README says what
//! to expect and what this does not show. `--help` lists the flags.

mod flags;
mod report;
mod rig;
#[path = "../healthcheck/server.rs"]
mod server;
#[path = "../healthcheck/server_evenloop.rs"]
mod server_evenloop;
#[path = "../healthcheck/server_shared.rs"]
mod server_shared;
#[path = "../healthcheck/server_tokio.rs"]
mod server_tokio;
#[path = "../healthcheck/service.rs"]
mod service;
mod stats;
mod watch;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use futures::channel::oneshot;

use crate::flags::Flags;
use crate::server::Server;
use crate::service::{Doors, Session};

/// The control after what it is the control of.
const ORDER: [Server; 5] = [
    Server::Tokio,
    Server::TokioThread,
    Server::EvenloopPlain,
    Server::Evenloop,
    Server::EvenloopShared,
];

fn main() -> ExitCode {
    let flags = match flags::parse() {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("haproxy: {error}; --help lists the flags");
            return ExitCode::from(2);
        }
    };
    if flags.help {
        println!("{}", flags::HELP);
        return ExitCode::SUCCESS;
    }
    let done = if flags.serve { serve(&flags) } else { compare(&flags) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("haproxy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Puts HAProxy and the load in front of one server after the other, and prints what it saw.
fn compare(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let mut outcomes = Vec::new();
    for server in ORDER.into_iter().filter(|server| flags.only.is_none_or(|only| only == *server)) {
        let outcome = watch::run(server, flags)?;
        report::timeline(&outcome);
        outcomes.push(outcome);
    }
    report::table(&outcomes);
    if flags.json {
        report::json(&outcomes);
    }
    Ok(())
}

/// Serves on this thread until standard input ends; says on one line where.
fn serve(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let server = flags.only.ok_or("--serve needs --only, which says what to serve")?;
    let (running, stop) = oneshot::channel();
    let (ready, doors) = mpsc::channel::<Doors>();
    thread::spawn(move || {
        if let Ok(doors) = doors.recv() {
            println!("{} {}", doors.bulk, doors.health());
        }
        // Whoever started this may be killed: then nobody is left to end it.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(running);
    });
    let session = Session { listen: server.doors(0, false), work: flags.work, ready, stop };
    Ok(server.run(session)?)
}
