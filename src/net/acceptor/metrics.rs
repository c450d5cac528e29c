//! What became of the connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of the connections of an acceptor, since it was started.
///
/// All but `waiting` only grow, and all others together are what was accepted:
/// `accepted == told + unknown + failed + timed_out + evicted + waiting`, whenever the acceptor is
/// not at work at this very moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptorMetrics {
    /// Connections accepted.
    pub accepted: u64,
    /// Handed on to be served.
    pub told: u64,
    /// Closed because they were at their end, or had said all that is looked at, and were not told.
    pub unknown: u64,
    /// Reset by their peers, or broken otherwise, before they were told.
    pub failed: u64,
    /// Closed because their time was over.
    pub timed_out: u64,
    /// Closed because there were too many of them, and they had waited longest.
    pub evicted: u64,
    /// Wait to be told.
    pub waiting: u64,
}

/// The counters behind it; each is written by the acceptor alone.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) told: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) waiting: AtomicU64,
}

impl Counts {
    pub(super) fn snapshot(&self) -> AcceptorMetrics {
        // Ordering: Relaxed. They count; nothing is published by them.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AcceptorMetrics {
            accepted: read(&self.accepted),
            told: read(&self.told),
            unknown: read(&self.unknown),
            failed: read(&self.failed),
            timed_out: read(&self.timed_out),
            evicted: read(&self.evicted),
            waiting: read(&self.waiting),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
