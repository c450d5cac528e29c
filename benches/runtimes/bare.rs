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

#[derive(Debug)]
pub(crate) struct Bare;

impl Peer for Bare {
    fn block_on<F: Future>(fut: F) -> F::Output {
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

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let schedule = |handle| QUEUE.with_borrow_mut(|queue| queue.push_back(handle));
        let (handle, task) = async_task::spawn(fut, schedule);
        handle.schedule();
        task
    }
}
