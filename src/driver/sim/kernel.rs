//! The kernel in memory.

use std::io;

use mio::Interest;

use crate::driver::Readied;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd(u32);

#[derive(Debug, Default)]
pub(crate) struct Kernel(());

impl Kernel {
    pub(crate) fn register(&self, _: Fd, _: usize, _: Interest) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn deregister(&self, _: Fd) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn poll(&self, _: &mut dyn FnMut(Readied)) -> usize {
        0
    }

    pub(crate) fn next_event(&self) -> Option<u64> {
        None
    }
}
