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
        workload::any().tenants(1..=20).actors(1..=1).crowd(1..=100),
        workload::sleepers().and(workload::hogs()).cost(nanos(0)..=millis(40)),
    ];
    Check::new().cases(100).run((loads, budget), |(load, budget), _| {
        assert_same(&load, budget, Scrr::from(budget));
    });
}

/// Whoever is alone is looked after by what its own handles take, on a runtime as here. What ran in
/// another partition just before says nothing of them, even if a delivery is what follows.
#[test]
fn a_delivery_is_no_reason_to_look_at_the_clock() {
    let (long, brief) = (micros(200), micros(1));
    let nap = |until| sleeper(until, brief).rounds(1);
    let load = Workload::new().with(
        tenant("a")
            // Its second partition comes and goes just before the first nap's delivery.
            .runs(churn(1, nanos(0)).rounds(2))
            .runs(hog(micros(30)).rounds(1))
            .runs(nap(micros(12_900)))
            .runs(nap(micros(13_100)))
            // From these the loop learns that handles are long.
            .runs(hog(long).rounds(1).copies(64))
            .runs(hog(long).rounds(10)),
    );
    assert_same(&load, Budget::default(), Scrr::default());
    // The second nap ends while a handle runs, and waits for one more and for the other sleeper.
    let outcome = Reference::new(&load).ordered().run(Scrr::default());
    let second = outcome.order().iter().rfind(|ran| ran.task == 3).expect("it slept");
    assert_eq!(second.at, micros(30) + long * 67 + brief);
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

/// A hundred thousand timers of one partition are no matter, on a runtime as little as here.
#[test]
fn timers_by_the_hundred_thousand() {
    let load = Workload::new()
        .with(tenant("bulk").runs(timers(100_000, secs(1), micros(1)).rounds(1)))
        .with(tenant("health").runs(sleeper(millis(7), micros(5)).rounds(100)));
    let handles = assert_same(&load, Budget::default(), Scrr::default());
    assert_eq!(handles, 2 * 100_000 + 101);
}

/// A workload of nobody, or of those who go on for ever, ends as it is told to.
#[test]
fn a_run_has_an_end() {
    let nobody = Workload::new().with(tenant("a"));
    assert_eq!(Reference::new(&nobody).run(Fifo::default()).elapsed(), Duration::ZERO);
    let hogs = Workload::new().with(tenant("a").runs(hog(micros(300))));
    let outcome = Reference::new(&hogs).until(millis(1)).run(Scrr::default());
    assert_eq!((outcome.elapsed(), outcome.handles()), (micros(1_200), 4));
    let naps = Workload::new().with(tenant("a").runs(sleeper(secs(1), micros(1))));
    let outcome = Reference::new(&naps).until(millis(1)).run(Scrr::default());
    assert_eq!((outcome.elapsed(), outcome.handles()), (millis(1), 1));
}

/// An endless actor does not keep a workload from ending, here and on a runtime.
#[test]
fn the_endless_are_not_waited_for() {
    let load = Workload::new()
        .with(tenant("a").runs(hog(micros(10)).rounds(50)).runs(ping_pong("b", micros(3))))
        .with(tenant("b").runs(bursts(micros(50), 2, micros(1))));
    let (order, counts) = on_a_runtime(&load, Budget::default());
    assert!(counts.ended < counts.tasks, "{counts:?}");
    let outcome = Reference::new(&load).until(secs(1)).ordered().run(Scrr::default());
    assert_eq!(first_difference(outcome.order(), &order), None);
    assert!(outcome.elapsed() < millis(2), "{:?}", outcome.elapsed());
}

/// What cannot be answered is refused with a sentence.
#[test]
fn misuse_is_refused() {
    let text = |run: &dyn Fn()| {
        let run = std::panic::AssertUnwindSafe(run);
        let panic = std::panic::catch_unwind(run).expect_err("it is refused");
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
    };
    let endless = Workload::new().with(tenant("a").runs(hog(micros(1))));
    let said = text(&|| drop(Reference::new(&endless).run(Fifo::default())));
    assert!(said.contains("or the run an end with `until`"), "{said}");
    let flooded = Workload::new().with(tenant("a").runs(flood(1, nanos(0), 1, nanos(0))));
    let said = text(&|| drop(Reference::new(&flooded)));
    assert!(said.contains("cannot play flood("), "{said}");
    let outcome = Reference::new(&endless).until(millis(1)).run(Fifo::default());
    let said = text(&|| drop(outcome.waits("b")));
    assert_eq!(said, "no partition is called \"b\"; there are [\"a\"]");
    let said = text(&|| assert!(outcome.jain([]) > 2.0));
    assert!(said.contains("name those that compete"), "{said}");
    let said = text(&|| drop(outcome.waits_every(Duration::ZERO, "a")));
    assert!(said.contains("tell which"), "{said}");
}

/// Waits are told from the deadline on, those that never ended as well, and with those that a long
/// one swallowed.
#[test]
fn waits_are_told_whole() {
    let load = Workload::new()
        .with(tenant("naps").runs(sleeper(millis(1), micros(1)).rounds(1)))
        .with(tenant("long").runs(hog(micros(3_500)).rounds(2)));
    let outcome = Reference::new(&load).run(Scrr::default());
    // Asleep until 1 ms, when the first long handle has begun, at 0.
    assert_eq!(outcome.waits("naps").max(), micros(2_500));
    let all = outcome.waits_every(millis(1), "naps");
    let all: Vec<_> = all.as_slice().iter().map(Duration::as_micros).collect();
    assert_eq!(all, [0, 500, 1_500, 2_500]);
    // Cut off while both wait, one of them for a timer that nobody has looked at.
    let cut = Reference::new(&load).until(micros(2)).run(Scrr::default());
    assert_eq!(cut.waits("naps").max(), micros(2_500));
    assert_eq!((cut.waits("long").len(), cut.service("long")), (2, micros(3_500)));
}

/// Jain's index is 1 for equals by weight, and 1/n if one of n has it all.
#[test]
fn jain_tells_equals_from_the_greedy() {
    let load = Workload::new()
        .with(tenant("a").runs(hog(micros(100)).rounds(10)))
        .with(tenant("b").weight(3).runs(hog(micros(100)).rounds(30)))
        .with(tenant("c").runs(hog(nanos(0)).rounds(1)));
    let outcome = Reference::new(&load).run(Fifo::default());
    assert!((outcome.jain(["a", "b"]) - 1.0).abs() < 1e-12);
    assert!((outcome.jain(["a", "c"]) - 0.5).abs() < 1e-12);
    assert!((outcome.jain(["c"]) - 1.0).abs() < 1e-12);
}
