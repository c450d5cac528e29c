//! Linux can be asked not to wait: for a path since 5.12, for bytes since 4.14.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Look, Opened, Read};

/// Opens the file and tells which device it is on.
pub(in crate::fs) fn open(path: &Path, look: Look) -> Option<io::Result<(Opened, u64)>> {
    if look == Look::First {
        match open_with(path, OFlags::PATH).and_then(|file| rustix::fs::fstat(&file)) {
            Ok(stat) if is_regular(&stat) => {}
            Ok(_) => return None,
            Err(error) => return answer(error),
        }
    }
    // Without waiting for the writer of a pipe or the holder of a lease. A link may lead to another
    // file system, so it is not followed here.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let opened = open_with(path, flags).and_then(|file| {
        let stat = rustix::fs::fstat(&file)?;
        if look == Look::First {
            // It is opened to be kept, as anybody would have opened it.
            rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        }
        Ok((file, stat))
    });
    let (file, stat) = match opened {
        Ok(opened) => opened,
        Err(error) => return answer(error),
    };
    let opened = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Opened::Regular(file, stat.st_size as u64),
        FileType::Fifo => Opened::Pipe(file),
        _ => return None,
    };
    Some(Ok((opened, stat.st_dev)))
}

fn open_with(path: &Path, flags: OFlags) -> rustix::io::Result<File> {
    let flags = flags | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).map(File::from)
}

/// What is certain without waiting. All else is for the pool, which says it in the words of `std`.
fn answer<T>(error: Errno) -> Option<io::Result<T>> {
    match error {
        Errno::NOENT | Errno::ACCESS | Errno::MFILE | Errno::NFILE => Some(Err(error.into())),
        _ => None,
    }
}

fn is_regular(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Reads at the cursor, which moves on.
pub(in crate::fs) fn read(file: &File, buf: &mut [u8]) -> Read {
    // What the call takes for "at the cursor".
    read_at(file, buf, u64::MAX)
}

pub(in crate::fs) fn read_at(file: &File, buf: &mut [u8], at: u64) -> Read {
    if says_end_too_early() {
        return Read::Never;
    }
    loop {
        let bufs = &mut [IoSliceMut::new(buf)];
        return match rustix::io::preadv2(file.as_fd(), bufs, at, ReadWriteFlags::NOWAIT) {
            Ok(read) => Read::Done(Ok(read)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Read::NotNow,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Read::Never,
            Err(error) => Read::Done(Err(error.into())),
        };
    }
}

/// Linux 5.9 and 5.10 may say that a file ends where they would have to wait.
fn says_end_too_early() -> bool {
    static SAYS: OnceLock<bool> = OnceLock::new();
    *SAYS.get_or_init(|| {
        let uname = rustix::system::uname();
        let release = uname.release().to_bytes();
        release.starts_with(b"5.9.") || release.starts_with(b"5.10.")
    })
}

/// Returns the device of a regular file whose file system lives in this kernel alone, so that opening
/// its neighbours waits for nobody.
pub(in crate::fs) fn local_device(file: &File) -> Option<u64> {
    /// As in `linux/magic.h`: ext, XFS, Btrfs, tmpfs, F2FS, EROFS.
    const LOCAL: [u64; 6] =
        [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0xE0F5_E1E2];
    let stat = rustix::fs::fstat(file).ok().filter(is_regular)?;
    let kind = rustix::fs::fstatfs(file).ok()?.f_type;
    // Its type, signed or not and of 32 bits or more, depends on the machine.
    LOCAL.contains(&(kind as u64 & 0xFFFF_FFFF)).then_some(stat.st_dev)
}

/// Waits until a named pipe that was opened at once has had a writer, and has its reads wait.
pub(in crate::fs) fn wait_for_writer(pipe: &File) -> io::Result<()> {
    // A pipe says that nobody writes only after somebody has.
    while let Err(error) = poll(&mut [PollFd::new(pipe, PollFlags::IN)], None) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(pipe, flags - OFlags::NONBLOCK)?)
}
