//! Listening, connecting and accepting.
//!
//! ```text
//!   client                         server
//!   Waiting ──────── Syn ────────▶ (listens: takes a place in its backlog)
//!      │  ◀──────── SynAck ─────── Waiting
//!    Open ─────── (arrival) ─────▶ Open, to be accepted
//! ```
//!
//! As on Linux an attempt that finds no answer, because the way is cut or the backlog is full, is
//! made again after one second, after two more, four more and so on, and given up at the seventh
//! time. Unlike there a connection has its place in the backlog from the first message on, so it is
//! never lost at the last.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::State;
use super::address::{Address, destination, mapped};
use super::arena::Id;
use super::connection::{Both, Connection, End, Side, Standing};
use super::descriptors::{Fd, Socket, Stir};
use super::fault::Fault;
use super::link::LinkId;
use super::names::Protocol;
use super::pipe::Pipe;
use super::transfer::Traffic;

const SECOND: u64 = 1_000_000_000;
/// How often an attempt that was in vain is made again.
const RETRIES: u8 = 6;

/// What happens to a connection that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The attempt is made, or made again.
    Attempt,
    /// The attempt reaches the server.
    Syn,
    /// The server's consent reaches the client.
    SynAck,
    /// The server's refusal does.
    Refusal,
    /// The client makes no further attempt.
    Forgone,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) fd: Fd,
    pub(super) address: Address,
    /// The most connections that wait in both of the following.
    backlog: usize,
    /// Those being made.
    coming: BTreeSet<Id>,
    /// Those to be accepted.
    accepted: VecDeque<Id>,
    pub(super) ttl: u8,
}

impl Listener {
    fn is_full(&self) -> bool {
        self.coming.len() + self.accepted.len() >= self.backlog
    }

    pub(super) fn has_connection(&self) -> bool {
        !self.accepted.is_empty()
    }
}

impl State {
    pub(super) fn listen(&mut self, address: Address) -> Result<(Fd, Id), Fault> {
        self.fds.vacant()?;
        let address = match address {
            Address::Ip(addr) => Address::Ip(self.ports.choose(Protocol::Tcp, addr)?),
            Address::Path(path) if self.paths.contains_key(&path) => {
                return Err(Fault::AddressInUse);
            }
            Address::Path(path) => Address::Path(path),
            Address::Unnamed => return Err(Fault::BadValue),
        };
        let backlog = self.backlog;
        let (listeners, fds) = (&mut self.listeners, &mut self.fds);
        let id = listeners.insert_with(|id| {
            let fd = fds.open(Socket::Listener(id))?;
            let (coming, accepted) = (BTreeSet::new(), VecDeque::new());
            Ok(Listener { fd, address: address.clone(), backlog, coming, accepted, ttl: 64 })
        })?;
        match &address {
            Address::Ip(addr) => self.ports.bind(Protocol::Tcp, *addr, id),
            Address::Path(path) => {
                self.paths.insert(path.clone(), Some(Socket::Listener(id)));
            }
            Address::Unnamed => {}
        }
        Ok((self.listener(id).fd, id))
    }

    pub(super) fn listener(&mut self, id: Id) -> &mut Listener {
        self.listeners.get_mut(id).expect("a listener is there while its socket is open")
    }

    /// Closes a listener; connections that nobody accepted are reset.
    pub(super) fn close_listener(&mut self, id: Id) {
        let Some(listener) = self.listeners.remove(id) else { return };
        match &listener.address {
            Address::Ip(addr) => self.ports.free(Protocol::Tcp, *addr),
            Address::Path(path) => self.leave_path(path, Socket::Listener(id)),
            Address::Unnamed => {}
        }
        for stream in listener.coming.into_iter().chain(listener.accepted) {
            let Some(connection) = self.streams.get_mut(stream) else { continue };
            connection.listener = None;
            connection.ends.server.options.linger = Some(0);
            if connection.is_near {
                connection.ends.client.error = Some(Fault::Reset);
            }
            self.close_end(stream, Side::Server);
        }
    }

    /// Takes a connection that waits.
    pub(super) fn accept(&mut self, id: Id) -> Result<(Fd, Id), Fault> {
        // As Linux, which looks for a descriptor before it looks for a connection.
        self.fds.vacant()?;
        let Some(stream) = self.listener(id).accepted.pop_front() else {
            return Err(Fault::WouldBlock);
        };
        let fd = self.fds.open(Socket::Stream(stream, Side::Server))?;
        let connection = self.stream(stream);
        connection.listener = None;
        connection.ends.server.fd = Some(fd);
        Ok((fd, stream))
    }

    pub(super) fn connect(&mut self, address: Address) -> Result<(Fd, Id), Fault> {
        match address {
            Address::Ip(addr) => self.connect_ip(destination(addr)),
            Address::Path(path) => match self.paths.get(&path) {
                None => Err(Fault::NotFound),
                Some(Some(Socket::Listener(listener))) => {
                    let listener = *listener;
                    self.connect_near(listener, Address::Path(path))
                }
                Some(_) => Err(Fault::Refused),
            },
            Address::Unnamed => Err(Fault::BadValue),
        }
    }

    fn connect_ip(&mut self, server: SocketAddr) -> Result<(Fd, Id), Fault> {
        self.fds.vacant()?;
        let client = self.ports.meet(server)?;
        let pipe = |from, to| {
            let link = self.links.find(from, to);
            let mut pipe = Pipe::new(link, self.links.get(link).receive_buffer);
            pipe.is_cut = self.links.is_cut(from, to);
            pipe
        };
        let pipes = Both { client: pipe(client, server), server: pipe(server, client) };
        let addresses = Both { client: client.into(), server: server.into() };
        let ends = [Standing::Waiting, Standing::Gone];
        let (fd, id) = self.open_stream(pipes, addresses, ends, false)?;
        self.on_step(id, Step::Attempt);
        Ok((fd, id))
    }

    fn connect_near(&mut self, listener: Id, address: Address) -> Result<(Fd, Id), Fault> {
        self.fds.vacant()?;
        if self.listener(listener).is_full() {
            return Err(Fault::WouldBlock);
        }
        let (pipes, addresses) = self.near(Address::Unnamed, address);
        let (fd, id) = self.open_stream(pipes, addresses, [Standing::Open; 2], true)?;
        self.stream(id).listener = Some(listener);
        self.offer(id, listener);
        Ok((fd, id))
    }

    /// Makes two streams that are connected with each other.
    pub(super) fn pair(&mut self) -> Result<[(Fd, Id); 2], Fault> {
        let (pipes, addresses) = self.near(Address::Unnamed, Address::Unnamed);
        let (client, id) = self.open_stream(pipes, addresses, [Standing::Open; 2], true)?;
        match self.fds.open(Socket::Stream(id, Side::Server)) {
            Ok(server) => {
                self.stream(id).ends.server.fd = Some(server);
                Ok([(client, id), (server, id)])
            }
            Err(fault) => {
                self.streams.remove(id);
                self.fds.close(client);
                Err(fault)
            }
        }
    }

    fn near(&self, client: Address, server: Address) -> (Both<Pipe>, Both<Address>) {
        let pipe = || Pipe::new(LinkId::NEAR, self.links.get(LinkId::NEAR).receive_buffer);
        (Both { client: pipe(), server: pipe() }, Both { client, server })
    }

    fn open_stream(
        &mut self,
        pipes: Both<Pipe>,
        addresses: Both<Address>,
        [client, server]: [Standing; 2],
        is_near: bool,
    ) -> Result<(Fd, Id), Fault> {
        let (fds, since) = (&mut self.fds, self.now);
        let id = self.streams.insert_with(|id| {
            let fd = fds.open(Socket::Stream(id, Side::Client))?;
            Ok(Connection {
                ends: Both { client: End::new(Some(fd), client), server: End::new(None, server) },
                pipes,
                addresses,
                listener: None,
                since,
                failures: 0,
                maps: false,
                is_near,
            })
        })?;
        let fd = self.stream(id).ends.client.fd.expect("it was opened above");
        Ok((fd, id))
    }

    pub(super) fn on_step(&mut self, id: Id, step: Step) {
        let Some(stream) = self.streams.get(id) else { return };
        let waits = stream.ends.client.standing == Standing::Waiting;
        let is_lost = match step {
            Step::Attempt | Step::Forgone => false,
            Step::Syn => stream.pipes.client.is_cut,
            Step::SynAck | Step::Refusal => stream.pipes.server.is_cut,
        };
        match step {
            _ if is_lost => self.fail(id),
            Step::SynAck => self.on_syn_ack(id),
            _ if !waits => {}
            Step::Attempt => self.say(id, Side::Client, Step::Syn),
            Step::Syn => self.on_syn(id),
            Step::Refusal => self.kill(id, Side::Client, Fault::Refused),
            Step::Forgone => self.kill(id, Side::Client, Fault::TimedOut),
        }
    }

    /// Sends a message of the handshake.
    fn say(&mut self, id: Id, from: Side, step: Step) {
        let Self { streams, links, rng, queue, now, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let pipe = &mut stream.pipes[from];
        let at = pipe.follow(*now, links.get(pipe.link), rng);
        queue.push(at, (id, step).into());
    }

    /// Notes that a message was lost: the client will wait in vain, until it tries again.
    fn fail(&mut self, id: Id) {
        let stream = self.stream(id);
        if stream.ends.client.standing != Standing::Waiting {
            self.forsake(id);
            return self.reap(id);
        }
        stream.failures += 1;
        let step = if stream.failures > RETRIES { Step::Forgone } else { Step::Attempt };
        let patience = ((1 << stream.failures) - 1) * SECOND;
        let at = stream.since.saturating_add(patience).max(self.now);
        self.queue.push(at, (id, step).into());
    }

    fn on_syn(&mut self, id: Id) {
        let stream = self.stream(id);
        if stream.listener.is_some() {
            // It has its place: the consent was lost.
            return self.say(id, Side::Server, Step::SynAck);
        }
        let address = stream.addresses.server.ip().expect("only these have a handshake");
        let Some(listener) = self.ports.find(Protocol::Tcp, address) else {
            return self.say(id, Side::Server, Step::Refusal);
        };
        if self.listener(listener).is_full() {
            return self.fail(id);
        }
        let taken = self.listener(listener);
        taken.coming.insert(id);
        let maps = taken.address.ip().is_some_and(|addr| addr.is_ipv6());
        let stream = self.stream(id);
        stream.listener = Some(listener);
        stream.maps = maps;
        stream.ends.server.standing = Standing::Waiting;
        self.say(id, Side::Server, Step::SynAck);
    }

    fn on_syn_ack(&mut self, id: Id) {
        let client = &mut self.stream(id).ends.client;
        match client.standing {
            Standing::Waiting => {
                client.standing = Standing::Open;
                self.stir_end(id, Side::Client, Stir::State);
                self.acknowledge(id);
            }
            Standing::Dead | Standing::Gone => self.send_reset(id, Side::Server),
            Standing::Open | Standing::Orphan => {}
        }
    }

    /// Sends the last message of the handshake, which is an arrival of nothing.
    fn acknowledge(&mut self, id: Id) {
        let Self { streams, links, rng, queue, now, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let pipe = &mut stream.pipes.client;
        let at = pipe.follow(*now, links.get(pipe.link), rng);
        let upto = pipe.sent_upto();
        queue.push(at, (id, Traffic::Arrival { from: Side::Client, upto }).into());
    }

    /// Ends the handshake at the server: the connection can be accepted.
    pub(super) fn establish(&mut self, id: Id) {
        let stream = self.stream(id);
        stream.ends.server.standing = Standing::Open;
        let listener = stream.listener.expect("a connection being made has a listener");
        self.listener(listener).coming.remove(&id);
        self.offer(id, listener);
    }

    fn offer(&mut self, id: Id, listener: Id) {
        let listener = self.listener(listener);
        listener.accepted.push_back(id);
        let fd = listener.fd;
        self.fds.stir(fd, Stir::Input, self.now);
    }

    /// Ends the server's part in a handshake, if it has one.
    pub(super) fn forsake(&mut self, id: Id) {
        let stream = self.stream(id);
        if stream.ends.server.standing != Standing::Waiting {
            return;
        }
        stream.ends.server.standing = Standing::Gone;
        let listener = stream.listener.take().expect("a connection being made has a listener");
        self.listener(listener).coming.remove(&id);
    }

    /// The address a side has, or its peer, as that side tells it.
    pub(super) fn address(&mut self, id: Id, of: Side, teller: Side) -> Address {
        let stream = self.stream(id);
        match &stream.addresses[of] {
            Address::Ip(addr) if teller == Side::Server && stream.maps => mapped(*addr).into(),
            address => address.clone(),
        }
    }
}
