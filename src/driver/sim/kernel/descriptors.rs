//! File descriptors, and which of them have news for whom.
//!
//! Edge-triggered as `epoll` does it: something happens to a socket that is watched, and its
//! descriptor is queued, once. The next poll looks what the socket is ready for *then*, and reports
//! that, or nothing if it is ready for nothing any more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use mio::Interest;

use super::arena::Id;
use super::connection::Side;
use super::fault::Fault;
use super::queue::Queue;
use crate::driver::Readied;

/// A descriptor of the simulated kernel. As in a real one, the lowest free number is given out
/// next, so it may be another socket's as soon as this one's is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fd(u32);

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Stream(Id, Side),
    Listener(Id),
    Datagram(Id),
}

/// What happened to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stir {
    Input,
    Room,
    /// A change of its state, which everybody hears of.
    State,
}

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    pub(super) input: bool,
    pub(super) room: bool,
    /// Nothing more to read will come.
    pub(super) read_over: bool,
    /// Nothing more to read, and nothing can be written.
    pub(super) hung_up: bool,
    pub(super) error: bool,
}

impl Mask {
    /// What is told to one with this interest, as `mio` reads the bits of `epoll`.
    pub(super) fn readied(self, token: usize, interest: Interest) -> Option<Readied> {
        let over = interest.is_readable() && self.input && self.read_over;
        let read_closed = self.hung_up || over || self.error;
        let readable = interest.is_readable() && self.input || read_closed;
        let writable = interest.is_writable() && self.room || self.hung_up || self.error;
        (readable || writable).then_some(Readied {
            token,
            readable,
            writable,
            read_closed,
            since: None,
        })
    }
}

#[derive(Debug)]
pub(super) struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    free: BinaryHeap<Reverse<u32>>,
    /// Numbers from here on are not given out.
    limit: u32,
    ready: Queue<Queued>,
    /// How many watches there were, all told.
    stamp: u32,
}

#[derive(Debug)]
struct Descriptor {
    socket: Socket,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    token: usize,
    interest: Interest,
    /// Tells this watch from others that the number had or will have.
    stamp: u32,
    queued: bool,
}

/// A place in the queue; void if the watch is no more.
#[derive(Clone, Copy, Debug)]
struct Queued {
    fd: Fd,
    stamp: u32,
}

/// A descriptor that has news.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    /// When that came up.
    pub(super) since: u64,
    pub(super) socket: Socket,
    token: usize,
    interest: Interest,
}

impl News {
    pub(super) fn readied(&self, mask: Mask) -> Option<Readied> {
        mask.readied(self.token, self.interest)
    }
}

impl Descriptors {
    /// What one of them takes.
    #[cfg(test)]
    pub(super) const SIZE: usize = std::mem::size_of::<Option<Descriptor>>();

    pub(super) fn new(ties: Rng) -> Self {
        Self {
            slots: Vec::new(),
            free: BinaryHeap::new(),
            limit: u32::MAX,
            ready: Queue::new(ties),
            stamp: 0,
        }
    }

    pub(super) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The number that is given out next.
    pub(super) fn vacant(&self) -> Result<Fd, Fault> {
        let lowest = self.free.peek().map_or(self.slots.len() as u32, |Reverse(fd)| *fd);
        if lowest < self.limit { Ok(Fd(lowest)) } else { Err(Fault::NoDescriptors) }
    }

    pub(super) fn open(&mut self, socket: Socket) -> Result<Fd, Fault> {
        let fd = self.vacant()?;
        let descriptor = Some(Descriptor { socket, watch: None });
        if self.free.pop().is_some() {
            self.slots[fd.0 as usize] = descriptor;
        } else {
            self.slots.push(descriptor);
        }
        Ok(fd)
    }

    /// Frees the number. Whoever watched it hears no more.
    pub(super) fn close(&mut self, fd: Fd) -> Option<Socket> {
        let descriptor = self.slots.get_mut(fd.0 as usize)?.take()?;
        self.free.push(Reverse(fd.0));
        Some(descriptor.socket)
    }

    pub(super) fn socket(&self, fd: Fd) -> Option<Socket> {
        Some(self.slots.get(fd.0 as usize)?.as_ref()?.socket)
    }

    fn get(&mut self, fd: Fd) -> Result<&mut Descriptor, Fault> {
        self.slots.get_mut(fd.0 as usize).and_then(Option::as_mut).ok_or(Fault::BadDescriptor)
    }

    /// Starts watching, and reports what is ready already.
    pub(super) fn watch(
        &mut self,
        fd: Fd,
        token: usize,
        interest: Interest,
        now: u64,
    ) -> Result<(), Fault> {
        let stamp = self.stamp.wrapping_add(1);
        let descriptor = self.get(fd)?;
        if descriptor.watch.is_some() {
            return Err(Fault::Exists);
        }
        descriptor.watch = Some(Watch { token, interest, stamp, queued: false });
        self.stamp = stamp;
        self.stir(fd, Stir::State, now);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, fd: Fd) -> Result<(), Fault> {
        self.get(fd)?.watch.take().map(drop).ok_or(Fault::NotFound)
    }

    /// Notes that something happened.
    pub(super) fn stir(&mut self, fd: Fd, stir: Stir, now: u64) {
        let Some(Some(Descriptor { watch: Some(watch), .. })) = self.slots.get_mut(fd.0 as usize)
        else {
            return;
        };
        let heard = match stir {
            Stir::Input => watch.interest.is_readable(),
            Stir::Room => watch.interest.is_writable(),
            Stir::State => true,
        };
        if heard && !std::mem::replace(&mut watch.queued, true) {
            self.ready.push(now, Queued { fd, stamp: watch.stamp });
        }
    }

    /// Whether a poll has something to look at.
    pub(super) fn has_news(&mut self) -> bool {
        while let Some(queued) = self.ready.peek().copied() {
            if self.watch_of(queued).is_some() {
                return true;
            }
            self.ready.pop_due(u64::MAX);
        }
        false
    }

    /// Takes the next that has news.
    pub(super) fn next_news(&mut self) -> Option<News> {
        loop {
            let (since, queued) = self.ready.pop_due(u64::MAX)?;
            if let Some((socket, watch)) = self.watch_of(queued) {
                watch.queued = false;
                let (token, interest) = (watch.token, watch.interest);
                return Some(News { since, socket, token, interest });
            }
        }
    }

    fn watch_of(&mut self, queued: Queued) -> Option<(Socket, &mut Watch)> {
        let descriptor = self.slots.get_mut(queued.fd.0 as usize)?.as_mut()?;
        let watch = descriptor.watch.as_mut().filter(|watch| watch.stamp == queued.stamp)?;
        Some((descriptor.socket, watch))
    }
}
