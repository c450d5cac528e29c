//! Datagrams.
//!
//! Those of UDP travel by the link, may be lost or overtaken, and are thrown away where they find
//! the receive buffer full or nobody at home; a sender that is connected learns of the latter.
//! Those of Unix sockets are there at once, and a sender waits while the receiver has no room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::State;
use super::address::{Address, destination, mapped};
use super::arena::Id;
use super::descriptors::{Fd, Mask, Socket, Stir};
use super::fault::Fault;
use super::link::{LinkId, chance};
use super::names::Protocol;

/// How many datagrams wait at a Unix socket, however small.
const QUEUE_MAX: usize = 512;

/// What happens to datagrams.
#[derive(Debug)]
pub(super) enum Post {
    Arrival(Box<Letter>),
    /// A socket's datagram has left it.
    Departure {
        socket: Id,
        bytes: usize,
    },
    /// A socket learns that nobody was there.
    Unreachable {
        socket: Id,
        at: SocketAddr,
    },
}

/// A datagram under way.
#[derive(Debug)]
pub(super) struct Letter {
    sender: Id,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Box<[u8]>,
}

/// A datagram that has arrived.
#[derive(Debug)]
struct Message {
    from: Address,
    bytes: Box<[u8]>,
}

#[derive(Debug)]
enum Peer {
    None,
    Udp(SocketAddr),
    Unix(Id, Address),
}

#[derive(Debug)]
pub(super) struct Datagram {
    fd: Fd,
    local: Address,
    peer: Peer,
    inbox: VecDeque<Message>,
    inbox_bytes: usize,
    error: Option<Fault>,
    read_shut: bool,
    write_shut: bool,
    /// What waits to be sent, where the bandwidth is limited, and until when the wire is busy.
    outbox_bytes: usize,
    busy_until: u64,
    /// It was told that there is no room to send.
    starved: bool,
    /// When the last datagram to an address arrives, which later ones do not overtake.
    last_at: BTreeMap<SocketAddr, u64>,
    /// Who waits for room in the inbox.
    waiting: BTreeSet<Id>,
    pub(super) ttl: u8,
    pub(super) broadcast: bool,
}

impl Datagram {
    fn new(fd: Fd, local: Address) -> Self {
        Self {
            fd,
            local,
            peer: Peer::None,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            error: None,
            read_shut: false,
            write_shut: false,
            outbox_bytes: 0,
            busy_until: 0,
            starved: false,
            last_at: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ttl: 64,
            broadcast: false,
        }
    }

    fn has_room(&self, bytes: usize, buffer: usize) -> bool {
        self.inbox.is_empty() || self.inbox_bytes + bytes <= buffer
    }

    /// Whether a sender nearby has to wait.
    fn is_full(&self, bytes: usize, buffer: usize) -> bool {
        self.inbox.len() >= QUEUE_MAX || !self.has_room(bytes, buffer)
    }

    fn take_in(&mut self, from: Address, bytes: Box<[u8]>) {
        self.inbox_bytes += bytes.len();
        self.inbox.push_back(Message { from, bytes });
    }

    /// The address, once it is known from which of all it sends.
    pub(super) fn local_addr(&self) -> Address {
        match (&self.local, &self.peer) {
            (Address::Ip(local), Peer::Udp(peer)) => source(*local, *peer).into(),
            (local, _) => local.clone(),
        }
    }

    pub(super) fn peer_addr(&self) -> Result<Address, Fault> {
        match &self.peer {
            Peer::None => Err(Fault::NotConnected),
            Peer::Udp(peer) => Ok((*peer).into()),
            Peer::Unix(_, address) => Ok(address.clone()),
        }
    }

    pub(super) fn take_error(&mut self) -> Option<Fault> {
        self.error.take()
    }
}

/// From which address a socket sends to `to`: from the same, if it may be any.
fn source(local: SocketAddr, to: SocketAddr) -> SocketAddr {
    let ip = if local.ip().is_unspecified() { destination(to).ip() } else { local.ip() };
    SocketAddr::new(ip, local.port())
}

impl State {
    pub(super) fn datagram(&mut self, id: Id) -> &mut Datagram {
        self.datagrams.get_mut(id).expect("a datagram socket is there while it is open")
    }

    pub(super) fn open_datagram(&mut self, address: Address) -> Result<(Fd, Id), Fault> {
        self.fds.vacant()?;
        let address = match address {
            Address::Ip(addr) => Address::Ip(self.ports.choose(Protocol::Udp, addr)?),
            Address::Path(path) if self.paths.contains_key(&path) => {
                return Err(Fault::AddressInUse);
            }
            address => address,
        };
        let (datagrams, fds) = (&mut self.datagrams, &mut self.fds);
        let id = datagrams.insert_with(|id| {
            Ok(Datagram::new(fds.open(Socket::Datagram(id))?, address.clone()))
        })?;
        match address {
            Address::Ip(addr) => self.ports.bind(Protocol::Udp, addr, id),
            Address::Path(path) => drop(self.paths.insert(path, Some(Socket::Datagram(id)))),
            Address::Unnamed => {}
        }
        Ok((self.datagram(id).fd, id))
    }

    pub(super) fn pair_datagrams(&mut self) -> Result<[(Fd, Id); 2], Fault> {
        let (fd, a) = self.open_datagram(Address::Unnamed)?;
        let (other, b) = self.open_datagram(Address::Unnamed).inspect_err(|_| {
            self.fds.close(fd);
            self.datagrams.remove(a);
        })?;
        self.datagram(a).peer = Peer::Unix(b, Address::Unnamed);
        self.datagram(b).peer = Peer::Unix(a, Address::Unnamed);
        Ok([(fd, a), (other, b)])
    }

    pub(super) fn close_datagram(&mut self, id: Id) {
        let Some(socket) = self.datagrams.remove(id) else { return };
        match &socket.local {
            Address::Ip(addr) => self.ports.free(Protocol::Udp, *addr),
            Address::Path(path) => self.leave_path(path, Socket::Datagram(id)),
            Address::Unnamed => {}
        }
        // To be told that nobody is there.
        self.stir_senders(socket.waiting);
    }

    pub(super) fn connect_datagram(&mut self, id: Id, address: Address) -> Result<(), Fault> {
        let peer = match (&self.datagram(id).local, address) {
            (Address::Ip(_), Address::Ip(addr)) => Peer::Udp(destination(addr)),
            (Address::Path(_) | Address::Unnamed, Address::Path(path)) => {
                Peer::Unix(self.reader_at(&path)?, Address::Path(path))
            }
            _ => return Err(Fault::BadAddress),
        };
        self.datagram(id).peer = peer;
        Ok(())
    }

    fn reader_at(&self, path: &Arc<Path>) -> Result<Id, Fault> {
        match self.paths.get(path) {
            None => Err(Fault::NotFound),
            Some(Some(Socket::Datagram(id))) => Ok(*id),
            Some(_) => Err(Fault::Refused),
        }
    }

    pub(super) fn send(&mut self, id: Id, buf: &[u8]) -> Result<usize, Fault> {
        let socket = self.datagram(id);
        match &socket.peer {
            Peer::None if socket.local.ip().is_some() => Err(Fault::NoDestination),
            Peer::None => Err(Fault::NotConnected),
            Peer::Udp(peer) => {
                let peer = *peer;
                self.send_udp(id, buf, peer)
            }
            Peer::Unix(peer, _) => {
                let peer = *peer;
                self.send_near(id, buf, peer)
            }
        }
    }

    pub(super) fn send_to(&mut self, id: Id, buf: &[u8], to: Address) -> Result<usize, Fault> {
        match (&self.datagram(id).local, to) {
            (Address::Ip(_), Address::Ip(addr)) => self.send_udp(id, buf, destination(addr)),
            (Address::Path(_) | Address::Unnamed, Address::Path(path)) => {
                let to = self.reader_at(&path)?;
                self.send_near(id, buf, to)
            }
            _ => Err(Fault::BadAddress),
        }
    }

    fn send_udp(&mut self, id: Id, buf: &[u8], to: SocketAddr) -> Result<usize, Fault> {
        let Self { datagrams, links, rng, queue, now, .. } = self;
        let socket = datagrams.get_mut(id).expect("a datagram socket is there while it is open");
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        check_target(socket, to)?;
        let local = socket.local.ip().expect("a UDP socket has an address");
        let from = destination(source(local, to));
        let link = links.get(links.find(from, to));
        if buf.len() > link.datagram_max {
            return Err(Fault::TooLong);
        }
        let mut at = *now;
        if link.is_limited() {
            if socket.outbox_bytes > 0 && socket.outbox_bytes + buf.len() > link.send_buffer {
                socket.starved = true;
                return Err(Fault::WouldBlock);
            }
            socket.outbox_bytes += buf.len();
            at = at.max(socket.busy_until).saturating_add(link.sending_time(buf.len() as u64));
            socket.busy_until = at;
            let departure = Post::Departure { socket: id, bytes: buf.len() };
            queue.push(at, departure.into());
        }
        at = at.saturating_add(link.draw_latency(rng));
        if chance(rng, link.loss) || links.is_cut(from, to) {
            return Ok(buf.len());
        }
        if chance(rng, link.reordering) {
            at = at.saturating_add(link.draw_delay(rng));
        } else {
            at = socket.in_order(at, *now, to);
        }
        let letter = Letter { sender: id, from, to, bytes: buf.into() };
        queue.push(at, Post::Arrival(Box::new(letter)).into());
        Ok(buf.len())
    }

    fn send_near(&mut self, id: Id, buf: &[u8], to: Id) -> Result<usize, Fault> {
        let link = self.links.get(LinkId::NEAR);
        let (send_buffer, receive_buffer) = (link.send_buffer, link.receive_buffer);
        if self.datagram(id).write_shut {
            return Err(Fault::BrokenPipe);
        }
        let from = self.datagram(id).local.clone();
        let Some(receiver) = self.datagrams.get_mut(to) else {
            let socket = self.datagram(id);
            if matches!(socket.peer, Peer::Unix(peer, _) if peer == to) {
                socket.peer = Peer::None;
            }
            return Err(Fault::Refused);
        };
        if receiver.read_shut {
            return Err(Fault::BrokenPipe);
        }
        if buf.len() > send_buffer {
            return Err(Fault::TooLong);
        }
        if receiver.is_full(buf.len(), receive_buffer) {
            receiver.waiting.insert(id);
            return Err(Fault::WouldBlock);
        }
        receiver.take_in(from, buf.into());
        let fd = receiver.fd;
        self.fds.stir(fd, Stir::Input, self.now);
        Ok(buf.len())
    }

    /// Copies the next datagram to `buf`, which cuts it off.
    pub(super) fn receive(
        &mut self,
        id: Id,
        buf: &mut [u8],
        peek: bool,
    ) -> Result<(usize, Address), Fault> {
        let socket = self.datagram(id);
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let message = socket.inbox.front().ok_or(Fault::WouldBlock)?;
        let len = message.bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&message.bytes[..len]);
        let from = message.from.clone();
        if !peek {
            socket.inbox_bytes -= message.bytes.len();
            socket.inbox.pop_front();
            let waiting = std::mem::take(&mut socket.waiting);
            self.stir_senders(waiting);
        }
        Ok((len, from))
    }

    fn stir_senders(&mut self, senders: BTreeSet<Id>) {
        for sender in senders {
            if let Some(sender) = self.datagrams.get(sender) {
                self.fds.stir(sender.fd, Stir::Room, self.now);
            }
        }
    }

    pub(super) fn shutdown_datagram(&mut self, id: Id, how: Shutdown) {
        let socket = self.datagram(id);
        socket.read_shut |= how != Shutdown::Write;
        socket.write_shut |= how != Shutdown::Read;
        let (fd, waiting) = (socket.fd, std::mem::take(&mut socket.waiting));
        self.fds.stir(fd, Stir::State, self.now);
        self.stir_senders(waiting);
    }

    pub(super) fn on_post(&mut self, post: Post) {
        match post {
            Post::Arrival(letter) => self.on_letter(*letter),
            Post::Departure { socket, bytes } => {
                let Some(sender) = self.datagrams.get_mut(socket) else { return };
                sender.outbox_bytes -= bytes;
                if std::mem::take(&mut sender.starved) {
                    self.fds.stir(sender.fd, Stir::Room, self.now);
                }
            }
            Post::Unreachable { socket, at } => {
                let Some(socket) = self.datagrams.get_mut(socket) else { return };
                if matches!(socket.peer, Peer::Udp(peer) if peer == at) {
                    socket.error = Some(Fault::Refused);
                    self.fds.stir(socket.fd, Stir::State, self.now);
                }
            }
        }
    }

    fn on_letter(&mut self, letter: Letter) {
        let Letter { sender, from, to, bytes } = letter;
        let Self { datagrams, links, rng, queue, ports, fds, now, .. } = self;
        if links.is_cut(from, to) {
            return;
        }
        let receiver = ports.find(Protocol::Udp, to).and_then(|id| datagrams.get_mut(id));
        let is_open = |socket: &&mut Datagram| match socket.peer {
            Peer::Udp(peer) => peer == from,
            _ => true,
        };
        let Some(receiver) = receiver.filter(is_open) else {
            let back = links.get(links.find(to, from)).draw_latency(rng);
            let unreachable = Post::Unreachable { socket: sender, at: to };
            return queue.push(now.saturating_add(back), unreachable.into());
        };
        if receiver.has_room(bytes.len(), links.get(links.find(from, to)).receive_buffer) {
            let maps = receiver.local.ip().is_some_and(|addr| addr.is_ipv6());
            let from = if maps { mapped(from) } else { from };
            receiver.take_in(from.into(), bytes);
            fds.stir(receiver.fd, Stir::Input, *now);
        }
    }

    /// Tells what a datagram socket is ready for. Who is told that there is no room will be told
    /// when there is.
    pub(super) fn mask_datagram(&mut self, id: Id) -> Mask {
        let buffer = self.links.get(LinkId::NEAR).receive_buffer;
        let Some(socket) = self.datagrams.get(id) else { return Mask::default() };
        let mut mask = Mask {
            input: socket.read_shut || !socket.inbox.is_empty(),
            room: !socket.starved,
            read_over: socket.read_shut,
            hung_up: socket.read_shut && socket.write_shut,
            error: socket.error.is_some(),
        };
        if let Peer::Unix(peer, _) = socket.peer {
            if let Some(peer) = self.datagrams.get_mut(peer).filter(|peer| peer.is_full(1, buffer))
            {
                peer.waiting.insert(id);
                mask.room = false;
            }
        }
        mask
    }
}

impl Datagram {
    /// Puts an arrival behind the last one at the same address.
    fn in_order(&mut self, at: u64, now: u64, to: SocketAddr) -> u64 {
        const MANY: usize = 64;
        if self.last_at.len() >= MANY {
            self.last_at.retain(|_, last| *last >= now);
        }
        let last = self.last_at.entry(to).or_insert(0);
        *last = at.max(last.saturating_add(1));
        *last
    }
}

/// Refuses what this network does not have.
fn check_target(socket: &Datagram, to: SocketAddr) -> Result<(), Fault> {
    let is_broadcast = matches!(to.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    match () {
        () if to.port() == 0 => Err(Fault::BadValue),
        () if is_broadcast && !socket.broadcast => Err(Fault::Denied),
        () if is_broadcast || to.ip().is_multicast() => Err(Fault::Unsupported),
        () => Ok(()),
    }
}
