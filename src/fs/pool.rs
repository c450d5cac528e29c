//! Calls that may wait for the disk, on threads of the pool.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::runtime::inside::{Inside, Need, in_need};
use crate::{JoinError, JoinHandle};

/// Makes a future that needs a runtime whose threads may wait.
pub(super) fn on_threads<F: Future>(what: &'static str, future: F) -> Inside<F> {
    in_need(Need::Threads, what, future)
}

/// Does something on a thread of the pool. Once begun it is done, whether anybody waits or not.
pub(super) async fn run<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    outcome(crate::spawn_blocking(job).await)
}

/// Finds something out on a thread of the pool. If nobody waits any more it need not begin.
pub(super) async fn ask<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    outcome(Asked(crate::spawn_blocking(job)).await)
}

/// Does something to a path.
pub(super) async fn on_path<T: Send + 'static>(
    path: impl AsRef<Path>,
    call: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    run(move || call(path)).await
}

/// Does something that takes two paths.
pub(super) async fn on_paths<T: Send + 'static>(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    call: impl FnOnce(PathBuf, PathBuf) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    run(move || call(from, to)).await
}

fn outcome<T>(joined: Result<io::Result<T>, JoinError>) -> io::Result<T> {
    match joined {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(error) => Err(io::Error::other(error)),
        },
    }
}

/// A job that is taken back, if it has not begun, when this is dropped.
struct Asked<T>(JoinHandle<T>);

impl<T> Future for Asked<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
