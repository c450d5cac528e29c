use std::collections::BTreeSet;
use std::time::Duration;

use super::{Policy, Share};

/// Serves the partition that has had the least time for its weight, until half a millisecond is
/// over or it runs dry. Who wakes has no less behind it than who was served last: credit is lost,
/// debt is kept.
///
/// Seastar, `src/core/reactor.cc`: `run_some_tasks` takes the task queue of the least `_vruntime`
/// and runs it until `need_preempt`, which a timer of `--task-quota-ms` (0.5 by default) makes
/// true; `activate` sets `_vruntime = max(_last_vruntime, _vruntime)`. A queue that wakes does not
/// preempt the one that runs. Seastar allows 16 such queues by default; here there is no limit.
#[derive(Clone, Debug)]
pub struct VirtualRuntime {
    quota: u64,
    /// Those in line, by what they have had; equals in order of arrival.
    line: BTreeSet<(u64, u64, usize)>,
    partitions: Vec<Account>,
    /// What the one served last had before it was served; never falls.
    last: u64,
    arrivals: u64,
    current: usize,
    /// Of the turn under way, in nanoseconds.
    spent: u64,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    weight: u64,
    /// Nanoseconds received, times [`SCALE`], by weight.
    runtime: u64,
}

/// So that a division by the weight loses nothing that matters.
const SCALE: u64 = 1 << 10;

impl VirtualRuntime {
    /// Sets how long a turn may last.
    #[must_use]
    pub fn with_quota(quota: Duration) -> Self {
        Self {
            quota: u64::try_from(quota.as_nanos()).unwrap_or(u64::MAX),
            line: BTreeSet::new(),
            partitions: Vec::new(),
            last: 0,
            arrivals: 0,
            current: 0,
            spent: 0,
        }
    }

    fn join(&mut self, partition: usize) {
        self.arrivals += 1;
        self.line.insert((self.partitions[partition].runtime, self.arrivals, partition));
    }
}

impl Default for VirtualRuntime {
    /// Half a millisecond.
    fn default() -> Self {
        Self::with_quota(Duration::from_micros(500))
    }
}

impl Policy for VirtualRuntime {
    fn name(&self) -> &'static str {
        "virtual runtime"
    }

    fn create(&mut self, partition: usize, share: Share, _maker: Option<usize>) {
        assert_eq!(partition, self.partitions.len(), "partitions are numbered as they come");
        self.partitions.push(Account { weight: share.weight.into(), runtime: 0 });
    }

    fn remove(&mut self, _partition: usize) {}

    fn wake(&mut self, partition: usize) {
        let account = &mut self.partitions[partition];
        account.runtime = account.runtime.max(self.last);
        self.join(partition);
    }

    fn pick(&mut self) -> Option<usize> {
        let (runtime, _, partition) = self.line.pop_first()?;
        self.last = self.last.max(runtime);
        self.current = partition;
        self.spent = 0;
        Some(partition)
    }

    fn charge(&mut self, elapsed: u64) {
        // A handle that took no time at all would otherwise never end a turn.
        let elapsed = elapsed.max(1);
        self.spent += elapsed;
        let account = &mut self.partitions[self.current];
        account.runtime += elapsed * SCALE / account.weight;
    }

    fn settle(&mut self, more: bool) -> bool {
        let goes_on = more && self.spent < self.quota;
        if more && !goes_on {
            self.join(self.current);
        }
        goes_on
    }
}
