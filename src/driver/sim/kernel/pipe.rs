//! One direction of a connection.
//!
//! The bytes are kept once, from their writing to their reading. What happens to them on the way is
//! a few positions in the stream, so it costs the same for one byte and for a million:
//!
//! ```text
//!             read        arrived         sent        written
//!    ──────────┼─────────────┼──────────────┼────────────┼────▶
//!     forgotten│ can be read │ on their way │ to be sent │
//!                      │                    │
//!                    acked (what the        allowed (what the sender
//!                    sender knows of)       knows to be room for)
//! ```
//!
//! `acked` follows `arrived`, and `allowed` follows `read` by the size of the receive buffer, each
//! as far as word of it has come back to the sender. The send buffer holds what is written and not
//! acked.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};

use fastrand::Rng;

use super::link::{Link, LinkId};

/// How far the end of the stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// More may be written.
    Open,
    /// No more is written; what was, is still to be sent.
    Asked,
    Sent,
    Arrived,
}

#[derive(Debug)]
pub(super) struct Pipe {
    /// What was written and not read.
    bytes: VecDeque<u8>,
    read: u64,
    arrived: u64,
    sent: u64,
    acked: u64,
    allowed: u64,
    /// What `allowed` will be when all word has come back.
    told: u64,
    /// When the last of what was sent arrives: nothing overtakes it.
    last_at: u64,
    /// Until when the wire is busy, where its bandwidth is limited.
    busy_until: u64,
    /// Since when what has come to a cut waits for it to heal, or `NEVER`.
    held_since: u64,
    pub(super) link: LinkId,
    pub(super) end: End,
    /// Nothing passes at present.
    pub(super) is_cut: bool,
    /// Word to the sender of the other direction was lost at a cut here.
    pub(super) lost_word: bool,
    /// The writer had to stop, and is to hear when there is room.
    pub(super) starved: bool,
}

const NEVER: u64 = u64::MAX;

/// What came out at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) bytes: u64,
    /// The end of the stream, just now.
    pub(super) end: bool,
}

/// Word for the sender: how much has arrived (the end of the stream counts as a byte), and how far
/// it may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    acked: u64,
    allowed: u64,
}

impl Pipe {
    pub(super) fn new(link: LinkId, receive_buffer: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            read: 0,
            arrived: 0,
            sent: 0,
            acked: 0,
            allowed: receive_buffer as u64,
            told: receive_buffer as u64,
            last_at: 0,
            busy_until: 0,
            held_since: NEVER,
            link,
            end: End::Open,
            is_cut: false,
            lost_word: false,
            starved: false,
        }
    }

    fn written(&self) -> u64 {
        self.read + self.bytes.len() as u64
    }

    /// How many bytes can be read.
    pub(super) fn readable(&self) -> usize {
        (self.arrived - self.read) as usize
    }

    /// How many bytes were written and not read.
    pub(super) fn unread(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes of memory it keeps for those of the stream.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn unacked(&self) -> usize {
        self.written().saturating_sub(self.acked) as usize
    }

    /// How many bytes can be written.
    pub(super) fn room(&self, link: &Link) -> usize {
        link.send_buffer.saturating_sub(self.unacked())
    }

    /// Whether there is enough room for the writer to be told of it: a third, as Linux has it.
    pub(super) fn is_roomy(&self, link: &Link) -> bool {
        let room = self.room(link);
        room > 0 && room >= self.unacked() / 2
    }

    /// Whether the sender knows that the far end has everything, the end of the stream included.
    pub(super) fn is_done(&self) -> bool {
        self.end == End::Arrived && self.acked > self.written()
    }

    /// Whether anything was sent of which the sender does not know that it has arrived.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.sent_upto() > self.acked
    }

    /// Takes in the first `len` bytes of `bufs`.
    pub(super) fn push(&mut self, bufs: &[IoSlice<'_>], len: usize) {
        self.bytes.reserve(len);
        let mut left = len;
        for buf in bufs {
            let part = &buf[..left.min(buf.len())];
            self.bytes.extend(part);
            left -= part.len();
        }
    }

    /// Copies `len` bytes to `bufs`, or as many as fit, and leaves them where they are.
    pub(super) fn copy(&self, bufs: &mut [IoSliceMut<'_>], len: usize) {
        let (mut front, mut back) = self.bytes.as_slices();
        let mut rest = len.min(self.bytes.len());
        for buf in bufs {
            let mut buf = &mut buf[..];
            while rest > 0 && !buf.is_empty() {
                let source = if front.is_empty() { &mut back } else { &mut front };
                let part = rest.min(buf.len()).min(source.len());
                buf[..part].copy_from_slice(&source[..part]);
                *source = &source[part..];
                buf = &mut buf[part..];
                rest -= part;
            }
        }
    }

    /// Forgets the first `len` bytes, which were read.
    pub(super) fn forget(&mut self, len: usize) {
        self.read += len as u64;
        if len == self.bytes.len() {
            // A connection that is idle keeps no memory.
            self.bytes = VecDeque::new();
        } else {
            self.bytes.drain(..len);
        }
    }

    /// Forgets what was not sent: the sender gave up.
    pub(super) fn forget_unsent(&mut self) {
        self.bytes.truncate((self.sent - self.read) as usize);
    }

    /// Forgets what has not arrived: the sender is no more.
    pub(super) fn forget_unarrived(&mut self) {
        self.bytes.truncate((self.arrived - self.read) as usize);
        self.sent = self.arrived;
    }

    /// Sends what may be sent; `arrival` is told when it arrives up to which position.
    pub(super) fn transmit(
        &mut self,
        now: u64,
        link: &Link,
        rng: &mut Rng,
        mut arrival: impl FnMut(u64, u64),
    ) {
        loop {
            let waiting = self.written().min(self.allowed).saturating_sub(self.sent);
            if waiting == 0 {
                break;
            }
            let segment = waiting.min(link.segment());
            if link.is_limited() {
                let begin = self.busy_until.max(now);
                self.busy_until = begin.saturating_add(link.sending_time(segment));
            }
            self.sent += segment;
            arrival(self.follow(now, link, rng), self.sent_upto());
        }
        if self.end == End::Asked && self.sent == self.written() {
            self.end = End::Sent;
            arrival(self.follow(now, link, rng), self.sent_upto());
        }
    }

    /// Sends something behind all else, and returns when it arrives.
    pub(super) fn follow(&mut self, now: u64, link: &Link, rng: &mut Rng) -> u64 {
        let at = self.busy_until.max(now).saturating_add(link.draw_latency(rng));
        self.last_at = self.last_at.max(at);
        self.last_at
    }

    /// Like [`follow`](Self::follow), but never at the same time as what was sent before.
    pub(super) fn follow_apart(&mut self, now: u64, link: &Link, rng: &mut Rng) -> u64 {
        let before = self.last_at;
        self.last_at = self.follow(now, link, rng).max(before.saturating_add(1));
        self.last_at
    }

    /// The position up to which all is sent. The end of the stream counts as a byte.
    pub(super) fn sent_upto(&self) -> u64 {
        self.sent + u64::from(self.end >= End::Sent)
    }

    /// Whether an arrival up to a position brings bytes.
    pub(super) fn brings_bytes(&self, upto: u64) -> bool {
        upto.min(self.sent) > self.arrived
    }

    /// Makes what was sent arrive, up to a position.
    pub(super) fn arrive(&mut self, upto: u64) -> Arrived {
        let bytes = upto.min(self.sent).saturating_sub(self.arrived);
        self.arrived += bytes;
        let end = self.end == End::Sent && upto > self.sent;
        if end {
            self.end = End::Arrived;
        }
        Arrived { bytes, end }
    }

    /// Notes that an arrival came to a cut; returns whether it is the first.
    pub(super) fn hold(&mut self, now: u64) -> bool {
        let first = self.held_since == NEVER;
        if first {
            self.held_since = now;
        }
        first
    }

    pub(super) fn is_held_since(&self, since: u64) -> bool {
        self.held_since == since
    }

    /// Sends again what came to a cut, which has healed; returns when it arrives.
    pub(super) fn resume(&mut self, now: u64, link: &Link, rng: &mut Rng) -> Option<u64> {
        let held = std::mem::replace(&mut self.held_since, NEVER) != NEVER;
        held.then(|| self.follow(now, link, rng))
    }

    /// Whether word of what was read is worth sending: half of the receive buffer.
    pub(super) fn has_word(&self, link: &Link) -> bool {
        self.allows(link) - self.told >= (link.receive_buffer as u64 / 2).max(1)
    }

    fn allows(&self, link: &Link) -> u64 {
        // A window that was granted is not taken back, should the buffer be made smaller.
        (self.read + link.receive_buffer as u64).max(self.told)
    }

    /// Makes word for the sender.
    pub(super) fn tell(&mut self, link: &Link) -> Word {
        self.told = self.allows(link);
        let end = u64::from(self.end == End::Arrived);
        Word { acked: self.arrived + end, allowed: self.told }
    }

    /// Lets everything be sent.
    pub(super) fn allow_all(&mut self) {
        self.allowed = u64::MAX;
    }

    /// Takes in word that has come back.
    pub(super) fn hear(&mut self, word: Word) {
        self.acked = self.acked.max(word.acked);
        self.allowed = self.allowed.max(word.allowed);
    }
}
