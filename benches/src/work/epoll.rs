//! The floor of servers: a loop around `epoll_wait`, and nothing else. Where health checks are
//! served as well it looks for them between any two requests.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use super::io::MESSAGE;
use super::load::HEALTH;
use super::network::{WORK, echo_load, idle_load, saturating_load};
use super::ticks::spin;
use crate::metrics::Metrics;

const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
use crate::size::Size;

/// Sources, and which of them are ready.
struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    fn new() -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        Self { epoll, events: Vec::with_capacity(256) }
    }

    fn add(&self, source: &impl rustix::fd::AsFd) {
        let number = source.as_fd().as_raw_fd() as u64;
        let data = epoll::EventData::new_u64(number);
        epoll::add(&self.epoll, source, data, epoll::EventFlags::IN).expect("a socket");
    }

    fn remove(&self, source: &impl rustix::fd::AsFd) {
        epoll::delete(&self.epoll, source).expect("a source that was added");
    }

    /// Returns how many are ready.
    fn wait(&mut self, patience: Option<&Timespec>) -> usize {
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, spare, patience).unwrap_or_default()
    }

    fn ready(&self, at: usize) -> RawFd {
        self.events[at].data.u64() as RawFd
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let addr = listener.local_addr().expect("a socket that is bound");
    (listener, addr)
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_nonblocking(true).expect("a socket");
    Some(stream)
}

/// Answers one request; returns what came, or `None` if the peer hung up.
fn answer(stream: &mut TcpStream) -> Option<usize> {
    let mut buf = [0; MESSAGE];
    match stream.read(&mut buf) {
        Ok(0) => None,
        Ok(len) => {
            // A piece counts as its share of a request, which keeps the floor simple.
            if buf[0] == super::load::BULK && len == MESSAGE && WORKS.get() {
                spin(WORK);
            }
            stream.write_all(&buf[..len]).ok().map(|()| len)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

thread_local! {
    /// Whether requests in bulk are work.
    static WORKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

pub(crate) fn echo(size: Size) -> Metrics {
    let (listener, addr) = listen();
    echo_load(size).send((addr, addr)).expect("the clients wait");
    plain(&listener)
}

pub(crate) fn idle(size: Size) -> Metrics {
    let (listener, addr) = listen();
    idle_load(size).send((addr, addr)).expect("the clients wait");
    plain(&listener)
}

fn plain(listener: &TcpListener) -> ! {
    let mut poll = Poll::new();
    poll.add(listener);
    let mut streams = HashMap::new();
    loop {
        for at in 0..poll.wait(None) {
            let fd = poll.ready(at);
            if fd == listener.as_raw_fd() {
                let Some(stream) = accept(listener) else { continue };
                poll.add(&stream);
                streams.insert(fd_of(&stream), stream);
            } else if streams.get_mut(&fd).is_some_and(|stream| answer(stream).is_none()) {
                streams.remove(&fd);
            }
        }
    }
}

fn fd_of(stream: &TcpStream) -> RawFd {
    stream.as_raw_fd()
}

pub(crate) fn own_listener(size: Size) -> Metrics {
    let (bulk, bulk_addr) = listen();
    let (health, health_addr) = listen();
    saturating_load(size, false).send((bulk_addr, health_addr)).expect("the clients wait");
    Urgent::new().run(&[health, bulk])
}

pub(crate) fn shared_listener(size: Size) -> Metrics {
    let (listener, addr) = listen();
    saturating_load(size, true).send((addr, addr)).expect("the clients wait");
    Urgent::new().run(&[listener])
}

/// Two sets of sources, one of which is looked at between any two requests of the other: listeners,
/// health checks, and those that have not said yet what they are.
struct Urgent {
    urgent: Poll,
    bulk: Poll,
    streams: HashMap<RawFd, TcpStream>,
}

impl Urgent {
    fn new() -> Self {
        WORKS.set(true);
        Self { urgent: Poll::new(), bulk: Poll::new(), streams: HashMap::new() }
    }

    fn run(mut self, listeners: &[TcpListener]) -> ! {
        listeners.iter().for_each(|listener| self.urgent.add(listener));
        loop {
            let ready = self.bulk.wait(Some(&NO_TIME));
            self.look(listeners, ready == 0);
            for at in 0..ready {
                let fd = self.bulk.ready(at);
                if self.streams.get_mut(&fd).is_some_and(|stream| answer(stream).is_none()) {
                    self.streams.remove(&fd);
                }
                self.look(listeners, false);
            }
        }
    }

    /// Serves what is urgent and there.
    fn look(&mut self, listeners: &[TcpListener], may_wait: bool) {
        // Bulk that comes meanwhile waits for a tenth of a millisecond at most.
        let patience = if may_wait { Timespec { tv_sec: 0, tv_nsec: 100_000 } } else { NO_TIME };
        for at in 0..self.urgent.wait(Some(&patience)) {
            let fd = self.urgent.ready(at);
            if let Some(listener) = listeners.iter().find(|each| each.as_raw_fd() == fd) {
                if let Some(stream) = accept(listener) {
                    self.urgent.add(&stream);
                    self.streams.insert(fd_of(&stream), stream);
                }
                continue;
            }
            let Some(stream) = self.streams.get_mut(&fd) else { continue };
            let mut first = [0];
            if stream.peek(&mut first).is_ok_and(|len| len == 1) && first[0] != HEALTH {
                self.urgent.remove(stream);
                self.bulk.add(stream);
            } else if answer(stream).is_none() {
                self.streams.remove(&fd);
            }
        }
    }
}
