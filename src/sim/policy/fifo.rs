use super::{Policy, Share};

/// One queue for all: who was queued first runs first, and partitions are but names.
///
/// - asyncio: `BaseEventLoop._run_once` in `Lib/asyncio/base_events.py` takes the handles that are
///   ready from the left of one `deque`, in order; `call_soon` appends on the right.
/// - tokio's `current_thread`: `Core::push_task` appends to one `VecDeque` and `next_local_task`
///   takes from its front, in `tokio/src/runtime/scheduler/current_thread/mod.rs`. What other
///   threads send waits in a second queue, which is asked every 31 polls and has no part here.
#[derive(Clone, Debug, Default)]
pub struct Fifo {
    ready: bool,
}

impl Policy for Fifo {
    fn name(&self) -> &'static str {
        "FIFO"
    }

    fn merges(&self) -> bool {
        true
    }

    fn create(&mut self, _partition: usize, _share: Share, _maker: Option<usize>) {}

    fn remove(&mut self, _partition: usize) {}

    fn wake(&mut self, _partition: usize) {
        self.ready = true;
    }

    fn pick(&mut self) -> Option<usize> {
        std::mem::take(&mut self.ready).then_some(0)
    }

    fn charge(&mut self, _elapsed: u64) {}

    fn settle(&mut self, more: bool) -> bool {
        more
    }
}
