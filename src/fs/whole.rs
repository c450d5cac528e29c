//! Reading whole files: one look at what is in memory, else one job.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::task::{Poll, ready};

use crate::fs::at_once::{self, Look, Opened};
use crate::fs::pool;
use crate::runtime::coop;

/// Files up to this size are read at once if they are in memory: it takes some ten microseconds.
const SMALL_MAX: u64 = 1 << 16;

/// What is left to the pool.
enum Rest {
    /// All of it.
    Path(PathBuf),
    /// The file is open, and its first bytes were read.
    Begun(File, Vec<u8>, u64),
    /// A named pipe, which may have no writer yet.
    Pipe(File),
}

pub(super) async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let rest = {
        let path = path.as_ref();
        match proceed(|| at_once(path)).await {
            Ok(bytes) => return bytes,
            Err(rest) => rest,
        }
    };
    let (bytes, device) = pool::ask(move || rest.read()).await?;
    if let Some(device) = device {
        at_once::learn(path.as_ref(), device);
    }
    Ok(bytes)
}

/// Runs `f` once the task may make progress, which that is.
async fn proceed<T>(mut f: impl FnMut() -> T) -> T {
    poll_fn(|cx| {
        let progress = ready!(coop::poll_proceed(cx));
        let output = f();
        progress.made();
        Poll::Ready(output)
    })
    .await
}

/// Reads the file if that waits for nothing, or says what is left of it.
fn at_once(path: &Path) -> Result<io::Result<Vec<u8>>, Rest> {
    let (file, len) = match at_once::open(path, Look::Afterwards) {
        None => return Err(Rest::Path(path.to_owned())),
        Some(Err(error)) => return Ok(Err(error)),
        Some(Ok(Opened::Pipe(file))) => return Err(Rest::Pipe(file)),
        Some(Ok(Opened::Regular(file, len))) => (file, len),
    };
    if len > SMALL_MAX {
        return Err(Rest::Begun(file, Vec::new(), len));
    }
    // With room for one byte more, a read of exactly its length is one of all of it.
    let mut bytes = vec![0; len as usize + 1];
    let read = match at_once::read(&file, &mut bytes) {
        at_once::Read::Done(Ok(read)) => read,
        // The pool says what is wrong, or waits.
        _ => 0,
    };
    bytes.truncate(read);
    coop::spend(super::operations(read));
    match read as u64 == len {
        true => Ok(Ok(bytes)),
        false => Err(Rest::Begun(file, bytes, len)),
    }
}

impl Rest {
    /// Reads it, and tells the device if neighbours of the file may be opened at once.
    fn read(self) -> io::Result<(Vec<u8>, Option<u64>)> {
        match self {
            Self::Path(path) => {
                let file = File::open(path)?;
                let len = file.metadata()?.len();
                let device = at_once::local_device(&file);
                Ok((read_on(file, Vec::new(), len)?, device))
            }
            Self::Begun(file, bytes, len) => Ok((read_on(file, bytes, len)?, None)),
            Self::Pipe(file) => {
                at_once::wait_for_writer(&file)?;
                Ok((read_on(file, Vec::new(), 0)?, None))
            }
        }
    }
}

/// Reads from the cursor to the end, of a file that had `len` bytes.
fn read_on(mut file: File, mut bytes: Vec<u8>, len: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(len.saturating_sub(bytes.len()))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = read(path).await?;
    // As `std` says it.
    let error = || io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(bytes).map_err(|_| error())
}
