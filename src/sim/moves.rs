//! Random programs of tasks that move, in virtual time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{join_all, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

use crate::runtime::context;
use crate::time::sleep;
use crate::{
    Close, Handle, JoinHandle, Partition, sim, spawn, spawn_in, switch_to, within, yield_now,
};

const US: Duration = Duration::from_micros(1);
/// Partitions that programs name.
const PLACES: u8 = 5;

#[derive(Clone, Debug)]
enum Op {
    Step,
    Burn(u8),
    Sleep(u8),
    Switch(u8),
    Within(u8, Vec<Op>),
    /// Polls all of them each time.
    Join(Vec<Vec<Op>>),
    /// Polls who was woken.
    Crowd(Vec<Vec<Op>>),
    /// The loser is dropped.
    Select(Vec<Op>, Vec<Op>),
    /// Polled so often, then kept unpolled while the rest goes on.
    Keep(u8, Vec<Op>, Vec<Op>),
    Caught(Vec<Op>),
    Panic,
    Spawn(Option<u8>, Then, Vec<Op>),
    Close(u8, Close),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Detach,
    Await,
    Adopt,
    AdoptLater(u8),
    AbortLater(u8),
}

type Ops = Vec<Op>;

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        Just(Then::Detach),
        Just(Then::Await),
        Just(Then::Adopt),
        (0..60u8).prop_map(Then::AdoptLater),
        (0..60u8).prop_map(Then::AbortLater),
    ]
}

fn ops() -> impl Strategy<Value = Ops> {
    let leaf = prop_oneof![
        4 => Just(Op::Step),
        1 => (0..40u8).prop_map(Op::Burn),
        2 => (0..40u8).prop_map(Op::Sleep),
        3 => (0..PLACES).prop_map(Op::Switch),
    ];
    let rare = prop_oneof![
        20 => leaf,
        1 => Just(Op::Panic),
        1 => (0..PLACES, prop_oneof![Just(Close::Cancel), Just(Close::Drain)])
            .prop_map(|(place, how)| Op::Close(place, how)),
    ];
    let nested = rare.prop_recursive(5, 60, 4, |op| {
        let ops = prop::collection::vec(op, 0..4);
        let many = prop::collection::vec(ops.clone(), 1..4);
        prop_oneof![
            5 => (0..PLACES, ops.clone()).prop_map(|(place, ops)| Op::Within(place, ops)),
            2 => many.clone().prop_map(Op::Join),
            2 => many.prop_map(Op::Crowd),
            2 => (ops.clone(), ops.clone()).prop_map(|(a, b)| Op::Select(a, b)),
            1 => (0..6u8, ops.clone(), ops.clone()).prop_map(|(n, a, b)| Op::Keep(n, a, b)),
            1 => ops.clone().prop_map(Op::Caught),
            3 => (prop::option::of(0..PLACES), then(), ops)
                .prop_map(|(place, then, ops)| Op::Spawn(place, then, ops)),
        ]
    });
    prop::collection::vec(nested, 1..8)
}

/// What all tasks of a program share.
#[derive(Default)]
struct World {
    polls: Cell<u64>,
    alive: Cell<u64>,
    /// Panics that were not planned.
    failures: RefCell<Vec<String>>,
}

impl World {
    /// Goes on with a panic, and notes it if it is a surprise.
    fn note(&self, payload: &(dyn std::any::Any + Send)) {
        let text = crate::task::panic_text(payload).unwrap_or("no text");
        if text != "planned" && !text.contains("closed or gone") {
            self.failures.borrow_mut().push(text.to_owned());
        }
    }
}

/// Where the code that runs has to be, if that is certain.
type Place = Rc<Cell<Option<u8>>>;

fn assert_in(place: &Place) {
    if let Some(place) = place.get() {
        assert_eq!(Partition::current().name(), place.to_string(), "PLACE");
    }
}

fn play(world: Rc<World>, ops: Ops, place: Place) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        for op in ops {
            assert_in(&place);
            step(&world, op, &place).await;
            assert_in(&place);
        }
    })
}

/// Whether a task's own switches are among the moves of `ops`, which outlast them.
fn switches(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Switch(_) => true,
        Op::Join(many) | Op::Crowd(many) => many.iter().any(|ops| switches(ops)),
        Op::Select(a, b) | Op::Keep(_, a, b) => switches(a) || switches(b),
        Op::Caught(ops) => switches(ops),
        _ => false,
    })
}

/// Does several things at a time. What they have moved, moves back when they are over, and from
/// the next handle on the task is where it was.
async fn apart(world: &Rc<World>, op: Op, place: &Place) {
    let before = place.take().filter(|_| !switches(std::slice::from_ref(&op)));
    at_once(world, op).await;
    if before.is_some() {
        yield_now().await;
        place.set(before);
    }
}

async fn step(world: &Rc<World>, op: Op, place: &Place) {
    match op {
        Op::Step => yield_now().await,
        Op::Burn(time) => sim::burn(u32::from(time) * US).await,
        Op::Sleep(time) => sleep(u32::from(time) * US).await,
        Op::Switch(to) => {
            let certain = place.take().is_some();
            switch_to(to).await;
            // In a straight line within a `within`, it is there.
            place.set(certain.then_some(to));
        }
        Op::Within(to, ops) => {
            let inside = Place::new(Cell::new(Some(to)));
            within(to, play(world.clone(), ops, inside)).await;
        }
        // Without a word on standard error.
        Op::Panic => resume_unwind(Box::new("planned")),
        Op::Spawn(to, then, ops) => {
            let child = launch(world, to, ops);
            follow(child, then).await;
        }
        Op::Close(of, how) => Partition::named(&of.to_string()).close(how),
        op => apart(world, op, place).await,
    }
}

async fn at_once(world: &Rc<World>, op: Op) {
    let uncertain = |ops: Ops| play(world.clone(), ops, Place::default());
    match op {
        Op::Join(branches) => {
            join_all(branches.into_iter().map(uncertain)).await;
        }
        Op::Crowd(branches) => {
            let crowd: FuturesUnordered<_> = branches.into_iter().map(uncertain).collect();
            crowd.collect::<Vec<_>>().await;
        }
        Op::Select(a, b) => drop(select(uncertain(a), uncertain(b)).await),
        Op::Keep(polls, kept, rest) => {
            let mut kept = uncertain(kept);
            for _ in 0..polls {
                if futures::poll!(&mut kept).is_ready() {
                    kept = uncertain(Vec::new());
                }
                yield_now().await;
            }
            uncertain(rest).await;
        }
        Op::Caught(ops) => {
            if let Err(payload) = AssertUnwindSafe(uncertain(ops)).catch_unwind().await {
                world.note(&*payload);
            }
        }
        op => unreachable!("{op:?} is one thing"),
    }
}

async fn follow(child: JoinHandle<()>, then: Then) {
    match then {
        Then::Detach => drop(child),
        Then::Await => drop(child.await),
        Then::Adopt => {
            child.adopt();
            drop(child.await);
        }
        Then::AdoptLater(time) => {
            sleep(u32::from(time) * US).await;
            child.adopt();
            drop(child.await);
        }
        Then::AbortLater(time) => {
            sleep(u32::from(time) * US).await;
            child.abort();
        }
    }
}

/// Counts a task in while it is there, and its polls.
struct Counted(Rc<World>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
    }
}

fn launch(world: &Rc<World>, to: Option<u8>, ops: Ops) -> JoinHandle<()> {
    world.alive.set(world.alive.get() + 1);
    let counted = Counted(world.clone());
    let mut program = play(world.clone(), ops, Place::default());
    let task = poll_fn(move |cx| {
        counted.0.polls.set(counted.0.polls.get() + 1);
        let polled = catch_unwind(AssertUnwindSafe(|| program.as_mut().poll(cx)));
        polled.unwrap_or_else(|payload| {
            counted.0.note(&*payload);
            resume_unwind(payload)
        })
    });
    match to {
        Some(to) => spawn_in(to, task),
        None => spawn(task),
    }
}

/// Each handle is of a task that lives there, each task has at most one, and all agree how many
/// tasks there are.
fn check_queues() {
    let local = context::expect("a test");
    let core = local.core.borrow();
    let mut homes = BTreeMap::new();
    for task in core.tasks.iter() {
        *homes.entry(task.partition()).or_insert(0) += 1;
    }
    let mut queued = BTreeSet::new();
    for partition in local.shared.infos() {
        let tasks = partition.metrics(0).tasks;
        assert_eq!(tasks, homes.remove(&partition.id).unwrap_or(0), "QUEUES: tasks counted");
        for handle in core.sched.handles(partition.id) {
            let Some(header) = handle.header() else {
                assert_eq!(partition.id, core.main, "QUEUES: main is queued elsewhere");
                continue;
            };
            assert!(queued.insert(header.id()), "QUEUES: a task is queued twice");
            assert_eq!(header.partition(), partition.id, "QUEUES: queued elsewhere");
            assert!(core.tasks.by_key(header.key()).is_some(), "QUEUES: nobody knows it");
        }
    }
    assert!(homes.is_empty(), "QUEUES: tasks live in partitions that are gone");
}

/// Runs programs side by side, the last as the future of `block_on`, until nothing is left.
fn run(seed: u64, programs: Vec<(u8, Ops)>, main: Ops) {
    let runtime =
        sim::Runtime::builder().seed(seed).handle_cost(US).on_unhandled_panic(drop).build();
    let world = Rc::new(World::default());
    let polls = runtime.block_on(async {
        world.alive.set(1);
        let main_plays = Counted(world.clone());
        for (to, ops) in programs {
            drop(launch(&world, Some(to), ops));
        }
        let watched = world.clone();
        let monitor = spawn_in("monitor", async move {
            while watched.alive.get() > 0 {
                check_queues();
                assert!(watched.polls.get() < 20_000, "LIVELOCK");
                sleep(US).await;
            }
        });
        let played = AssertUnwindSafe(play(world.clone(), main, Place::default()));
        if let Err(payload) = played.catch_unwind().await {
            world.note(&*payload);
        }
        drop(main_plays);
        if let Err(error) = monitor.await {
            resume_unwind(error.into_panic());
        }
        world.polls.get()
    });
    assert_eq!(*world.failures.borrow(), [""; 0]);
    let handles = runtime.handle().metrics().handles;
    assert!(handles >= polls, "every poll of a task is a handle");
    // No wake is lost or doubled, each handle runs in its turn, and nobody waits for too long.
    sim::oracle::assert_all(&runtime.trace());
    runtime.block_on(async {
        sleep(US).await;
        let left: Vec<_> = Handle::current().partitions().iter().map(Partition::name).collect();
        assert_eq!(left, ["ROOT"], "LEFT");
        let local = context::expect("a test");
        let core = local.core.borrow();
        assert_eq!((core.tasks.len(), core.timers.len()), (0, 0), "LEFT");
        assert!(core.sched.queued_total() == 0, "LEFT");
        assert_eq!(core.moves.lines(), 0, "LEFT");
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 2_048 })
    })]

    /// Whatever tasks do with moves, visits, panics, aborts, adoptions and closed partitions, all
    /// come to an end, each in one queue at a time, polled in its place, and leave nothing behind.
    #[test]
    fn random_programs_end_and_leave_nothing(
        seed in any::<u64>(),
        programs in prop::collection::vec((0..PLACES, ops()), 1..4),
        main in ops(),
    ) {
        quietly(|| run(seed, programs, main))?;
    }
}

/// Runs `f` without a word about panics that are planned; others fail the case.
fn quietly(f: impl FnOnce()) -> Result<(), TestCaseError> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => Ok(()),
        Err(payload) => {
            let text = crate::task::panic_text(&*payload).unwrap_or("a panic").to_owned();
            Err(TestCaseError::fail(text))
        }
    }
}
