//! A core for the server and the others for its load. On one core, either would now and then wait
//! until a slice of the other's is over: milliseconds, as long as the latencies to be measured.
//!
//! Only Linux is asked for it. Elsewhere, and where there is one core, threads go where they may.

/// Keeps this thread, and those it starts from here on, to the server's core.
pub(crate) fn take_the_first() {
    #[cfg(target_os = "linux")]
    linux::keep_to(|core, first| core == first);
}

/// Keeps this thread, and those it starts from here on, off the server's core.
pub(crate) fn leave_the_first() {
    #[cfg(target_os = "linux")]
    linux::keep_to(|core, first| core != first);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::OnceLock;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Keeps this thread to those of the process's cores that are `wanted`, given the first.
    pub(super) fn keep_to(wanted: impl Fn(usize, usize) -> bool) {
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
}
