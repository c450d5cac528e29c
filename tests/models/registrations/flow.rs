//! Bytes on their way from one end to the other.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

/// Makes the two ends of a connection.
pub(super) fn sockets() -> [OwnedFd; 2] {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (near, far) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("two fds");
    [near, far]
}

/// Makes a pipe: what is read comes first.
pub(super) fn pipe() -> [OwnedFd; 2] {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("two fds");
    [reader, writer]
}

/// Whether more can be put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Room {
    #[default]
    Some,
    /// It was full, and something has been taken since. How much that has to be is the kernel's.
    Perhaps,
    None,
}

/// One direction. Its bytes are numbered, so each is known by its value.
#[derive(Debug, Default)]
pub(super) struct Flow {
    first: u8,
    pub(super) len: usize,
    pub(super) room: Room,
}

impl Flow {
    pub(super) fn put(&mut self, fd: &impl AsFd, max: usize, closed: bool) -> io::Result<usize> {
        let next = self.first.wrapping_add(self.len as u8);
        let bytes: Vec<u8> = (0..max).map(|n| next.wrapping_add(n as u8)).collect();
        match rustix::io::write(fd, &bytes).map_err(io::Error::from) {
            Ok(written) => {
                assert!(!closed || max == 0, "nobody is there to read it");
                self.len += written;
                Ok(written)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(self.len > 0, "BYTES: it is full of nothing");
                self.room = Room::None;
                Err(error)
            }
            // Whoever waits is told so, and has waited for just that.
            Err(error) if closed && is_of_the_end(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    pub(super) fn take(&mut self, fd: &impl AsFd, max: usize, closed: bool) -> io::Result<usize> {
        let mut bytes = vec![0; max];
        match rustix::io::read(fd, &mut *bytes).map_err(io::Error::from) {
            Ok(read) => {
                assert!(read <= self.len, "BYTES: more than were put in");
                for (n, byte) in bytes[..read].iter().enumerate() {
                    assert_eq!(*byte, self.first.wrapping_add(n as u8), "BYTES: another one");
                }
                assert!(read > 0 || max == 0 || closed && self.len == 0, "BYTES: an early end");
                self.first = self.first.wrapping_add(read as u8);
                self.len -= read;
                self.room = match (self.len, self.room) {
                    (0, _) | (_, Room::Some) => Room::Some,
                    _ if read > 0 => Room::Perhaps,
                    (_, room) => room,
                };
                Ok(read)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(self.len == 0 && !closed, "BYTES: lost on the way");
                Err(error)
            }
            // A socket that was closed with unread bytes resets the other.
            Err(error) if closed && is_of_the_end(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn is_of_the_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
