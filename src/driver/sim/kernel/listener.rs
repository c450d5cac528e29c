//! A socket that takes connections, as its holder sees it.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Kernel;
use super::address::Address;
use super::arena::Id;
use super::connection::Side;
use super::descriptors::Fd;
use super::stream::{SimStream, checked_ttl};

/// A TCP or Unix listener. Closed when it is dropped; the file of a Unix listener stays.
pub(crate) struct SimListener {
    kernel: Arc<Kernel>,
    fd: Fd,
    id: Id,
}

impl SimListener {
    /// Listens. Port 0 is the next that is free; an unspecified IP stands for all.
    ///
    /// # Errors
    ///
    /// `AddrInUse`; no descriptor.
    pub(crate) fn bind(kernel: &Arc<Kernel>, address: Address) -> io::Result<Self> {
        let (fd, id) = kernel.enter().listen(address)?;
        Ok(Self { kernel: kernel.clone(), fd, id })
    }

    pub(crate) fn fd(&self) -> Fd {
        self.fd
    }

    /// Takes a connection that waits, with the address of its other end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; no descriptor, whether or not there is one.
    pub(crate) fn accept(&self) -> io::Result<(SimStream, Address)> {
        let mut state = self.kernel.enter();
        let (fd, id) = state.accept(self.id)?;
        let peer = state.address(id, Side::Client, Side::Server);
        drop(state);
        Ok((SimStream::new(self.kernel.clone(), (fd, id), Side::Server), peer))
    }

    pub(crate) fn local_addr(&self) -> io::Result<Address> {
        Ok(self.kernel.enter().listener(self.id).address.clone())
    }

    /// None ever comes up.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as the system's")]
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        Ok(self.kernel.enter().listener(self.id).ttl.into())
    }

    /// # Errors
    ///
    /// `InvalidInput` if it is not from 1 to 255.
    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = checked_ttl(ttl)?;
        self.kernel.enter().listener(self.id).ttl = ttl;
        Ok(())
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.kernel.close(self.fd);
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimListener").field("fd", &self.fd).finish_non_exhaustive()
    }
}
