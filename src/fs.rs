//! Files and directories, without making the loop wait for a disk.
//!
//! | what | is |
//! |---|---|
//! | [`read`], [`read_to_string`], [`write`](write()), [`copy`] | whole files |
//! | [`File`], [`OpenOptions`] | an open file: a stream of bytes, and reads and writes anywhere |
//! | [`read_dir`], [`ReadDir`], [`DirEntry`], [`DirBuilder`] | directories |
//! | [`metadata`], [`rename`], [`remove_file`], … | what [`std::fs`] has, under the same names |
//!
//! Paths, errors and their kinds are those of `std`.
//!
//! # Where it happens
//!
//! A disk cannot be waited for as a socket can. So what may have to wait runs on the pool of
//! [`spawn_blocking`](crate::spawn_blocking()): one job for a whole file, a directory or a large piece
//! of a stream, not one for each system call. It ends with a wake, and that comes in through the
//! injector to the partition of the task that waits.
//!
//! What is in memory already needs no thread. On Linux (5.12 and newer) [`read`] and reads of a
//! [`File`] first ask the kernel for what it has without waiting, into the caller's own buffer, up to
//! 128 KiB at once: a small file that was used lately costs no more than with `std`, and a partition
//! is charged for the reads of its tasks. A read that the kernel would have to wait for goes to the
//! pool; a stream is then read ahead there, in pieces that grow up to 1 MiB, two of them at most.
//!
//! # Dropped futures
//!
//! What changes something (a write, a rename, …) is done once its future has been polled, whether
//! anybody waits for it or not, unless the runtime shuts down before a thread has begun it. What only
//! looks is taken back if no thread has begun it. A [`File`] keeps what was read for somebody who is
//! gone, and writes what it has taken, also when it is dropped.
//!
//! # Simulations
//!
//! A simulation has no threads and no files: everything here panics in one, and says so.
//!
//! # Examples
//!
//! ```
//! use evenloop::fs::{self, File};
//! use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
//! use futures_lite::stream::StreamExt;
//!
//! # let dir = std::env::temp_dir().join(format!("evenloop-fs-{}", std::process::id()));
//! # let path = dir.join("notes");
//! # evenloop::block_on(async {
//! fs::create_dir_all(&dir).await?;
//! fs::write(&path, "one\ntwo\n").await?;
//!
//! let mut file = fs::OpenOptions::new().append(true).open(&path).await?;
//! file.write_all(b"three\n").await?;
//! file.flush().await?;
//!
//! let lines = BufReader::new(File::open(&path).await?).lines();
//! assert_eq!(lines.count().await, 3);
//! fs::remove_dir_all(&dir).await?;
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod at_once;
mod dir;
mod file;
mod options;
mod paths;
mod pool;
mod stream;
mod whole;

pub use dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use file::File;
pub use options::OpenOptions;
#[cfg(unix)]
pub use paths::symlink;
pub use paths::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions,
    symlink_metadata, try_exists, write,
};

/// How many operations of a task a read of `bytes` counts for, besides the first.
fn operations(bytes: usize) -> u32 {
    /// As much as is read in about the time that a small operation takes.
    const BYTES: usize = 1 << 14;
    (bytes / BYTES) as u32
}
