//! A kernel in memory: sockets, and the network between them, as a model of discrete events.
//!
//! ```text
//!   SimStream, SimListener, SimDatagram        Kernel::poll
//!          │ system calls                           ▲ what is ready, edge-triggered
//!          ▼                                        │
//!   ┌─ connections, listeners, datagrams ──────▶ descriptors ─┐
//!   │      │ sends              ▲ arrives                     │
//!   │      ▼                    │                             │
//!   └──────────── queue, by virtual time ─────────────────────┘
//! ```
//!
//! Nothing happens between two calls. Each call first lets happen, in its order, all that is due by
//! the clock's time, so what it sees does not depend on who called before. One seed decides all that
//! is left open: latencies, losses, short reads, and the order of what happens at the same time.
//!
//! The model is Linux's where the systems differ: which errors come when, and which calls make which
//! events. `tests/parity.rs` compares the two. It is one machine that has every address there is; what
//! lies between two of its addresses is a [`Link`]. It differs from Linux in what nobody should
//! depend on:
//!
//! | here | on Linux |
//! |---|---|
//! | a connection under way has a place in the backlog | it may find none at the last |
//! | what is written is sent at once, whatever `nodelay` | small writes are gathered |
//! | a writer is told of room if it had to stop | a Unix socket each time that its peer reads |
//! | so is one who sends datagrams to a Unix socket | only if it is connected to it |
//! | no probes of a silent peer, whatever `keepalive` | after hours |
//! | a buffer of so many bytes takes so many | it counts its own expenses |

mod address;
mod arena;
mod connection;
mod datagram;
mod descriptors;
mod fault;
mod handshake;
mod link;
mod listener;
mod messages;
mod names;
mod pipe;
mod queue;
mod stream;
mod transfer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use mio::Interest;

use super::super::Readied;
use crate::clock::Manual;

pub(crate) use address::Address;
pub(crate) use datagram::SimDatagram;
pub(crate) use descriptors::Fd;
pub use link::{Link, Route};
pub(crate) use listener::SimListener;
pub(crate) use stream::SimStream;

use arena::{Arena, Id};
use connection::Connection;
use descriptors::{Descriptors, Mask, Socket};
use fault::Fault;
use handshake::{Listener, Step};
use link::Links;
use messages::{Datagram, Post};
use names::{Hosts, Ports};
use queue::Queue;
use transfer::Traffic;

/// How many connections wait at a listener that was not told otherwise.
const BACKLOG: usize = 1_024;

/// A simulated kernel.
pub(crate) struct Kernel {
    clock: Arc<Manual>,
    state: Mutex<State>,
}

struct State {
    /// The time of what is happening: the clock's, or earlier while the kernel catches up with it.
    now: u64,
    rng: Rng,
    queue: Queue<Happening>,
    fds: Descriptors,
    streams: Arena<Connection>,
    listeners: Arena<Listener>,
    datagrams: Arena<Datagram>,
    links: Links,
    ports: Ports,
    /// The files that Unix sockets have made; the socket may be gone.
    paths: BTreeMap<Arc<Path>, Option<Socket>>,
    hosts: Hosts,
    backlog: usize,
    /// Kept for its memory.
    found: Vec<(u64, Readied)>,
}

/// What is to happen at some time.
#[derive(Debug)]
enum Happening {
    Step(Id, Step),
    Traffic(Id, Traffic),
    Post(Post),
}

impl From<(Id, Step)> for Happening {
    fn from((id, step): (Id, Step)) -> Self {
        Self::Step(id, step)
    }
}

impl From<(Id, Traffic)> for Happening {
    fn from((id, traffic): (Id, Traffic)) -> Self {
        Self::Traffic(id, traffic)
    }
}

impl From<Post> for Happening {
    fn from(post: Post) -> Self {
        Self::Post(post)
    }
}

impl Kernel {
    /// Makes a kernel that lives by `clock`, draws by `seed`, and joins everything by `link`.
    pub(crate) fn new(clock: Arc<Manual>, seed: u64, link: Link) -> Arc<Self> {
        let mut rng = Rng::with_seed(seed);
        let state = State {
            now: clock.now(),
            queue: Queue::new(rng.fork()),
            fds: Descriptors::new(rng.fork()),
            rng,
            streams: Arena::new(),
            listeners: Arena::new(),
            datagrams: Arena::new(),
            links: Links::new(link),
            ports: Ports::new(),
            paths: BTreeMap::new(),
            hosts: Hosts::new(),
            backlog: BACKLOG,
            found: Vec::new(),
        };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// Does something as a system call does: after all that was due.
    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("no code that panics runs under this lock");
        state.catch_up(self.clock.now());
        state
    }

    /// Starts watching a socket, edge-triggered; what it is ready for already is an event.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if it is watched.
    pub(crate) fn register(&self, fd: Fd, token: usize, interest: Interest) -> io::Result<()> {
        let mut state = self.enter();
        let now = state.now;
        Ok(state.fds.watch(fd, token, interest, now)?)
    }

    /// Stops watching a socket. Closing it does so too.
    ///
    /// # Errors
    ///
    /// `NotFound` if it is not watched.
    pub(crate) fn deregister(&self, fd: Fd) -> io::Result<()> {
        Ok(self.enter().fds.unwatch(fd)?)
    }

    /// Reports what has become ready by now, each socket once, with the time at which it did;
    /// returns how many.
    ///
    /// First what came up first; the seed decides among what came up at the same time.
    pub(crate) fn poll_since(&self, ready: &mut dyn FnMut(u64, Readied)) -> usize {
        let mut found = self.enter().take_ready();
        let count = found.len();
        // With no lock held: who is told may make system calls.
        for (since, readied) in found.drain(..) {
            ready(since, readied);
        }
        self.enter().found = found;
        count
    }

    /// Returns when the next thing will happen that could make an event; now, if one is waiting.
    /// `None` if nothing will ever happen by itself.
    pub(crate) fn next_event(&self) -> Option<u64> {
        let mut state = self.enter();
        if state.fds.has_news() { Some(state.now) } else { state.queue.next_at() }
    }

    /// Returns the addresses of a host; numbers are their own.
    ///
    /// # Errors
    ///
    /// `NotFound`, and the names there are.
    pub(crate) fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.enter().hosts.find(name)
    }

    /// Gives a host addresses instead of those it had.
    pub(crate) fn add_host(&self, name: &str, addrs: Vec<IpAddr>) {
        self.enter().hosts.add(name, addrs);
    }

    /// Joins by `link` what `route` covers, connections that are open included. What is on its way
    /// arrives as it would have. Of the links that cover a way the one set last counts.
    pub(crate) fn set_link(&self, route: Route, link: Link) {
        let mut state = self.enter();
        state.links.set(route, link);
        state.reroute();
    }

    /// Lets nothing pass any more. Datagrams are lost; bytes of streams wait for
    /// [`heal`](Self::heal), until their sender gives up after a quarter of an hour.
    pub(crate) fn cut(&self, route: Route) {
        let mut state = self.enter();
        state.links.cut(route);
        state.reroute();
    }

    /// Takes back a cut of this very route; [`Route::All`] takes back every cut.
    pub(crate) fn heal(&self, route: Route) {
        let mut state = self.enter();
        state.links.heal(route);
        state.reroute();
    }

    /// Resets all TCP connections that the route covers, at both ends at once; returns how many.
    pub(crate) fn reset_all(&self, route: Route) -> usize {
        let mut state = self.enter();
        let mut count = 0;
        for id in state.streams.ids() {
            let addresses = &state.stream(id).addresses;
            let ends = addresses.client.ip().zip(addresses.server.ip());
            if ends.is_some_and(|(client, server)| route.covers(client, server)) {
                state.break_off(id);
                count += 1;
            }
        }
        count
    }

    /// Sets the number from which on no descriptors are given out.
    pub(crate) fn set_descriptor_limit(&self, limit: u32) {
        self.enter().fds.set_limit(limit);
    }

    /// Returns how many descriptors are open.
    pub(crate) fn descriptors(&self) -> usize {
        self.enter().fds.len()
    }

    /// Returns how many connections there are, whether or not somebody still holds an end.
    pub(crate) fn connections(&self) -> usize {
        self.enter().streams.len()
    }

    /// Sets how many connections wait at the listeners bound from now on, at least one.
    pub(crate) fn set_backlog(&self, backlog: usize) {
        self.enter().backlog = backlog.max(1);
    }

    /// Removes the file of a Unix socket, which lives on.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none.
    pub(crate) fn unlink(&self, path: &Path) -> io::Result<()> {
        self.enter().paths.remove(path).map(drop).ok_or_else(|| Fault::NotFound.into())
    }

    /// Closes a descriptor, and what it stands for.
    fn close(&self, fd: Fd) {
        // After a panic under the lock there is one report enough.
        let Ok(mut state) = self.state.lock() else { return };
        state.catch_up(self.clock.now());
        match state.fds.close(fd) {
            Some(Socket::Stream(id, side)) => state.close_end(id, side),
            Some(Socket::Listener(id)) => state.close_listener(id),
            Some(Socket::Datagram(id)) => state.close_datagram(id),
            None => {}
        }
    }
}

impl State {
    /// Lets happen what is due by `now`.
    fn catch_up(&mut self, now: u64) {
        while let Some((at, happening)) = self.queue.pop_due(now) {
            self.now = at;
            match happening {
                Happening::Step(id, step) => self.on_step(id, step),
                Happening::Traffic(id, traffic) => self.on_traffic(id, traffic),
                Happening::Post(post) => self.on_post(post),
            }
        }
        self.now = now;
    }

    fn take_ready(&mut self) -> Vec<(u64, Readied)> {
        let mut found = std::mem::take(&mut self.found);
        while let Some(news) = self.fds.next_news() {
            let mask = self.mask(news.socket);
            found.extend(news.readied(mask).map(|readied| (news.since, readied)));
        }
        found
    }

    /// Tells what a socket is ready for.
    fn mask(&mut self, socket: Socket) -> Mask {
        match socket {
            Socket::Stream(id, side) => {
                let Self { streams, links, .. } = self;
                streams.get_mut(id).map(|stream| stream.mask(side, links)).unwrap_or_default()
            }
            Socket::Listener(id) => {
                Mask { input: self.listener(id).has_connection(), ..Mask::default() }
            }
            Socket::Datagram(id) => self.mask_datagram(id),
        }
    }

    /// Leaves a file behind whose socket is gone; it may be another's by now.
    fn leave_path(&mut self, path: &Path, socket: Socket) {
        if let Some(owner) = self.paths.get_mut(path) {
            owner.take_if(|owner| *owner == socket);
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("now", &self.clock.now()).finish_non_exhaustive()
    }
}
