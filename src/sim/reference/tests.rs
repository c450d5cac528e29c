use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Budget;
use crate::sim::policy::{DebtForgotten, Fifo, OneHandleEach, Policy, Scrr, VirtualRuntime};
use crate::sim::workload::*;
use crate::sim::{self, Check, What, workload};

/// A workload with every kind of actor that the loop can run.
fn everything() -> Workload {
    Workload::new()
        .with(tenant("a").weight(2).runs(hog(micros(20)).rounds(300).copies(2)))
        .with(tenant("b").group("g").runs(sleeper(millis(1), micros(5)).burst(2).rounds(9)))
        .with(tenant("c").group("g").runs(bursts(millis(2), 7, micros(3)).rounds(4)))
        .with(tenant("d").runs(churn(3, micros(40)).rounds(20).copies(2)))
        .with(tenant("e").runs(churn(2, micros(9)).group("young").rounds(20)))
        .with(tenant("f").runs(mass_wake(50, millis(3), micros(4)..=micros(9)).rounds(3)))
        .with(tenant("g").runs(timers(300, millis(5), micros(1)).rounds(2)))
        .with(
            tenant("h").runs(tree(3, 4, micros(2)).rounds(2)).runs(tree(0, 3, nanos(1)).rounds(2)),
        )
        .with(
            tenant("i")
                .runs(ping_pong("b", micros(1)).rounds(30))
                .runs(ping_pong("i", micros(1)).rounds(3)),
        )
        .with(tenant("j").runs(fan_in(["a", "k"], micros(6)).rounds(25)))
}

fn under_all_policies(reference: &Reference<'_>) -> [Outcome; 5] {
    [
        reference.run(Fifo::default()),
        reference.run(OneHandleEach::default()),
        reference.run(VirtualRuntime::default()),
        reference.run(DebtForgotten::default()),
        reference.run(Scrr::default()),
    ]
}

/// Whatever the policy, a workload does what its totals say: not a handle more or less.
#[test]
fn every_kind_does_what_its_totals_say() {
    for tenant in everything().tenants() {
        let load = Workload::new().with(tenant.clone());
        let totals = load.totals().expect("it ends");
        for outcome in under_all_policies(&Reference::new(&load)) {
            assert_eq!(outcome.handles(), totals.handles, "{load:?} under {}", outcome.policy());
            let spent: Duration =
                outcome.records.iter().map(|one| Duration::from_nanos(one.service)).sum();
            assert!(totals.cost_least <= spent && spent <= totals.cost_most, "{load:?}: {spent:?}");
        }
    }
    let load = everything();
    let totals = load.totals().expect("it ends");
    for outcome in under_all_policies(&Reference::new(&load)) {
        assert_eq!(outcome.handles(), totals.handles, "under {}", outcome.policy());
    }
}

/// What a runtime in virtual time does with a workload, handle by handle.
fn on_a_runtime(load: &Workload, budget: Budget) -> (Vec<Ran>, Counts) {
    let sim = sim::Runtime::builder().budget(budget).build();
    let counts = sim.block_on(async { load.spawn().await });
    let trace = sim.trace();
    assert!(!trace.is_cut(), "the trace is whole");
    let began = trace.events().filter(|event| event.what == What::Run);
    let order = began.filter_map(|event| {
        // What has no number is the future of `block_on`.
        let task = event.task?.number? as usize;
        Some(Ran { at: event.at, task })
    });
    (order.collect(), counts)
}

fn first_difference(ours: &[Ran], theirs: &[Ran]) -> Option<(usize, Option<Ran>, Option<Ran>)> {
    let longest = ours.len().max(theirs.len());
    let pair = |place: usize| (place, ours.get(place).copied(), theirs.get(place).copied());
    (0..longest).map(pair).find(|(_, ours, theirs)| ours != theirs)
}

/// Asserts that a runtime does with a workload what the reference loop does under a policy.
#[track_caller]
fn assert_same(load: &Workload, budget: Budget, policy: impl Policy) -> u64 {
    let (order, counts) = on_a_runtime(load, budget);
    let outcome = Reference::new(load).ordered().run(policy);
    let differs = first_difference(outcome.order(), &order);
    assert_eq!(differs, None, "(number, in the reference loop, on the runtime)");
    assert_eq!(counts.handles, outcome.handles());
    assert_eq!((counts.tasks, counts.wakes), (counts.ended, counts.heard));
    outcome.handles()
}

/// The runtime runs the same handles at the same times as the reference loop with our dispatcher.
#[test]
fn with_our_dispatcher_it_is_the_runtime() {
    for budget in [Budget::default(), Budget::handles(7), Budget::time(micros(30))] {
        let handles = assert_same(&everything(), budget, Scrr::from(budget));
        assert!(handles > 2_000, "{handles}");
    }
}

/// So it does with any workload, and with handles far longer than a turn.
#[test]
fn with_our_dispatcher_it_is_the_runtime_for_any_workload() {
    let (handles, time) = (1..200_u32, (1..500_u64).prop_map(micros));
    let budget = prop_oneof![
        (handles.clone(), time.clone()).prop_map(|(handles, time)| Budget::new(handles, time)),
        handles.prop_map(Budget::handles),
        time.prop_map(Budget::time),
    ];
    let loads = prop_oneof![
        workload::any(),
        workload::any().tenants(1..=40).actors(1..=1).crowd(1..=300),
        workload::sleepers().and(workload::hogs()).cost(nanos(0)..=millis(40)),
    ];
    Check::new().cases(100).run((loads, budget), |(load, budget), _| {
        assert_same(&load, budget, Scrr::from(budget));
    });
}

/// With one partition the runtime is a plain FIFO loop, whatever the budget.
#[test]
fn with_one_partition_the_runtime_is_a_plain_queue() {
    use workload::{bursty, crowds, hogs, sleepers, talkers, timed, trees};
    let kinds = hogs().and(sleepers()).and(bursty()).and(crowds()).and(talkers());
    let loads = kinds.and(timed()).and(trees()).tenants(1..=1).actors(1..=10).groups(0);
    let loads = loads.weight(1..=1).prop_map(|load| load.renamed(|_| "ROOT".to_owned()));
    Check::new().cases(100).run((loads, 1..100_u32), |(load, handles), _| {
        let budget = Budget::new(handles, micros(100));
        assert_same(&load, budget, Fifo::default());
        assert_same(&load, Budget::handles(handles), Fifo::default());
    });
}
