//! The half of a loop that stays on its thread: spawning, waking, ending tasks.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::driver::Driver;
use crate::injector::Drained;
use crate::instrument::Hooks;
use crate::runtime::core::{Core, Queued};
use crate::runtime::directory::{KeyRef, Target};
use crate::runtime::join::JoinHandle;
use crate::runtime::partition::Partition;
use crate::runtime::shared::{Message, Shared};
use crate::runtime::tasks::{Extra, REMOTE};
use crate::sched::PartitionId;
use crate::task::{self, Header, Runnable, TaskId};

/// One loop, on its own thread.
///
/// Rule of the house: no foreign code (a poll, a waker, a destructor of a user's value) runs while
/// `core` or `driver` is borrowed, since it may come back here.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: RefCell<Core>,
    pub(crate) driver: RefCell<Driver>,
    pub(crate) hooks: Hooks,
    /// Taken off the injector, but not taken in yet.
    pub(crate) inbox: RefCell<Drained<Message>>,
    pub(crate) has_inbox: Cell<bool>,
}

/// Messages taken in at one handle boundary.
const MAIL_MAX: u64 = 64;

/// What is known of a task before it is one.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) location: &'static Location<'static>,
    pub(crate) name: Option<Box<str>>,
}

impl Birth {
    #[track_caller]
    pub(crate) fn here() -> Self {
        Self { location: Location::caller(), name: None }
    }
}

impl Local {
    /// Queues a woken task at the tail of its own partition, whoever woke it.
    #[inline]
    pub(crate) fn queue(&self, task: Runnable<Shared>) {
        self.core.borrow_mut().queue(task);
    }

    /// Spawns where the caller lives.
    pub(crate) fn spawn<F>(&self, future: F, birth: Birth) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let scope = self.core.borrow().scope();
        self.spawn_at(scope, future, birth)
    }

    /// Spawns into the partition called `key`, which is made if need be.
    pub(crate) fn spawn_by_key<F>(
        &self,
        key: KeyRef<'_>,
        future: F,
        birth: Birth,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let id = self.core.borrow_mut().by_key(key, &self.shared);
        self.spawn_at(id, future, birth)
    }

    pub(crate) fn spawn_in<F>(
        &self,
        partition: &Partition,
        future: F,
        birth: Birth,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_at(partition.id_in(&self.shared), future, birth)
    }

    /// Spawns into `partition`. If that is closed or gone, or shutdown began, the task is refused.
    pub(crate) fn spawn_at<F>(
        &self,
        partition: PartitionId,
        future: F,
        birth: Birth,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut core = self.core.borrow_mut();
        let id = core.tasks.next_id();
        let (runnable, joint) = task::spawn(self.shared.clone(), id, birth.location, future);
        if core.is_open(partition) && !core.closed {
            self.admit(&mut core, runnable, partition, birth.name);
        } else {
            // Drops the future: after the borrow.
            drop(core);
            runnable.refuse();
        }
        JoinHandle::new(joint)
    }

    /// Registers a task and queues its first poll.
    fn admit(
        &self,
        core: &mut Core,
        runnable: Runnable<Shared>,
        partition: PartitionId,
        name: Option<Box<str>>,
    ) {
        core.probe.spawned(runnable.header(), name.as_deref());
        core.tasks.insert(runnable.task(), partition, name);
        core.directory.task_added(partition);
        core.queue(runnable);
    }

    /// Takes in a task that was spawned on another thread.
    fn arrive(&self, runnable: Runnable<Shared>, target: &Target) {
        let mut core = self.core.borrow_mut();
        let adopter = core.adopter(runnable.header());
        let partition = adopter.or_else(|| core.resolve(target, &self.shared));
        let partition = partition.filter(|_| !core.closed);
        if let Some(partition) = partition {
            self.admit(&mut core, runnable, partition, None);
            return;
        }
        drop(core);
        runnable.refuse();
    }

    /// Forgets a task whose future has just been dropped. What is left of it is to be dropped when
    /// nothing is borrowed.
    pub(crate) fn task_ended(&self, header: &Header<Shared>) -> Option<Box<Extra>> {
        let mut core = self.core.borrow_mut();
        core.probe.ended(header.id());
        core.directory.task_removed(header.partition());
        let extra = core.tasks.remove(header)?;
        core.forget_wants(extra.travels.as_ref());
        Some(extra)
    }

    /// Whether other threads have sent something that was not taken in yet.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.has_inbox.get() || !self.shared.injector().is_empty()
    }

    /// Takes in what other threads sent, oldest first, up to a limit: threads that send without a
    /// pause get in, but do not keep the handles from running. What is left comes at the next
    /// boundary.
    pub(crate) fn receive(&self) {
        let mut count = 0;
        while count < MAIL_MAX {
            let Some(message) = self.next_message() else { break };
            count += 1;
            self.take(message);
        }
        if count > 0 {
            self.shared.counters.remote_wakes(count);
            // Nobody's handle pays for the post.
            self.core.borrow_mut().skip_time();
        }
    }

    fn next_message(&self) -> Option<Message> {
        let mut inbox = self.inbox.borrow_mut();
        let message = inbox.next().or_else(|| {
            *inbox = self.shared.injector().drain();
            inbox.next()
        });
        self.has_inbox.set(!inbox.is_empty());
        message
    }

    pub(crate) fn take(&self, message: Message) {
        match message {
            Message::Wake(notice) => {
                if let Some(task) = notice.take() {
                    self.queue(task);
                }
            }
            Message::WakeMain(main) if main.is_over() => {}
            Message::WakeMain(_) => self.queue_main(),
            Message::Spawn(task, target) => {
                self.arrive(task, &target);
                drop(target);
            }
            Message::Release(id) => self.core.borrow_mut().directory.check_unused(id),
            Message::CancelTimer(id) => self.cancel_timer(id),
            Message::Deregister(id) => self.deregister(id),
            Message::Call(call) => self.shared.panic_hook.contain(|| call(self)),
        }
    }

    /// Queues a poll of the future that `block_on` runs.
    pub(crate) fn queue_main(&self) {
        let mut core = self.core.borrow_mut();
        let main = core.main;
        let refused = core.push(main, Queued::MARK);
        assert!(refused.is_ok(), "the partition of `block_on` is gone");
    }

    /// Frees what nothing refers to any more. Between two handles only.
    pub(crate) fn bury(&self) {
        let pollers = self.core.borrow_mut().bury(&self.shared);
        for poller in pollers {
            self.driver.borrow_mut().release(poller);
        }
    }

    pub(crate) fn partition(self: &Rc<Self>, id: PartitionId) -> Option<Partition> {
        self.core.borrow_mut().directory.handle(id, &self.shared)
    }

    pub(crate) fn turn_is_spent(&self) -> bool {
        self.core.borrow().turn_is_spent()
    }
}

impl Shared {
    /// Spawns from any thread: the task is made here and arrives with the next batch.
    pub(crate) fn spawn_remote<F>(
        self: &Arc<Self>,
        target: Target,
        future: F,
        birth: Birth,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let id = TaskId(REMOTE | self.next_id());
        let (runnable, joint) = task::spawn(self.clone(), id, birth.location, future);
        if let Err(Message::Spawn(runnable, _)) = self.send(Message::Spawn(runnable, target)) {
            // Drops the future here, which it may: it is `Send`.
            runnable.refuse();
        }
        JoinHandle::new(joint)
    }

    /// Refuses, in the name of `what`, to make a thread wait for something in simulated time.
    ///
    /// # Panics
    ///
    /// If the loop is simulated: a thread takes the time it takes.
    #[track_caller]
    pub(crate) fn refuse_simulation(&self, what: &str) {
        assert!(
            self.time.is_real(),
            "{what}: a simulation has no blocking threads, whose time nobody can tell beforehand: \
             stand in for the job with `evenloop::sim::spend`, or a sleep"
        );
    }

    /// Makes a job of `f` for the pool of blocking threads.
    ///
    /// # Panics
    ///
    /// If the loop is simulated: a thread takes the time it takes.
    #[track_caller]
    pub(crate) fn spawn_blocking<F, T>(self: &Arc<Self>, f: F, birth: Birth) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.refuse_simulation("spawn_blocking");
        let id = self.blocking.next_id();
        let (runnable, joint) =
            task::spawn_without_loop(self.clone(), id, birth.location, async move { f() });
        self.blocking.push(runnable);
        JoinHandle::new(joint)
    }
}
