//! A connection: two ends, and a pipe each way.

use std::ops::{Index, IndexMut};

use super::address::Address;
use super::arena::Id;
use super::descriptors::{Fd, Mask};
use super::fault::Fault;
use super::link::Links;
use super::pipe::{End as StreamEnd, Pipe};

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that asked for it.
    Client,
    Server,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One for each side.
#[derive(Debug)]
pub(super) struct Both<T> {
    pub(super) client: T,
    pub(super) server: T,
}

impl<T> Index<Side> for Both<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

impl<T> IndexMut<Side> for Both<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// What an end is at.
///
/// | is      | handshake | closed         | reset, refused, given up |
/// |---------|-----------|----------------|--------------------------|
/// | Waiting | Open      | Gone           | Dead                     |
/// | Open    | -         | Orphan or Gone | Dead                     |
/// | Dead    | -         | Gone           | -                        |
/// | Orphan  | -         | -              | Gone                     |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The handshake is under way.
    Waiting,
    Open,
    /// The connection is no more, but somebody still holds the socket.
    Dead,
    /// Nobody holds it any more; what was written is still sent.
    Orphan,
    /// There is nobody and nothing.
    Gone,
}

impl Standing {
    pub(super) fn is_held(self) -> bool {
        matches!(self, Self::Waiting | Self::Open | Self::Dead)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    /// None until it is accepted, and once it is gone.
    pub(super) fd: Option<Fd>,
    pub(super) standing: Standing,
    /// Told once, by whichever call comes first.
    pub(super) error: Option<Fault>,
    pub(super) read_shut: bool,
    pub(super) options: Options,
}

/// What can be set and asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) nodelay: bool,
    pub(super) ttl: u8,
    /// In seconds.
    pub(super) linger: Option<u16>,
    pub(super) keepalive: bool,
}

impl End {
    pub(super) fn new(fd: Option<Fd>, standing: Standing) -> Self {
        let options = Options { nodelay: false, ttl: 64, linger: None, keepalive: false };
        Self { fd, standing, error: None, read_shut: false, options }
    }
}

/// A connection, from the first attempt until both ends are gone.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: Both<End>,
    /// What each side sends.
    pub(super) pipes: Both<Pipe>,
    pub(super) addresses: Both<Address>,
    /// The listener that has not yet given it out.
    pub(super) listener: Option<Id>,
    /// When it was first attempted, and how often that was in vain.
    pub(super) since: u64,
    pub(super) failures: u8,
    /// Whether the server's end tells addresses of the older family as those of the newer.
    pub(super) maps: bool,
    /// Whether these are Unix sockets.
    pub(super) is_near: bool,
}

impl Connection {
    pub(super) fn incoming(&self, side: Side) -> &Pipe {
        &self.pipes[side.other()]
    }

    fn has_arrived(&self, side: Side) -> bool {
        self.incoming(side).end == StreamEnd::Arrived
    }

    /// Whether no more will come than can be read already.
    pub(super) fn is_read_over(&self, side: Side) -> bool {
        let end = &self.ends[side];
        end.standing == Standing::Dead || end.read_shut || self.has_arrived(side)
    }

    /// Whether nothing can be written any more.
    pub(super) fn is_write_over(&self, side: Side) -> bool {
        let peer = &self.ends[side.other()];
        self.ends[side].standing == Standing::Dead
            || self.pipes[side].end != StreamEnd::Open
            // Who is near knows at once.
            || (self.is_near && (peer.read_shut || !peer.standing.is_held()))
    }

    /// Whether both directions came to their end, as far as this side knows.
    pub(super) fn is_finished(&self, side: Side) -> bool {
        self.has_arrived(side) && self.pipes[side].is_done()
    }

    /// Whether it knows its peer.
    pub(super) fn is_connected(&self, side: Side) -> bool {
        self.is_near || self.ends[side].standing == Standing::Open && !self.is_finished(side)
    }

    /// Tells what a side is ready for. Who is told that there is no room will be told when there is.
    pub(super) fn mask(&mut self, side: Side, links: &Links) -> Mask {
        let error = self.ends[side].error.is_some();
        if self.ends[side].standing == Standing::Waiting {
            return Mask { error, ..Mask::default() };
        }
        let (read_over, write_over) = (self.is_read_over(side), self.is_write_over(side));
        let pipe = &mut self.pipes[side];
        let room = write_over || pipe.is_roomy(links.get(pipe.link));
        pipe.starved |= !room;
        Mask {
            input: read_over || self.incoming(side).readable() > 0,
            room,
            read_over,
            hung_up: read_over && write_over,
            error,
        }
    }
}
