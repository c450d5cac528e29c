//! What the kernel does without waiting, asked for on the loop's own thread.
//!
//! Most of what is read is in memory already, and then a thread of the pool costs more than the work.
//! Linux can be asked to look there and nowhere else: `RESOLVE_CACHED` for a path, `RWF_NOWAIT` for
//! bytes. It answers at once or says that it would have to wait, and then the pool does it. Other
//! systems cannot be asked, so there it is the pool from the start.
//!
//! Opening has one more danger: a file system behind a network, or behind a process, waits for those
//! in its own `open`. So a path is tried only where the pool has seen, in the same directory, a
//! regular file on a file system that lives in this kernel alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(not(target_os = "linux"))]
#[path = "at_once/elsewhere.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "at_once/linux.rs"]
mod system;

pub(super) use system::{local_device, read, read_at, wait_for_writer};

/// The most bytes that are read at once: what takes no longer than a few dozen microseconds.
pub(super) const BYTES_MAX: usize = 1 << 17;

/// What came of a read that was not to wait.
#[derive(Debug)]
pub(super) enum Read {
    /// It ended, in whatever way.
    Done(io::Result<usize>),
    /// It would have to wait.
    NotNow,
    /// This file, or this system, cannot be asked.
    Never,
}

/// A file that was opened for reading without waiting.
#[derive(Debug)]
pub(super) enum Opened {
    /// A regular file of so many bytes.
    Regular(File, u64),
    /// A named pipe that may have no writer yet, and is in non-blocking mode: see
    /// [`wait_for_writer`].
    Pipe(File),
}

/// When to look at what is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Before: nothing but a regular file is opened.
    First,
    /// Afterwards, which is cheaper. A named pipe has got its reader then.
    Afterwards,
}

/// Opens a file for reading. `None` if that might wait, or if the pool should say what is wrong.
pub(super) fn open(path: &Path, look: Look) -> Option<io::Result<Opened>> {
    let device = PLACES.with_borrow(|places| places.device_of(path))?;
    let (opened, found) = match system::open(path, look)? {
        Ok(found) => found,
        Err(error) => return Some(Err(error)),
    };
    if found != device {
        // Something else is mounted there, or the directory is another one.
        PLACES.with_borrow_mut(|places| places.forget(path));
    }
    Some(Ok(opened))
}

/// Takes note that `path` is a regular file on this device, which is local.
pub(super) fn learn(path: &Path, device: u64) {
    PLACES.with_borrow_mut(|places| places.learn(path, device));
}

thread_local! {
    static PLACES: RefCell<Places> = RefCell::default();
}

/// Directories, as they were spelled, and the local devices their files were on.
#[derive(Debug, Default)]
struct Places {
    devices: HashMap<Box<[u8]>, u64>,
}

impl Places {
    /// Directories that are remembered. Beyond that all are forgotten, which costs each of those in
    /// use one job.
    const MAX: usize = 1024;

    fn device_of(&self, path: &Path) -> Option<u64> {
        self.devices.get(directory(path)).copied()
    }

    fn learn(&mut self, path: &Path, device: u64) {
        if self.devices.len() >= Self::MAX {
            self.devices.clear();
        }
        self.devices.insert(directory(path).into(), device);
    }

    fn forget(&mut self, path: &Path) {
        self.devices.remove(directory(path));
    }
}

/// The path up to its last name. Not [`Path::parent`], which takes ten times as long.
fn directory(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_encoded_bytes();
    let end = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of a file holds for its neighbours, and for nobody else.
    #[test]
    fn places_are_directories() {
        let mut places = Places::default();
        places.learn(Path::new("/a/b"), 7);
        assert_eq!(places.device_of(Path::new("/a/c")), Some(7));
        for other in ["/a/b/c", "/b", "a/b", "b", "/a"] {
            assert_eq!(places.device_of(Path::new(other)), None, "{other}");
        }
        places.learn(Path::new("here"), 8);
        assert_eq!(places.device_of(Path::new("there")), Some(8));
        places.forget(Path::new("/a/whatever"));
        assert_eq!(places.device_of(Path::new("/a/b")), None);
    }

    /// However many directories there are, few are remembered.
    #[test]
    fn places_are_bounded() {
        let mut places = Places::default();
        for n in 0..3 * Places::MAX {
            places.learn(Path::new(&format!("/{n}/file")), 1);
            assert!(places.devices.len() <= Places::MAX);
        }
    }
}
