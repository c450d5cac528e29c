//! The network of a simulation: what lies between its sockets, and what goes wrong there.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::driver::sim::{Kernel, Link, Route};

/// The sockets of a simulation and what lies between them.
///
/// It is one machine that has every address there is, so one server may listen at `10.0.0.1:80` and
/// another at `10.0.0.2:80`. As on one machine, a client has the address of the server it connects
/// to, and a port of its own. What lies between two addresses is a [`Link`]. All changes count from
/// now on, for connections that are open too.
///
/// # Examples
///
/// A partition of the network, and what a timeout makes of it:
///
/// ```
/// use evenloop::net::{TcpListener, TcpStream};
/// use evenloop::sim::{self, Route};
/// use evenloop::time::{Duration, timeout};
///
/// let sim = sim::Runtime::new(1);
/// let network = sim.network();
/// network.add_host("db", ["10.0.0.7".parse().unwrap()]);
/// sim.block_on(async {
///     let listener = TcpListener::bind("10.0.0.7:5432").await?;
///     let client = TcpStream::connect("db:5432").await?;
///     let (server, _) = listener.accept().await?;
///
///     network.cut(Route::Of(listener.local_addr()?));
///     client.write_all(b"anybody?").await?;
///     let mut buf = [0; 8];
///     let heard = timeout(Duration::from_secs(5), server.read_exact(&mut buf)).await;
///     assert!(heard.is_err());
///
///     network.heal(Route::All);
///     server.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"anybody?");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct Network {
    kernel: Arc<Kernel>,
}

impl Network {
    pub(super) fn new(kernel: Arc<Kernel>) -> Self {
        Self { kernel }
    }

    /// Joins by `link` what `route` covers. Of several links that cover a way, the one set last
    /// counts. What is under way arrives as it would have.
    pub fn set_link(&self, route: impl Into<Route>, link: Link) {
        self.kernel.set_link(route.into(), link);
    }

    /// Lets nothing pass any more. Datagrams are lost; bytes of streams wait for
    /// [`heal`](Self::heal), until their sender gives up after a quarter of an hour.
    pub fn cut(&self, route: impl Into<Route>) {
        self.kernel.cut(route.into());
    }

    /// Takes back a cut of this very route; [`Route::All`] takes back every cut.
    pub fn heal(&self, route: impl Into<Route>) {
        self.kernel.heal(route.into());
    }

    /// Resets all TCP connections that the route covers, and returns how many those were.
    pub fn reset_all(&self, route: impl Into<Route>) -> usize {
        self.kernel.reset_all(route.into())
    }

    /// Gives a host name its addresses. `localhost` is there from the start.
    pub fn add_host(&self, name: &str, addrs: impl IntoIterator<Item = IpAddr>) {
        self.kernel.add_host(name, addrs.into_iter().collect());
    }

    /// Sets how many file descriptors there may be; beyond it sockets fail as they do where a
    /// process has run out of them.
    pub fn set_descriptor_limit(&self, limit: u32) {
        self.kernel.set_descriptor_limit(limit);
    }

    /// Sets how many connections wait at the listeners that are bound from now on; at least one,
    /// 1,024 if it is not set.
    pub fn set_backlog(&self, connections: usize) {
        self.kernel.set_backlog(connections);
    }

    /// Returns how many sockets are open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.kernel.descriptors()
    }

    /// Returns how many connections there are, those included that are closed but whose last bytes
    /// are under way.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.kernel.connections()
    }

    /// Removes the file of a Unix socket, so that its path can be bound again.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none.
    pub fn unlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.kernel.unlink(path.as_ref())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("descriptors", &self.descriptors())
            .field("connections", &self.connections())
            .finish()
    }
}
