//! Accepting when the system has run out of something.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::runtime::context;
use crate::runtime::registration::Registration;
use crate::sched::Direction;
use crate::time::sleep;

/// The first pause when the system has run out of descriptors or memory, and the longest.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(10);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Accepts by `f` until it works.
///
/// A connection that ended before it was accepted is passed over. If there are no descriptors or
/// buffers left, the connection stays in the backlog and is asked for again later: an error would
/// end most accept loops, and to try again at once would keep the thread busy for nothing.
pub(super) async fn accept<R>(
    registration: &Registration,
    mut f: impl FnMut() -> io::Result<R>,
) -> io::Result<R> {
    let mut pause = PAUSE_FIRST;
    loop {
        match registration.async_io(Direction::Read, || passing_over(&mut f)).await {
            Err(error) if is_exhausted(&error) => {
                sleep(pause).await;
                pause = PAUSE_MAX.min(pause * 2);
            }
            result => return result,
        }
    }
}

pin_project! {
    /// A connection on its way: accepted by `accepted`, and put on the loop of the thread that polls
    /// it by `finish`. Where there is no loop it says so at the line that awaits it.
    pub(super) struct Accept<A, F> {
        #[pin]
        accepted: A,
        finish: Option<F>,
        what: &'static str,
    }
}

impl<A, F, C, T> Accept<A, F>
where
    A: Future<Output = io::Result<C>>,
    F: FnOnce(C) -> io::Result<T>,
{
    /// `what` names the caller.
    pub(super) fn new(what: &'static str, accepted: A, finish: F) -> Self {
        Self { accepted, finish: Some(finish), what }
    }
}

impl<A, F, C, T> Future for Accept<A, F>
where
    A: Future<Output = io::Result<C>>,
    F: FnOnce(C) -> io::Result<T>,
{
    type Output = io::Result<T>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = self.project();
        let connection = ready!(this.accepted.poll(cx))?;
        drop(context::expect(this.what));
        let finish = this.finish.take().expect("a connection is accepted once");
        Poll::Ready(finish(connection))
    }
}

/// Accepts by `f`, past connections that ended in the backlog.
pub(super) fn passing_over<R>(mut f: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match f() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
}

#[cfg(unix)]
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;

    const EXHAUSTED: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&Errno::from_raw_os_error(code)))
}

#[cfg(not(unix))]
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    const WSAEMFILE: i32 = 10_024;
    const WSAENOBUFS: i32 = 10_055;
    matches!(error.raw_os_error(), Some(WSAEMFILE | WSAENOBUFS))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Running out is told apart from errors that waiting does not mend.
    #[test]
    fn exhaustion_is_told_apart() {
        use rustix::io::Errno;
        let error = |errno: Errno| io::Error::from(errno);
        assert!(is_exhausted(&error(Errno::MFILE)));
        assert!(is_exhausted(&error(Errno::NOMEM)));
        assert!(!is_exhausted(&error(Errno::BADF)));
        assert!(!is_exhausted(&io::Error::other("not of the system")));
    }

    /// A connection that ended early is no error of the listener.
    #[test]
    fn aborted_connections_are_passed_over() {
        let mut results = vec![
            Ok(7),
            Err(io::ErrorKind::ConnectionAborted),
            Err(io::ErrorKind::ConnectionAborted),
        ];
        let accept = || results.pop().expect("asked once too often").map_err(io::Error::from);
        assert_eq!(passing_over(accept).expect("a connection"), 7);
    }
}
