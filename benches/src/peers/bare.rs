//! The floor: a queue of handles and a loop. One allocation a task, nothing atomic, no wakes from
//! elsewhere, no IO, no timers; a panic takes everything down.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::peer::Peer;

thread_local! {
    static QUEUE: RefCell<VecDeque<Rc<dyn Handle>>> = const { RefCell::new(VecDeque::new()) };
}

/// A `VecDeque` of tasks.
#[derive(Debug)]
pub struct Bare;

impl Peer for Bare {
    const NAME: &str = "bare queue";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut fut = pin!(fut);
        loop {
            // The caller's future is polled whenever the queue runs dry: it needs no waker.
            let polled = fut.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(output) = polled {
                return output;
            }
            let mut ran = false;
            while let Some(handle) = QUEUE.with_borrow_mut(VecDeque::pop_front) {
                handle.run();
                ran = true;
            }
            assert!(ran, "nobody would ever wake the future");
        }
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let task = Rc::new(Task {
            queued: Cell::new(true),
            stage: RefCell::new(Stage::Future(fut)),
            joiner: Cell::new(None),
        });
        QUEUE.with_borrow_mut(|queue| queue.push_back(task.clone()));
        Join(task)
    }
}

/// What is queued.
trait Handle {
    fn run(self: Rc<Self>);
}

struct Task<F: Future> {
    queued: Cell<bool>,
    stage: RefCell<Stage<F>>,
    joiner: Cell<Option<Waker>>,
}

enum Stage<F: Future> {
    Future(F),
    Output(F::Output),
    Over,
}

impl<F: Future + 'static> Handle for Task<F> {
    #[allow(unsafe_code)]
    fn run(self: Rc<Self>) {
        self.queued.set(false);
        // SAFETY: the functions of the table take what `Rc::as_ptr` gives, whose count they keep;
        // this waker has no count of its own and gives none back. It leaves this thread in no work.
        let waker = ManuallyDrop::new(unsafe { Waker::new(Rc::as_ptr(&self).cast(), Self::WAKER) });
        let mut stage = self.stage.borrow_mut();
        let Stage::Future(future) = &mut *stage else { return };
        // SAFETY: what is in an `Rc` stays where it is, and the future is dropped there.
        let future = unsafe { Pin::new_unchecked(future) };
        if let Poll::Ready(output) = future.poll(&mut Context::from_waker(&waker)) {
            *stage = Stage::Output(output);
            if let Some(joiner) = self.joiner.take() {
                joiner.wake();
            }
        }
    }
}

#[allow(unsafe_code)]
impl<F: Future + 'static> Task<F> {
    const WAKER: &RawWakerVTable =
        &RawWakerVTable::new(Self::clone, Self::wake, Self::wake_by_ref, Self::drop);

    unsafe fn clone(task: *const ()) -> RawWaker {
        // SAFETY: the pointer is that of an `Rc<Self>` which is there, as the caller has a waker.
        unsafe { Rc::increment_strong_count(task.cast::<Self>()) };
        RawWaker::new(task, Self::WAKER)
    }

    unsafe fn wake(task: *const ()) {
        // SAFETY: as in `clone`; the count is the waker's, which is at its end.
        Self::queue(unsafe { Rc::from_raw(task.cast::<Self>()) });
    }

    unsafe fn wake_by_ref(task: *const ()) {
        // SAFETY: as in `clone`; the count stays the waker's.
        let task = ManuallyDrop::new(unsafe { Rc::from_raw(task.cast::<Self>()) });
        if !task.queued.get() {
            Self::queue(Rc::clone(&task));
        }
    }

    unsafe fn drop(task: *const ()) {
        // SAFETY: as in `wake`.
        drop(unsafe { Rc::from_raw(task.cast::<Self>()) });
    }

    fn queue(task: Rc<Self>) {
        if !task.queued.replace(true) {
            QUEUE.with_borrow_mut(|queue| queue.push_back(task));
        }
    }
}

/// Waits for a task.
struct Join<F: Future>(Rc<Task<F>>);

impl<F: Future> Future for Join<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut stage = self.0.stage.borrow_mut();
        if let Stage::Output(_) = &*stage {
            let Stage::Output(output) = std::mem::replace(&mut *stage, Stage::Over) else {
                unreachable!("it was an output a moment ago")
            };
            return Poll::Ready(output);
        }
        self.0.joiner.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}
