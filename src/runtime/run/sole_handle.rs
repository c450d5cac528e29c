//! Who of those that wake a future queues its handle: one, or nobody.

#[cfg(not(evenloop_loom))]
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(evenloop_loom)]
use loom::sync::atomic::{AtomicU8, Ordering};

/// The handle of a future, of which there is one or none.
///
/// | state   | wake               | poll begins | poll ends        | the end |
/// |---------|--------------------|-------------|------------------|---------|
/// | Idle    | Queued, a handle   |             |                  | Over    |
/// | Queued  | Queued             | Polled      |                  | Over    |
/// | Polled  | Polled and Queued  |             | Idle             | Over    |
/// | both    | both               |             | Queued, a handle | Over    |
/// | Over    | Over               |             |                  |         |
///
/// So one that is asked for during a poll is queued where that poll leaves the future: in its
/// partition by then.
#[derive(Debug)]
pub(crate) struct SoleHandle {
    state: AtomicU8,
}

/// A handle is queued, on its way, or to be queued when the poll ends.
const QUEUED: u8 = 1;
/// The future is being polled.
const POLLED: u8 = 1 << 1;
/// Wakes that come now are for nobody.
const OVER: u8 = 1 << 2;

impl SoleHandle {
    /// Begins with a handle that whoever calls this queues.
    pub(crate) fn queued() -> Self {
        Self { state: AtomicU8::new(QUEUED) }
    }

    /// Returns whether whoever wakes has to queue a handle.
    #[must_use = "then a handle has to be queued"]
    pub(crate) fn ask(&self) -> bool {
        self.state.fetch_or(QUEUED, Ordering::AcqRel) == 0
    }

    pub(crate) fn begin_poll(&self) {
        // Ordering: AcqRel, so that what was written before a wake which found a handle queued is
        // visible to this poll.
        let state = self.state.swap(POLLED, Ordering::AcqRel);
        debug_assert_eq!(state, QUEUED, "a handle of `block_on` that nobody asked for");
    }

    /// Ends a poll that left the future pending; returns whether a handle is to be queued.
    #[must_use = "then a handle has to be queued"]
    pub(crate) fn end_poll(&self) -> bool {
        self.state.fetch_and(!POLLED, Ordering::AcqRel) & QUEUED != 0
    }

    /// Ends it; returns whether a handle is queued or on its way.
    pub(crate) fn finish(&self) -> bool {
        self.state.swap(OVER, Ordering::AcqRel) == QUEUED
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.load(Ordering::Acquire) & OVER != 0
    }
}
