//! What is known of the tasks, and what is done to them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem::{ManuallyDrop, forget, take};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use evenloop::{JoinHandle, spawn_in};

use super::{Act, Body, Output, Script, Stranger, TASKS, Touch, noop, throw};

/// Partitions that tasks live in.
const PLACES: usize = 2;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cancelled,
    Panicked(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Unborn,
    Waits,
    /// Has a handle in the queue of its partition, or has not: see `World::perhaps_woken`.
    Perhaps,
    /// Has a handle in the queue of its partition.
    Queued,
    Runs {
        woken: bool,
    },
    /// Its future is being dropped.
    Ends,
    Over,
}

#[derive(Default)]
struct Task {
    life: Life,
    aborted: bool,
    end: Option<End>,
    /// Taken out while it is polled, or once its outcome was had.
    handle: Option<JoinHandle<Output>>,
    /// Given to the task by its latest poll.
    waker: Option<Waker>,
    /// The task that polled the handle last.
    joiner: Option<usize>,
    /// The same, when the handle has been dropped since.
    left: Option<usize>,
    futures: u32,
    outputs: u32,
}

pub(super) struct World {
    scripts: Vec<Script>,
    tasks: RefCell<[Task; TASKS]>,
    /// Tasks, and whether each is certain to be there.
    queues: RefCell<[VecDeque<(usize, bool)>; PLACES]>,
    /// Which tasks are polled, the innermost last.
    polled: RefCell<Vec<usize>>,
    /// Panics that have not arrived.
    flying: RefCell<Vec<String>>,
    strangers: Cell<usize>,
    /// Whether the loop has ended; then tasks end in the order in which it likes to drop them.
    is_shut: Cell<bool>,
    /// Whether there is no loop left on which anything could be spawned.
    is_gone: Cell<bool>,
    wrong: RefCell<Vec<String>>,
}

thread_local! {
    // Wakers are `Send`, and so know their world by the thread they are on.
    static WORLD: ManuallyDrop<RefCell<Option<Rc<World>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
}

pub(super) fn world() -> Rc<World> {
    WORLD.with(|world| world.borrow().clone().expect("a program runs"))
}

/// Begins a program. What one that failed has left is not touched again.
pub(super) fn replace(world: World) {
    forget(WORLD.with(|of_before| of_before.replace(Some(Rc::new(world)))));
}

pub(super) fn end() {
    WORLD.with(|world| world.take());
}

impl World {
    pub(super) fn new(scripts: &[Script]) -> Self {
        Self {
            scripts: scripts.to_vec(),
            tasks: RefCell::default(),
            queues: RefCell::default(),
            polled: RefCell::default(),
            flying: RefCell::default(),
            strangers: Cell::new(0),
            is_shut: Cell::new(false),
            is_gone: Cell::new(false),
            wrong: RefCell::default(),
        }
    }

    /// Panics of assertions inside tasks would be caught, so they are noted.
    pub(super) fn wrong(&self, what: &str) {
        self.wrong.borrow_mut().push(what.to_owned());
    }

    pub(super) fn well(&self) {
        assert_eq!(*self.wrong.borrow(), [""; 0]);
    }

    fn with<R>(&self, task: usize, f: impl FnOnce(&mut Task) -> R) -> R {
        f(&mut self.tasks.borrow_mut()[task])
    }

    fn life(&self, task: usize) -> Life {
        self.with(task, |task| task.life)
    }

    fn enqueue(&self, task: usize) {
        self.with(task, |task| task.life = Life::Queued);
        self.queues.borrow_mut()[task % PLACES].push_back((task, true));
    }

    /// Who dropped the handle of a task that has now ended may be woken by that, or not.
    fn perhaps_woken(&self, task: usize) {
        if self.life(task) == Life::Waits {
            self.with(task, |task| task.life = Life::Perhaps);
            self.queues.borrow_mut()[task % PLACES].push_back((task, false));
        }
    }

    /// A handle of the task is run.
    fn dequeue(&self, task: usize) {
        let queue = &mut self.queues.borrow_mut()[task % PLACES];
        // Those before it that were not certain to be there are not.
        while queue.front().is_some_and(|next| !next.1 && next.0 != task) {
            let absent = queue.pop_front().expect("seen").0;
            if !queue.contains(&(absent, true)) {
                self.with(absent, |absent| absent.life = Life::Waits);
            }
        }
        let next = queue.front().copied();
        if next.is_none_or(|next| next.0 != task) {
            self.wrong(&format!("FIFO: task {task} runs, and it is the turn of {next:?}"));
        }
        queue.retain(|queued| queued.0 != task);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.queues.borrow().iter().flatten().all(|queued| !queued.1)
    }

    // What the runtime does.

    pub(super) fn poll_starts(&self, task: usize, waker: Waker) {
        if self.is_shut.get() || self.with(task, |task| task.aborted) {
            self.wrong("GHOST: a task is polled after it was ended");
        }
        match self.life(task) {
            Life::Queued | Life::Perhaps => self.dequeue(task),
            life => self.wrong(&format!("GHOST: a task is polled that {life:?}")),
        }
        self.polled.borrow_mut().push(task);
        let old = self.with(task, |task| {
            task.life = Life::Runs { woken: false };
            task.waker.replace(waker)
        });
        drop(old);
    }

    fn poll_over(&self, task: usize) {
        if self.polled.borrow_mut().pop() != Some(task) {
            self.wrong("NESTED: a task was polled inside of another");
        }
    }

    pub(super) fn poll_pends(&self, task: usize) {
        self.poll_over(task);
        match self.life(task) {
            Life::Runs { woken: true } => self.enqueue(task),
            _ => self.with(task, |task| task.life = Life::Waits),
        }
    }

    pub(super) fn poll_ends(&self, task: usize, end: End) {
        self.poll_over(task);
        self.with(task, |task| task.end = Some(end));
    }

    pub(super) fn future_drops(&self, task: usize) {
        match self.life(task) {
            Life::Runs { .. } if self.with(task, |task| task.end.is_some()) => {}
            _ if self.is_shut.get() => {}
            Life::Queued if self.with(task, |task| task.aborted) => self.dequeue(task),
            life => self.wrong(&format!("GHOST: a future is dropped that {life:?}")),
        }
        self.with(task, |task| {
            task.futures += 1;
            task.life = Life::Ends;
            task.end.get_or_insert(End::Cancelled);
        });
    }

    pub(super) fn future_dropped(&self, task: usize, panic: Option<String>) {
        let output_follows = self.with(task, |task| {
            let was_done = task.end == Some(End::Done);
            match (panic, &task.end) {
                (Some(text), Some(End::Done | End::Cancelled)) => {
                    task.end = Some(End::Panicked(text));
                    was_done
                }
                _ => false,
            }
        });
        if !output_follows {
            self.completed(task);
        }
    }

    pub(super) fn output_drops(&self, task: usize) {
        self.with(task, |task| task.outputs += 1);
    }

    pub(super) fn output_dropped(&self, task: usize) {
        if self.life(task) == Life::Ends {
            self.completed(task);
        }
    }

    /// From here on the handle of a task tells how it ended; who joins is woken.
    fn completed(&self, task: usize) {
        let (joiner, left) = self.with(task, |task| {
            task.life = Life::Over;
            (task.joiner.take(), task.left.take())
        });
        joiner.iter().for_each(|joiner| self.woken(*joiner));
        left.iter().for_each(|left| self.perhaps_woken(*left));
    }

    /// Panics with `text`, which has to arrive.
    pub(super) fn fly(&self, text: String) -> ! {
        self.flying.borrow_mut().push(text.clone());
        throw(text)
    }

    pub(super) fn landed(&self, text: &str) {
        let mut flying = self.flying.borrow_mut();
        match flying.iter().position(|of_flight| of_flight == text) {
            Some(at) => drop(flying.swap_remove(at)),
            None => self.wrong(&format!("PANIC: {text} arrives out of nowhere")),
        }
    }

    // What the program does.

    pub(super) fn act(self: &Rc<Self>, act: Act, waker: &Waker) {
        match act {
            Act::Do(touch) => self.touch(touch, Some(waker)),
            Act::JoinBy(whom, wake, drop) => {
                self.strangers.set(self.strangers.get() + 1);
                let stranger = Stranger { number: self.strangers.get(), wake, drop };
                let stranger = Waker::from(Arc::new(stranger));
                self.join(whom, &stranger, None);
                // What its destructor throws, if it is dropped here, is ours.
                self.catch(|| std::mem::drop(stranger));
            }
            Act::Pend | Act::Yield | Act::Finish | Act::Panic => {}
        }
    }

    pub(super) fn touch(self: &Rc<Self>, touch: Touch, waker: Option<&Waker>) {
        match touch {
            Touch::Nothing => {}
            Touch::Spawn(task) => self.spawn(task),
            Touch::Wake(task) => {
                let waker = self.with(task, |task| task.waker.clone());
                if let Some(waker) = waker {
                    self.woken(task);
                    waker.wake_by_ref();
                }
            }
            Touch::WakeAway(task) => {
                let waker = self.with(task, |task| task.waker.take());
                if let Some(waker) = waker {
                    self.woken(task);
                    waker.wake();
                }
            }
            Touch::DropWaker(task) => drop(self.with(task, |task| task.waker.take())),
            Touch::Abort(task) => self.abort(task),
            // Without a loop what the output throws goes to nobody's hook.
            Touch::Detach(_) if self.is_gone.get() => {}
            Touch::Detach(task) => {
                let handle = self.with(task, |task| task.handle.take());
                if handle.is_some() {
                    self.with(task, |task| task.left = task.joiner.take());
                }
                // Never panics: nobody who drops a handle counts on it.
                drop(handle);
            }
            Touch::Join(task) => {
                let joiner = self.polled.borrow().last().copied().filter(|_| waker.is_some());
                self.join(task, waker.unwrap_or(noop()), joiner);
            }
            Touch::Ask(task) => self.ask(task),
        }
    }

    /// A waker of the task is about to be called.
    pub(super) fn woken(&self, task: usize) {
        match self.life(task) {
            Life::Waits | Life::Perhaps => self.enqueue(task),
            Life::Runs { .. } => self.with(task, |task| task.life = Life::Runs { woken: true }),
            Life::Unborn | Life::Queued | Life::Ends | Life::Over => {}
        }
    }

    fn spawn(&self, task: usize) {
        if self.life(task) != Life::Unborn || self.is_gone.get() {
            return;
        }
        if self.is_shut.get() {
            // The loop takes nothing in any more, so the future is dropped at once.
            self.with(task, |task| task.life = Life::Waits);
        } else {
            self.enqueue(task);
        }
        let body = Body::new(task, self.scripts[task].clone());
        let handle = spawn_in(task as u64 % PLACES as u64, body);
        let old = self.with(task, |task| task.handle.replace(handle));
        assert!(old.is_none(), "spawned once");
    }

    fn abort(&self, task: usize) {
        let handle = self.with(task, |task| task.handle.take());
        let Some(handle) = handle else { return };
        if !matches!(self.life(task), Life::Ends | Life::Over) {
            self.with(task, |task| task.aborted = true);
            self.woken(task);
        }
        handle.abort();
        self.put_back(task, handle);
    }

    fn ask(&self, task: usize) {
        let handle = self.with(task, |task| task.handle.take());
        let Some(handle) = handle else { return };
        if handle.is_finished() != (self.life(task) == Life::Over) {
            self.wrong(&format!("FINISHED: said of a task that {:?}", self.life(task)));
        }
        self.put_back(task, handle);
    }

    fn put_back(&self, task: usize, handle: JoinHandle<Output>) {
        let old = self.with(task, |task| task.handle.replace(handle));
        assert!(old.is_none(), "a handle was replaced while it was out");
    }

    /// Polls the handle of a task, for the task `joiner` if it is one.
    fn join(self: &Rc<Self>, task: usize, waker: &Waker, joiner: Option<usize>) {
        let handle = self.with(task, |task| task.handle.take());
        let Some(mut handle) = handle else { return };
        let is_over = self.life(task) == Life::Over;
        self.with(task, |task| task.joiner = joiner);
        let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(waker));
        if polled.is_ready() != is_over {
            self.wrong(&format!("JOIN: ready is {}, over {is_over}", polled.is_ready()));
        }
        match polled {
            Poll::Pending => self.put_back(task, handle),
            Poll::Ready(outcome) => {
                let end = self.with(task, |task| {
                    task.joiner = None;
                    task.end.clone()
                });
                let found = match outcome {
                    Ok(output) => {
                        if output.task != task {
                            self.wrong("OUTPUT of another task");
                        }
                        self.catch(|| drop(output));
                        End::Done
                    }
                    Err(error) if error.is_panic() => {
                        let text = *error.into_panic().downcast::<String>().expect("a text");
                        self.landed(&text);
                        End::Panicked(text)
                    }
                    Err(_) => End::Cancelled,
                };
                if end.as_ref() != Some(&found) {
                    self.wrong(&format!("OUTCOME: {found:?} of a task that had {end:?}"));
                }
                drop(handle);
            }
        }
    }

    /// Runs what may throw a planned panic.
    fn catch(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            match payload.downcast_ref::<String>() {
                Some(text) => self.landed(text),
                None => self.wrong("a panic that was not planned"),
            }
        }
    }

    /// The loop is about to end.
    pub(super) fn shut_down(&self) {
        self.well();
        self.is_shut.set(true);
    }

    /// All is over: nothing is left, and nothing happened twice.
    pub(super) fn over(self: &Rc<Self>) {
        self.is_gone.set(true);
        for task in 0..TASKS {
            let waker = self.with(task, |task| task.waker.take());
            drop(waker);
            // Who asks later is still told.
            self.join(task, noop(), None);
        }
        self.well();
        let tasks = take(&mut *self.tasks.borrow_mut());
        for (number, task) in tasks.iter().enumerate() {
            let was_born = u32::from(task.life != Life::Unborn);
            assert_eq!(task.futures, was_born, "task {number}: futures dropped");
            assert!(task.outputs <= was_born, "task {number}: outputs dropped");
            if task.end == Some(End::Done) {
                assert_eq!(task.outputs, 1, "task {number}: an output is lost");
            }
            assert!(task.handle.is_none(), "task {number}: its handle is not ready");
        }
        assert_eq!(*self.flying.borrow(), [""; 0], "PANIC: they never arrived");
    }
}
