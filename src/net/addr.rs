//! From names to addresses.

use std::future::Future;
use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs as Std,
};

use crate::runtime::inside::{Need, in_need};

/// What can be turned into socket addresses: addresses themselves, pairs of host and port, and
/// strings such as `"localhost:80"`.
///
/// Literal addresses are read on the spot; names are looked up by the system's resolver on the pool
/// of blocking threads. Implemented by this crate alone.
pub trait ToSocketAddrs: Lookup {}

/// What has to be done for the addresses. Public in name only, as its module is private.
#[doc(hidden)]
pub trait Lookup {
    fn addrs(&self) -> Addrs;
}

/// Addresses, or who to look up.
#[doc(hidden)]
#[derive(Debug)]
pub enum Addrs {
    Known(Vec<SocketAddr>),
    Name(String),
    NameAndPort(String, u16),
}

#[cfg(feature = "sim")]
impl Addrs {
    /// The addresses that a simulated kernel knows.
    fn simulated(self, kernel: &crate::driver::sim::Kernel) -> io::Result<Vec<SocketAddr>> {
        let (name, port) = match self {
            Self::Known(addrs) => return Ok(addrs),
            Self::NameAndPort(name, port) => (name, port),
            Self::Name(name) => {
                let split = name.rsplit_once(':').map(|(name, port)| (name, port.parse()));
                let Some((name, Ok(port))) = split else {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "the name has no port: say `name:port`",
                    ));
                };
                (name.to_owned(), port)
            }
        };
        let ips = kernel.lookup(&name)?;
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

/// Looks up the addresses of a host.
///
/// # Panics
///
/// Outside a runtime, if there is a name to look up.
///
/// # Errors
///
/// If the name is unknown or malformed, or the resolver cannot be reached.
///
/// # Cancel safety
///
/// Nothing is lost; a lookup that has begun goes on on its thread, for nobody.
///
/// # Examples
///
/// ```
/// use evenloop::net::lookup_host;
///
/// # evenloop::block_on(async {
/// let mut addrs = lookup_host("127.0.0.1:80").await?;
/// assert_eq!(addrs.next(), Some("127.0.0.1:80".parse().unwrap()));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn lookup_host(
    host: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<impl Iterator<Item = SocketAddr> + Send + 'static>> {
    let is_known = matches!(host.addrs(), Addrs::Known(_));
    let need = if is_known { Need::Nothing } else { Need::Anywhere };
    in_need(need, "net::lookup_host", async { resolve(host).await.map(Vec::into_iter) })
}

/// Returns all addresses of `addr`, in the resolver's order.
pub(super) async fn resolve(addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    let asked = addr.addrs();
    #[cfg(feature = "sim")]
    if let Some(kernel) = super::socket::kernel() {
        return asked.simulated(&kernel);
    }
    let lookup = match asked {
        Addrs::Known(addrs) => return Ok(addrs),
        Addrs::Name(name) => {
            crate::spawn_blocking(move || name.to_socket_addrs().map(Vec::from_iter))
        }
        Addrs::NameAndPort(name, port) => {
            crate::spawn_blocking(move || (&*name, port).to_socket_addrs().map(Vec::from_iter))
        }
    };
    lookup.await.map_err(io::Error::other)?
}

/// The error of a name that has no address.
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

fn known(literal: impl Into<SocketAddr>) -> Addrs {
    Addrs::Known(vec![literal.into()])
}

macro_rules! literal {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {}

        impl Lookup for $type {
            fn addrs(&self) -> Addrs {
                known(*self)
            }
        }
    )*};
}

literal!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for str {}

impl Lookup for str {
    fn addrs(&self) -> Addrs {
        self.parse().map_or_else(|_| Addrs::Name(self.to_owned()), |addr| Addrs::Known(vec![addr]))
    }
}

impl ToSocketAddrs for String {}

impl Lookup for String {
    fn addrs(&self) -> Addrs {
        self.as_str().addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {}

impl Lookup for (&str, u16) {
    fn addrs(&self) -> Addrs {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => known((ip, port)),
            Err(_) => Addrs::NameAndPort(host.to_owned(), port),
        }
    }
}

impl ToSocketAddrs for (String, u16) {}

impl Lookup for (String, u16) {
    fn addrs(&self) -> Addrs {
        (self.0.as_str(), self.1).addrs()
    }
}

impl ToSocketAddrs for [SocketAddr] {}

impl Lookup for [SocketAddr] {
    fn addrs(&self) -> Addrs {
        Addrs::Known(self.to_vec())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}

impl<T: Lookup + ?Sized> Lookup for &T {
    fn addrs(&self) -> Addrs {
        (**self).addrs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what is no literal costs a thread.
    #[test]
    fn literals_need_no_lookup() {
        let is_known = |addrs: Addrs| matches!(addrs, Addrs::Known(addrs) if addrs.len() == 1);
        assert!(is_known("127.0.0.1:1".addrs()));
        assert!(is_known("[::1]:1".to_owned().addrs()));
        assert!(is_known(("::1", 1).addrs()));
        assert!(is_known((Ipv4Addr::LOCALHOST, 1).addrs()));
        assert!(matches!("localhost:1".addrs(), Addrs::Name(name) if name == "localhost:1"));
        assert!(
            matches!(("localhost", 1).addrs(), Addrs::NameAndPort(name, 1) if name == "localhost")
        );
    }
}
