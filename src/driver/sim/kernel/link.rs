//! What lies between two sockets.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::nanos;

/// The pieces in which bytes travel where the bandwidth is limited: about a millisecond's worth,
/// within these bounds.
const SEGMENT_MIN: u64 = 1_460;
const SEGMENT_MAX: u64 = 64 << 10;
const PER_MILLISECOND: u64 = 1_000;

const SECOND: u128 = 1_000_000_000;

/// How the two ends of a connection are joined: what its bytes and datagrams meet on their way.
///
/// Each direction of each connection has the whole bandwidth and both buffers to itself. Bytes of a
/// stream are never lost, doubled or reordered, however bad the link.
///
/// | what | default |
/// |---|---|
/// | [`latency`](Self::latency) | 50 µs, one way |
/// | [`bandwidth`](Self::bandwidth) | no limit |
/// | [`send_buffer`](Self::send_buffer), [`receive_buffer`](Self::receive_buffer) | 64 KiB each |
/// | [`datagram_max`](Self::datagram_max) | 65,507 bytes, what UDP can carry |
/// | short reads and writes, losses, reordering, resets | never |
///
/// Unix sockets know no distance: for them only buffers and short reads and writes count.
///
/// # Examples
///
/// A far database, behind a line on which a byte takes a microsecond:
///
/// ```
/// use evenloop::net::{TcpListener, TcpStream};
/// use evenloop::sim::{self, Link, Route};
/// use evenloop::time::{Duration, Instant};
///
/// let sim = sim::Runtime::new(1);
/// let far = Link::new().latency(Duration::from_millis(40)).bandwidth(1_000_000);
/// sim.network().set_link(Route::Of("10.0.0.7:5432".parse().unwrap()), far);
/// sim.block_on(async {
///     let listener = TcpListener::bind("10.0.0.7:5432").await?;
///     let client = TcpStream::connect("10.0.0.7:5432").await?;
///     let (server, _) = listener.accept().await?;
///
///     let start = Instant::now();
///     client.write_all(&[0; 10_000]).await?;
///     server.read_exact(&mut [0; 10_000]).await?;
///     assert_eq!(start.elapsed(), Duration::from_millis(40 + 10));
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The shortest and the longest, in nanoseconds.
    latency: (u64, u64),
    bandwidth: Option<NonZeroU64>,
    pub(super) send_buffer: usize,
    pub(super) receive_buffer: usize,
    pub(super) datagram_max: usize,
    pub(super) short_reads: f64,
    pub(super) short_writes: f64,
    pub(super) loss: f64,
    pub(super) reordering: f64,
    pub(super) resets: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: (50_000, 50_000),
            bandwidth: None,
            send_buffer: 64 << 10,
            receive_buffer: 64 << 10,
            datagram_max: 65_507,
            short_reads: 0.0,
            short_writes: 0.0,
            loss: 0.0,
            reordering: 0.0,
            resets: 0.0,
        }
    }
}

impl Link {
    /// Makes a link with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long everything takes from one end to the other.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        self.latency_between(latency, latency)
    }

    /// Sets bounds of the latency; for each segment and datagram the seed draws one between them.
    ///
    /// # Panics
    ///
    /// If `min` is longer than `max`.
    #[must_use]
    pub fn latency_between(mut self, min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the shortest latency {min:?} is longer than the longest, {max:?}");
        self.latency = (nanos(min), nanos(max));
        self
    }

    /// Sets how many bytes pass in a second, in each direction of each connection. What is to be
    /// sent queues for it.
    ///
    /// # Panics
    ///
    /// If it is zero; to let nothing pass, cut the link.
    #[must_use]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        let bandwidth = NonZeroU64::new(bytes_per_second);
        self.bandwidth = Some(bandwidth.expect("a bandwidth of zero passes nothing: cut the link"));
        self
    }

    /// Sets how many bytes a sender may write before the far end has them.
    ///
    /// As on Linux a stream whose buffer was full becomes writable again when a third of it is free.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "nothing could ever be written to a send buffer of zero bytes");
        self.send_buffer = bytes;
        self
    }

    /// Sets how many bytes that were not read yet wait at the far end. More than that is not sent;
    /// of datagrams it is lost.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "nothing could ever be read from a receive buffer of zero bytes");
        self.receive_buffer = bytes;
        self
    }

    /// Sets the length up to which datagrams can be sent: longer ones are an error.
    #[must_use]
    pub fn datagram_max(mut self, bytes: usize) -> Self {
        self.datagram_max = bytes;
        self
    }

    /// Sets the probability that a read gives only a part of what has arrived, as if the rest had
    /// come in right behind.
    ///
    /// # Panics
    ///
    /// If it is not between zero and one.
    #[must_use]
    pub fn short_reads(mut self, probability: f64) -> Self {
        self.short_reads = checked(probability);
        self
    }

    /// Sets the probability that a write takes only a part of what there is room for, as if more
    /// room had come right behind.
    ///
    /// # Panics
    ///
    /// If it is not between zero and one.
    #[must_use]
    pub fn short_writes(mut self, probability: f64) -> Self {
        self.short_writes = checked(probability);
        self
    }

    /// Sets the probability that a datagram is lost.
    ///
    /// # Panics
    ///
    /// If it is not between zero and one.
    #[must_use]
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = checked(probability);
        self
    }

    /// Sets the probability that a datagram is held up, by as much as four times the longest
    /// latency, so that later ones overtake it. All others stay in order.
    ///
    /// # Panics
    ///
    /// If it is not between zero and one.
    #[must_use]
    pub fn reordering(mut self, probability: f64) -> Self {
        self.reordering = checked(probability);
        self
    }

    /// Sets the probability that the connection is reset, each time that bytes are sent.
    ///
    /// # Panics
    ///
    /// If it is not between zero and one.
    #[must_use]
    pub fn resets(mut self, probability: f64) -> Self {
        self.resets = checked(probability);
        self
    }

    /// The same between two sockets of one machine.
    pub(super) fn near(&self) -> Self {
        Self { latency: (0, 0), bandwidth: None, resets: 0.0, ..self.clone() }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.bandwidth.is_some()
    }

    pub(super) fn draw_latency(&self, rng: &mut Rng) -> u64 {
        let (min, max) = self.latency;
        if min == max { min } else { rng.u64(min..=max) }
    }

    /// Draws by how much a datagram is held up.
    pub(super) fn draw_delay(&self, rng: &mut Rng) -> u64 {
        rng.u64(1..=self.latency.1.saturating_mul(4).max(1_000))
    }

    /// How long the wire is busy with so many bytes.
    pub(super) fn sending_time(&self, bytes: u64) -> u64 {
        let Some(bandwidth) = self.bandwidth else { return 0 };
        let time = (u128::from(bytes) * SECOND).div_ceil(u128::from(bandwidth.get()));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How many bytes travel together.
    pub(super) fn segment(&self) -> u64 {
        match self.bandwidth {
            None => u64::MAX,
            Some(bytes) => (bytes.get() / PER_MILLISECOND).clamp(SEGMENT_MIN, SEGMENT_MAX),
        }
    }
}

fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    probability
}

/// Says yes with a probability. What is certain takes nothing from the generator.
pub(super) fn chance(rng: &mut Rng, probability: f64) -> bool {
    probability > 0.0 && (probability >= 1.0 || rng.f64() < probability)
}

/// Which ways through the simulated network are meant.
///
/// In the addresses, an unspecified IP (`0.0.0.0`, `::`) stands for every one and port 0 for every
/// port, so that the address a listener tells can be used as it is. TCP clients have loopback
/// addresses, whatever host they connect to.
///
/// # Examples
///
/// ```
/// use evenloop::sim::{self, Link, Route};
/// use evenloop::time::Duration;
///
/// let network = sim::Runtime::new(1).network();
/// let slow = Link::new().latency(Duration::from_millis(5));
/// // Requests to whatever listens on port 80 are slow; answers are not.
/// network.set_link(Route::To("0.0.0.0:80".parse().unwrap()), slow);
/// // Nothing comes out of this machine any more.
/// network.cut(Route::From("10.0.0.7:0".parse().unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// All.
    All,
    /// What is sent to this address.
    To(SocketAddr),
    /// What is sent from this address.
    From(SocketAddr),
    /// What is sent to this address or from it: both directions of a server's connections.
    Of(SocketAddr),
}

impl Route {
    pub(super) fn covers(self, from: SocketAddr, to: SocketAddr) -> bool {
        match self {
            Self::All => true,
            Self::To(addr) => stands_for(addr, to),
            Self::From(addr) => stands_for(addr, from),
            Self::Of(addr) => stands_for(addr, from) || stands_for(addr, to),
        }
    }
}

impl From<SocketAddr> for Route {
    fn from(addr: SocketAddr) -> Self {
        Self::Of(addr)
    }
}

fn stands_for(pattern: SocketAddr, addr: SocketAddr) -> bool {
    (pattern.ip().is_unspecified() || pattern.ip() == addr.ip())
        && (pattern.port() == 0 || pattern.port() == addr.port())
}

/// Names a link in [`Links`], until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId(u32);

impl LinkId {
    /// Of all ways for which nothing else was said.
    const ALL: Self = Self(0);
    /// Of Unix sockets.
    pub(super) const NEAR: Self = Self(1);
}

/// The links of a network, and which ways are cut.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    /// The routes of the links after the first two. The last that covers a way counts.
    routes: Vec<Route>,
    cuts: Vec<Route>,
}

impl Links {
    pub(super) fn new(all: Link) -> Self {
        Self { links: vec![all.clone(), all.near()], routes: Vec::new(), cuts: Vec::new() }
    }

    pub(super) fn set(&mut self, route: Route, link: Link) {
        if route == Route::All {
            self.links = vec![link.clone(), link.near()];
            self.routes.clear();
            return;
        }
        let known = self.routes.iter().position(|known| *known == route);
        if let Some(index) = known {
            self.routes.remove(index);
            self.links.remove(index + 2);
        }
        self.routes.push(route);
        self.links.push(link);
    }

    pub(super) fn cut(&mut self, route: Route) {
        if !self.cuts.contains(&route) {
            self.cuts.push(route);
        }
    }

    /// Takes back a cut; `All` takes back all of them.
    pub(super) fn heal(&mut self, route: Route) {
        self.cuts.retain(|cut| route != Route::All && *cut != route);
    }

    pub(super) fn find(&self, from: SocketAddr, to: SocketAddr) -> LinkId {
        let found = self.routes.iter().rposition(|route| route.covers(from, to));
        found.map_or(LinkId::ALL, |index| LinkId(index as u32 + 2))
    }

    pub(super) fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.cuts.iter().any(|cut| cut.covers(from, to))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn get(&self, id: LinkId) -> &Link {
        &self.links[id.0 as usize]
    }
}
