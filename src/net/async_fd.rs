//! Any fd that can be polled.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

use mio::Interest;
use socket2::SockRef;

use crate::driver::scheduled_io::Seen;
use crate::runtime::registration::Watched;
use crate::sched::Direction;

/// An fd of your own on the loop: a pipe, an eventfd, a device, a socket of another crate.
///
/// It waits for the fd; reading and writing are yours. The fd is taken off the loop before `T` is
/// dropped. While it is here, `T` must go on giving the same fd and must not close it.
///
/// # Examples
///
/// ```
/// use evenloop::net::{AsyncFd, Direction};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # evenloop::block_on(async {
/// let (reader, mut writer) = UnixStream::pair()?;
/// let reader = AsyncFd::new(reader)?;
/// writer.write_all(b"tick")?;
///
/// let mut buf = [0; 16];
/// let read = reader.async_io(Direction::Read, |mut reader| reader.read(&mut buf)).await?;
/// assert_eq!(&buf[..read], b"tick");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct AsyncFd<T: AsFd> {
    io: Watched<Fd<T>>,
}

/// Gives the number of the fd, as the registry wants it.
struct Fd<T>(T);

impl<T: AsFd> AsRawFd for Fd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> AsyncFd<T> {
    /// Sets the fd to non-blocking and puts it on the loop, for both directions.
    ///
    /// What is non-blocking is the open file, which duplicates of the fd share.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the fd is on the loop already, where the system tells so (Linux, but for
    /// one that was taken into a partition with isolated IO meanwhile; a kqueue moves the fd to the
    /// new registration instead); `PermissionDenied` if it cannot be polled,
    /// as a regular file cannot; else what the system says. `inner` is dropped then; see
    /// [`try_new`](Self::try_new).
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Self::try_new(inner).map_err(io::Error::from)
    }

    /// Like [`new`](Self::new); the error gives `inner` back.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn try_new(inner: T) -> Result<Self, AsyncFdError<T>> {
        Self::try_with(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// Like [`new`](Self::new), for one direction; waiting for the other would not end.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn one_way(inner: T, direction: Direction) -> io::Result<Self> {
        let interest = match direction {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        };
        Self::try_with(inner, interest).map_err(io::Error::from)
    }

    #[track_caller]
    fn try_with(inner: T, interest: Interest) -> Result<Self, AsyncFdError<T>> {
        if let Err(cause) = SockRef::from(&inner).set_nonblocking(true) {
            return Err(AsyncFdError { inner, cause });
        }
        match Watched::try_new(Fd(inner), interest, "net::AsyncFd") {
            Ok(io) => Ok(Self { io }),
            Err((Fd(inner), cause)) => Err(AsyncFdError { inner, cause }),
        }
    }

    /// Returns what it was made of.
    pub fn get_ref(&self) -> &T {
        &self.io.0
    }

    /// Returns what it was made of. It must keep its fd.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io.get_mut().0
    }

    /// Takes the fd off the loop. It stays non-blocking.
    pub fn into_inner(self) -> T {
        self.io.into_inner().0
    }

    /// Waits until the fd is ready. What follows is yours: if it finds nothing to do, say so by
    /// [`FdReady::clear`], or the next wait ends at once.
    ///
    /// # Errors
    ///
    /// The runtime having shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ready(&self, direction: Direction) -> io::Result<FdReady<'_, T>> {
        let seen = self.io.registration().readiness(direction).await?;
        Ok(FdReady { fd: self, direction, seen })
    }

    /// Waits until there is something to read, or nothing ever again.
    ///
    /// # Errors
    ///
    /// The runtime having shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<FdReady<'_, T>> {
        self.ready(Direction::Read).await
    }

    /// Waits until there is room to write, or none ever again.
    ///
    /// # Errors
    ///
    /// The runtime having shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn writable(&self) -> io::Result<FdReady<'_, T>> {
        self.ready(Direction::Write).await
    }

    /// Polls until the fd is ready; of several tasks that poll, the last is woken.
    ///
    /// # Errors
    ///
    /// The runtime having shut down.
    pub fn poll_ready(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<FdReady<'_, T>>> {
        let seen = ready!(self.io.registration().poll_ready(direction, cx))?;
        Poll::Ready(Ok(FdReady { fd: self, direction, seen }))
    }

    /// Does `f` as soon as the fd is ready for it, again while `f` says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// The error of `f`; the runtime having shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, no `f` has succeeded.
    pub async fn async_io<R>(
        &self,
        direction: Direction,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.registration().async_io(direction, || f(self.get_ref())).await
    }

    /// Does `f` if the fd is ready for it, and notes if `f` says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, without a call of `f`, if the fd is not ready; the error of `f`.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.registration().try_io(direction, || f(self.get_ref()))
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFd").field(self.get_ref()).finish()
    }
}

/// An fd that is ready, as far as is known.
#[must_use = "readiness that turns out to be over has to be cleared, or the next wait ends at once"]
pub struct FdReady<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    seen: Seen,
}

impl<'a, T: AsFd> FdReady<'a, T> {
    /// Says that the operation found nothing to do: the next wait is for the next event. Events
    /// since this one became ready are not forgotten.
    pub fn clear(self) {
        self.fd.io.registration().clear(self.direction, self.seen);
    }

    /// Does `f` on the fd, and [`clear`](Self::clear)s if it says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// The error of `f`.
    pub fn try_io<R>(self, f: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        let result = f(self.fd.get_ref());
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.clear();
        }
        result
    }

    /// Returns the fd.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.fd
    }
}

impl<T: AsFd> fmt::Debug for FdReady<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FdReady").field("direction", &self.direction).finish_non_exhaustive()
    }
}

/// An fd that could not be put on the loop. The loop is none the worse for it.
pub struct AsyncFdError<T> {
    inner: T,
    cause: io::Error,
}

impl<T> AsyncFdError<T> {
    /// Whether the fd is on the loop already.
    pub fn is_already_registered(&self) -> bool {
        self.cause.kind() == io::ErrorKind::AlreadyExists
    }

    /// Returns what was to be put on the loop, and why it was not.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.inner, self.cause)
    }
}

impl<T> From<AsyncFdError<T>> for io::Error {
    fn from(error: AsyncFdError<T>) -> Self {
        error.cause
    }
}

impl<T> fmt::Debug for AsyncFdError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFdError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AsyncFdError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_already_registered() {
            f.write_str("the fd is on the loop already")
        } else {
            fmt::Display::fmt(&self.cause, f)
        }
    }
}

impl<T> Error for AsyncFdError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}
