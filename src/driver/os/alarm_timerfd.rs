//! Sleeping to the nanosecond: a timerfd in the root poller.
//!
//! `epoll_wait` counts in milliseconds, so a sleep would end up to one late. A timerfd is
//! armed beside it for every timeout that this rounding would matter to.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Sleeps of a whole number of milliseconds and at least this long go without the timerfd.
const COARSE: Duration = Duration::from_millis(10);
/// Sleeps this long may as well end a millisecond late.
const LONG: Duration = Duration::from_secs(3600);

/// Ends a harvest at the nanosecond.
#[derive(Default)]
pub(super) struct Alarm {
    timer: Timer,
    /// Whether the kernel's timer runs.
    armed: bool,
}

#[derive(Default)]
enum Timer {
    #[default]
    Unopened,
    Open(OwnedFd),
    /// The system refused it once: sleeps are rounded up to the next millisecond from then on.
    Unavailable,
}

impl Alarm {
    /// Prepares a harvest that waits for `timeout`, which is not zero.
    pub(super) fn set(&mut self, registry: &Registry, token: Token, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) if needs_precision(timeout) => self.arm(registry, token, timeout),
            // One left over from a sleep that ended early would end this one early.
            _ if self.armed => self.settle(Duration::ZERO),
            _ => {}
        }
    }

    /// Takes note of the timer's event.
    pub(super) fn rang(&mut self) {
        self.armed = false;
    }

    fn arm(&mut self, registry: &Registry, token: Token, timeout: Duration) {
        if let Timer::Unopened = self.timer {
            self.timer = open(registry, token).map_or(Timer::Unavailable, Timer::Open);
        }
        self.settle(timeout);
    }

    /// Starts the timer anew; zero stops it. Setting it also takes back an event that was not
    /// harvested yet.
    fn settle(&mut self, timeout: Duration) {
        let Timer::Open(fd) = &self.timer else { return };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        // A failure leaves the poller's own timeout, which is later, never earlier.
        let set = timerfd_settime(fd, TimerfdTimerFlags::empty(), &spec);
        self.armed = set.is_ok() && !timeout.is_zero();
    }
}

fn needs_precision(timeout: Duration) -> bool {
    timeout < LONG && (timeout < COARSE || timeout.subsec_nanos() % 1_000_000 != 0)
}

fn open(registry: &Registry, token: Token) -> io::Result<OwnedFd> {
    let fd =
        timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
    Ok(fd)
}
