//! Waiting for a future on this thread: by running its loop, or while another thread runs it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::runtime::context;
use crate::runtime::local::Local;
use crate::runtime::moves::Stage;
use crate::runtime::run::MainWaker;
use crate::runtime::shared::Shared;

impl Local {
    /// Runs the loop until `fut`, which lives in ROOT, is done.
    ///
    /// # Panics
    ///
    /// If this thread is in `block_on` already, and if `fut` panics.
    #[track_caller]
    pub(crate) fn block_on<F: Future>(self: &Rc<Self>, fut: F) -> F::Output {
        context::refuse_nesting();
        let _entered = context::enter_busy(self.clone());
        let mut fut = pin!(fut);
        let main = MainWaker::new(self.shared.clone());
        let waker = Waker::from(main.clone());
        let mut cx = Context::from_waker(&waker);
        let mut output = None;
        let _stage = Stage::enter(self, &main);
        self.run(&mut || {
            main.begin_poll();
            match catch_unwind(AssertUnwindSafe(|| fut.as_mut().poll(&mut cx))) {
                Ok(Poll::Pending) => {
                    self.attend();
                    if main.end_poll() {
                        self.queue_main();
                    }
                    false
                }
                Ok(Poll::Ready(value)) => {
                    output = Some(Ok(value));
                    true
                }
                Err(payload) => {
                    output = Some(Err(payload));
                    true
                }
            }
        });
        match output.expect("the loop runs until its main future is done") {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl Shared {
    /// Polls `fut` on this thread, which is not the loop's, until it is done.
    ///
    /// # Panics
    ///
    /// If this thread is in `block_on` already, and if `fut` panics.
    #[track_caller]
    pub(crate) fn wait_for<F: Future>(self: &Arc<Self>, fut: F) -> F::Output {
        context::refuse_nesting();
        let _entered = context::enter_waiting(self);
        let mut fut = pin!(fut);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = fut.as_mut().poll(&mut cx) {
                return output;
            }
            bell.wait();
        }
    }
}

/// Wakes a thread that waits for a future. Parking would do, but for futures that park as well.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    /// Waits until it has rung since the last wait.
    fn wait(&self) {
        let mut rung = self.lock();
        while !*rung {
            rung = self.rings.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.lock() = true;
        self.rings.notify_one();
    }
}
