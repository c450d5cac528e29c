//! The connections that are not told yet.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::bells::{Bell, Bells};
use super::metrics::{Counts, count};
use crate::net::TcpStream;
use crate::net::classify::look;
use crate::sched::Direction;
use crate::time::{Instant, Sleep, sleep};

/// A connection that is not told yet.
struct Newcomer {
    stream: TcpStream,
    peer: SocketAddr,
    /// Bytes that were looked at.
    known: usize,
    deadline: Instant,
    bell: Arc<Bell>,
}

/// All of them, by age, with what tells and serves them.
pub(super) struct Waiting<R, T, S> {
    /// By number, in the order in which they were accepted, which is that of their deadlines.
    newcomers: BTreeMap<u64, Newcomer>,
    accepted: u64,
    bells: Arc<Bells>,
    /// Ends no later than the first deadline, while there is one.
    timer: Sleep,
    tell: T,
    serve: S,
    /// Where all of them are looked at, one at a time.
    start: Vec<u8>,
    patience: Duration,
    counts: Arc<Counts>,
    told: PhantomData<fn() -> R>,
}

impl<R, T, S> Waiting<R, T, S> {
    pub(super) fn new(
        tell: T,
        serve: S,
        max_bytes: usize,
        patience: Duration,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            newcomers: BTreeMap::new(),
            accepted: 0,
            bells: Arc::default(),
            timer: sleep(Duration::ZERO),
            tell,
            serve,
            start: vec![0; max_bytes],
            patience,
            counts,
            told: PhantomData,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.newcomers.len()
    }

    pub(super) fn watch(&self, task: &Waker) {
        self.bells.watch(task);
    }

    fn note_waiting(&self) {
        self.counts.waiting.store(self.newcomers.len() as u64, Ordering::Relaxed);
    }
}

impl<R, T, S> Waiting<R, T, S>
where
    T: FnMut(&[u8]) -> Option<R>,
    S: FnMut(TcpStream, SocketAddr, R),
{
    /// Takes in a connection, and looks at it.
    pub(super) fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        count(&self.counts.accepted);
        let key = self.accepted;
        self.accepted += 1;
        let bell = Bell::new(key, &self.bells);
        let deadline = sleep(self.patience).deadline();
        self.look(key, Newcomer { stream, peer, known: 0, deadline, bell });
    }

    /// Looks at up to `most` that have something new, and says whether there may be more.
    pub(super) fn look_at(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let newcomer = loop {
                let Some(key) = self.bells.next() else { return false };
                // Whoever is gone may have rung before.
                if let Some(newcomer) = self.newcomers.remove(&key) {
                    break (key, newcomer);
                }
            };
            newcomer.1.bell.hear();
            self.look(newcomer.0, newcomer.1);
        }
        !self.bells.is_silent()
    }

    /// Closes the one that has waited longest, unless it has said enough.
    pub(super) fn evict(&mut self) {
        if let Some((_, oldest)) = self.newcomers.pop_first() {
            self.give_up(oldest, |counts| &counts.evicted);
        }
    }

    /// Closes up to `most` whose time is over, and says whether there may be more.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>, most: usize) -> bool {
        for _ in 0..most {
            let Some(oldest) = self.newcomers.first_entry() else { return false };
            let deadline = oldest.get().deadline;
            if self.timer.deadline() < deadline && self.timer.is_elapsed() {
                self.timer.reset(deadline);
            }
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return false;
            }
            if deadline <= self.timer.deadline() {
                let oldest = oldest.remove();
                self.give_up(oldest, |counts| &counts.timed_out);
            }
        }
        true
    }

    /// Looks at one that may have something new, and keeps it if it has not said enough.
    fn look(&mut self, key: u64, mut newcomer: Newcomer) {
        let waker = Waker::from(newcomer.bell.clone());
        let Newcomer { stream, known, .. } = &mut newcomer;
        let (start, tell) = (&mut self.start, &mut self.tell);
        let looked = stream.io.registration().poll_io(
            Direction::Read,
            &mut Context::from_waker(&waker),
            || look(stream, start, known, tell),
        );
        match looked {
            Poll::Ready(told) => self.part(newcomer, told),
            Poll::Pending => drop(self.newcomers.insert(key, newcomer)),
        }
        self.note_waiting();
    }

    /// Looks a last time: what has arrived counts, also if it was not reported yet.
    fn give_up(&mut self, mut newcomer: Newcomer, why: fn(&Counts) -> &AtomicU64) {
        let Newcomer { stream, known, .. } = &mut newcomer;
        match look(stream, &mut self.start, known, &mut self.tell) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => count(why(&self.counts)),
            told => self.part(newcomer, told),
        }
        self.note_waiting();
    }

    fn part(&mut self, newcomer: Newcomer, told: io::Result<Option<R>>) {
        match told {
            Ok(Some(told)) => {
                count(&self.counts.told);
                (self.serve)(newcomer.stream, newcomer.peer, told);
            }
            Ok(None) => count(&self.counts.unknown),
            Err(_) => count(&self.counts.failed),
        }
    }
}
