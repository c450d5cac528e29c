//! Functions of paths: those of `std`, on the pool.

use std::fs::{Metadata, Permissions};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::pool::{ask, on_path, on_paths, on_threads, run};
use crate::fs::whole;

/// Reads a whole file.
///
/// A file that is in memory and has no more than 64 KiB is read at once, if the system can do so
/// without waiting; any other by one job of the pool.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`std::fs::read`], and one of kind [`Other`](io::ErrorKind::Other) if the runtime shuts
/// down before a thread has begun.
///
/// # Cancel safety
///
/// Nothing is lost but what was read.
///
/// # Examples
///
/// ```
/// # evenloop::block_on(async {
/// let manifest = evenloop::fs::read("Cargo.toml").await?;
/// assert_eq!(manifest, std::fs::read("Cargo.toml")?);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn read(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Vec<u8>>> {
    on_threads("fs::read", whole::read(path))
}

/// Reads a whole file of UTF-8, as [`read`] does.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`read`], and one of kind [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
///
/// # Cancel safety
///
/// Nothing is lost but what was read.
pub fn read_to_string(path: impl AsRef<Path>) -> impl Future<Output = io::Result<String>> {
    on_threads("fs::read_to_string", whole::read_to_string(path))
}

/// Writes a file of these contents, in the place of what it had before.
///
/// The contents are copied once, as they have to be on another thread.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`std::fs::write`], and one of kind [`Other`](io::ErrorKind::Other) if the runtime shuts
/// down before a thread has begun.
///
/// # Cancel safety
///
/// Once it was polled the file is written, for nobody.
///
/// # Examples
///
/// ```
/// # let path = std::env::temp_dir().join(format!("evenloop-write-{}", std::process::id()));
/// # evenloop::block_on(async {
/// evenloop::fs::write(&path, "alive").await?;
/// assert_eq!(evenloop::fs::read(&path).await?, b"alive");
/// # evenloop::fs::remove_file(&path).await
/// # }).unwrap();
/// ```
pub fn write(
    path: impl AsRef<Path>,
    contents: impl AsRef<[u8]>,
) -> impl Future<Output = io::Result<()>> {
    on_threads("fs::write", async move {
        let contents = contents.as_ref().to_vec();
        on_path(path, move |path| std::fs::write(path, contents)).await
    })
}

/// Returns what the file system knows of a file; of what a link leads to.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`std::fs::metadata`], and one of kind [`Other`](io::ErrorKind::Other) if the runtime
/// shuts down before a thread has begun.
///
/// # Cancel safety
///
/// Nothing is lost.
pub fn metadata(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Metadata>> {
    on_threads("fs::metadata", async move {
        let path = path.as_ref().to_owned();
        ask(move || std::fs::metadata(path)).await
    })
}

/// Makes a function of one path, which only looks.
macro_rules! looks {
    ($(#[$doc:meta])* $name:ident -> $output:ty) => {
        $(#[$doc])*
        ///
        /// # Panics
        ///
        /// Outside a runtime, and in a simulation.
        ///
        /// # Errors
        ///
        #[doc = concat!("Those of [`std::fs::", stringify!($name), "`], and one of kind")]
        /// [`Other`](io::ErrorKind::Other) if the runtime shuts down before a thread has begun.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub fn $name(path: impl AsRef<Path>) -> impl Future<Output = io::Result<$output>> {
            on_threads(concat!("fs::", stringify!($name)), async move {
                let path = path.as_ref().to_owned();
                ask(move || std::fs::$name(path)).await
            })
        }
    };
}

looks! {
    /// Returns what the file system knows of a file; of a link itself.
    symlink_metadata -> Metadata
}
looks! {
    /// Returns the absolute path, without links in it.
    canonicalize -> PathBuf
}
looks! {
    /// Returns where a link leads.
    read_link -> PathBuf
}

/// Returns whether there is something at this path. A link that leads nowhere is nothing.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`Path::try_exists`], and one of kind [`Other`](io::ErrorKind::Other) if the runtime
/// shuts down before a thread has begun.
///
/// # Cancel safety
///
/// Nothing is lost.
pub fn try_exists(path: impl AsRef<Path>) -> impl Future<Output = io::Result<bool>> {
    on_threads("fs::try_exists", async move {
        let path = path.as_ref().to_owned();
        ask(move || path.try_exists()).await
    })
}

/// Makes a function of one or two paths, which changes something.
macro_rules! changes {
    ($(#[$doc:meta])* $name:ident($($path:ident),+) by $on:ident -> $output:ty) => {
        $(#[$doc])*
        ///
        /// # Panics
        ///
        /// Outside a runtime, and in a simulation.
        ///
        /// # Errors
        ///
        #[doc = concat!("Those of [`std::fs::", stringify!($name), "`], and one of kind")]
        /// [`Other`](io::ErrorKind::Other) if the runtime shuts down before a thread has begun.
        ///
        /// # Cancel safety
        ///
        /// Once it was polled it is done, for nobody.
        pub fn $name($($path: impl AsRef<Path>),+) -> impl Future<Output = io::Result<$output>> {
            on_threads(concat!("fs::", stringify!($name)), $on($($path,)+ std::fs::$name))
        }
    };
}

changes! {
    /// Copies the contents and permissions of a file to another, in the place of what that had
    /// before. Returns how many bytes those were.
    copy(from, to) by on_paths -> u64
}
changes! {
    /// Makes a directory.
    create_dir(path) by on_path -> ()
}
changes! {
    /// Makes a directory, and those above it that are missing.
    create_dir_all(path) by on_path -> ()
}
changes! {
    /// Makes `link` another name of the file at `original`.
    hard_link(original, link) by on_paths -> ()
}
changes! {
    /// Removes an empty directory.
    remove_dir(path) by on_path -> ()
}
changes! {
    /// Removes a directory with everything in it. Links are removed, not followed.
    remove_dir_all(path) by on_path -> ()
}
changes! {
    /// Removes a file.
    remove_file(path) by on_path -> ()
}
changes! {
    /// Gives a file another name, in the place of what had that before.
    rename(from, to) by on_paths -> ()
}

/// Makes a symbolic link at `link` that leads to `original`.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`std::os::unix::fs::symlink`], and one of kind [`Other`](io::ErrorKind::Other) if the
/// runtime shuts down before a thread has begun.
///
/// # Cancel safety
///
/// Once it was polled it is done, for nobody.
#[cfg(unix)]
pub fn symlink(
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    on_threads("fs::symlink", on_paths(original, link, std::os::unix::fs::symlink))
}

/// Sets the permissions of a file.
///
/// # Panics
///
/// Outside a runtime, and in a simulation.
///
/// # Errors
///
/// Those of [`std::fs::set_permissions`], and one of kind [`Other`](io::ErrorKind::Other) if the
/// runtime shuts down before a thread has begun.
///
/// # Cancel safety
///
/// Once it was polled it is done, for nobody.
pub fn set_permissions(
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> impl Future<Output = io::Result<()>> {
    on_threads("fs::set_permissions", async move {
        let path = path.as_ref().to_owned();
        run(move || std::fs::set_permissions(path, permissions)).await
    })
}
