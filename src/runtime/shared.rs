//! What all threads may touch of a loop.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::RawWakerVTable;

use crate::clock::Source;
use crate::driver::Unpark;
use crate::injector::{Injector, Pushed};
use crate::instrument::LoopCounters;
use crate::runtime::context;
use crate::runtime::directory::Target;
use crate::runtime::info::PartitionInfo;
use crate::runtime::local::Local;
use crate::runtime::offload::Blocking;
use crate::runtime::panics::{PanicHook, UnhandledPanic};
use crate::runtime::run::MainWaker;
use crate::sched::{PartitionId, RegistrationId, TimerId};
use crate::task::{self, Header, Home, Notice, Payload, Runnable, Task, TaskId};

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
    Wake(Notice<Shared>),
    /// The future that `block_on` runs was woken.
    WakeMain(Arc<MainWaker>),
    /// A task was spawned from outside.
    Spawn(Runnable<Shared>, Target),
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
        match context::loop_of(self) {
            Some(local) => f(&local),
            None => {
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
    pub(crate) fn abort(task: &Task<Self>) {
        let header = task.header();
        match Blocking::owns(header.id()) {
            true => header.home().blocking.cancel(header.id()),
            false => task.abort(),
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
    fn is_here(&self) -> bool {
        context::is_loop_of(self)
    }

    #[inline]
    fn wakers() -> &'static RawWakerVTable {
        static WAKERS: RawWakerVTable = task::table::<Shared>();
        &WAKERS
    }

    #[inline]
    fn queue(task: Runnable<Self>) {
        context::queue(task);
    }

    fn notify(&self, notice: Notice<Self>) {
        // A loop that is gone has ended all its tasks.
        let _ = self.send(Message::Wake(notice));
    }

    fn ended(header: &Header<Self>) {
        // A future that never reached the loop may end anywhere.
        if !header.has_arrived() {
            return;
        }
        let left = context::with_loop_briefly(header.home(), |local| local.task_ended(header));
        drop(left);
    }

    fn unhandled(&self, id: TaskId, location: &'static Location<'static>, payload: Payload) {
        self.panic_hook.call(UnhandledPanic::new(id, location, payload));
    }

    fn stray(&self, payload: Payload) {
        self.panic_hook.call(UnhandledPanic::stray(payload));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("injector", &self.injector).finish_non_exhaustive()
    }
}
