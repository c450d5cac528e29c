//! What all threads may touch of a loop.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Source;
use crate::driver::Unpark;
use crate::injector::{Injector, Pushed};
use crate::instrument::LoopCounters;
use crate::runtime::context;
use crate::runtime::directory::{PartitionInfo, Target};
use crate::runtime::local::Local;
use crate::runtime::offload::Blocking;
use crate::runtime::panics::{PanicHook, UnhandledPanic};
use crate::runtime::run::MainWaker;
use crate::runtime::tasks::REMOTE;
use crate::sched::{PartitionId, RegistrationId, TimerId};
use crate::task::{Header, Home, Payload, Runnable, TaskId};

/// The half of a loop that is `Send + Sync`: every task, socket, timer and handle holds it.
pub(crate) struct Shared {
    pub(crate) time: Source,
    injector: Injector<Message>,
    /// Wakes a loop that sleeps in the kernel.
    unpark: Unpark,
    pub(crate) counters: Arc<LoopCounters>,
    pub(crate) panic_hook: PanicHook,
    pub(crate) blocking: Blocking,
    /// What lives in the loop, for those who look at it from outside.
    pub(crate) partitions: Mutex<Vec<Option<Arc<PartitionInfo>>>>,
    next_id: AtomicU64,
}

/// What other threads may ask of a loop.
pub(crate) enum Message {
    /// A task was woken.
    Wake(Runnable<Shared>),
    /// The future that `block_on` runs was woken.
    WakeMain(Arc<MainWaker>),
    /// A task was spawned from outside.
    Spawn(Runnable<Shared>, Target),
    Abort(TaskId),
    /// The last handle to a partition was dropped.
    Release(PartitionId),
    CancelTimer(TimerId),
    Deregister(RegistrationId),
    /// Anything else; runs on the loop's thread, between two handles.
    Call(Box<dyn FnOnce(&Local) + Send>),
}

impl Shared {
    pub(crate) fn new(
        time: Source,
        unpark: Unpark,
        panic_hook: PanicHook,
        blocking: Blocking,
    ) -> Self {
        let now = time.now();
        Self {
            time,
            injector: Injector::new(),
            unpark,
            counters: Arc::new(LoopCounters::new(now)),
            panic_hook,
            blocking,
            partitions: Mutex::new(Vec::new()),
            next_id: AtomicU64::new(1),
        }
    }

    /// The time in nanoseconds since the loop's epoch, on any thread.
    pub(crate) fn now(&self) -> u64 {
        self.time.now()
    }

    /// Hands `message` to the loop and wakes it if it sleeps. Fails once the loop is gone.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        if self.injector.push(message)? == Pushed::WakeLoop {
            (self.unpark)();
        }
        Ok(())
    }

    /// Has the loop's thread call `f` between two handles; `false` if the loop is gone.
    pub(crate) fn call(&self, f: impl FnOnce(&Local) + Send + 'static) -> bool {
        self.send(Message::Call(Box::new(f))).is_ok()
    }

    /// Calls `f` here and now on the loop's own thread, else has the loop [`call`](Self::call) it.
    /// A loop that is gone calls nothing.
    pub(crate) fn on_loop(self: &Arc<Self>, f: impl FnOnce(&Local) + Send + 'static) {
        match context::get() {
            Some(local) if Arc::ptr_eq(&local.shared, self) => f(&local),
            _ => {
                self.call(f);
            }
        }
    }

    pub(crate) fn injector(&self) -> &Injector<Message> {
        &self.injector
    }

    /// A number no other task made off the loop's thread has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks for the end of a task, on whichever thread this is.
    pub(crate) fn abort(self: &Arc<Self>, id: TaskId) {
        if Blocking::owns(id) {
            return self.blocking.cancel(id);
        }
        let aborted = context::with_loop(self, |local| local.abort(id));
        // The way in keeps the order, so behind a task that is still on it the message finds it.
        if aborted.is_none() || aborted == Some(false) && id.0 & REMOTE != 0 {
            // A loop that is gone has ended all its tasks.
            let _ = self.send(Message::Abort(id));
        }
    }

    /// Everything that lives in the loop's directory, now.
    pub(crate) fn infos(&self) -> Vec<Arc<PartitionInfo>> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.iter().flatten().cloned().collect()
    }
}

impl Home for Shared {
    #[inline]
    fn schedule(task: Runnable<Self>) {
        let header = task.metadata();
        if Blocking::owns(header.id) {
            // A closure runs in one go and is scheduled once, by whoever made it.
            let shared = header.home.clone();
            shared.blocking.push(task);
            return;
        }
        let task = match context::schedule(task) {
            Ok(()) => return,
            Err(task) => task,
        };
        // From here on the task may be run and freed by its loop at any moment.
        let shared = task.metadata().home.clone();
        if let Err(Message::Wake(task)) = shared.send(Message::Wake(task)) {
            // The loop closed after it had dropped every future it knew, and a task without a
            // future is not scheduled.
            unreachable!("{:?} was woken after its loop had ended it", task.metadata());
        }
    }

    fn ended(header: &Header<Self>) {
        if Blocking::owns(header.id) {
            return;
        }
        // Elsewhere the future never reached the loop, which then knows nothing of it.
        context::with_loop(&header.home, |local| local.task_ended(header));
    }

    fn pends() {
        if let Some(local) = context::get() {
            local.attend();
        }
    }

    fn unhandled(&self, id: TaskId, location: &'static Location<'static>, payload: Payload) {
        self.panic_hook.call(UnhandledPanic::new(id, location, payload));
    }

    fn stray(payload: Payload) {
        let hook = context::get().map(|local| local.shared.panic_hook.clone());
        hook.unwrap_or_default().call(UnhandledPanic::stray(payload));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("injector", &self.injector).finish_non_exhaustive()
    }
}
