//! The methods of streams and halves that need no trait in scope.

use std::io::{self, IoSlice, IoSliceMut};

use crate::net::stream::{Raw, short_below};
use crate::sched::Direction;

pub(super) async fn read<S: Raw>(stream: &S, buf: &mut [u8]) -> io::Result<usize> {
    let len = short_below::<S>(buf.len());
    stream.registration().transfer(Direction::Read, len, || stream.recv(buf)).await
}

pub(super) async fn read_vectored<S: Raw>(
    stream: &S,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let len = short_below::<S>(bufs.iter().map(|buf| buf.len()).sum());
    stream.registration().transfer(Direction::Read, len, || stream.recv_vectored(bufs)).await
}

pub(super) async fn read_exact<S: Raw>(stream: &S, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match read(stream, buf).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => buf = &mut buf[read..],
        }
    }
    Ok(())
}

/// The first and the largest piece by which a buffer grows.
const PIECE_MIN: usize = 1 << 10;
const PIECE_MAX: usize = 1 << 18;

pub(super) async fn read_to_end<S: Raw>(stream: &S, buf: &mut Vec<u8>) -> io::Result<usize> {
    let start = buf.len();
    let mut piece = PIECE_MIN;
    loop {
        let mut filled = Filled { len: buf.len(), buf: &mut *buf };
        filled.buf.resize(filled.len + piece, 0);
        let read = read(stream, &mut filled.buf[filled.len..]).await?;
        filled.len += read;
        drop(filled);
        if read == 0 {
            return Ok(buf.len() - start);
        }
        if read == piece {
            piece = PIECE_MAX.min(piece * 2);
        }
    }
}

/// Cuts the buffer back to what was read, also when the future is dropped.
struct Filled<'a> {
    buf: &'a mut Vec<u8>,
    len: usize,
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        self.buf.truncate(self.len);
    }
}

pub(super) async fn read_to_string<S: Raw>(stream: &S, buf: &mut String) -> io::Result<usize> {
    let mut bytes = Vec::new();
    let read = read_to_end(stream, &mut bytes).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    buf.push_str(text);
    Ok(read)
}

pub(super) async fn write<S: Raw>(stream: &S, buf: &[u8]) -> io::Result<usize> {
    stream.registration().transfer(Direction::Write, buf.len(), || stream.send(buf)).await
}

pub(super) async fn write_vectored<S: Raw>(stream: &S, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let len = bufs.iter().map(|buf| buf.len()).sum();
    stream.registration().transfer(Direction::Write, len, || stream.send_vectored(bufs)).await
}

pub(super) async fn write_all<S: Raw>(stream: &S, mut buf: &[u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match write(stream, buf).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => buf = &buf[written..],
        }
    }
    Ok(())
}

/// The reading methods; `$raw` is the way to the stream.
macro_rules! read_methods {
    (|$this:ident| $raw:expr) => {
        /// Reads some bytes; zero is the end of the stream, or of `buf`.
        ///
        /// # Errors
        ///
        /// What the system says, a reset by the peer for example. The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has read nothing.
        pub async fn read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            let $this = self;
            $crate::net::methods::read($raw, buf).await
        }

        /// Reads some bytes into several buffers, one after the other.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read).
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has read nothing.
        pub async fn read_vectored(
            &self,
            bufs: &mut [std::io::IoSliceMut<'_>],
        ) -> std::io::Result<usize> {
            let $this = self;
            $crate::net::methods::read_vectored($raw, bufs).await
        }

        /// Reads until `buf` is full.
        ///
        /// # Errors
        ///
        /// `UnexpectedEof` if the stream ends first; else as [`read`](Self::read). What was read up
        /// to then is in `buf`, and how much that is, is not told.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe: what was read is in `buf`, and how much that is, is not told.
        pub async fn read_exact(&self, buf: &mut [u8]) -> std::io::Result<()> {
            let $this = self;
            $crate::net::methods::read_exact($raw, buf).await
        }

        /// Reads to the end of the stream, appends to `buf` and returns the number of bytes.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read); what was read up to then is in `buf`.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it leaves in `buf` what it has read.
        pub async fn read_to_end(&self, buf: &mut Vec<u8>) -> std::io::Result<usize> {
            let $this = self;
            $crate::net::methods::read_to_end($raw, buf).await
        }

        /// Reads text to the end of the stream, appends to `buf` and returns the number of bytes.
        ///
        /// # Errors
        ///
        /// `InvalidData` if it is not UTF-8; else as [`read`](Self::read). `buf` is unchanged then,
        /// and what was read is lost.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe: what was read is lost.
        pub async fn read_to_string(&self, buf: &mut String) -> std::io::Result<usize> {
            let $this = self;
            $crate::net::methods::read_to_string($raw, buf).await
        }

        /// Waits until there is something to read, or nothing ever again.
        ///
        /// Now and then it is wrong, so the operation that follows may yet say `WouldBlock`.
        ///
        /// # Errors
        ///
        /// The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn readable(&self) -> std::io::Result<()> {
            let $this = self;
            let stream = $crate::net::stream::Raw::registration($raw);
            stream.readiness($crate::sched::Direction::Read).await.map(drop)
        }

        /// Reads some bytes if that needs no waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it does; else as [`read`](Self::read).
        pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            let $this = self;
            let stream = $raw;
            $crate::net::stream::Raw::registration(stream)
                .try_io($crate::sched::Direction::Read, || {
                    $crate::net::stream::Raw::recv(stream, buf)
                })
        }
    };
}

/// The writing methods; `$raw` is the way to the stream.
macro_rules! write_methods {
    (|$this:ident| $raw:expr) => {
        /// Writes some bytes and returns how many.
        ///
        /// # Errors
        ///
        /// What the system says, a broken pipe for example. The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has written nothing.
        pub async fn write(&self, buf: &[u8]) -> std::io::Result<usize> {
            let $this = self;
            $crate::net::methods::write($raw, buf).await
        }

        /// Writes some bytes of several buffers, one after the other, and returns how many.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write).
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has written nothing.
        pub async fn write_vectored(
            &self,
            bufs: &[std::io::IoSlice<'_>],
        ) -> std::io::Result<usize> {
            let $this = self;
            $crate::net::methods::write_vectored($raw, bufs).await
        }

        /// Writes all of `buf`.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write); how much was written up to then is not told.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe: a part of `buf` may have been written, and how much is not told.
        pub async fn write_all(&self, buf: &[u8]) -> std::io::Result<()> {
            let $this = self;
            $crate::net::methods::write_all($raw, buf).await
        }

        /// Does nothing: what is written is with the kernel already.
        ///
        /// It is there so that the same code serves buffered writers.
        ///
        /// # Errors
        ///
        /// None.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }

        /// Waits until there is room to write, or none ever again.
        ///
        /// Now and then it is wrong, so the operation that follows may yet say `WouldBlock`.
        ///
        /// # Errors
        ///
        /// The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn writable(&self) -> std::io::Result<()> {
            let $this = self;
            let stream = $crate::net::stream::Raw::registration($raw);
            stream.readiness($crate::sched::Direction::Write).await.map(drop)
        }

        /// Writes some bytes if that needs no waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it does; else as [`write`](Self::write).
        pub fn try_write(&self, buf: &[u8]) -> std::io::Result<usize> {
            let $this = self;
            let stream = $raw;
            $crate::net::stream::Raw::registration(stream)
                .try_io($crate::sched::Direction::Write, || {
                    $crate::net::stream::Raw::send(stream, buf)
                })
        }
    };
}

pub(super) use {read_methods, write_methods};
