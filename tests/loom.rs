//! Models of what threads share, in the interleavings that a few preemptions make, or in all: see
//! `.ci/loom`. The sources are those of the crate, compiled with the types of loom.
#![cfg(evenloop_loom)]

#[allow(dead_code)]
#[path = "../src/net/acceptor/bells.rs"]
mod bells;
#[allow(dead_code)]
#[path = "../src/injector.rs"]
mod injector;
#[allow(dead_code)]
#[path = "../src/runtime/timers/relay.rs"]
mod relay;
#[allow(dead_code)]
#[path = "../src/instrument/sequence.rs"]
mod sequence;
#[allow(dead_code)]
#[path = "../src/runtime/moves/signal.rs"]
mod signal;
#[allow(dead_code)]
#[path = "../src/runtime/run/sole_handle.rs"]
mod sole_handle;

/// What the sources name of the rest of the crate.
#[allow(dead_code)]
#[path = "../src/driver"]
mod driver {
    pub(crate) mod scheduled_io;

    #[derive(Clone, Copy, Default)]
    pub(crate) struct Readied {
        pub(crate) readable: bool,
        pub(crate) writable: bool,
        pub(crate) read_closed: bool,
    }
}

mod sched {
    pub(crate) use evenloop::sched::{Direction, PartitionId};
}

#[path = "loom/counters.rs"]
mod counters;
#[path = "loom/readiness.rs"]
mod readiness;
#[path = "loom/shutdown.rs"]
mod shutdown;
#[path = "loom/timers.rs"]
mod timers;
#[path = "loom/wakers.rs"]
mod wakers;
#[path = "loom/way_in.rs"]
mod way_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

/// Preemptions that are tried at most, unless `LOOM_MAX_PREEMPTIONS` says another number: most of
/// what goes wrong at all does so with two.
const PREEMPTIONS: usize = 3;

/// Runs `f` in every interleaving with few preemptions; in every one there is if
/// `EVENLOOP_LOOM_FULL` is set.
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() && std::env::var_os("EVENLOOP_LOOM_FULL").is_none() {
        builder.preemption_bound = Some(PREEMPTIONS);
    }
    builder.check(f);
}

/// Counts wakes. Not in the eyes of loom, which runs one thread at a time.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (wakes.clone(), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The outcomes that the interleavings of a model had: a model that has only one explores nothing.
#[derive(Clone, Default)]
struct Outcomes(std::sync::Arc<std::sync::Mutex<std::collections::BTreeSet<usize>>>);

impl Outcomes {
    fn note(&self, outcome: usize) {
        self.0.lock().unwrap().insert(outcome);
    }

    fn assert(&self, expected: &[usize]) {
        assert_eq!(self.0.lock().unwrap().iter().copied().collect::<Vec<_>>(), expected);
    }
}
