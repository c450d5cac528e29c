//! The queue of one partition, with the marker that says when to deliver.

use std::collections::VecDeque;

/// One poll to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handle {
    /// Of the future that starts the workload and waits for its end.
    Main,
    Task(usize),
}

/// What a turn does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Run(Handle),
    Deliver,
    Dry,
}

/// Handles in the order in which they were queued.
///
/// A line with timers keeps a marker in its queue. When the marker comes to the front, or the
/// queue is empty, what is due is delivered, and the marker goes behind it.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: VecDeque<Handle>,
    /// Handles ahead of the marker.
    ahead: usize,
    /// It has timers.
    marked: bool,
    /// Something waits for delivery.
    due: bool,
    /// Nothing has run since the last delivery.
    delivered: bool,
    /// In line, or running.
    pub(super) runnable: bool,
}

impl Line {
    pub(super) fn push(&mut self, handle: Handle) {
        self.queue.push_back(handle);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Whether there is anything to run or deliver.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || self.due
    }

    /// Whether a delivery is to come before the turn can end.
    pub(super) fn delivers_first(&self) -> bool {
        self.queue.is_empty() && self.wants_delivery()
    }

    /// Puts a marker in, or takes it out.
    pub(super) fn mark(&mut self, on: bool) {
        if on && !self.marked && !self.due {
            self.ahead = self.queue.len();
        }
        self.marked = on;
    }

    /// Something waits for delivery from now on.
    pub(super) fn make_due(&mut self) {
        if !self.marked && !self.due {
            self.ahead = self.queue.len();
        }
        self.due = true;
    }

    pub(super) fn next(&mut self) -> Next {
        if self.wants_delivery() {
            return Next::Deliver;
        }
        self.delivered = false;
        let Some(handle) = self.queue.pop_front() else { return Next::Dry };
        self.ahead = self.ahead.saturating_sub(1);
        Next::Run(handle)
    }

    /// A delivery is done; `more` waits for the next.
    pub(super) fn delivered(&mut self, more: bool) {
        self.ahead = self.queue.len();
        self.due = more;
        self.delivered = true;
    }

    fn wants_delivery(&self) -> bool {
        if self.queue.is_empty() {
            self.due || (self.marked && !self.delivered)
        } else {
            self.ahead == 0 && (self.due || self.marked)
        }
    }
}
