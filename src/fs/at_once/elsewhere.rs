//! A system that cannot be asked not to wait.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Look, Opened, Read};

pub(in crate::fs) fn open(_: &Path, _: Look) -> Option<io::Result<(Opened, u64)>> {
    None
}

pub(in crate::fs) fn read(_: &File, _: &mut [u8]) -> Read {
    Read::Never
}

pub(in crate::fs) fn read_at(_: &File, _: &mut [u8], _: u64) -> Read {
    Read::Never
}

pub(in crate::fs) fn local_device(_: &File) -> Option<u64> {
    None
}

pub(in crate::fs) fn wait_for_writer(_: &File) -> io::Result<()> {
    unreachable!("nothing is opened at once here")
}
