//! The right to a task's outcome.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, RawWakerVTable, Waker, ready};

use super::cell::{self, Header, Stays, contained, release_shared};
use super::home::{Home, Outcome, TaskId};
use super::refs::{Runnable, Task};

/// The right to a task's outcome. Dropped, it gives the outcome up, and the task goes on.
pub(crate) struct Joint<T, L: Home> {
    task: NonNull<Header<L>>,
    /// Which waker was put down last. The waker itself is not looked at, since it may be taken.
    joiner: Identity,
    outcome: PhantomData<fn() -> T>,
}

/// What tells a waker from others while it lives.
type Identity = (*const (), *const RawWakerVTable);

fn identity(waker: &Waker) -> Identity {
    (waker.data(), waker.vtable())
}

// SAFETY: the outcome is taken, or dropped, on the thread that the joint is on, so it has to be
// `Send`. The rest is what any reference to a task may do.
#[allow(unsafe_code)]
unsafe impl<T: Send, L: Home> Send for Joint<T, L> {}
// SAFETY: a shared joint gives access to the header alone.
#[allow(unsafe_code)]
unsafe impl<T, L: Home> Sync for Joint<T, L> {}

/// Makes a task of `future`, to be polled on the thread of the loop `home`. The runnable is to be
/// queued there, or refused.
///
/// A future that is not `Send` must be made a task on that thread.
pub(crate) fn spawn<F, L>(
    home: Arc<L>,
    id: TaskId,
    location: &'static Location<'static>,
    future: F,
) -> (Runnable<L>, Joint<F::Output, L>)
where
    F: Future + 'static,
    F::Output: 'static,
    L: Home,
{
    parts(cell::make(home, id, location, Stays::OnLoop, future))
}

/// Makes a task that any thread may run, to its end.
pub(crate) fn spawn_without_loop<F, L>(
    home: Arc<L>,
    id: TaskId,
    location: &'static Location<'static>,
    future: F,
) -> (Runnable<L>, Joint<F::Output, L>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    L: Home,
{
    parts(cell::make(home, id, location, Stays::Nowhere, future))
}

#[allow(unsafe_code)]
fn parts<T, L: Home>(task: NonNull<Header<L>>) -> (Runnable<L>, Joint<T, L>) {
    // SAFETY: the task was just made, and has two references: its own and that of the joint.
    let runnable = unsafe { Runnable::new(task) };
    (runnable, Joint { task, joiner: identity(Waker::noop()), outcome: PhantomData })
}

impl<T, L: Home> Joint<T, L> {
    #[allow(unsafe_code)]
    pub(crate) fn header(&self) -> &Header<L> {
        // SAFETY: the joint refers to the task.
        unsafe { self.task.as_ref() }
    }

    /// Refers to the task without a right to its outcome.
    #[allow(unsafe_code)]
    pub(crate) fn task(&self) -> Task<L> {
        // SAFETY: the reference is the joint's, and `borrowed` is not dropped.
        let borrowed = ManuallyDrop::new(unsafe { Task::from_counted(self.task) });
        Task::clone(&borrowed)
    }

    /// Whether the outcome is there.
    pub(crate) fn is_finished(&self) -> bool {
        self.header().word.is_done()
    }

    /// Returns the outcome once it is there, and leaves nothing in its place. Until then the waker of
    /// the last call is called when the task ends.
    ///
    /// # Panics
    ///
    /// If there is nothing to poll any more.
    pub(crate) fn poll(this: &mut Option<Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let joint = this.as_mut().expect("a JoinHandle was polled after it was ready");
        let outcome = ready!(joint.poll_outcome(cx));
        if let Some(joint) = this.take() {
            joint.give_up();
        }
        Poll::Ready(outcome)
    }

    /// Gives up the reference when the outcome was taken.
    #[allow(unsafe_code)]
    fn give_up(self) {
        let joint = ManuallyDrop::new(self);
        // SAFETY: the reference is given up, and the destructor does not run.
        unsafe { release_shared(joint.task) };
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let word = &self.header().word;
        if word.is_done() {
            return Poll::Ready(self.take());
        }
        if word.is_waited() {
            if self.joiner == identity(cx.waker()) {
                return Poll::Pending;
            }
            if !word.clear_waited() {
                return Poll::Ready(self.take());
            }
        }
        // Cloned before and dropped after the cell is touched: both may run foreign code.
        let new = cx.waker().clone();
        self.joiner = identity(&new);
        self.replace_joiner(Some(new));
        if self.header().word.set_waited() {
            return Poll::Pending;
        }
        self.replace_joiner(None);
        Poll::Ready(self.take())
    }

    /// Puts a waker down, and drops the one of before.
    #[allow(unsafe_code)]
    fn replace_joiner(&mut self, waker: Option<Waker>) {
        let joiner = self.header().joiner();
        // SAFETY: WAITED is not set, so the place is the joint's.
        let old = joiner.with_mut(|joiner| unsafe { std::mem::replace(&mut *joiner, waker) });
        if old.is_some() {
            if let Err(payload) = contained(|| drop(old)) {
                self.header().home().stray(payload);
            }
        }
    }

    #[allow(unsafe_code)]
    fn take(&mut self) -> Outcome<T> {
        let mut outcome = MaybeUninit::<Outcome<T>>::uninit();
        // SAFETY: DONE is set and this is the joint, which is given up when it has taken the outcome;
        // `T` is the output of the future that the task was made of, so the place is of its type.
        unsafe { (self.header().vtable().take)(self.task, outcome.as_mut_ptr().cast()) };
        // SAFETY: `take` has written it.
        unsafe { outcome.assume_init() }
    }
}

impl<T, L: Home> Drop for Joint<T, L> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        let word = &self.header().word;
        if word.is_waited() && word.clear_waited() {
            self.replace_joiner(None);
        }
        if self.header().word.detach() {
            return;
        }
        // SAFETY: DONE is set and this is the joint, which has not taken the outcome; the reference
        // is given up.
        unsafe {
            (self.header().vtable().discard)(self.task);
            release_shared(self.task);
        }
    }
}

impl<T, L: Home> fmt::Debug for Joint<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}
