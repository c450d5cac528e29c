//! Taking a task over.

use crate::runtime::context;
use crate::runtime::core::{Core, Queued};
use crate::runtime::local::Local;
use crate::runtime::moves::{Runner, Travels};
use crate::runtime::offload::Blocking;
use crate::runtime::shared::Shared;
use crate::runtime::tasks::Key;
use crate::sched::PartitionId;
use crate::task::Header;

impl Shared {
    /// Moves a task of this loop into the partition of the caller.
    #[track_caller]
    pub(crate) fn adopt(header: &Header<Self>) {
        if Blocking::owns(header.id()) {
            return;
        }
        let adopted = context::with_loop(header.home(), |local| local.adopt(header));
        assert!(
            adopted.is_some(),
            "JoinHandle::adopt takes a task into the caller's partition, and this thread does not \
             run the task's loop: call it in a task of that runtime"
        );
    }
}

impl Local {
    fn adopt(&self, header: &Header<Shared>) {
        let mut core = self.core.borrow_mut();
        let to = core.scope();
        if core.runner == Runner::Task(header.key()) {
            // It has itself, and may be on its way to elsewhere.
            return;
        }
        if !header.has_arrived() {
            // It is on its way, and shall come here. Of no account if it has ended.
            header.set_partition(to);
            return;
        }
        let Some(entry) = core.tasks.by_key(header.key()) else { return };
        let (old, task) = (entry.partition(), entry.task.clone());
        if entry.travels().is_some_and(Travels::is_away) {
            return self.rebase(core, header.key(), to);
        }
        if old == to {
            return;
        }
        core.rehome(header.key(), to);
        let queued = core.sched.queue_len(to);
        drop(core);
        task.wake_by_ref();
        let mut core = self.core.borrow_mut();
        if core.sched.queue_len(to) == queued {
            core.transfer(header, old, to);
        }
    }

    /// Has a task that is away for a `within` come back to `to`.
    fn rebase(&self, mut core: std::cell::RefMut<'_, Core>, key: Key, to: PartitionId) {
        let base = core.directory.handle(to, &self.shared);
        let Some(is_there) = core.tasks.by_key(key).map(|task| task.partition() == to) else {
            return;
        };
        let (base, spare) = if is_there { (None, base) } else { (base, None) };
        let travels = core.tasks.travels_mut(key).and_then(Option::as_mut);
        let old = (travels.map(|travels| travels.rebase(base)), spare);
        drop(core);
        drop(old);
    }
}

impl Core {
    /// Returns who adopted a task that is about to arrive, if that partition is still there.
    pub(crate) fn adopter(&self, header: &Header<Shared>) -> Option<PartitionId> {
        Some(header.partition()).filter(|adopter| self.sched.contains(*adopter))
    }

    /// Moves the handle of a task that was woken before, if it is not on its way from another
    /// thread: then it arrives where it belongs.
    fn transfer(&mut self, header: &Header<Shared>, old: PartitionId, to: PartitionId) {
        // By address: the headers of the others are not looked at.
        let is_it = |handle: &Queued| handle.header().is_some_and(|it| std::ptr::eq(it, header));
        if let Some(handle) = self.withdraw(old, is_it) {
            let refused = self.push(to, handle);
            assert!(refused.is_ok(), "a task was adopted by a partition that is gone");
        }
    }
}
