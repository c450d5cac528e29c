//! Who waits how long, and for what: P5, P6, P10 and P11.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use evenloop::sched::Settings;
use evenloop::sim::workload::{self, micros, nanos};
use evenloop::sim::{self, Builder, Runtime, What, Why, oracle};
use evenloop::{Budget, JoinHandle, Partition, spawn_in};
use proptest::prelude::*;

use crate::fairness::suite::{Case, Judged, Setting, budgets, play, timed_budgets, under};

pub(crate) fn p5_cases() -> impl Strategy<Value = Case> + Clone {
    let sparse = workload::sleepers().and(workload::timed()).and(workload::crowds());
    let loads = sparse.and(workload::talkers()).and(workload::hogs()).and(workload::bursty());
    under(budgets(), loads.tenants(2..=10).crowd(1..=12).rounds(4..=30).actors(1..=2))
}

/// P5: a sparse wake waits for the lane only. Who wakes with allotment left starts after at most the
/// running handle and, for each express entry k ahead, `min(allotment left, express slice) + c_k`.
pub(crate) fn p5(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_wait_bounded(&trace);
    let lane = trace.events().filter(|event| matches!(event.what, What::Roused { ahead: 0, .. }));
    judged.add(lane.count());
}

/// A flood: partitions, each made by a handle of another, beside hogs and sleepers that owe.
#[derive(Clone, Debug)]
pub(crate) struct Flood {
    budget: Budget,
    /// Made by each handle of the flood, while there are to be more.
    fanout: usize,
    total: usize,
    /// Of its handles, in percent of the quantum.
    cost: u64,
    /// Of the handles of a sleeper, in percent of the quantum.
    victims: Vec<u64>,
    hogs: usize,
}

impl Setting for Flood {
    fn configure(&self, builder: Builder) -> Builder {
        builder.budget(self.budget)
    }
}

pub(crate) fn floods() -> impl Strategy<Value = Flood> + Clone {
    let victims = prop::collection::vec(1..190_u64, 1..4);
    // The bound has K newborns of two rounds in it, and it takes thousands to exceed that.
    let total = prop_oneof![2 => 50..600_usize, 1 => 4_000..8_000_usize];
    (timed_budgets(), 2..6_usize, total, 0..14_u64, victims, 0..3_usize).prop_map(
        |(budget, fanout, total, cost, victims, hogs)| Flood {
            budget,
            fanout,
            total,
            cost,
            victims,
            hogs,
        },
    )
}

type Left = Rc<Cell<usize>>;

/// Makes a partition in which a handle makes more, until nothing is left of the flood.
fn rise(fanout: usize, cost: Duration, left: Left) -> JoinHandle<()> {
    Partition::anonymous().spawn(async move {
        sim::spend(cost);
        for _ in 0..fanout {
            if left.get() > 0 {
                left.set(left.get() - 1);
                drop(rise(fanout, cost, left.clone()));
            }
        }
    })
}

/// P6: a flood of newborns starves nobody. Who becomes runnable owing a round at most (`ρ ≤ 2`)
/// starts after at most `c_running + Σ_existing (ρ Q_j + c_j) + K ρ (ρ Q_new + c_new)`.
pub(crate) fn p6(case: &Flood, sim: &Runtime, judged: &Judged) {
    let quantum = Settings::from(case.budget).quantum();
    let part = move |percent: u64| nanos((quantum * percent / 100).max(1));
    sim.block_on(async {
        let left: Left = Rc::new(Cell::new(case.total));
        let mut tasks = Vec::new();
        for number in 0..case.hogs {
            let left = left.clone();
            tasks.push(spawn_in(format!("hog {number}"), async move {
                while left.get() > 0 {
                    sim::burn(part(30)).await;
                }
            }));
        }
        for (number, percent) in case.victims.iter().copied().enumerate() {
            let left = left.clone();
            tasks.push(spawn_in(format!("victim {number}"), async move {
                while left.get() > 0 {
                    sim::spend(part(percent));
                    evenloop::time::sleep(nanos(1)).await;
                }
            }));
        }
        evenloop::yield_now().await;
        drop(rise(case.fanout, part(case.cost), left));
        for task in tasks {
            task.await.expect("nobody aborts it");
        }
    });
    let trace = sim.trace();
    oracle::assert_wait_bounded(&trace);
    oracle::assert_no_starvation(&trace);
    judged.add(trace.events().filter(|event| matches!(event.what, What::Created { .. })).count());
}

pub(crate) fn p10_cases() -> impl Strategy<Value = Case> + Clone {
    let loads = workload::timed().and(workload::sleepers()).and(workload::toppling());
    let loads = loads.and(workload::hogs()).and(workload::upheavals()).and(workload::toppling());
    let loads = loads.crowd(1..=40).cost(nanos(0)..=micros(40)).rounds(1..=12);
    under(budgets(), loads.tenants(1..=10).actors(1..=2))
}

/// P10: an idle partition is noticed. A due timer of it becomes a wake within one handle, a batch of
/// deliveries counting as a handle; within one harvest period and 64 handles where the budget does
/// not measure what they take.
pub(crate) fn p10(case: &Case, sim: &Runtime, judged: &Judged) {
    const PERIOD: Duration = micros(100);
    let (_, trace) = play(&case.load, sim);
    // When what runs began, and the longest handle or delivery of all.
    let (mut began, mut longest) = (None, Duration::ZERO);
    let mut idle_since = BTreeMap::new();
    let mut late = Vec::new();
    for event in trace.events() {
        let partition = event.partition_number;
        // What a handle or a delivery brings about while it lasts.
        let goes_on = matches!(
            event.what,
            What::Wake
                | What::Created { .. }
                | What::GroupCreated { .. }
                | What::Weight(_)
                | What::Round(_)
                | What::Roused { .. }
                | What::GroupStands { .. }
        );
        if !goes_on {
            let took = began.take().map_or(Duration::ZERO, |began| event.at - began);
            longest = longest.max(took);
        }
        match event.what {
            What::Run | What::Deliver { .. } => began = Some(event.at),
            What::Roused { .. } => drop(idle_since.insert(partition, None)),
            What::TurnEnd(Why::Idle) => drop(idle_since.insert(partition, Some(event.at))),
            What::Ready { since } => {
                let idle = *idle_since.entry(partition).or_insert(Some(Duration::ZERO));
                if let Some(idle) = idle {
                    late.push((event.at - since.max(idle), event.to_string()));
                }
            }
            _ => {}
        }
    }
    // Nothing but timers in these loads: where the time is known at each boundary, so are they.
    let bound = if trace.settings().timed() { longest } else { PERIOD + 64 * longest };
    for (late, event) in &late {
        assert!(*late <= bound, "P10 does not hold: {late:?} late, {bound:?} allowed: {event}");
    }
    judged.add(late.len());
}

pub(crate) fn p11_cases() -> impl Strategy<Value = Case> + Clone {
    let loads = workload::timed().and(workload::sleepers()).and(workload::hogs());
    let loads = loads.and(workload::floods()).and(workload::bursty()).and(workload::hogs());
    under(budgets(), loads.tenants(1..=4).actors(2..=5).crowd(1..=12).rounds(4..=20))
}

/// P11: a queue that never empties gets its readiness, after at most the handles that were queued in
/// the partition when it was noticed.
pub(crate) fn p11(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_delivered_within(&trace);
    let mut queued = BTreeMap::new();
    for event in trace.events() {
        let queued: &mut i64 = queued.entry(event.partition_number).or_default();
        match event.what {
            What::Wake => *queued += 1,
            What::Run => *queued -= 1,
            What::Ready { .. } => judged.add(usize::from(*queued > 0)),
            _ => {}
        }
    }
}
