//! The fds of sockets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

macro_rules! fds {
    ($($type:ty),*) => {$(
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.io.os().as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.io.os().as_raw_fd()
            }
        }
    )*};
}

fds!(TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream);
