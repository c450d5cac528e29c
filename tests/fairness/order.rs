//! Who runs at all, and in which order: P0, P1, P2, P7 and P8.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use evenloop::Budget;
use evenloop::sim::policy::Fifo;
use evenloop::sim::reference::{Ran, Reference};
use evenloop::sim::workload::{self, Workload, hog, nanos, tenant};
use evenloop::sim::{Builder, Runtime, Trace, What, Why};
use proptest::prelude::*;

use crate::fairness::suite::{Case, Judged, Setting, budgets, cases, everything, play, under};

pub(crate) fn p0_cases() -> impl Strategy<Value = Case> + Clone {
    cases(everything())
}

/// P0, against a queue: what was queued first in a partition runs first there.
pub(crate) fn p0(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    let mut queues: BTreeMap<u32, VecDeque<Option<u32>>> = BTreeMap::new();
    for event in trace.events() {
        let (Some(partition), Some(task)) = (event.partition_number, event.task) else { continue };
        let queue = queues.entry(partition).or_default();
        match event.what {
            What::Wake => queue.push_back(task.number),
            What::Run => {
                judged.add(usize::from(queue.len() > 1));
                assert_eq!(queue.pop_front(), Some(task.number), "P0 does not hold: {event}");
            }
            _ => {}
        }
    }
}

/// Workloads that live in ROOT, as does what waits for their end.
fn lone_loads() -> impl Strategy<Value = Workload> + Clone {
    let kinds = workload::hogs().and(workload::sleepers()).and(workload::bursty());
    let kinds = kinds.and(workload::crowds()).and(workload::timed()).and(workload::trees());
    let loads = kinds.and(workload::talkers()).tenants(1..=1).actors(1..=8).groups(0);
    loads.weight(1..=1).prop_map(|load| load.renamed(|_| "ROOT".to_owned()))
}

pub(crate) fn p1_cases() -> impl Strategy<Value = Case> + Clone {
    // The reference loop knows of no overhead.
    (budgets(), lone_loads()).prop_map(|(budget, load)| Case {
        budget,
        overhead: Duration::ZERO,
        load,
    })
}

/// P1: alone, a partition is a plain queue. The same handles run at the same time as in a reference
/// loop with one queue, in the order of the wakes of all, and no turn ends before the partition has
/// nothing left to do.
pub(crate) fn p1(case: &Case, sim: &Runtime) {
    let (counts, trace) = play(&case.load, sim);
    let outcome = Reference::new(&case.load).ordered().run(Fifo::default());
    let (ours, theirs) = (handles_of_tasks(&trace), outcome.order());
    let differs = ours.iter().zip(theirs).position(|(one, other)| one != other);
    if let Some(place) = differs {
        panic!("P1 does not hold: {:?} ran, not {:?}", ours[place], theirs[place]);
    }
    assert_eq!((ours.len(), counts.handles), (theirs.len(), outcome.handles()), "P1: handles");
    let mut queue = VecDeque::new();
    for event in trace.events() {
        let task = event.task.map(|task| task.number);
        match event.what {
            What::Wake => queue.push_back(task),
            What::Run => {
                assert_eq!(queue.pop_front(), Some(task), "P1 does not hold: {event}");
            }
            What::TurnEnd(why) => assert_eq!(why, Why::Idle, "P1 does not hold: {event}"),
            _ => {}
        }
    }
}

/// The handles of tasks, in the order in which they ran.
fn handles_of_tasks(trace: &Trace) -> Vec<Ran> {
    let runs = trace.events().filter(|event| event.what == What::Run);
    let runs = runs.filter_map(|event| Some((event.at, event.task?.number?)));
    runs.map(|(at, task)| Ran { at, task: task as usize }).collect()
}

/// Hogs in one partition, whose handles take less than the loop could be late by if it looked at
/// its clock every 64th time.
#[derive(Clone, Debug)]
pub(crate) struct Light {
    budget: Budget,
    hogs: u32,
    rounds: u32,
    cost: u64,
}

impl Setting for Light {
    fn configure(&self, builder: Builder) -> Builder {
        builder.budget(self.budget)
    }
}

pub(crate) fn light() -> impl Strategy<Value = Light> {
    (budgets(), 1..20_u32, 100..400_u32, 0..90_u64).prop_map(|(budget, hogs, rounds, cost)| Light {
        budget,
        hogs,
        rounds,
        cost,
    })
}

/// P1, second half: alone, a partition is dispatched without a look at the clock. What is left are
/// those of the harvests: `reads ≤ handles / 64 + 4 · harvests + 32`.
pub(crate) fn p1_clock(case: &Light, sim: &Runtime) {
    let hogs = hog(nanos(case.cost)).rounds(case.rounds).copies(case.hogs);
    let load = Workload::new().with(tenant("a").runs(hogs));
    sim.block_on(async { load.spawn().await });
    let (reads, ran) = (sim.clock_reads(), sim.handle().metrics());
    let bound = ran.handles / 64 + 4 * ran.harvests + 32;
    assert!(
        reads <= bound,
        "P1 does not hold: {reads} looks at the clock, {bound} allowed: {ran:?}"
    );
}

/// Hogs, one in each partition, which are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    budget: u32,
    weights: Vec<u32>,
    visits: u32,
    cost: u64,
}

impl Setting for Counted {
    fn configure(&self, builder: Builder) -> Builder {
        builder.budget(Budget::handles(self.budget))
    }
}

pub(crate) fn counted() -> impl Strategy<Value = Counted> + Clone {
    let weights = prop_oneof![
        prop::collection::vec(1..4_u32, 2..12),
        prop::collection::vec(Just(1_u32), 50..150),
    ];
    (1..20_u32, weights, 3..6_u32, 0..200_000_u64)
        .prop_map(|(budget, weights, visits, cost)| Counted { budget, weights, visits, cost })
}

/// P2: with a budget of b handles and all partitions busy, each runs exactly `w · b` handles in a
/// row, round after round in the same order, which is that of the wakes if all weigh the same.
///
/// The first round is short of what the handle that made them has used up, and it is split for those
/// of a greater weight: an express slice is the turn of weight one.
pub(crate) fn p2(case: &Counted, sim: &Runtime, judged: &Judged) {
    let heaviest = case.weights.iter().max().expect("there is one");
    let rounds = case.budget * heaviest * (case.visits + 3);
    let load = case.weights.iter().enumerate().fold(Workload::new(), |load, (place, weight)| {
        let hog = hog(nanos(case.cost)).rounds(rounds);
        load.with(tenant(format!("{place}")).weight(*weight).runs(hog))
    });
    let (_, trace) = play(&load, sim);
    let all = case.weights.len();
    let equal = case.weights.iter().all(|weight| *weight == 1);
    let visits = visits(&trace);
    let (first, visits) = visits.split_at(if equal { all } else { 2 * all });
    let order: Vec<u32> = visits.iter().take(all).map(|visit| visit.0).collect();
    if equal {
        let woken: Vec<u32> = (1..=all as u32).collect();
        let began: Vec<u32> = first.iter().map(|visit| visit.0).collect();
        assert_eq!((&began, &order), (&woken, &woken), "P2 does not hold: the order of the wakes");
    }
    for (place, &(partition, handles)) in visits.iter().take(all * case.visits as usize).enumerate()
    {
        assert_eq!(partition, order[place % all], "P2 does not hold: visit {place}");
        // ROOT is number 0.
        let whole = case.budget * case.weights[partition as usize - 1];
        assert_eq!(handles, whole, "P2 does not hold: handles of visit {place}");
        judged.add(1);
    }
}

/// The partitions that ran, with how many handles each ran in a row. ROOT is left out.
fn visits(trace: &Trace) -> Vec<(u32, u32)> {
    let mut visits: Vec<(u32, u32)> = Vec::new();
    for event in trace.events().filter(|event| event.what == What::Run) {
        let partition = event.partition_number.expect("a handle is of a partition");
        match visits.last_mut() {
            _ if partition == 0 => {}
            Some((last, handles)) if *last == partition => *handles += 1,
            _ => visits.push((partition, 1)),
        }
    }
    visits
}

pub(crate) fn p7_cases() -> impl Strategy<Value = Case> + Clone {
    let loads = workload::any().and(workload::upheavals());
    let long = loads.clone().cost(nanos(0)..=Duration::from_millis(30));
    let sparse = workload::sleepers().and(workload::timed()).tenants(1..=3).actors(1..=1);
    under(budgets(), prop_oneof![loads.isolated(), long, sparse])
}

/// P7: debt never idles the thread. The loop neither sleeps nor lets time pass while anything is
/// queued.
pub(crate) fn p7(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    let (mut queued, mut last, mut turn) = (0_u32, Duration::ZERO, false);
    for event in trace.events() {
        assert!(
            queued == 0 || turn || event.at == last,
            "P7 does not hold: {queued} handles are queued, and nothing ran up to {event}"
        );
        last = event.at;
        match event.what {
            What::Wake => queued += 1,
            What::Run => queued -= 1,
            What::Turn { .. } => turn = true,
            What::TurnEnd(_) => turn = false,
            What::Sleep { .. } => {
                judged.add(1);
                assert_eq!(queued, 0, "P7 does not hold: {event}");
            }
            _ => {}
        }
    }
}

pub(crate) fn p8_cases() -> impl Strategy<Value = Case> + Clone {
    let crowds = workload::any().tenants(1..=200).actors(1..=1).rounds(1..=8);
    under(budgets(), prop_oneof![workload::any(), crowds, workload::churning()])
}

/// P8: a pick, a charge and a wake together take at most 8 steps on lists and bitmaps a level: 7
/// for the two, and one for each wake that finds its partition idle. So `steps ≤ levels · (7 · turns
/// + wakes + partitions freed)`, for any number of partitions.
pub(crate) fn p8(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    let (mut turns, mut wakes, mut freed, mut levels) = (0, 0, 0, 1);
    for event in trace.events() {
        match event.what {
            What::Turn { .. } => turns += 1,
            What::Roused { .. } => wakes += 1,
            What::Freed => freed += 1,
            What::GroupCreated { .. } => levels = 2,
            _ => {}
        }
    }
    let (steps, bound) = (sim.scheduler_steps(), levels * (7 * turns + wakes + freed));
    assert!(steps <= bound, "P8 does not hold: {steps} steps, where {bound} are allowed");
    judged.add(turns as usize);
}
