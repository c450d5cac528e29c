//! Futures that need a loop, and say so at the line where they are awaited.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::runtime::context;

/// Which loop a future needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// One that lives on the thread that polls it.
    Here,
    /// One that the thread is in, wherever it lives.
    Anywhere,
    /// The same, and no simulation: it is about to block a thread.
    Threads,
    /// None.
    Nothing,
}

pin_project! {
    /// A future that looks for its loop at its first poll, in the name of `what`. An `async fn`
    /// that panics does so at a line of its own.
    #[derive(Debug)]
    pub(crate) struct Inside<F> {
        #[pin]
        future: F,
        need: Need,
        what: &'static str,
    }
}

/// Makes a future that needs a loop on the thread that polls it.
pub(crate) fn inside<F: Future>(what: &'static str, future: F) -> Inside<F> {
    in_need(Need::Here, what, future)
}

pub(crate) fn in_need<F: Future>(need: Need, what: &'static str, future: F) -> Inside<F> {
    Inside { future, need, what }
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match std::mem::replace(this.need, Need::Nothing) {
            Need::Here => drop(context::expect(this.what)),
            Need::Anywhere => drop(context::expect_shared(this.what)),
            Need::Threads => context::expect_shared(this.what).refuse_simulation(this.what),
            Need::Nothing => {}
        }
        this.future.poll(cx)
    }
}
