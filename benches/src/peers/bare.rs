//! The floor: a queue of handles and a loop. No wakes from elsewhere, no IO, no timers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_task::Runnable;

use crate::peer::Peer;

thread_local! {
    static QUEUE: RefCell<VecDeque<Runnable>> = const { RefCell::new(VecDeque::new()) };
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

    #[allow(unsafe_code)]
    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let schedule = |handle| QUEUE.with_borrow_mut(|queue| queue.push_back(handle));
        // SAFETY: the future and the closure borrow nothing. Handles and wakers stay on this
        // thread: whoever wakes from another finds a queue there that nobody runs, and no work does.
        let (handle, task) = unsafe { async_task::spawn_unchecked(fut, schedule) };
        handle.schedule();
        task
    }
}
