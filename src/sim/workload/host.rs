//! A workload on a runtime: a task for each role, which does what its behaviour says.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use fastrand::Rng;

use super::{Behaviour, Birth, Place, ROOT, Tenant, Then, Who, Workload};
use crate::runtime::{Partition, spawn, yield_now};
use crate::sim::spend;
use crate::time::{Instant, sleep};

/// What a workload has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Tasks spawned.
    pub tasks: u64,
    /// Tasks that have ended.
    pub ended: u64,
    /// Handles that began; those of actors that
    /// [need a runtime](super::Kind::needs_runtime) are not counted.
    pub handles: u64,
    /// Wakes from one task to another.
    pub wakes: u64,
    /// Wakes that brought a handle about, then or later.
    pub heard: u64,
    /// Connections that clients opened.
    pub connected: u64,
    /// Connections that failed, to open or later.
    pub broken: u64,
    /// Bytes that clients sent.
    pub sent: u64,
    /// Bytes that servers read and sent back.
    pub echoed: u64,
    /// Bytes that clients got back, as they had sent them.
    pub received: u64,
    /// Bytes that clients got back otherwise.
    pub garbled: u64,
}

impl Workload {
    /// Starts the workload on the simulation this is called in: makes its partitions and spawns
    /// its tasks. Whoever awaits what this returns waits for the end.
    ///
    /// # Panics
    ///
    /// Outside a runtime. The tasks panic outside a simulation, where nobody can spend time.
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::sim;
    /// use evenloop::sim::workload::*;
    ///
    /// let load = Workload::new()
    ///     .with(tenant("bulk").runs(hog(micros(20)).rounds(500)))
    ///     .with(tenant("health").runs(sleeper(millis(1), micros(5)).rounds(9)));
    ///
    /// let sim = sim::Runtime::new(1);
    /// let counts = sim.block_on(async { load.spawn().await });
    /// assert_eq!(counts.handles, 500 + 1 + 9);
    /// assert_eq!(sim.elapsed(), micros(500 * 20 + 9 * 5));
    /// ```
    #[track_caller]
    pub fn spawn(&self) -> Running {
        let make = |plan: Tenant| {
            if plan.name == ROOT {
                return Partition::root();
            }
            let builder = Partition::builder(&plan.name).weight(plan.weight);
            let builder = builder.isolated_io(plan.isolated);
            match &plan.group {
                Some(group) => builder.group(group).build(),
                None => builder.build(),
            }
        };
        let homes: Vec<Partition> = self.partitions().into_iter().map(make).collect();
        let names: Vec<Rc<str>> = homes.iter().map(|home| home.name().into()).collect();
        let stage = Rc::new(Stage::new());
        for role in self.cast() {
            let random = role.random();
            let slot = Slot::new(names[role.partition].clone(), None, !role.behaviour.is_endless());
            homes[role.partition].spawn(stage.perform(slot, role.behaviour, random));
        }
        for tenant in &self.tenants {
            for (place, actor) in tenant.actors.iter().enumerate() {
                stage.open_floods(&tenant.name, actor);
                stage.open_upheavals(&tenant.name, actor, (self.seed, place));
            }
        }
        Running { stage, _homes: homes }
    }
}

/// A workload that was started: awaited, it says what was done once all is done that has an end.
///
/// If nothing in it has an end, it waits for ever. Dropped, it stops nobody.
///
/// # Cancel safety
///
/// Nothing is lost when it is dropped.
#[must_use = "await it to see the workload end"]
pub struct Running {
    stage: Rc<Stage>,
    /// So that a partition keeps its weight and group while nobody is in it.
    _homes: Vec<Partition>,
}

impl Running {
    /// Returns what was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.stage.counts.get()
    }
}

impl Future for Running {
    type Output = Counts;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Counts> {
        if self.stage.is_over() {
            return Poll::Ready(self.counts());
        }
        let old = self.stage.audience.replace(Some(cx.waker().clone()));
        drop(old);
        Poll::Pending
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// What the tasks of a workload share.
pub(super) struct Stage {
    began: Instant,
    slots: RefCell<Vec<Slot>>,
    counts: Cell<Counts>,
    /// Tasks that are to end, and have not.
    open: Cell<usize>,
    /// Whether there was ever one that is to end.
    has_end: Cell<bool>,
    /// Who waits for the end.
    audience: RefCell<Option<Waker>>,
}

/// One task, as the others see it.
struct Slot {
    home: Rc<str>,
    parent: Option<usize>,
    /// Whether the end of the workload waits for its end.
    counted: bool,
    /// Wakes that were not waited for yet.
    wakes: u64,
    waiter: Waiter,
}

/// | state  | wait   | wake           | polled |
/// |--------|--------|----------------|--------|
/// | Nobody | Asleep | is kept        |        |
/// | Asleep |        | Called         | Asleep |
/// | Called |        | is kept        | Nobody |
enum Waiter {
    Nobody,
    Asleep(Waker),
    Called,
}

impl Slot {
    fn new(home: Rc<str>, parent: Option<usize>, counted: bool) -> Self {
        Self { home, parent, counted, wakes: 0, waiter: Waiter::Nobody }
    }
}

impl Stage {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            slots: RefCell::default(),
            counts: Cell::default(),
            open: Cell::new(0),
            has_end: Cell::new(false),
            audience: RefCell::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.open.get() == 0 && (self.has_end.get() || self.counts.get().tasks == 0)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// Counts a task in, until what this returns is dropped.
    pub(super) fn enter(self: &Rc<Self>, counted: bool) -> Presence {
        self.count(|counts| counts.tasks += 1);
        if counted {
            self.open.set(self.open.get() + 1);
            self.has_end.set(true);
        }
        Presence { stage: self.clone(), counted }
    }

    /// Makes the future of a task, which does what its behaviour says.
    fn perform(
        self: &Rc<Self>,
        slot: Slot,
        behaviour: Behaviour,
        random: Rng,
    ) -> impl Future<Output = ()> + 'static {
        let presence = self.enter(slot.counted);
        let number = self.slots.borrow().len();
        self.slots.borrow_mut().push(slot);
        run(presence, number, behaviour, random)
    }

    fn spawn(self: &Rc<Self>, parent: usize, birth: Birth, random: Rng) {
        let (home, counted) = {
            let slots = self.slots.borrow();
            (slots[parent].home.clone(), slots[parent].counted)
        };
        match birth.place {
            Place::Here => {
                let slot = Slot::new(home, Some(parent), counted);
                spawn(self.perform(slot, birth.behaviour, random));
            }
            Place::Fresh { group } => {
                let number = self.slots.borrow().len();
                let name: Rc<str> = format!("{home}/{number}").into();
                let builder = Partition::builder(&name);
                let partition = match group {
                    Some(group) => builder.group(&group).build(),
                    None => builder.build(),
                };
                let slot = Slot::new(name, Some(parent), counted);
                partition.spawn(self.perform(slot, birth.behaviour, random));
            }
        }
    }

    fn wake(&self, from: usize, who: Who) {
        let number = match who {
            Who::Parent => self.slots.borrow()[from].parent,
            Who::Task(number) => Some(number),
        };
        let Some(number) = number else { return };
        let waker = {
            let slot = &mut self.slots.borrow_mut()[number];
            match std::mem::replace(&mut slot.waiter, Waiter::Called) {
                Waiter::Asleep(waker) => Some(waker),
                other => {
                    slot.waiter = other;
                    slot.wakes += 1;
                    None
                }
            }
        };
        self.count(|counts| {
            counts.wakes += 1;
            counts.heard += u64::from(waker.is_some());
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the task is woken. One that was woken already only yields.
    async fn wait(&self, number: usize) {
        let kept = {
            let slot = &mut self.slots.borrow_mut()[number];
            let kept = slot.wakes > 0;
            slot.wakes -= u64::from(kept);
            kept
        };
        if kept {
            self.count(|counts| counts.heard += 1);
            yield_now().await;
            return;
        }
        poll_fn(|cx| {
            let slot = &mut self.slots.borrow_mut()[number];
            if matches!(slot.waiter, Waiter::Called) {
                slot.waiter = Waiter::Nobody;
                return Poll::Ready(());
            }
            slot.waiter = Waiter::Asleep(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What a task does.
async fn run(presence: Presence, number: usize, mut behaviour: Behaviour, mut random: Rng) {
    let stage = &presence.stage;
    loop {
        stage.count(|counts| counts.handles += 1);
        loop {
            let step = behaviour.step(stage.began.elapsed(), &mut random);
            if !step.cost.is_zero() {
                spend(step.cost);
            }
            match step.then {
                Then::Wake(who) => {
                    stage.wake(number, who);
                    continue;
                }
                Then::Spawn(birth) => {
                    stage.spawn(number, birth, random.fork());
                    continue;
                }
                Then::Yield => yield_now().await,
                Then::Sleep(pause) if pause.is_zero() => yield_now().await,
                Then::Sleep(pause) => sleep(pause).await,
                Then::Wait => stage.wait(number).await,
                Then::Done => return,
            }
            break;
        }
    }
}

/// A task that was counted in.
pub(super) struct Presence {
    pub(super) stage: Rc<Stage>,
    counted: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let stage = &self.stage;
        stage.count(|counts| counts.ended += 1);
        if !self.counted {
            return;
        }
        stage.open.set(stage.open.get() - 1);
        if stage.open.get() == 0 {
            let audience = stage.audience.take();
            if let Some(waker) = audience {
                waker.wake();
            }
        }
    }
}
