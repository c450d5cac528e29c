//! Ports, and the names of hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::arena::Id;
use super::fault::Fault;

/// The ports given out to whoever asks for none in particular, as on Linux.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// Who is bound to what. The machine has every address there is.
#[derive(Debug)]
pub(super) struct Ports {
    /// Listeners and datagram sockets.
    bound: BTreeMap<(Protocol, u16, IpAddr), Id>,
    /// The connections there are, from the client's address to the server's.
    pairs: BTreeSet<(SocketAddr, SocketAddr)>,
    /// The next to be given out.
    next: u16,
}

impl Ports {
    pub(super) fn new() -> Self {
        Self { bound: BTreeMap::new(), pairs: BTreeSet::new(), next: *EPHEMERAL.start() }
    }

    /// Returns the address that is meant, with a port, if it can be had.
    pub(super) fn choose(
        &mut self,
        protocol: Protocol,
        addr: SocketAddr,
    ) -> Result<SocketAddr, Fault> {
        if addr.port() != 0 {
            return if self.is_free(protocol, addr) { Ok(addr) } else { Err(Fault::AddressInUse) };
        }
        self.ephemeral(|ports, port| {
            let addr = SocketAddr::new(addr.ip(), port);
            ports.is_free(protocol, addr).then_some(addr)
        })
        .ok_or(Fault::AddressInUse)
    }

    /// Finds the next port that will do.
    fn ephemeral<R>(&mut self, mut find: impl FnMut(&mut Self, u16) -> Option<R>) -> Option<R> {
        for _ in EPHEMERAL {
            let port = self.next;
            self.next = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if let Some(found) = find(self, port) {
                return Some(found);
            }
        }
        None
    }

    /// Whether nobody is bound to the address, or to all of which it is one, or to one of it.
    fn is_free(&self, protocol: Protocol, addr: SocketAddr) -> bool {
        let (port, ip) = (addr.port(), addr.ip());
        let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED)..=IpAddr::V6(Ipv6Addr::from(u128::MAX));
        let mut at_port =
            self.bound.range((protocol, port, *all.start())..=(protocol, port, *all.end()));
        !at_port.any(|((_, _, bound), _)| overlap(*bound, ip))
    }

    pub(super) fn bind(&mut self, protocol: Protocol, addr: SocketAddr, id: Id) {
        self.bound.insert((protocol, addr.port(), addr.ip()), id);
    }

    pub(super) fn free(&mut self, protocol: Protocol, addr: SocketAddr) {
        self.bound.remove(&(protocol, addr.port(), addr.ip()));
    }

    /// Finds who is bound to an address, by itself or among all.
    pub(super) fn find(&self, protocol: Protocol, addr: SocketAddr) -> Option<Id> {
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        let own = if addr.is_ipv4() { v4 } else { v6 };
        let at = |ip| self.bound.get(&(protocol, addr.port(), ip));
        at(addr.ip()).or_else(|| at(own)).or_else(|| at(v6)).copied()
    }

    /// Gives a client the address from which to connect to `server`.
    ///
    /// It is the loopback's whatever the server's, so that a route to or from a server's host is
    /// told apart from one to or from its clients.
    pub(super) fn meet(&mut self, server: SocketAddr) -> Result<SocketAddr, Fault> {
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ip = if server.is_ipv4() { v4 } else { Ipv6Addr::LOCALHOST.into() };
        self.ephemeral(|ports, port| {
            let client = SocketAddr::new(ip, port);
            let is_free = ports.find(Protocol::Tcp, client).is_none();
            (is_free && client != server && ports.pairs.insert((client, server))).then_some(client)
        })
        .ok_or(Fault::NoAddress)
    }

    pub(super) fn part(&mut self, client: SocketAddr, server: SocketAddr) {
        self.pairs.remove(&(client, server));
    }
}

/// Whether two sockets at the same port would get in each other's way.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let all_v6 = |ip: IpAddr| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let same_family = a.is_ipv4() == b.is_ipv4();
    // The unspecified address of the newer family stands for both.
    a == b || all_v6(a) || all_v6(b) || (same_family && (a.is_unspecified() || b.is_unspecified()))
}

/// The table of hosts.
#[derive(Debug)]
pub(super) struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    pub(super) fn new() -> Self {
        let localhost = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Self(BTreeMap::from([("localhost".to_owned(), localhost)]))
    }

    pub(super) fn add(&mut self, name: &str, addrs: Vec<IpAddr>) {
        self.0.insert(name.to_ascii_lowercase(), addrs);
    }

    pub(super) fn find(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = name.parse() {
            return Ok(vec![ip]);
        }
        self.0.get(&name.to_ascii_lowercase()).cloned().ok_or_else(|| {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            let text = format!("no host is named `{name}`; known are: {}", known.join(", "));
            io::Error::new(io::ErrorKind::NotFound, text)
        })
    }
}
