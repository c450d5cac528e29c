//! Fds on the loop against what pipes and sockets have to do, on the kernel that is here: both
//! directions, several tasks a direction and in several ways, in partitions with a poller of their
//! own and without, fds taken off and put on, closed, replaced behind the loop's back, and numbers
//! that are used again.

mod flow;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenloop::net::{AsyncFd, Direction};
use evenloop::time::sleep;
use evenloop::{Handle, JoinHandle, Partition, Runtime, spawn_in, within, yield_now};

use super::program::{STEPS_MAX, words};
use flow::{Flow, Room};

/// Pairs of ends: pipes and sockets.
const PAIRS: usize = 2;
const PLACES: u64 = 3;
/// The partition with a poller of its own.
const ISOLATED: u64 = 2;
/// Tasks that wait for one direction at the same time.
const WAITERS_MAX: usize = 4;
/// Nothing takes that long, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(crate) struct Program {
    steps: Vec<Step>,
    /// Whether the runtime ends while tasks wait.
    ends_early: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open {
        pair: usize,
        pipe: bool,
    },
    Watch(At),
    /// Takes the fd off the loop, and leaves it open.
    Unwatch(At),
    Close(At),
    /// Puts another file in the place of the one that the loop watches.
    Replace(At),
    Wait {
        at: At,
        direction: Direction,
        place: u64,
        how: How,
        bytes: usize,
    },
    Cancel {
        at: At,
        direction: Direction,
        which: usize,
    },
    /// Takes a task that waits into another partition.
    Adopt {
        at: At,
        direction: Direction,
        which: usize,
        place: u64,
    },
    Put {
        at: At,
        bytes: usize,
    },
    Fill(At),
    Take {
        at: At,
        bytes: usize,
    },
    /// Takes what there is.
    Empty(At),
    Yield,
}

/// One end of a pair.
#[derive(Clone, Copy, Debug)]
struct At {
    pair: usize,
    end: usize,
}

/// The ways to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Operation,
    Readiness,
    /// In the one place there is for those who poll.
    Polling,
}

pub(crate) fn decode(bytes: &[u8]) -> Program {
    let mut words = words(bytes);
    let [ends, ..] = words.next().unwrap_or_default();
    let step = |[kind, whom, a, b]: [u8; 4]| {
        let at = At { pair: usize::from(whom >> 1) % PAIRS, end: usize::from(whom & 1) };
        let direction = if whom & 0xc0 == 0 { Direction::Write } else { Direction::Read };
        let (which, place) = (usize::from(b), u64::from(a) % PLACES);
        match kind % 24 {
            0 | 1 => Step::Open { pair: at.pair, pipe: a & 1 == 1 },
            2..=4 => Step::Watch(at),
            5 => Step::Unwatch(at),
            6 => Step::Close(at),
            7 => Step::Replace(at),
            8..=13 => {
                let how = [How::Operation, How::Readiness, How::Polling][usize::from(a >> 4) % 3];
                Step::Wait { at, direction, place, how, bytes: usize::from(b).max(1) }
            }
            14 | 15 => Step::Cancel { at, direction, which },
            16 => Step::Adopt { at, direction, which, place },
            17 | 18 => Step::Put { at, bytes: usize::from(b) },
            19 => Step::Fill(at),
            20 => Step::Take { at, bytes: usize::from(b) },
            21 => Step::Empty(at),
            _ => Step::Yield,
        }
    };
    Program { steps: words.take(STEPS_MAX).map(step).collect(), ends_early: ends & 1 == 1 }
}

type Fd = Rc<OwnedFd>;

#[derive(Default)]
enum Side {
    #[default]
    Closed,
    Plain(Fd),
    Watched(Rc<AsyncFd<Fd>>),
}

#[derive(Default)]
struct End {
    side: Side,
    /// What was put in here.
    flow: Flow,
    /// Who waits to read, and to write.
    waiters: [Vec<Waiter>; 2],
    /// Whether anybody has waited in the partition with a poller of its own.
    was_apart: bool,
}

struct Waiter {
    task: JoinHandle<io::Result<()>>,
    how: How,
}

#[derive(Default)]
struct Pair {
    ends: [End; 2],
    is_pipe: bool,
}

#[derive(Default)]
struct World(RefCell<[Pair; PAIRS]>);

pub(crate) fn run(program: &Program) {
    let runtime = Runtime::new().expect("a loop");
    let world = Rc::new(World::default());
    runtime.block_on(async {
        let isolated = Partition::builder(&ISOLATED.to_string()).isolated_io(true).build();
        for step in &program.steps {
            world.step(*step, &isolated).await;
            world.settle().await;
        }
        drop(isolated);
        if program.ends_early {
            return;
        }
        for pair in 0..PAIRS {
            for end in 0..2 {
                world.close(At { pair, end }).await;
            }
        }
        // A partition lives while a source or a task refers to it.
        let begun = Instant::now();
        while Handle::current().partitions().len() > 1 {
            assert!(begun.elapsed() < PATIENCE, "LEFT: {:?}", Handle::current().partitions());
            sleep(Duration::from_micros(100)).await;
        }
    });
}

impl World {
    async fn step(self: &Rc<Self>, step: Step, isolated: &Partition) {
        match step {
            Step::Open { pair, pipe } => self.open(pair, pipe),
            Step::Watch(at) => self.watch(at),
            Step::Unwatch(at) => self.unwatch(at).await,
            Step::Close(at) => self.close(at).await,
            Step::Replace(at) => self.replace(at).await,
            Step::Wait { at, direction, place, how, bytes } => {
                let place = if place == ISOLATED {
                    isolated.clone()
                } else {
                    Partition::named(place.to_string().as_str())
                };
                self.with(at, |end| end.was_apart |= place == *isolated);
                self.wait(at, direction, &place, how, bytes).await;
            }
            Step::Cancel { at, direction, which } => {
                let waiter = self.with(at, |end| {
                    let waiters = &mut end.waiters[side(direction)];
                    let which = which.checked_rem(waiters.len())?;
                    Some(waiters.swap_remove(which))
                });
                cancel(waiter).await;
            }
            Step::Adopt { at, direction, which, place } => {
                let adopt = async {
                    self.with(at, |end| {
                        let waiters = &end.waiters[side(direction)];
                        let which = which.checked_rem(waiters.len());
                        which.iter().for_each(|which| waiters[*which].task.adopt());
                    });
                };
                within(place.to_string(), adopt).await;
                self.with(at, |end| end.was_apart |= place == ISOLATED);
            }
            Step::Put { at, bytes } => self.direct(at, Direction::Write, bytes),
            Step::Take { at, bytes } => self.direct(at, Direction::Read, bytes),
            Step::Fill(at) => {
                while self.with(at, |end| end.flow.room != Room::None && end.fd().is_some()) {
                    if !self.try_direct(at, Direction::Write, 4_096) {
                        break;
                    }
                }
            }
            Step::Empty(at) => while self.try_direct(at, Direction::Read, 4_096) {},
            Step::Yield => yield_now().await,
        }
    }

    fn with<R>(&self, at: At, f: impl FnOnce(&mut End) -> R) -> R {
        f(&mut self.0.borrow_mut()[at.pair].ends[at.end])
    }

    fn open(&self, pair: usize, pipe: bool) {
        let pair = &mut self.0.borrow_mut()[pair];
        if pair.ends.iter().any(|end| !matches!(end.side, Side::Closed)) {
            return;
        }
        pair.is_pipe = pipe;
        let fds = if pipe { flow::pipe() } else { flow::sockets() };
        for (end, fd) in pair.ends.iter_mut().zip(fds) {
            *end = End { side: Side::Plain(Rc::new(fd)), ..End::default() };
        }
    }

    /// Puts an fd on the loop; a second time is an error that gives it back.
    fn watch(&self, at: At) {
        let made = self.with(at, |end| match &end.side {
            Side::Closed => None,
            Side::Plain(fd) => {
                let watched = AsyncFd::new(fd.clone()).expect("nobody watches it");
                Some(Side::Watched(Rc::new(watched)))
            }
            Side::Watched(watched) => {
                match AsyncFd::try_new(watched.get_ref().clone()) {
                    Err(error) => {
                        assert!(error.is_already_registered());
                        assert!(Rc::ptr_eq(&error.into_parts().0, watched.get_ref()));
                    }
                    // One poller knows nothing of what is in another. It does no harm.
                    Ok(again) => {
                        assert!(end.was_apart, "the loop has it already");
                        drop(again);
                    }
                }
                None
            }
        });
        if let Some(made) = made {
            let old = self.with(at, |end| std::mem::replace(&mut end.side, made));
            drop(old);
        }
    }

    /// Ends all who wait, so that nobody but the world has the fd.
    async fn quit(&self, at: At) -> Side {
        self.send_away(at).await;
        self.with(at, |end| std::mem::take(&mut end.side))
    }

    async fn send_away(&self, at: At) {
        let waiters = self.with(at, |end| std::mem::take(&mut end.waiters));
        for waiter in waiters.into_iter().flatten() {
            cancel(Some(waiter)).await;
        }
    }

    async fn unwatch(&self, at: At) {
        let side = match self.quit(at).await {
            Side::Watched(watched) => Side::Plain(sole(watched).into_inner()),
            side => side,
        };
        self.with(at, |end| end.side = side);
    }

    async fn close(&self, at: At) {
        let side = self.quit(at).await;
        drop(side);
    }

    /// Closes the file that the loop watches, with another one under the same number at once. The
    /// loop must neither mind nor take the new one for the old.
    async fn replace(&self, at: At) {
        // Both, before either looks closed to who waits at the other.
        self.send_away(At { end: 1 - at.end, ..at }).await;
        let watched = match self.quit(at).await {
            Side::Watched(watched) => watched,
            side => return self.with(at, |end| end.side = side),
        };
        let peer = self.with(At { end: 1 - at.end, ..at }, |end| std::mem::take(&mut end.side));
        let mut watched = sole(watched);
        let [near, far] = flow::sockets();
        let fd = Rc::get_mut(watched.get_mut()).expect("nobody else has it");
        rustix::io::dup2(&near, fd).expect("a number that is open");
        drop((near, peer));
        let pair = [watched.into_inner(), Rc::new(far)].map(Side::Plain);
        let mut pairs = self.0.borrow_mut();
        pairs[at.pair].is_pipe = false;
        for (side, end) in pair.into_iter().zip([at.end, 1 - at.end]) {
            pairs[at.pair].ends[end] = End { side, ..End::default() };
        }
    }

    async fn wait(
        self: &Rc<Self>,
        at: At,
        direction: Direction,
        place: &Partition,
        how: How,
        bytes: usize,
    ) {
        if !self.is_used(at, direction) {
            return;
        }
        let Some(fd) = self.with(at, |end| match &end.side {
            Side::Watched(watched) => Some(watched.clone()),
            _ => None,
        }) else {
            return;
        };
        // There is one place for those who poll, and the last to come has it.
        let displaced = self.with(at, |end| {
            let waiters = &mut end.waiters[side(direction)];
            let of_how = waiters.iter().position(|waiter| waiter.how == How::Polling);
            let full = (waiters.len() == WAITERS_MAX).then_some(0);
            let which = of_how.filter(|_| how == How::Polling).or(full);
            which.map(|which| waiters.remove(which))
        });
        cancel(displaced).await;
        let world = self.clone();
        let task = spawn_in(place, async move {
            let attempt = |fd: &AsyncFd<Fd>| world.attempt(at, direction, fd.get_ref(), bytes);
            match how {
                How::Operation => {
                    fd.async_io(direction, |_| attempt(&fd)).await?;
                }
                How::Readiness => loop {
                    let ready = fd.ready(direction).await?;
                    match ready.try_io(|_| attempt(&fd)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => {
                            result?;
                            break;
                        }
                    }
                },
                How::Polling => loop {
                    let ready = poll_fn(|cx| fd.poll_ready(direction, cx)).await?;
                    match ready.try_io(|_| attempt(&fd)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        result => {
                            result?;
                            break;
                        }
                    }
                },
            }
            Ok(())
        });
        self.with(at, |end| end.waiters[side(direction)].push(Waiter { task, how }));
    }

    /// Whether anything goes in or comes out here.
    fn is_used(&self, at: At, direction: Direction) -> bool {
        let is_pipe = self.0.borrow()[at.pair].is_pipe;
        !is_pipe || (direction == Direction::Read) == (at.end == 0)
    }

    /// Reads or writes, and compares.
    fn attempt(&self, at: At, direction: Direction, fd: &Fd, bytes: usize) -> io::Result<usize> {
        let ends = &mut self.0.borrow_mut()[at.pair].ends;
        let peer_closed = matches!(ends[1 - at.end].side, Side::Closed);
        match direction {
            Direction::Read => ends[1 - at.end].flow.take(fd, bytes, peer_closed),
            Direction::Write => ends[at.end].flow.put(fd, bytes, peer_closed),
        }
    }

    fn direct(&self, at: At, direction: Direction, bytes: usize) {
        let _ = self.try_direct(at, direction, bytes);
    }

    /// Past the loop; returns whether anything was moved.
    fn try_direct(&self, at: At, direction: Direction, bytes: usize) -> bool {
        let fd = self.with(at, |end| end.fd());
        let Some(fd) = fd.filter(|_| self.is_used(at, direction)) else { return false };
        self.attempt(at, direction, &fd, bytes).is_ok_and(|moved| moved > 0)
    }

    /// Lets the loop run until nobody waits for what there is.
    async fn settle(&self) {
        let begun = Instant::now();
        let mut rounds = 0;
        while self.is_owed() {
            assert!(begun.elapsed() < PATIENCE, "LOST: nobody tells who waits");
            rounds += 1;
            match rounds {
                ..20 => yield_now().await,
                _ => sleep(Duration::from_micros(50)).await,
            }
        }
    }

    /// Whether somebody waits for what has come. Forgets those who have it.
    fn is_owed(&self) -> bool {
        let mut owed = false;
        for pair in &mut *self.0.borrow_mut() {
            let closed = [0, 1].map(|end| matches!(pair.ends[end].side, Side::Closed));
            let full = [0, 1].map(|end| pair.ends[end].flow.len > 0);
            for (end, peer) in [(0, 1), (1, 0)] {
                let room = pair.ends[end].flow.room;
                let end = &mut pair.ends[end];
                end.waiters.iter_mut().for_each(reap);
                owed |= !end.waiters[0].is_empty() && (full[peer] || closed[peer]);
                owed |= !end.waiters[1].is_empty() && (room == Room::Some || closed[peer]);
            }
        }
        owed
    }
}

impl End {
    fn fd(&self) -> Option<Fd> {
        match &self.side {
            Side::Closed => None,
            Side::Plain(fd) => Some(fd.clone()),
            Side::Watched(watched) => Some(watched.get_ref().clone()),
        }
    }
}

fn side(direction: Direction) -> usize {
    match direction {
        Direction::Read => 0,
        Direction::Write => 1,
    }
}

fn sole(watched: Rc<AsyncFd<Fd>>) -> AsyncFd<Fd> {
    Rc::try_unwrap(watched).expect("who waited is gone")
}

/// Takes out those who are done, and goes on with what they panicked with.
fn reap(waiters: &mut Vec<Waiter>) {
    while let Some(at) = waiters.iter().position(|waiter| waiter.task.is_finished()) {
        let task = waiters.swap_remove(at).task;
        expect_end(futures::FutureExt::now_or_never(task).expect("it is finished"));
    }
}

async fn cancel(waiter: Option<Waiter>) {
    if let Some(waiter) = waiter {
        waiter.task.abort();
        expect_end(waiter.task.await);
    }
}

fn expect_end(outcome: Result<io::Result<()>, evenloop::JoinError>) {
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("an operation failed: {error}"),
        Err(error) => {
            if let Ok(payload) = error.try_into_panic() {
                resume_unwind(payload);
            }
        }
    }
}
