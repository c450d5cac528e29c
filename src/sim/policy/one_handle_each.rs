use std::collections::VecDeque;

use super::{Policy, Share};

/// Round robin among the partitions with work, one handle each. Weights do not count, nor does
/// how long a handle takes.
///
/// qloop: `Loop._run_once` in `qloop/loop.py` goes over the partitions that have handles and runs
/// the first of each, again and again. This is the rule as meant: qloop itself asks for the IO and
/// timers of those partitions only that ran dry last, and strands others.
#[derive(Clone, Debug, Default)]
pub struct OneHandleEach {
    ring: VecDeque<usize>,
    current: usize,
    ran: bool,
}

impl Policy for OneHandleEach {
    fn name(&self) -> &'static str {
        "one handle each"
    }

    fn create(&mut self, _partition: usize, _share: Share, _maker: Option<usize>) {}

    fn remove(&mut self, _partition: usize) {}

    fn wake(&mut self, partition: usize) {
        self.ring.push_back(partition);
    }

    fn pick(&mut self) -> Option<usize> {
        self.current = self.ring.pop_front()?;
        self.ran = false;
        Some(self.current)
    }

    fn charge(&mut self, _elapsed: u64) {
        self.ran = true;
    }

    fn settle(&mut self, more: bool) -> bool {
        if more && self.ran {
            self.ring.push_back(self.current);
        }
        more && !self.ran
    }
}
