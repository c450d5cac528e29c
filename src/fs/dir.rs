//! Directories: their entries, and how they are made.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::JoinHandle;
use crate::fs::pool;
use crate::runtime::coop;

/// Entries that one job reads.
const ENTRIES_MAX: usize = 256;

/// Returns the entries of a directory, in the order of the file system, without `.` and `..`.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`std::fs::read_dir`], and one of kind [`Other`](io::ErrorKind::Other) if the runtime
/// shuts down before a thread has begun.
///
/// # Cancel safety
///
/// Nothing is lost.
///
/// # Examples
///
/// ```
/// # evenloop::block_on(async {
/// let mut names = Vec::new();
/// let mut entries = evenloop::fs::read_dir("src").await?;
/// while let Some(entry) = entries.next_entry().await? {
///     names.push(entry.file_name());
/// }
/// assert!(names.iter().any(|name| name == "lib.rs"));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn read_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<ReadDir>> {
    pool::on_threads("fs::read_dir", async move {
        let path = path.as_ref().to_owned();
        let batch = pool::ask(move || Ok(Batch::read(std::fs::read_dir(path)?))).await?;
        Ok(ReadDir { state: State::Read(batch) })
    })
}

/// The entries of a directory: made by [`read_dir`], and a [`Stream`].
///
/// Jobs of the pool read 256 of them each. One that fails does not end the rest.
pub struct ReadDir {
    state: State,
}

enum State {
    Read(Batch),
    Reads(JoinHandle<Batch>),
    /// It has failed for good: the runtime was shut down.
    Gone,
}

/// Entries that were read, and where those come from that were not.
struct Batch {
    entries: VecDeque<io::Result<DirEntry>>,
    /// `None` at the end.
    rest: Option<std::fs::ReadDir>,
}

impl Batch {
    fn read(mut rest: std::fs::ReadDir) -> Self {
        let mut entries = VecDeque::new();
        while entries.len() < ENTRIES_MAX {
            match rest.next() {
                Some(entry) => entries.push_back(entry.map(|entry| DirEntry(Arc::new(entry)))),
                None => return Self { entries, rest: None },
            }
        }
        Self { entries, rest: Some(rest) }
    }
}

impl ReadDir {
    /// Returns the next entry, or `None` after the last.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// If the entry cannot be read; the next one may be. Of kind [`Other`](io::ErrorKind::Other) if
    /// the runtime has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await.transpose()
    }

    fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            match &mut self.state {
                State::Read(batch) => {
                    if let Some(entry) = batch.entries.pop_front() {
                        progress.made();
                        return Poll::Ready(Some(entry));
                    }
                    let Some(rest) = batch.rest.take() else { return Poll::Ready(None) };
                    self.state = State::Reads(crate::spawn_blocking(|| Batch::read(rest)));
                }
                State::Reads(job) => match ready!(Pin::new(job).poll(cx)) {
                    Ok(batch) => self.state = State::Read(batch),
                    Err(error) => {
                        self.state = State::Gone;
                        return Poll::Ready(Some(Err(io::Error::other(error))));
                    }
                },
                State::Gone => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_entry(cx)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry(Arc<std::fs::DirEntry>);

impl DirEntry {
    /// Returns the path: that of the directory, as it was given, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// Returns the name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// Returns what the file system knows of it; of a link itself.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::DirEntry::metadata`], and one of kind [`Other`](io::ErrorKind::Other) if
    /// the runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn metadata(&self) -> impl Future<Output = io::Result<Metadata>> + use<> {
        let entry = self.0.clone();
        pool::on_threads("fs::DirEntry::metadata", pool::ask(move || entry.metadata()))
    }

    /// Returns what kind of file it is; a link is one.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::DirEntry::file_type`], and one of kind [`Other`](io::ErrorKind::Other) if
    /// the runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn file_type(&self) -> impl Future<Output = io::Result<FileType>> + use<> {
        let entry = self.0.clone();
        pool::on_threads("fs::DirEntry::file_type", pool::ask(move || entry.file_type()))
    }

    /// Returns the number of the inode.
    #[cfg(unix)]
    #[must_use]
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&*self.0)
    }
}

/// Describes how a directory is to be made, as [`std::fs::DirBuilder`] does.
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    #[cfg(unix)]
    mode: Option<u32>,
}

impl Default for DirBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl DirBuilder {
    /// Begins with one directory, of the permissions that are usual.
    #[must_use]
    pub fn new() -> Self {
        Self {
            recursive: false,
            #[cfg(unix)]
            mode: None,
        }
    }

    /// Sets whether directories above it that are missing are made, too; it is no error then if it
    /// is there.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Sets the permissions; 0o777 if this is not set.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Makes the directory.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and in a simulation.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::DirBuilder::create`], and one of kind [`Other`](io::ErrorKind::Other) if
    /// the runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled it is done, for nobody.
    pub fn create(&self, path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
        }
        pool::on_threads(
            "fs::DirBuilder::create",
            pool::on_path(path, move |path| builder.create(path)),
        )
    }
}
