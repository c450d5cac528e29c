//! Where a socket is found.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The address of a simulated socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    /// TCP or UDP.
    Ip(SocketAddr),
    /// A Unix socket with a name.
    Path(Arc<Path>),
    /// A Unix socket without one.
    Unnamed,
}

impl Address {
    /// Returns the address of a TCP or UDP socket.
    pub(crate) fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::Path(_) | Self::Unnamed => None,
        }
    }

    /// Returns the path of a Unix socket that has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Ip(_) | Self::Unnamed => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Path(path.into())
    }
}

/// What is meant by a destination that is no address in itself: this machine.
pub(super) fn destination(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        // How a socket that serves both families names the older one.
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(ip.into(), IpAddr::V4),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// The address as a socket that serves both families tells it.
pub(super) fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        IpAddr::V6(_) => addr,
    }
}
