//! Sleeps on the loop against what a sorted map says of them, in virtual time: polled in several
//! partitions, reset, dropped, far away, and let go of by wakers that come back in while they are
//! called or dropped.

mod script;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use evenloop::time::{Duration, Instant, Sleep, sleep, sleep_until};
use evenloop::{Partition, sim, within, yield_now};

use script::{Act, After, END, PLACES, Reactions, SLOTS, Step};
pub(crate) use script::{Program, decode};

/// How often wakers of one program come back in at most.
const REACTIONS_MAX: u32 = 100;

/// One sleep.
#[derive(Default)]
struct Slot {
    /// Taken out while it is polled or reset.
    sleep: Option<Sleep>,
    is_out: bool,
    /// Nanoseconds since the simulation began; may be more than 64 bits tell.
    deadline: u128,
    armed: Option<Armed>,
    /// Kept to be used again.
    waker: Option<Waker>,
}

/// A timer that the loop has.
#[derive(Clone, Copy)]
struct Armed {
    /// By which the loop orders it: the deadline as it tells it, and the order in which it was set.
    key: (u64, u64),
    place: u8,
    waker: usize,
    /// The phase in which the model last changed it.
    touched: u64,
    /// It was reset after its delivery had begun, which calls its waker all the same if it has it
    /// in its hands; then it is armed no more.
    doubtful: bool,
    /// Nobody can say when it was set, and so what comes first of equal deadlines.
    is_vague: bool,
}

/// What is known of a waker.
#[derive(Clone, Copy)]
struct Known {
    slot: usize,
    reactions: Reactions,
    /// It was let go of after its delivery had begun, which may call it once.
    may_linger: bool,
}

struct World {
    start: Instant,
    slots: RefCell<[Slot; SLOTS]>,
    wakers: RefCell<Vec<Known>>,
    /// Wakers that have not been dropped.
    alive: Cell<usize>,
    sequence: Cell<u64>,
    /// Whether a handle runs the program, and no delivery its wakers.
    driving: Cell<bool>,
    phase: Cell<u64>,
    reactions: Cell<u32>,
    /// What wakers found wrong: a panic of theirs would be caught.
    wrong: RefCell<Vec<String>>,
}

thread_local! {
    // A waker must be `Send`, and so knows its world by the thread it is on. What a program that
    // failed has left is not dropped with the thread.
    static WORLD: ManuallyDrop<RefCell<Option<Rc<World>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
}

fn world() -> Rc<World> {
    WORLD.with(|world| world.borrow().clone().expect("a program runs"))
}

struct Reacting {
    number: usize,
}

impl Wake for Reacting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let world = world();
        world.woken(self.number);
        let known = world.wakers.borrow()[self.number];
        world.react(known.reactions.wake);
    }
}

impl Drop for Reacting {
    fn drop(&mut self) {
        // A program that failed is not taken to its end.
        if std::thread::panicking() {
            return;
        }
        let world = world();
        world.alive.set(world.alive.get() - 1);
        let known = world.wakers.borrow()[self.number];
        world.react(known.reactions.drop);
    }
}

pub(crate) fn run(program: &Program) {
    let sim = sim::Runtime::builder().seed(1).build();
    sim.run_for(Duration::from_nanos(program.epoch));
    sim.block_on(async {
        // The loop's clock counts from the making of the simulation.
        let start = Instant::now().checked_sub(sim.elapsed()).expect("time has passed since");
        let world = Rc::new(World {
            start,
            slots: RefCell::default(),
            wakers: RefCell::default(),
            alive: Cell::new(0),
            sequence: Cell::new(0),
            driving: Cell::new(false),
            phase: Cell::new(0),
            reactions: Cell::new(0),
            wrong: RefCell::default(),
        });
        std::mem::forget(WORLD.with(|of_before| of_before.replace(Some(world.clone()))));
        for step in &program.steps {
            match *step {
                Step::Do(place, act, reactions) => {
                    within(place, async { world.drive(|| world.act(act, reactions)) }).await;
                }
                Step::Advance { by } => world.advance(by).await,
            }
            world.drive(|| assert_eq!(sim.holdings().timers, world.armed(), "timers are kept"));
            world.well();
        }
        for slot in 0..SLOTS {
            world.drive(|| world.act(Act::Drop { slot }, Reactions::NONE));
        }
        // What wakers made when they were dropped.
        world.reactions.set(REACTIONS_MAX);
        for slot in 0..SLOTS {
            world.drive(|| world.act(Act::Drop { slot }, Reactions::NONE));
        }
        yield_now().await;
        world.well();
        assert_eq!((sim.holdings().timers, world.armed()), (0, 0), "timers are left");
        assert_eq!(world.alive.get(), 0, "wakers are left");
    });
    sim.block_on(yield_now());
    assert!(sim.holdings().is_empty(), "{:?}", sim.holdings());
    WORLD.with(|world| world.take());
}

fn place() -> u8 {
    Partition::current().name().parse().unwrap_or(PLACES)
}

impl World {
    fn now(&self) -> u64 {
        Instant::now().duration_since(self.start).as_nanos() as u64
    }

    fn armed(&self) -> usize {
        self.slots.borrow().iter().filter(|slot| slot.armed.is_some()).count()
    }

    fn wrong(&self, what: &str) {
        self.wrong.borrow_mut().push(what.to_owned());
    }

    fn well(&self) {
        assert_eq!(*self.wrong.borrow(), [""; 0]);
    }

    /// Runs a part of the program, in a handle.
    fn drive(&self, f: impl FnOnce()) {
        self.phase.set(self.phase.get() + 1);
        self.driving.set(true);
        // A delivery is over when a handle runs, and has nothing in its hands.
        for armed in self.slots.borrow_mut().iter_mut().filter_map(|slot| slot.armed.as_mut()) {
            armed.doubtful = false;
        }
        for known in self.wakers.borrow_mut().iter_mut() {
            known.may_linger = false;
        }
        f();
        self.driving.set(false);
        self.phase.set(self.phase.get() + 1);
    }

    /// Lets time pass, and then all that is due be delivered.
    async fn advance(&self, by: u64) {
        let now = self.now();
        sleep(Duration::from_nanos(by.min(END.saturating_sub(now)))).await;
        let overdue = || {
            let now = self.now();
            let slots = self.slots.borrow();
            slots.iter().any(|slot| slot.armed.is_some_and(|armed| armed.key.0 <= now))
        };
        // A loop that always has handles looks for what is due now and then; one that may sleep,
        // at once.
        let mut naps = 0;
        while overdue() {
            assert!(naps < 1_000, "LOST: a timer that is due is not delivered");
            naps += 1;
            sleep(Duration::from_nanos(1)).await;
        }
    }

    /// A waker is called.
    fn woken(&self, number: usize) {
        let now = self.now();
        let known = self.wakers.borrow()[number];
        let armed = self.slots.borrow()[known.slot].armed.filter(|armed| armed.waker == number);
        if self.driving.get() {
            self.wrong("NOWHERE: woken outside of a delivery");
        }
        let is_early = armed.is_none_or(|armed| now < armed.key.0 && !armed.doubtful);
        if is_early {
            if !std::mem::take(&mut self.wakers.borrow_mut()[number].may_linger) {
                self.wrong(if armed.is_some() { "EARLY" } else { "GHOST: nobody waits with it" });
            }
            return;
        }
        let armed = armed.expect("one that is not armed is early");
        if place() != armed.place {
            self.wrong("FOREIGN: delivered in another partition's turn");
        }
        let overtaken = |other: &Armed| {
            // What changes in the course of a delivery has to wait for the next one.
            let settled = |armed: &Armed| armed.touched != self.phase.get();
            let earlier = match other.is_vague || armed.is_vague {
                true => other.key.0 < armed.key.0,
                false => other.key < armed.key,
            };
            other.place == armed.place && earlier && settled(other) && settled(&armed)
        };
        if self.slots.borrow().iter().filter_map(|slot| slot.armed.as_ref()).any(overtaken) {
            self.wrong("ORDER: one that was due before still waits");
        }
        self.slots.borrow_mut()[known.slot].armed = None;
    }

    /// Nobody waits with this waker any more. A delivery that has begun may have it in its hands.
    fn let_go(&self, armed: Armed) {
        let begun = !self.driving.get() && armed.key.0 <= self.now();
        self.wakers.borrow_mut()[armed.waker].may_linger |= begun || armed.doubtful;
    }

    fn react(&self, act: Act) {
        if self.reactions.get() < REACTIONS_MAX {
            self.reactions.set(self.reactions.get() + 1);
            self.act(act, Reactions::NONE);
        }
    }

    fn act(&self, act: Act, reactions: Reactions) {
        match act {
            Act::Nothing => {}
            Act::Create { slot, after } => {
                if self.slots.borrow()[slot].is_out {
                    return;
                }
                self.drop_sleep(slot);
                // A waker that was dropped with it may have been faster.
                if self.slots.borrow()[slot].sleep.is_some() {
                    return;
                }
                let now = u128::from(self.now());
                let (sleep, deadline) = match after {
                    After::Nanos(after) => {
                        (sleep(Duration::from_nanos(after)), now + u128::from(after))
                    }
                    _ => (sleep_until(self.moment(after)), self.told(after)),
                };
                let made = Slot { sleep: Some(sleep), deadline, ..Slot::default() };
                let old = std::mem::replace(&mut self.slots.borrow_mut()[slot], made);
                assert!(old.sleep.is_none() && old.armed.is_none());
                drop(old);
                self.poll(slot, reactions, false);
            }
            Act::Poll { slot } => self.poll(slot, reactions, false),
            Act::PollAgain { slot } => self.poll(slot, reactions, true),
            Act::Reset { slot, after } => self.reset(slot, after),
            Act::Drop { slot } => self.drop_sleep(slot),
        }
    }

    fn moment(&self, after: After) -> Instant {
        let now = Instant::now();
        match after {
            After::Nanos(nanos) => now + Duration::from_nanos(nanos),
            After::Before(nanos) => {
                now.checked_sub(Duration::from_nanos(nanos)).expect("a moment ago")
            }
            After::Never => sleep(Duration::MAX).deadline(),
        }
    }

    /// The same in nanoseconds since the beginning, none if it was before that.
    fn told(&self, after: After) -> u128 {
        self.moment(after).duration_since(self.start).as_nanos()
    }

    fn take_out(&self, slot: usize) -> Option<Sleep> {
        let slot = &mut self.slots.borrow_mut()[slot];
        slot.is_out |= slot.sleep.is_some();
        slot.sleep.take()
    }

    fn put_back(&self, slot: usize, sleep: Sleep) {
        let slot = &mut self.slots.borrow_mut()[slot];
        assert!(slot.is_out && slot.sleep.is_none(), "a slot was used while its sleep was out");
        (slot.sleep, slot.is_out) = (Some(sleep), false);
    }

    fn poll(&self, slot: usize, reactions: Reactions, again: bool) {
        let Some(mut sleep) = self.take_out(slot) else { return };
        let kept = self.slots.borrow()[slot].waker.clone().filter(|_| again);
        let before = self.slots.borrow()[slot].armed;
        let (waker, number) = match (kept, before) {
            (Some(waker), Some(armed)) => (waker, armed.waker),
            _ => self.waker(slot, reactions),
        };
        let polled = Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker));
        self.polled(slot, polled, number, before);
        // Half of the wakers are left to the loop alone, which so drops them.
        let kept = (number % 2 == 0).then_some(waker);
        let old = std::mem::replace(&mut self.slots.borrow_mut()[slot].waker, kept);
        self.put_back(slot, sleep);
        drop(old);
    }

    fn waker(&self, slot: usize, reactions: Reactions) -> (Waker, usize) {
        let mut wakers = self.wakers.borrow_mut();
        let number = wakers.len();
        wakers.push(Known { slot, reactions, may_linger: false });
        self.alive.set(self.alive.get() + 1);
        (Waker::from(Arc::new(Reacting { number })), number)
    }

    /// Compares what a poll said with what it had to say, and notes what is armed now.
    fn polled(&self, slot: usize, polled: Poll<()>, number: usize, before: Option<Armed>) {
        let deadline = self.slots.borrow()[slot].deadline;
        let over = u128::from(self.now()) >= deadline;
        match polled {
            Poll::Ready(()) if !over => self.wrong("READY too early"),
            // One that is armed is left to its delivery.
            Poll::Pending if over && before.is_none() => self.wrong("PENDING though it is over"),
            _ => {}
        }
        if let Some(before) = before {
            if before.waker != number || before.doubtful || polled.is_ready() {
                self.let_go(before);
            }
        }
        let key = || {
            let told = u64::try_from(deadline).unwrap_or(u64::MAX);
            self.sequence.set(self.sequence.get() + 1);
            (told, self.sequence.get())
        };
        let armed = polled.is_pending().then(|| Armed {
            key: before.filter(|before| !before.doubtful).map_or_else(key, |before| before.key),
            place: place(),
            waker: number,
            touched: self.phase.get(),
            doubtful: false,
            is_vague: before.is_some_and(|before| before.doubtful || before.is_vague),
        });
        self.slots.borrow_mut()[slot].armed = armed;
    }

    fn reset(&self, slot: usize, after: After) {
        let Some(mut sleep) = self.take_out(slot) else { return };
        sleep.reset(self.moment(after));
        let deadline = self.told(after);
        let (now, phase, driving) = (self.now(), self.phase.get(), self.driving.get());
        self.sequence.set(self.sequence.get() + 1);
        {
            let slot = &mut self.slots.borrow_mut()[slot];
            slot.deadline = deadline;
            if let Some(armed) = &mut slot.armed {
                armed.doubtful |= !driving && armed.key.0 <= now;
                armed.key = (u64::try_from(deadline).unwrap_or(u64::MAX), self.sequence.get());
                (armed.touched, armed.is_vague) = (phase, false);
            }
        }
        self.put_back(slot, sleep);
    }

    fn drop_sleep(&self, slot: usize) {
        let Slot { sleep, armed, waker, .. } = {
            let slot = &mut self.slots.borrow_mut()[slot];
            if slot.is_out {
                return;
            }
            std::mem::take(slot)
        };
        if let Some(armed) = armed {
            self.let_go(armed);
        }
        drop(sleep);
        drop(waker);
    }
}
