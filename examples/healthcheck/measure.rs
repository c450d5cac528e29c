//! One server, one load.

use std::error::Error;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use crate::cores;
use crate::load::{self, Plan};
use crate::report;
use crate::service::{Doors, Session};
use crate::stats::{self, Outcome};

/// Runs a server on a core of its own, loads it from another, and ends both; prints a line a
/// second meanwhile.
///
/// # Errors
///
/// If the server ends before the load does, or no thread is to be had.
pub(crate) fn measure(
    serve: impl FnOnce(Session) -> io::Result<()> + Send + 'static,
    listen: Doors,
    work: Duration,
    plan: &Plan,
) -> Result<Outcome, Box<dyn Error>> {
    let (stop, stopped) = oneshot::channel();
    let (ready, doors) = mpsc::channel();
    let session = Session { listen, work, ready, stop: stopped };
    let serving = thread::Builder::new().name("server".to_owned()).spawn(move || {
        cores::take_the_first();
        let start = Instant::now();
        serve(session)?;
        Ok::<_, io::Error>(stats::cpu_share_since(start))
    })?;

    let outcome = match doors.recv() {
        Ok(doors) => Some(load(doors, plan)?),
        // The server ended before it listened; below it says why.
        Err(mpsc::RecvError) => None,
    };
    drop(stop);
    let server_share = serving.join().map_err(|_| "the server panicked")??;
    let outcome = outcome.ok_or("the server ended early")?;
    Ok(Outcome { server_share, ..outcome })
}

fn load(doors: Doors, plan: &Plan) -> Result<Outcome, Box<dyn Error>> {
    let plan = plan.clone();
    let (watch, samples) = mpsc::channel();
    let loading = thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || load::run(&plan, doors, watch))?;
    for sample in samples {
        report::live(&sample);
    }
    Ok(loading.join().map_err(|_| "the load generator panicked")??)
}

/// Lifts the soft limit of open files to the hard one: each connection has both its ends here.
pub(crate) fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where the system refuses, large runs report the connections that failed.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
