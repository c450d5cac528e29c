//! The two directions of a stream, apart.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use crate::net::TcpStream;
use crate::net::methods::{read_methods, write_methods};
use crate::net::stream::{ByteStream, close_write, read_traits, write_traits};

/// The reading half of a borrowed stream, from [`TcpStream::split`] or its like.
#[derive(Debug)]
pub struct ReadHalf<'a, S = TcpStream>(pub(super) &'a S);

/// The writing half of a borrowed stream, from [`TcpStream::split`] or its like.
#[derive(Debug)]
pub struct WriteHalf<'a, S = TcpStream>(pub(super) &'a S);

/// The reading half of a stream, from [`TcpStream::into_split`] or its like.
#[derive(Debug)]
pub struct OwnedReadHalf<S: ByteStream = TcpStream>(Arc<S>);

/// The writing half of a stream, from [`TcpStream::into_split`] or its like.
///
/// Dropping it ends the stream's writing side, so that the peer sees the end of the stream, even
/// while the reading half lives.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: ByteStream = TcpStream> {
    /// Gone only when the half has been put to another use than being dropped.
    stream: Option<Arc<S>>,
}

pub(super) fn into_split<S: ByteStream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream: Some(stream) })
}

impl<S: ByteStream> ReadHalf<'_, S> {
    read_methods!(|this| this.0);
}

impl<S> AsRef<S> for ReadHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}

impl<S: ByteStream> WriteHalf<'_, S> {
    write_methods!(|this| this.0);

    /// Ends the writing side: the peer sees the end of the stream.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self) -> io::Result<()> {
        self.0.close(Shutdown::Write)
    }
}

impl<S> AsRef<S> for WriteHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}

impl<S: ByteStream> OwnedReadHalf<S> {
    read_methods!(|this| &*this.0);

    /// Puts the two halves of a stream together again.
    ///
    /// # Errors
    ///
    /// If they are not of the same stream; the error gives them back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use evenloop::net::{TcpListener, TcpStream};
    /// # evenloop::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// let (read, write) = stream.into_split();
    /// let stream = read.reunite(write).expect("they are of the same stream");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn reunite(self, write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, write.stream()) {
            return Err(ReuniteError { read: self, write });
        }
        write.forget();
        Ok(Arc::into_inner(self.0).expect("a stream has two halves"))
    }
}

impl<S: ByteStream> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}

impl<S: ByteStream> OwnedWriteHalf<S> {
    write_methods!(|this| &**this.stream());

    fn stream(&self) -> &Arc<S> {
        self.stream.as_ref().expect("the stream is there until the end")
    }

    /// Puts the two halves of a stream together again.
    ///
    /// # Errors
    ///
    /// If they are not of the same stream; the error gives them back.
    pub fn reunite(self, read: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        read.reunite(self)
    }

    /// Drops the half without ending the writing side.
    pub fn forget(mut self) {
        self.stream = None;
    }

    /// Ends the writing side: the peer sees the end of the stream.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream().close(Shutdown::Write)
    }
}

impl<S: ByteStream> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.stream()
    }
}

impl<S: ByteStream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // Fails if the peer is gone, who then needs no telling.
            let _ = close_write(&**stream);
        }
    }
}

read_traits!(['a, S: ByteStream] ReadHalf<'a, S>, |this| this.0);
write_traits!(['a, S: ByteStream] WriteHalf<'a, S>, |this| this.0);
read_traits!([S: ByteStream] OwnedReadHalf<S>, |this| &*this.0);
write_traits!([S: ByteStream] OwnedWriteHalf<S>, |this| &**this.stream());

/// Two halves that are not of the same stream.
pub struct ReuniteError<S: ByteStream = TcpStream> {
    /// The reading half that was given.
    pub read: OwnedReadHalf<S>,
    /// The writing half that was given.
    pub write: OwnedWriteHalf<S>,
}

impl<S: ByteStream> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: ByteStream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are halves of two streams")
    }
}

impl<S: ByteStream> Error for ReuniteError<S> {}
