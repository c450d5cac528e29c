//! What the other threads of this process have used, as the system tells it. Linux only.

use std::fs;
use std::ops::Sub;

/// Where `/proc/…/stat` has the time outside the kernel, from 0 (proc(5)).
const USER_TIME: usize = 13;
/// Its unit, the same on every Linux: a hundredth of a second.
const NANOS_A_TICK: f64 = 1e7;

/// Used by all threads but the one that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Nanoseconds on a processor.
    pub cpu: f64,
    /// Nanoseconds of them outside the kernel, by what the system finds at each tick of its clock: it
    /// takes seconds to be told well.
    pub user: f64,
    /// How often a thread went to sleep, and so was woken up.
    pub sleeps: f64,
}

impl Usage {
    /// Asks the system.
    #[must_use]
    pub fn of_others() -> Self {
        let me = rustix::thread::gettid().as_raw_nonzero().to_string();
        let mut sum = Self::default();
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if thread.file_name().to_str() == Some(&me) {
                continue;
            }
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            sum.cpu += field(&read("schedstat"), 0);
            // By thread: what the system tells of the process as a whole is rounded in another way.
            // The second field, the name in brackets, may have spaces in it.
            let stat = read("stat");
            let behind_the_name = stat.rsplit(')').next().unwrap_or_default();
            sum.user += field(behind_the_name, USER_TIME - 2) * NANOS_A_TICK;
            let status = read("status");
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            sum.sleeps += line.map_or(0.0, |line| field(line, 1));
        }
        sum
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu - earlier.cpu,
            user: self.user - earlier.user,
            sleeps: self.sleeps - earlier.sleeps,
        }
    }
}

fn field(text: &str, at: usize) -> f64 {
    text.split_whitespace().nth(at).and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// The resident set of this process, in bytes.
#[must_use]
pub fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.map_or(0.0, |line| field(line, 1)) * 1024.0
}
