//! How a file is opened.

use std::future::Future;
use std::io;
use std::path::Path;

use crate::fs::file::File;
use crate::fs::pool;

/// Describes how a file is to be opened, as [`std::fs::OpenOptions`] does.
///
/// # Examples
///
/// ```
/// use evenloop::fs::OpenOptions;
///
/// # let path = std::env::temp_dir().join(format!("evenloop-options-{}", std::process::id()));
/// # evenloop::block_on(async {
/// let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).await?;
/// file.write_all_at(b"journal", 0).await?;
/// assert_eq!(file.metadata().await?.len(), 7);
/// # evenloop::fs::remove_file(&path).await
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $name: bool) -> &mut Self {
            self.0.$name($name);
            self
        }
    )+};
}

impl OpenOptions {
    /// Begins with nothing set; at least one way of access has to be.
    #[must_use]
    pub fn new() -> Self {
        Self(std::fs::OpenOptions::new())
    }

    options! {
        /// Sets whether it may be read.
        read,
        /// Sets whether it may be written.
        write,
        /// Sets whether each write goes to the end of it.
        append,
        /// Sets whether what it has is cut off.
        truncate,
        /// Sets whether it is made if it is not there.
        create,
        /// Sets whether it is made, and must not be there yet.
        create_new,
    }

    /// Sets the permissions that a file has when it is made; 0o666 if this is not set.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.0, mode);
        self
    }

    /// Sets flags for the system's `open`, besides those that the other options stand for.
    #[cfg(unix)]
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut self.0, flags);
        self
    }

    /// Opens the file.
    ///
    /// # Panics
    ///
    /// Outside a runtime, and in a simulation.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::OpenOptions::open`], and one of kind [`Other`](io::ErrorKind::Other) if
    /// the runtime shuts down before a thread has begun.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled it is done: the file may have been made or cut, and is closed again.
    pub fn open(&self, path: impl AsRef<Path>) -> impl Future<Output = io::Result<File>> {
        let options = self.0.clone();
        pool::on_threads("fs::OpenOptions::open", async move {
            let file = pool::on_path(path, move |path| options.open(path)).await?;
            Ok(File::from_std(file))
        })
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        Self(options)
    }
}
