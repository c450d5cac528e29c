//! Actors that only a runtime can play: their tasks are joined, aborted, panic and time out, their
//! partitions are closed and weighed anew, and their wakers come back into the loop.
//!
//! Each looks at what came of it, and panics if that is not as it should be.

use std::future::{Future, pending, poll_fn};
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;

use super::actor::between;
use super::cast::seed_of;
use super::host::{Presence, Stage};
use super::{Actor, Cost, Kind};
use crate::runtime::{
    AbortHandle, Close, Handle, JoinHandle, JoinSet, Partition, spawn, spawn_in, yield_now,
};
use crate::sim::spend;
use crate::time::{Instant, Sleep, interval, sleep, timeout};

impl Stage {
    /// Starts the copies of an actor that only a runtime can play.
    pub(super) fn open_upheavals(self: &Rc<Self>, home: &str, actor: &Actor, seed: (u64, usize)) {
        if !actor.kind().is_upheaval() {
            return;
        }
        let mut random = Rng::with_seed(seed_of(seed.0, home, seed.1));
        for _ in 0..actor.copies {
            let presence = self.enter(!actor.is_endless());
            let play = play(presence, actor.clone(), random.fork());
            spawn_in(home, play);
        }
    }
}

impl Kind {
    fn is_upheaval(&self) -> bool {
        self.needs_runtime() && !matches!(self, Self::Flood { .. })
    }
}

async fn play(presence: Presence, actor: Actor, mut random: Rng) {
    let mut round = 0;
    while actor.rounds != Some(round) {
        match actor.kind() {
            Kind::Nursery { tasks, cost } => nursery(*tasks, cost, &mut random).await,
            Kind::Deadlines { period, cost } => deadlines(*period, cost, &mut random).await,
            Kind::Closing { tasks, cost } => {
                let how = if round % 2 == 0 { Close::Drain } else { Close::Cancel };
                closing(how, *tasks, cost, &mut random).await;
            }
            Kind::Fickle { period } => {
                sleep(*period).await;
                Partition::current().set_weight(random.u32(1..=8));
            }
            Kind::Dominoes { tasks, cost } => dominoes(*tasks, cost, &mut random).await,
            Kind::Remote { tasks, cost } => remote(*tasks, cost, &mut random).await,
            other => unreachable!("{other:?} needs no runtime of its own"),
        }
        round = round.wrapping_add(1);
    }
    drop(presence);
}

fn work(cost: Duration) {
    if !cost.is_zero() {
        spend(cost);
    }
}

/// Spawns tasks of which by turns one ends, one panics, one is aborted and one is let go, and
/// joins them.
async fn nursery(tasks: u32, cost: &Cost, random: &mut Rng) {
    let mut set = JoinSet::new();
    let mut doomed = Vec::new();
    for number in 0..tasks {
        let cost = cost.draw(random);
        match number % 4 {
            0 => drop(set.spawn(async move { work(cost) })),
            1 => drop(set.spawn(async move {
                work(cost);
                yield_now().await;
                resume_unwind(Box::new("a task of a nursery, and somebody joins it"))
            })),
            2 => doomed.push(set.spawn(async move {
                work(cost);
                sleep(Duration::from_secs(3_600)).await;
                pending().await
            })),
            _ => drop(spawn(async move { work(cost) })),
        }
    }
    yield_now().await;
    for task in &doomed {
        task.abort();
    }
    let (mut ended, mut panicked, mut cancelled) = (0, 0, 0);
    while let Some(outcome) = set.join_next().await {
        match outcome {
            Ok(()) => ended += 1,
            Err(error) if error.is_panic() => panicked += 1,
            Err(_) => cancelled += 1,
        }
    }
    let of = |turn: u32| (tasks + 3 - turn) / 4;
    assert_eq!((ended, panicked, cancelled), (of(0), of(1), of(2)), "what became of {tasks} tasks");
}

/// Waits for the next tick of an interval, then for half a period at most for what may take twice
/// as long.
async fn deadlines(period: Duration, cost: &Cost, random: &mut Rng) {
    let mut ticks = interval(period);
    for _ in 0..2 {
        let tick = ticks.tick().await;
        assert!(tick <= Instant::now(), "an interval ticked early");
    }
    work(cost.draw(random));
    let (limit, takes) = (period / 2, between(Duration::ZERO, period, random));
    let start = Instant::now();
    let outcome = timeout(limit, sleep(takes)).await;
    let waited = start.elapsed();
    let least = if outcome.is_ok() { takes } else { limit };
    assert!(waited >= least, "waited {waited:?} for {takes:?} within {limit:?}: {outcome:?}");
    assert!(outcome.is_ok() || takes > limit, "{takes:?} timed out after {limit:?}");
}

/// Makes a partition with tasks in it, and closes it over their heads.
async fn closing(how: Close, tasks: u32, cost: &Cost, random: &mut Rng) {
    let partition = Partition::anonymous();
    let inhabitants = (0..tasks).map(|number| {
        let cost = cost.draw(random);
        partition.spawn(async move {
            work(cost);
            yield_now().await;
            if number % 2 == 1 {
                sleep(cost).await;
            }
            // What runs in a closed partition may still spawn there.
            let child = spawn(async {}).await;
            assert!(how == Close::Cancel || child.is_ok(), "a child was {child:?}");
        })
    });
    let inhabitants: Vec<JoinHandle<()>> = inhabitants.collect();
    yield_now().await;
    partition.close(how);
    let late = partition.spawn(async {}).await;
    assert!(late.is_err_and(|error| error.is_refused()), "a closed partition took a task in");
    for task in inhabitants {
        let outcome = task.await;
        let is_fine = match &outcome {
            Ok(()) => true,
            Err(error) => how == Close::Cancel && error.is_cancelled() && !error.is_refused(),
        };
        assert!(is_fine, "a task in a partition closed with {how:?}: {outcome:?}");
    }
}

/// A waker that comes back into the loop: while the loop delivers, it takes time, spawns a task,
/// aborts another and cancels a timer.
struct Domino {
    task: Waker,
    cost: Duration,
    falls: Mutex<Option<(AbortHandle, Sleep)>>,
}

impl Wake for Domino {
    fn wake(self: Arc<Self>) {
        work(self.cost);
        spawn(async {});
        let falls = self.falls.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((victim, nap)) = falls {
            victim.abort();
            drop(nap);
        }
        self.task.wake_by_ref();
    }
}

/// Spawns tasks that sleep to the same moment, with a [`Domino`] each.
async fn dominoes(tasks: u32, cost: &Cost, random: &mut Rng) {
    let end = cost.most() + Duration::from_micros(1);
    let mut stones = Vec::new();
    for _ in 0..tasks {
        let victim = spawn(pending::<()>());
        let falls = victim.abort_handle();
        let stone = spawn(stand(end, cost.draw(random), falls));
        stones.push((stone, victim));
    }
    for (stone, victim) in stones {
        assert!(stone.await.is_ok(), "a task that slept");
        let error = victim.await.expect_err("it was aborted, or would pend for ever");
        assert!(error.is_cancelled(), "a task that was aborted: {error:?}");
    }
}

async fn stand(end: Duration, cost: Duration, falls: AbortHandle) {
    let mut never = sleep(Duration::from_secs(3_600));
    let mut armed = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut never).poll(&mut armed).is_pending(), "an hour is over at once");
    let mut falls = Some((falls, never));
    let mut nap = pin!(sleep(end));
    poll_fn(|cx| {
        let falls = Mutex::new(falls.take());
        let domino = Arc::new(Domino { task: cx.waker().clone(), cost, falls });
        nap.as_mut().poll(&mut Context::from_waker(&Waker::from(domino)))
    })
    .await;
}

/// Rung on another thread.
#[derive(Default)]
struct Bell(Mutex<(bool, Option<Waker>)>);

impl Bell {
    fn ring(&self) {
        let mut bell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bell.0 = true;
        let waker = bell.1.take();
        drop(bell);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn heard(&self) {
        poll_fn(|cx| {
            let mut bell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if bell.0 {
                return Poll::Ready(());
            }
            bell.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Spawns tasks which another thread wakes, as it spawns, aborts, and drops what the loop made.
async fn remote(tasks: u32, cost: &Cost, random: &mut Rng) {
    let bells: Vec<Arc<Bell>> = (0..tasks).map(|_| Arc::default()).collect();
    let listeners: Vec<JoinHandle<()>> = bells
        .iter()
        .map(|bell| {
            let (bell, cost) = (bell.clone(), cost.draw(random));
            spawn(async move {
                bell.heard().await;
                work(cost);
            })
        })
        .collect();
    let victim = spawn(pending::<()>());
    let falls = victim.abort_handle();
    let mut never = Box::pin(sleep(Duration::from_secs(3_600)));
    let mut armed = Context::from_waker(Waker::noop());
    assert!(never.as_mut().poll(&mut armed).is_pending(), "an hour is over at once");
    let partition = Partition::anonymous();
    yield_now().await;
    let handle = Handle::current();
    let there = std::thread::spawn(move || {
        let guest = handle.spawn_in(&partition, async {});
        bells.iter().for_each(|bell| bell.ring());
        falls.abort();
        drop((never, partition));
        guest
    });
    // The loop stands still until the thread is done, so there is one order of things.
    let guest = there.join().expect("nothing in it panics");
    for listener in listeners {
        assert!(listener.await.is_ok(), "a task that was woken on another thread");
    }
    assert!(guest.await.is_ok(), "a task that was spawned on another thread");
    assert!(victim.await.is_err(), "a task that was aborted on another thread");
}
