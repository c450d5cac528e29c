//! A core for what is measured, and the others for its load. On one core either would now and then
//! wait until a slice of the other's is over.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and those it starts from here on, to the first core of the process.
pub fn take_the_first() {
    keep_to(|core, first| core == first);
}

/// Keeps this thread, and those it starts from here on, off the first core, if there are others.
pub fn leave_the_first() {
    keep_to(|core, first| core != first);
}

fn keep_to(wanted: impl Fn(usize, usize) -> bool) {
    // What the process was started with: a thread asks after others were pinned.
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    let cores = CORES.get_or_init(|| {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
    });
    let mut set = CpuSet::new();
    cores.iter().filter(|core| wanted(**core, cores[0])).for_each(|core| set.set(*core));
    if set.count() > 0 {
        // Refused, the figures are as good as the system's own choice.
        let _ = sched_setaffinity(None, &set);
    }
}
