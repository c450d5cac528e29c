//! An open file.

use std::fmt;
use std::fs::{Metadata, Permissions};
use std::future::{Future, poll_fn};
use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::fs::at_once::{self, Look, Opened};
use crate::fs::options::OpenOptions;
use crate::fs::pool;
use crate::fs::stream::Desk;

#[cfg(unix)]
mod anywhere;
mod methods;

/// An open file: a stream of bytes with a cursor, and bytes at any place.
///
/// The stream is read and written by the methods here, or by the traits of `futures-io`, and of
/// `tokio` with feature `tokio-io`. The cursor is the file's own, as in `std`.
///
/// # Reading
///
/// What is in memory already is read at once, into the buffer of the caller, if the system can be
/// asked for that; else a job of the pool reads it. If the next read has to wait as well, the stream
/// is read ahead: in pieces that grow up to 1 MiB, of which two lie ready at most. A read that was
/// given up has lost nothing: what it was for comes to the next one.
///
/// # Writing
///
/// A write is done when the bytes are taken: up to 1 MiB waits here, while a job writes what was taken
/// before. So an error may be told by a later call, up to [`flush`](Self::flush), which waits until
/// all is written; what was taken besides and not written then is given up. Bytes of a file that is
/// dropped without a flush are written all the same, and before the runtime has shut down; but nobody
/// hears of an error. To have them survive a loss of power takes [`sync_all`](Self::sync_all).
///
/// # Terminals and pipes
///
/// A read of what may never come takes a thread of the pool until it comes, and shutting the runtime
/// down waits for it. Meanwhile a write to the same file waits. For those there is
/// [`AsyncFd`](crate::net::AsyncFd).
///
/// # Threads
///
/// It is `Send + Sync`, belongs to no runtime, and uses the one of the task that uses it. Each
/// operation panics outside a runtime, and in a simulation.
///
/// # Examples
///
/// ```
/// use evenloop::fs::File;
/// use std::io::SeekFrom;
///
/// # let path = std::env::temp_dir().join(format!("evenloop-file-{}", std::process::id()));
/// # evenloop::block_on(async {
/// let mut file = File::options().create(true).read(true).write(true).open(&path).await?;
/// file.write_all(b"one two").await?;
/// file.seek(SeekFrom::Start(4)).await?;
/// let mut rest = String::new();
/// file.read_to_string(&mut rest).await?;
/// assert_eq!(rest, "two");
/// # evenloop::fs::remove_file(&path).await
/// # }).unwrap();
/// ```
pub struct File {
    desk: Arc<Desk>,
    /// Where `tokio`'s seek is to lead, which it says before it waits.
    #[cfg(feature = "tokio-io")]
    seek: Option<SeekFrom>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and in a simulation.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::File::open`], and one of kind [`Other`](io::ErrorKind::Other) if the
    /// runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; a file that was opened is closed.
    pub fn open(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        pool::on_threads("fs::File::open", async move {
            if let Some(opened) = at_once::open(path.as_ref(), Look::First) {
                let (Opened::Regular(file, _) | Opened::Pipe(file)) = opened?;
                return Ok(Self::from(file));
            }
            let (file, device) = pool::on_path(path.as_ref(), |path| {
                let file = std::fs::File::open(path)?;
                let device = at_once::local_device(&file);
                Ok((file, device))
            })
            .await?;
            if let Some(device) = device {
                at_once::learn(path.as_ref(), device);
            }
            Ok(Self::from(file))
        })
    }

    /// Opens a file for writing; makes it if it is not there, and cuts off what it has.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and in a simulation.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::File::create`], and one of kind [`Other`](io::ErrorKind::Other) if the
    /// runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled it is done: the file is there and empty, and is closed again.
    pub fn create(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        pool::on_threads("fs::File::create", async move {
            pool::on_path(path, std::fs::File::create).await.map(Self::from)
        })
    }

    /// Makes a file that must not be there, and opens it for reading and writing.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and in a simulation.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::File::create_new`], and one of kind [`Other`](io::ErrorKind::Other) if the
    /// runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled it is done: the file is there and empty, and is closed again.
    pub fn create_new(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        pool::on_threads("fs::File::create_new", async move {
            pool::on_path(path, std::fs::File::create_new).await.map(Self::from)
        })
    }

    /// Begins to describe how a file is to be opened.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Makes it of a file that is open. Its cursor is where it was.
    #[must_use]
    pub fn from_std(file: std::fs::File) -> Self {
        Self {
            desk: Arc::new(Desk::new(file)),
            #[cfg(feature = "tokio-io")]
            seek: None,
        }
    }

    /// Returns a file of `std` with this cursor, once all is written: another descriptor.
    ///
    /// # Errors
    ///
    /// What a write has come to, or if there is no descriptor left.
    ///
    /// # Cancel safety
    ///
    /// The file is dropped.
    pub async fn into_std(self) -> io::Result<std::fs::File> {
        self.settled().await?;
        self.desk.file.try_clone()
    }

    /// Returns another file with the same cursor, once all is written.
    ///
    /// Reads of either run on the pool from then on, as one would have to wait for the other.
    ///
    /// # Errors
    ///
    /// What a write has come to, or if there is no descriptor left.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn try_clone(&self) -> io::Result<Self> {
        self.settled().await?;
        let clone = Self::from(self.desk.file.try_clone()?);
        self.desk.never_ask();
        clone.desk.never_ask();
        Ok(clone)
    }

    /// Returns what the file system knows of it, once all is written.
    ///
    /// # Errors
    ///
    /// What a write has come to, and those of [`std::fs::File::metadata`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.flushed().await?;
        let desk = self.desk.clone();
        pool::ask(move || desk.file.metadata()).await
    }

    /// Sets the permissions.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::File::set_permissions`].
    ///
    /// # Cancel safety
    ///
    /// Once a thread may do it, it is done, for nobody.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.change(move |file| file.set_permissions(permissions)).await
    }

    /// Cuts the file, or extends it by zeros, once all is written. The cursor stays.
    ///
    /// # Errors
    ///
    /// What a write has come to, and those of [`std::fs::File::set_len`].
    ///
    /// # Cancel safety
    ///
    /// Once all is written it is done, for nobody.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(move |file| file.set_len(len)).await
    }

    /// Waits until all that was written, and what the file system knows of it, is on the disk.
    ///
    /// # Errors
    ///
    /// What a write has come to, and those of [`std::fs::File::sync_all`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.change(std::fs::File::sync_all).await
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// What a write has come to, and those of [`std::fs::File::sync_data`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.change(std::fs::File::sync_data).await
    }

    /// Does something to the file that the stream has to be up to date for.
    async fn change(
        &self,
        change: impl FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        self.settled().await?;
        let desk = self.desk.clone();
        pool::run(move || change(&desk.file)).await
    }

    async fn settled(&self) -> io::Result<()> {
        poll_fn(|cx| self.desk.poll_settled(cx)).await
    }

    async fn flushed(&self) -> io::Result<()> {
        poll_fn(|cx| self.desk.poll_flush(cx)).await
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        Self::from_std(file)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.desk.file).finish()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for File {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.desk.file.as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for File {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.desk.file.as_raw_fd()
    }
}

impl futures_io::AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.desk.poll_read(cx, buf)
    }
}

impl futures_io::AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.desk.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.desk.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.desk.poll_flush(cx)
    }
}

impl futures_io::AsyncSeek for File {
    fn poll_seek(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        self.desk.poll_seek(cx, to)
    }
}

#[cfg(feature = "tokio-io")]
impl tokio::io::AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = std::task::ready!(self.desk.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "tokio-io")]
impl tokio::io::AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.desk.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.desk.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.desk.poll_flush(cx)
    }
}

#[cfg(feature = "tokio-io")]
impl tokio::io::AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.seek = Some(to);
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        // Without a seek under way it tells where the cursor is.
        let to = self.seek.unwrap_or(SeekFrom::Current(0));
        let sought = std::task::ready!(self.desk.poll_seek(cx, to));
        self.seek = None;
        Poll::Ready(sought)
    }
}
