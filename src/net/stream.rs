//! What TCP and Unix streams have in common, and the traits of others built on it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::task::{Context, Poll};

use crate::runtime::registration::Registration;
use crate::sched::Direction;

/// A stream of bytes that can be split in halves: [`TcpStream`](crate::net::TcpStream) and
/// [`UnixStream`](crate::net::UnixStream).
///
/// It says what the halves are generic over, and is implemented by this crate alone.
pub trait ByteStream: Raw + std::fmt::Debug + Send + Sync + Unpin + 'static {}

/// The system calls of a stream. Public in name only, as its module is private.
#[doc(hidden)]
#[allow(private_interfaces, reason = "nobody outside can name this trait")]
pub trait Raw {
    /// Whether a read of less than was asked for has emptied the socket. Not so where something
    /// else than the bytes' end makes a read short, as descriptors sent along a Unix socket do.
    const SHORT_READ_EMPTIES: bool;

    fn registration(&self) -> &Registration;
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    /// Fills the first bytes of `buf`, as many as it returns.
    fn recv_uninit(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize>;
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    fn close(&self, how: Shutdown) -> io::Result<()>;
}

/// The length below which a read is short.
pub(super) fn short_below<S: Raw>(len: usize) -> usize {
    if S::SHORT_READ_EMPTIES { len } else { 0 }
}

pub(super) fn poll_read<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    let len = short_below::<S>(buf.len());
    stream.registration().poll_transfer(Direction::Read, cx, len, || stream.recv(buf))
}

pub(super) fn poll_read_vectored<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> Poll<io::Result<usize>> {
    let len = short_below::<S>(bufs.iter().map(|buf| buf.len()).sum());
    stream.registration().poll_transfer(Direction::Read, cx, len, || stream.recv_vectored(bufs))
}

#[cfg(any(feature = "tokio-io", feature = "hyper"))]
fn poll_read_uninit<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    buf: &mut [MaybeUninit<u8>],
) -> Poll<io::Result<usize>> {
    let len = short_below::<S>(buf.len());
    stream.registration().poll_transfer(Direction::Read, cx, len, || stream.recv_uninit(buf))
}

pub(super) fn poll_write<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    stream.registration().poll_transfer(Direction::Write, cx, buf.len(), || stream.send(buf))
}

pub(super) fn poll_write_vectored<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let len = bufs.iter().map(|buf| buf.len()).sum();
    stream.registration().poll_transfer(Direction::Write, cx, len, || stream.send_vectored(bufs))
}

/// Ends the writing side. A peer that is gone already has nothing left to be told.
pub(super) fn close_write<S: Raw>(stream: &S) -> io::Result<()> {
    match stream.close(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

#[cfg(feature = "tokio-io")]
pub(super) fn poll_read_tokio<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    buf: &mut tokio::io::ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: the slice is written to by `recv_uninit` alone, which initialises and never
    // de-initialises.
    #[allow(unsafe_code)]
    let space = unsafe { buf.unfilled_mut() };
    let read = std::task::ready!(poll_read_uninit(stream, cx, space))?;
    // SAFETY: the kernel wrote the first `read` bytes of the unfilled part.
    #[allow(unsafe_code)]
    unsafe {
        buf.assume_init(read);
    }
    buf.advance(read);
    Poll::Ready(Ok(()))
}

#[cfg(feature = "hyper")]
pub(super) fn poll_read_hyper<S: Raw>(
    stream: &S,
    cx: &mut Context<'_>,
    mut buf: hyper::rt::ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: the slice is written to by `recv_uninit` alone, which initialises and never
    // de-initialises.
    #[allow(unsafe_code)]
    let space = unsafe { buf.as_mut() };
    let read = std::task::ready!(poll_read_uninit(stream, cx, space))?;
    // SAFETY: the kernel wrote the first `read` bytes of the unfilled part.
    #[allow(unsafe_code)]
    unsafe {
        buf.advance(read);
    }
    Poll::Ready(Ok(()))
}

/// Implements the reading traits for a type that reaches its stream by `$raw`.
macro_rules! read_traits {
    ([$($generics:tt)*] $type:ty, |$this:ident| $raw:expr) => {
        impl<$($generics)*> futures_io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::stream::poll_read($raw, cx, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::stream::poll_read_vectored($raw, cx, bufs)
            }
        }

        #[cfg(feature = "tokio-io")]
        impl<$($generics)*> tokio::io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                $crate::net::stream::poll_read_tokio($raw, cx, buf)
            }
        }

        #[cfg(feature = "hyper")]
        impl<$($generics)*> hyper::rt::Read for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: hyper::rt::ReadBufCursor<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                $crate::net::stream::poll_read_hyper($raw, cx, buf)
            }
        }
    };
}

/// Implements the writing traits for a type that reaches its stream by `$raw`.
macro_rules! write_traits {
    ([$($generics:tt)*] $type:ty, |$this:ident| $raw:expr) => {
        impl<$($generics)*> futures_io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::stream::poll_write($raw, cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::stream::poll_write_vectored($raw, cx, bufs)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::task::Poll::Ready($crate::net::stream::close_write($raw))
            }
        }

        #[cfg(feature = "tokio-io")]
        write_traits!(@like_tokio tokio::io::AsyncWrite, [$($generics)*] $type, |$this| $raw);

        #[cfg(feature = "hyper")]
        write_traits!(@like_tokio hyper::rt::Write, [$($generics)*] $type, |$this| $raw);
    };
    (@like_tokio $trait:path, [$($generics:tt)*] $type:ty, |$this:ident| $raw:expr) => {
        impl<$($generics)*> $trait for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::stream::poll_write($raw, cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $crate::net::stream::poll_write_vectored($raw, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::task::Poll::Ready($crate::net::stream::close_write($raw))
            }
        }
    };
}

/// Makes a byte stream of a type that watches a socket in its field `io`.
macro_rules! byte_stream {
    ($type:ident, short_read_empties: $short:expr) => {
        #[allow(private_interfaces, reason = "nobody outside can name this trait")]
        impl $crate::net::stream::Raw for $type {
            const SHORT_READ_EMPTIES: bool = $short;

            fn registration(&self) -> &$crate::runtime::registration::Registration {
                self.io.registration()
            }

            fn recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.io.recv(buf)
            }

            fn recv_vectored(
                &self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.io.recv_vectored(bufs)
            }

            fn recv_uninit(
                &self,
                buf: &mut [std::mem::MaybeUninit<u8>],
            ) -> std::io::Result<usize> {
                self.io.recv_uninit(buf)
            }

            fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.io.send(buf)
            }

            fn send_vectored(&self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.io.send_vectored(bufs)
            }

            fn close(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                self.io.shutdown(how)
            }
        }

        impl $crate::net::stream::ByteStream for $type {}

        read_traits!([] $type, |this| this);
        write_traits!([] $type, |this| this);
        read_traits!([] &$type, |this| *this);
        write_traits!([] &$type, |this| *this);
    };
}

pub(super) use {byte_stream, read_traits, write_traits};
