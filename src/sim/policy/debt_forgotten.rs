use std::collections::VecDeque;
use std::time::Duration;

use super::{Policy, Share};

/// Round robin in time, by weight and paid for after the fact, in which whoever wakes starts with
/// a clean sheet: what it overdrew before it slept is forgotten.
///
/// glommio, `glommio/src/executor/mod.rs`: `maybe_activate` sets the `vruntime` of a task queue
/// that becomes active to `default_vruntime + 1`, whatever it was. There the queue of the least
/// `vruntime` runs until a timer preempts it, which by default is after 100 ms; here a turn is
/// 100 µs for each unit of weight, so that what differs from [`Scrr`](super::Scrr) is what is
/// forgotten, and the lane for those who wake.
#[derive(Clone, Debug)]
pub struct DebtForgotten {
    quantum: i64,
    ring: VecDeque<usize>,
    partitions: Vec<Account>,
    current: usize,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    weight: i64,
    /// What is left of its allotment, in nanoseconds; less than nothing if it owes.
    balance: i64,
}

impl DebtForgotten {
    /// Sets how long a turn of a partition of weight 1 is.
    #[must_use]
    pub fn with_quantum(quantum: Duration) -> Self {
        let quantum = i64::try_from(quantum.as_nanos()).unwrap_or(i64::MAX).max(1);
        Self { quantum, ring: VecDeque::new(), partitions: Vec::new(), current: 0 }
    }
}

impl Default for DebtForgotten {
    /// 100 µs.
    fn default() -> Self {
        Self::with_quantum(Duration::from_micros(100))
    }
}

impl Policy for DebtForgotten {
    fn name(&self) -> &'static str {
        "debt forgotten"
    }

    fn create(&mut self, partition: usize, share: Share, _maker: Option<usize>) {
        assert_eq!(partition, self.partitions.len(), "partitions are numbered as they come");
        self.partitions.push(Account { weight: share.weight.into(), balance: 0 });
    }

    fn remove(&mut self, _partition: usize) {}

    fn wake(&mut self, partition: usize) {
        self.partitions[partition].balance = 0;
        self.ring.push_back(partition);
    }

    fn pick(&mut self) -> Option<usize> {
        loop {
            let partition = self.ring.pop_front()?;
            let account = &mut self.partitions[partition];
            let grant = self.quantum.saturating_mul(account.weight);
            account.balance = account.balance.saturating_add(grant);
            if account.balance > 0 {
                self.current = partition;
                return Some(partition);
            }
            self.ring.push_back(partition);
        }
    }

    fn charge(&mut self, elapsed: u64) {
        // A handle that took no time at all would otherwise never end a turn.
        let elapsed = i64::try_from(elapsed.max(1)).unwrap_or(i64::MAX);
        let account = &mut self.partitions[self.current];
        account.balance = account.balance.saturating_sub(elapsed);
    }

    fn settle(&mut self, more: bool) -> bool {
        let goes_on = more && self.partitions[self.current].balance > 0;
        if more && !goes_on {
            self.ring.push_back(self.current);
        }
        goes_on
    }
}
