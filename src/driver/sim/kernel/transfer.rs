//! Reading, writing and ending connections.

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;

use super::State;
use super::arena::Id;
use super::connection::{Connection, Side, Standing};
use super::descriptors::Stir;
use super::fault::Fault;
use super::link::chance;
use super::pipe::{End as StreamEnd, Word};

/// How long a sender tries before it gives up: what fifteen retransmissions take on Linux.
const GIVE_UP: u64 = 924_600_000_000;

/// What happens to a connection that is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Traffic {
    /// What `from` sent arrives, up to a position.
    Arrival { from: Side, upto: u64 },
    /// What the far end has to say to the sender `from` arrives.
    Word { from: Side, word: Word },
    /// `to` learns that the connection is no more.
    Reset { to: Side },
    /// The network breaks the connection.
    Break,
    /// What `from` sent has been waiting since then.
    GiveUp { from: Side, since: u64 },
}

impl State {
    /// Returns a connection that an open socket is an end of.
    pub(super) fn stream(&mut self, id: Id) -> &mut Connection {
        self.streams.get_mut(id).expect("a connection is there while a socket is open")
    }

    pub(super) fn write(
        &mut self,
        id: Id,
        side: Side,
        bufs: &[IoSlice<'_>],
    ) -> Result<usize, Fault> {
        let Self { streams, links, rng, fds, now, .. } = self;
        let stream = streams.get_mut(id).expect("a connection is there while a socket is open");
        if stream.ends[side].standing == Standing::Waiting {
            return Err(Fault::WouldBlock);
        }
        if !stream.is_near {
            if let Some(error) = stream.ends[side].error.take() {
                return Err(error);
            }
        }
        if stream.is_write_over(side) {
            return Err(Fault::BrokenPipe);
        }
        let asked: usize = bufs.iter().map(|buf| buf.len()).sum();
        let pipe = &mut stream.pipes[side];
        let link = links.get(pipe.link);
        let mut len = asked.min(pipe.room(link));
        if len < asked {
            pipe.starved = true;
        }
        if len == 0 && asked > 0 {
            return Err(Fault::WouldBlock);
        }
        if len > 1 && chance(rng, link.short_writes) {
            len = rng.usize(1..len);
            if let Some(fd) = stream.ends[side].fd {
                fds.stir(fd, Stir::Room, *now);
            }
        }
        pipe.push(bufs, len);
        self.transmit(id, side);
        Ok(len)
    }

    pub(super) fn read(
        &mut self,
        id: Id,
        side: Side,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Fault> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        let mut len = self.readable(id, side, asked)?;
        if len == 0 {
            return Ok(0);
        }
        let from = side.other();
        let Self { streams, links, rng, fds, now, .. } = self;
        let stream = streams.get_mut(id).expect("a connection is there while a socket is open");
        let pipe = &mut stream.pipes[from];
        let link = links.get(pipe.link);
        if len > 1 && chance(rng, link.short_reads) {
            len = rng.usize(1..len);
            if let Some(fd) = stream.ends[side].fd {
                fds.stir(fd, Stir::Input, *now);
            }
        }
        pipe.copy(bufs, len);
        pipe.forget(len);
        if pipe.has_word(link) {
            self.tell(id, from);
        }
        Ok(len)
    }

    pub(super) fn peek(&mut self, id: Id, side: Side, buf: &mut [u8]) -> Result<usize, Fault> {
        let len = self.readable(id, side, buf.len())?;
        self.stream(id).incoming(side).copy(&mut [IoSliceMut::new(buf)], len);
        Ok(len)
    }

    /// How many bytes a read of `asked` can have. Zero is the end, or what was asked for.
    fn readable(&mut self, id: Id, side: Side, asked: usize) -> Result<usize, Fault> {
        let stream = self.stream(id);
        if stream.ends[side].standing == Standing::Waiting {
            return Err(Fault::WouldBlock);
        }
        let readable = stream.incoming(side).readable();
        if readable > 0 {
            return Ok(readable.min(asked));
        }
        // What arrived in good order is not made an error by what came later. Unix sockets hold
        // that the other way round.
        let ended = stream.incoming(side).end == StreamEnd::Arrived;
        if stream.is_near || !ended {
            if let Some(error) = stream.ends[side].error.take() {
                return Err(error);
            }
        }
        if stream.is_read_over(side) { Ok(0) } else { Err(Fault::WouldBlock) }
    }

    pub(super) fn shutdown(&mut self, id: Id, side: Side, how: Shutdown) -> Result<(), Fault> {
        let (read, write) = (how != Shutdown::Write, how != Shutdown::Read);
        let stream = self.stream(id);
        match stream.ends[side].standing {
            Standing::Waiting => {
                self.kill(id, side, Fault::Reset);
                return Ok(());
            }
            _ if !stream.is_connected(side) => {
                // To those who wait it is news all the same.
                self.stir_end(id, side, Stir::State);
                return Err(Fault::NotConnected);
            }
            _ => {}
        }
        stream.ends[side].read_shut |= read;
        if write && stream.pipes[side].end == StreamEnd::Open {
            stream.pipes[side].end = StreamEnd::Asked;
        }
        if read && stream.is_near {
            self.stir_end(id, side.other(), Stir::State);
        }
        self.stir_end(id, side, Stir::State);
        self.transmit(id, side);
        Ok(())
    }

    /// Closes an end; what was written is still sent, unless that is not wanted.
    pub(super) fn close_end(&mut self, id: Id, side: Side) {
        let stream = self.stream(id);
        let incoming = stream.incoming(side);
        let (unread, unreached) = (incoming.readable() > 0, incoming.unread() > 0);
        let is_near = stream.is_near;
        let end = &mut stream.ends[side];
        end.fd = None;
        let breaks = !is_near && (unread || end.options.linger == Some(0));
        let was_open = end.standing == Standing::Open;
        end.standing = if was_open && !breaks { Standing::Orphan } else { Standing::Gone };
        match () {
            () if !was_open => {}
            () if breaks => self.send_reset(id, side.other()),
            () => {
                if is_near && unreached {
                    self.stream(id).ends[side.other()].error = Some(Fault::Reset);
                }
                self.finish(id, side);
            }
        }
        if is_near {
            self.stir_end(id, side.other(), Stir::State);
        }
        self.reap(id);
    }

    /// Sends the end of the stream.
    pub(super) fn finish(&mut self, id: Id, side: Side) {
        let pipe = &mut self.stream(id).pipes[side];
        if pipe.end == StreamEnd::Open {
            pipe.end = StreamEnd::Asked;
        }
        self.transmit(id, side);
    }

    /// Frees a connection that nobody holds an end of.
    pub(super) fn reap(&mut self, id: Id) {
        let Some(stream) = self.streams.get(id) else { return };
        if !Side::BOTH.iter().any(|side| stream.ends[*side].standing.is_held()) {
            let pair = stream.addresses.client.ip().zip(stream.addresses.server.ip());
            self.streams.remove(id);
            if let Some((client, server)) = pair {
                self.ports.part(client, server);
            }
        }
    }

    /// Sends what may be sent.
    pub(super) fn transmit(&mut self, id: Id, from: Side) {
        let Self { streams, links, rng, queue, now, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let is_heard =
            !matches!(stream.ends[from.other()].standing, Standing::Dead | Standing::Gone);
        let pipe = &mut stream.pipes[from];
        if !is_heard {
            // Who waits for room there probes, and finds that there is nobody.
            pipe.allow_all();
        }
        let link = links.get(pipe.link);
        let mut sent = false;
        pipe.transmit(*now, link, rng, |at, upto| {
            sent = true;
            queue.push(at, (id, Traffic::Arrival { from, upto }).into());
        });
        if sent && chance(rng, link.resets) {
            queue.push(now.saturating_add(link.draw_latency(rng)), (id, Traffic::Break).into());
        }
    }

    /// Sends word of what has arrived and what was read to the sender.
    fn tell(&mut self, id: Id, from: Side) {
        let Self { streams, links, rng, queue, now, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let pipe = &mut stream.pipes[from];
        let word = pipe.tell(links.get(pipe.link));
        let back = links.get(stream.pipes[from.other()].link);
        let at = now.saturating_add(back.draw_latency(rng));
        queue.push(at, (id, Traffic::Word { from, word }).into());
    }

    /// Tells an end that the connection is no more, behind all that was sent to it.
    pub(super) fn send_reset(&mut self, id: Id, to: Side) {
        let Self { streams, links, rng, queue, now, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let pipe = &mut stream.pipes[to.other()];
        pipe.forget_unsent();
        let at = pipe.follow_apart(*now, links.get(pipe.link), rng);
        queue.push(at, (id, Traffic::Reset { to }).into());
    }

    pub(super) fn stir_end(&mut self, id: Id, side: Side, stir: Stir) {
        let fd = self.streams.get(id).and_then(|stream| stream.ends[side].fd);
        if let Some(fd) = fd {
            self.fds.stir(fd, stir, self.now);
        }
    }

    pub(super) fn on_traffic(&mut self, id: Id, traffic: Traffic) {
        if self.streams.get(id).is_none() {
            return;
        }
        match traffic {
            Traffic::Arrival { from, upto } => self.on_arrival(id, from, upto),
            Traffic::Word { from, word } => self.on_word(id, from, word),
            Traffic::Reset { to } => self.on_reset(id, to),
            Traffic::Break => self.break_off(id),
            Traffic::GiveUp { from, since } => {
                if self.stream(id).pipes[from].is_held_since(since) {
                    self.kill(id, from, Fault::TimedOut);
                }
            }
        }
    }

    fn on_arrival(&mut self, id: Id, from: Side, upto: u64) {
        let (to, now) = (from.other(), self.now);
        let stream = self.stream(id);
        if stream.pipes[from].is_cut {
            if stream.pipes[from].hold(now) {
                let give_up = Traffic::GiveUp { from, since: now };
                self.queue.push(now.saturating_add(GIVE_UP), (id, give_up).into());
            }
            return;
        }
        if to == Side::Server && stream.ends.server.standing == Standing::Waiting {
            self.establish(id);
        }
        let stream = self.stream(id);
        let brings_bytes = stream.pipes[from].brings_bytes(upto);
        let is_shut = stream.ends[to].read_shut && stream.pipes[to].end != StreamEnd::Open;
        let unwanted = brings_bytes && !stream.is_near;
        let is_held = stream.ends[to].standing.is_held();
        match stream.ends[to].standing {
            Standing::Dead | Standing::Gone => return self.send_reset(id, from),
            // Nobody will read it.
            Standing::Orphan | Standing::Open if unwanted && (is_shut || !is_held) => {
                self.kill(id, to, Fault::Reset);
                return self.send_reset(id, from);
            }
            _ => {}
        }
        let arrived = stream.pipes[from].arrive(upto);
        if arrived.end {
            self.stir_end(id, to, Stir::State);
        } else if arrived.bytes > 0 {
            self.stir_end(id, to, Stir::Input);
        }
        if arrived.end || arrived.bytes > 0 {
            self.tell(id, from);
        }
    }

    fn on_word(&mut self, id: Id, from: Side, word: Word) {
        let stream = self.stream(id);
        let back = &mut stream.pipes[from.other()];
        if back.is_cut {
            back.lost_word = true;
            return;
        }
        if matches!(stream.ends[from].standing, Standing::Dead | Standing::Gone) {
            return self.send_reset(id, from.other());
        }
        stream.pipes[from].hear(word);
        self.relieve(id, from);
        self.transmit(id, from);
    }

    /// Tells a writer who had to stop that there is room, if there is.
    fn relieve(&mut self, id: Id, side: Side) {
        let Self { streams, links, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let pipe = &mut stream.pipes[side];
        if pipe.starved && pipe.is_roomy(links.get(pipe.link)) {
            pipe.starved = false;
            self.stir_end(id, side, Stir::Room);
        }
    }

    fn on_reset(&mut self, id: Id, to: Side) {
        let stream = self.stream(id);
        match stream.ends[to].standing {
            Standing::Waiting if to == Side::Server => self.forsake(id),
            _ if stream.incoming(to).is_cut => {
                // What it answers is sent again after the cut, if anything was.
                let is_asked_for = stream.pipes[to].is_unconfirmed();
                stream.pipes[to.other()].lost_word |= is_asked_for;
            }
            Standing::Waiting => self.kill(id, to, Fault::Refused),
            Standing::Open | Standing::Orphan => self.end_by_reset(id, to),
            Standing::Dead | Standing::Gone => {}
        }
        self.reap(id);
    }

    fn end_by_reset(&mut self, id: Id, side: Side) {
        let stream = self.stream(id);
        let has_ended = stream.pipes[side].end != StreamEnd::Open;
        match stream.incoming(side).end {
            // Both directions ended in good order.
            StreamEnd::Arrived if has_ended => {}
            StreamEnd::Arrived => self.kill(id, side, Fault::BrokenPipe),
            _ => self.kill(id, side, Fault::Reset),
        }
    }

    /// Resets both ends at once.
    pub(super) fn break_off(&mut self, id: Id) {
        self.forsake(id);
        for side in Side::BOTH {
            self.kill(id, side, Fault::Reset);
        }
        self.reap(id);
    }

    /// Ends an end with an error.
    pub(super) fn kill(&mut self, id: Id, side: Side, error: Fault) {
        let stream = self.stream(id);
        stream.pipes[side].forget_unarrived();
        let end = &mut stream.ends[side];
        match end.standing {
            Standing::Waiting | Standing::Open => {
                end.standing = Standing::Dead;
                end.error = Some(error);
                self.stir_end(id, side, Stir::State);
            }
            Standing::Orphan => end.standing = Standing::Gone,
            Standing::Dead | Standing::Gone => {}
        }
        if side == Side::Client {
            self.forsake(id);
        }
    }

    /// Looks again how the ends of all connections are joined.
    pub(super) fn reroute(&mut self) {
        for id in self.streams.ids() {
            for from in Side::BOTH {
                let is_open = self.reroute_pipe(id, from);
                // The buffers may have grown.
                self.relieve(id, from);
                if is_open {
                    self.resume(id, from);
                }
            }
        }
    }

    /// Looks which link a pipe goes by; returns whether anything passes.
    fn reroute_pipe(&mut self, id: Id, from: Side) -> bool {
        let Self { streams, links, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return false };
        let (source, target) = (&stream.addresses[from], &stream.addresses[from.other()]);
        if let Some((source, target)) = source.ip().zip(target.ip()) {
            let pipe = &mut stream.pipes[from];
            pipe.link = links.find(source, target);
            pipe.is_cut = links.is_cut(source, target);
        }
        !stream.pipes[from].is_cut
    }

    /// Sends on what was held up by a cut that has healed, or by a buffer that has grown.
    fn resume(&mut self, id: Id, from: Side) {
        let Self { streams, links, rng, queue, now, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let pipe = &mut stream.pipes[from];
        let link = links.get(pipe.link);
        if let Some(at) = pipe.resume(*now, link, rng) {
            let upto = pipe.sent_upto();
            queue.push(at, (id, Traffic::Arrival { from, upto }).into());
        }
        let has_word = pipe.has_word(link);
        let lost_word = std::mem::take(&mut pipe.lost_word);
        let standing = stream.ends[from].standing;
        if has_word {
            self.tell(id, from);
        }
        match standing {
            // What it did not confirm is sent again, to nobody.
            Standing::Dead | Standing::Gone if lost_word => self.send_reset(id, from.other()),
            _ if lost_word => self.tell(id, from.other()),
            _ => {}
        }
        self.transmit(id, from);
    }
}
