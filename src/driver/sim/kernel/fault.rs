//! The errors of system calls.

use std::io;

/// Why a system call failed. On Unix it becomes the system's own number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    WouldBlock,
    Refused,
    Reset,
    BrokenPipe,
    TimedOut,
    NotConnected,
    NoDestination,
    AddressInUse,
    NoAddress,
    BadAddress,
    BadValue,
    BadDescriptor,
    NoDescriptors,
    TooLong,
    Exists,
    NotFound,
    Denied,
    Unsupported,
}

#[cfg(unix)]
impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        use rustix::io::Errno;
        Self::from(match fault {
            Fault::WouldBlock => Errno::AGAIN,
            Fault::Refused => Errno::CONNREFUSED,
            Fault::Reset => Errno::CONNRESET,
            Fault::BrokenPipe => Errno::PIPE,
            Fault::TimedOut => Errno::TIMEDOUT,
            Fault::NotConnected => Errno::NOTCONN,
            Fault::NoDestination => Errno::DESTADDRREQ,
            Fault::AddressInUse => Errno::ADDRINUSE,
            Fault::NoAddress => Errno::ADDRNOTAVAIL,
            Fault::BadAddress => Errno::AFNOSUPPORT,
            Fault::BadValue => Errno::INVAL,
            Fault::BadDescriptor => Errno::BADF,
            Fault::NoDescriptors => Errno::MFILE,
            Fault::TooLong => Errno::MSGSIZE,
            Fault::Exists => Errno::EXIST,
            Fault::NotFound => Errno::NOENT,
            Fault::Denied => Errno::ACCESS,
            Fault::Unsupported => Errno::OPNOTSUPP,
        })
    }
}

#[cfg(not(unix))]
impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        use io::ErrorKind;
        const WSAEMFILE: i32 = 10_024;
        const WSAEMSGSIZE: i32 = 10_040;
        Self::from(match fault {
            Fault::WouldBlock => ErrorKind::WouldBlock,
            Fault::Refused => ErrorKind::ConnectionRefused,
            Fault::Reset => ErrorKind::ConnectionReset,
            Fault::BrokenPipe => ErrorKind::BrokenPipe,
            Fault::TimedOut => ErrorKind::TimedOut,
            Fault::NotConnected | Fault::NoDestination => ErrorKind::NotConnected,
            Fault::AddressInUse => ErrorKind::AddrInUse,
            Fault::NoAddress => ErrorKind::AddrNotAvailable,
            Fault::BadAddress | Fault::BadValue | Fault::BadDescriptor => ErrorKind::InvalidInput,
            Fault::NoDescriptors => return Self::from_raw_os_error(WSAEMFILE),
            Fault::TooLong => return Self::from_raw_os_error(WSAEMSGSIZE),
            Fault::Exists => ErrorKind::AlreadyExists,
            Fault::NotFound => ErrorKind::NotFound,
            Fault::Denied => ErrorKind::PermissionDenied,
            Fault::Unsupported => ErrorKind::Unsupported,
        })
    }
}
