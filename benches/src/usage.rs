//! What the other threads of this process have used, as the system tells it. Linux only.

use std::fs;
use std::ops::Sub;

/// Used by all threads but the one that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Nanoseconds on a processor.
    pub cpu: f64,
    /// Nanoseconds of them outside the kernel. Most systems know that by what they find at each tick
    /// of their clock, so it takes seconds to be told well.
    pub user: f64,
    /// How often a thread went to sleep, and so was woken up.
    pub sleeps: f64,
}

impl Usage {
    /// Asks the system.
    #[must_use]
    pub fn of_others() -> Self {
        let me = rustix::thread::gettid().as_raw_nonzero().to_string();
        let user = user_time(libc::RUSAGE_SELF) - user_time(libc::RUSAGE_THREAD);
        let mut sum = Self { user, ..Self::default() };
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if thread.file_name().to_str() == Some(&me) {
                continue;
            }
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            sum.cpu += field(&read("schedstat"), 0);
            let status = read("status");
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            sum.sleeps += line.map_or(0.0, |line| field(line, 1));
        }
        sum
    }
}

/// Nanoseconds outside the kernel.
#[allow(unsafe_code)]
fn user_time(who: libc::c_int) -> f64 {
    // SAFETY: the structure is numbers alone, for which zeros are values, and the call writes to it
    // and nowhere else.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut used);
        used
    };
    used.ru_utime.tv_sec as f64 * 1e9 + used.ru_utime.tv_usec as f64 * 1e3
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
