//! The end of a loop: everything is dropped on its own thread, and what still pended is named.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::runtime::context;
use crate::runtime::core::Action;
use crate::runtime::local::Local;
use crate::runtime::shared::Shared;
use crate::task::{Runnable, TaskId};

/// What a runtime still had to do when it was shut down.
#[derive(Clone, Debug, Default)]
#[must_use = "it names the tasks that were dropped before they were done"]
pub struct ShutdownReport {
    pending: Vec<PendingTask>,
    blocking_dropped: usize,
    blocking_running: usize,
}

impl ShutdownReport {
    /// Returns the tasks that were dropped before they were done, in the order of spawning.
    #[must_use]
    pub fn pending(&self) -> &[PendingTask] {
        &self.pending
    }

    /// Returns how many blocking jobs had not started, and were dropped.
    #[must_use]
    pub fn blocking_dropped(&self) -> usize {
        self.blocking_dropped
    }

    /// Returns how many blocking jobs still run, since the time to wait for them was over.
    #[must_use]
    pub fn blocking_running(&self) -> usize {
        self.blocking_running
    }

    /// Returns whether nothing was left to do.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.blocking_dropped == 0 && self.blocking_running == 0
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing was pending");
        }
        write!(f, "{} tasks were pending", self.pending.len())?;
        for task in &self.pending {
            write!(f, "\n  {task}")?;
        }
        if self.blocking_dropped > 0 {
            write!(f, "\n{} blocking jobs had not started", self.blocking_dropped)?;
        }
        if self.blocking_running > 0 {
            write!(f, "\n{} blocking jobs still run", self.blocking_running)?;
        }
        Ok(())
    }
}

/// A task that was dropped before it was done.
#[derive(Clone, Debug)]
pub struct PendingTask {
    id: TaskId,
    location: &'static Location<'static>,
    partition: String,
    name: Option<String>,
}

impl PendingTask {
    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns where it was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Returns the name of the partition it lived in.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Returns its own name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Display for PendingTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, location, partition, name } = self;
        match name {
            Some(name) => write!(f, "{name} (task {id}, in {partition}) spawned at {location}"),
            None => write!(f, "task {id}, in {partition}, spawned at {location}"),
        }
    }
}

impl Local {
    /// Shuts down; waits for running blocking jobs at most for `patience`, `None` is for ever.
    ///
    /// The order: nothing new is taken in; every task is dropped here; whoever waits elsewhere for
    /// sockets and timers is woken and finds them gone; then the blocking jobs.
    pub(crate) fn shut_down(self: &Rc<Self>, patience: Option<Duration>) -> ShutdownReport {
        // Destructors may look for their loop: wake, spawn (refused), drop timers and sockets.
        let entered = context::enter_busy(self.clone());
        self.receive_all();
        self.core.borrow_mut().closed = true;
        let pending = self.pending();
        self.drop_tasks();
        self.shut_sources();
        self.end_timers();
        // Whatever is left in the way in belongs to no task any more.
        for message in self.shared.injector().close() {
            self.take(message);
        }
        self.tidy_queues();
        drop(entered);

        let deadline = patience.map(|patience| Instant::now().checked_add(patience));
        let (blocking_dropped, blocking_running) = match deadline {
            Some(Some(deadline)) => self.shared.blocking.shut_down(Some(deadline)),
            Some(None) | None => self.shared.blocking.shut_down(None),
        };
        ShutdownReport { pending, blocking_dropped, blocking_running }
    }

    pub(crate) fn pending(&self) -> Vec<PendingTask> {
        let core = self.core.borrow();
        let pending = core.tasks.in_order().into_iter().map(|entry| {
            let (header, info) = (entry.task.header(), core.directory.info(entry.partition()));
            PendingTask {
                id: header.id(),
                location: header.location(),
                partition: info.map_or_else(String::new, |info| info.name()),
                name: entry.name().map(str::to_owned),
            }
        });
        pending.collect()
    }

    /// Ends every task by a last poll that drops its future, in the order of spawning and each in
    /// its own partition.
    fn drop_tasks(&self) {
        let tasks: Vec<_> = {
            let core = self.core.borrow();
            core.tasks.in_order().iter().map(|entry| entry.task.clone()).collect()
        };
        for task in &tasks {
            task.abort();
        }
        let mut last = Vec::new();
        self.collect_handles(&mut last);
        assert_eq!(last.len(), self.core.borrow().tasks.len(), "an aborted task has a handle");
        last.sort_by_key(|task| {
            self.core.borrow().tasks.by_key(task.header().key()).map(|task| task.spawned())
        });
        for task in last {
            self.drop_task(task);
        }
    }

    fn drop_task(&self, task: Runnable<Shared>) {
        self.core.borrow_mut().enter(task.header().partition());
        task.cancel();
        self.core.borrow_mut().leave();
    }

    /// Takes every handle out of the queues, whatever the budgets say.
    fn collect_handles(&self, tasks: &mut Vec<Runnable<Shared>>) {
        loop {
            self.receive_all();
            let action = self.core.borrow_mut().next();
            match action {
                Action::Run(_, handle) => {
                    let _ = self.core.borrow_mut().ran();
                    tasks.extend(handle.open());
                }
                Action::Deliver | Action::Harvest => self.core.borrow_mut().delivered(false),
                Action::Sleep => return,
            }
        }
    }

    fn receive_all(&self) {
        while self.has_mail() {
            self.receive();
        }
    }

    /// Frees what the tasks referred to. The queues hold markers at most, and a poll of a future
    /// that `block_on` ran once.
    fn tidy_queues(&self) {
        let mut tasks = Vec::new();
        self.collect_handles(&mut tasks);
        assert!(tasks.is_empty(), "a task was woken after all of them had ended");
        self.bury();
    }

    /// Wakes whoever still waits for a socket of this loop, on whatever thread: it gets an error.
    fn shut_sources(&self) {
        let sources: Vec<_> = self.core.borrow().io.sources().cloned().collect();
        for waker in sources.iter().flat_map(|source| source.shutdown()) {
            self.shared.panic_hook.contain(|| waker.wake());
        }
    }

    /// Wakes whoever still waits for a timer of this loop, on whatever thread: it is told that the
    /// loop is gone.
    fn end_timers(&self) {
        let alarms = {
            let core = &mut *self.core.borrow_mut();
            core.timers.end(&core.tasks)
        };
        for alarm in alarms {
            self.shared.panic_hook.contain(|| alarm.waker.wake());
        }
    }
}
