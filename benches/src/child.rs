//! One runtime at one work: what the programs of this package do.

use std::process::{ExitCode, exit};

use crate::cores;
use crate::metrics::Metrics;
use crate::work;

/// Does the work named on the command line with the runtime named there, on the first core, and
/// prints the figures: `work runtime full|quick`, or `work runtime operations` to be counted.
/// `--who work timed|counted` prints the runtimes that take part.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    use crate::size::Size;
    let [work, peer, amount] = &args[..] else {
        eprintln!("a work, a runtime and an amount are wanted");
        return ExitCode::from(2);
    };
    if work == "--who" {
        work::peers(peer, amount == "counted").iter().for_each(|peer| println!("{peer}"));
        return ExitCode::SUCCESS;
    }
    files_max();
    cores::take_the_first();
    if let Ok(ops) = amount.parse() {
        let Some(run) = work::counted(work, peer) else {
            return unknown(work, peer);
        };
        run(ops);
    } else {
        let Some(run) = work::timed(work, peer) else {
            return unknown(work, peer);
        };
        print(&run(if amount == "quick" { Size::Quick } else { Size::Full }));
    }
    ExitCode::SUCCESS
}

/// Ends the process with figures, from any thread: for servers, which never end by themselves.
pub(crate) fn finish(metrics: &Metrics) -> ! {
    print(metrics);
    exit(0)
}

fn print(metrics: &Metrics) {
    for (name, value) in metrics {
        println!("{name} {value}");
    }
}

fn unknown(work: &str, peer: &str) -> ExitCode {
    eprintln!("no work {work:?} of {peer:?}");
    ExitCode::from(2)
}

/// Lifts the limit of open files as far as it goes and returns it.
pub fn files_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Those who may, may have more than the system starts with.
    let more = Some(maximum.unwrap_or(0).max(1 << 20));
    if setrlimit(Resource::Nofile, Rlimit { current: more, maximum: more }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
