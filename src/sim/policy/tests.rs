use std::time::Duration;

use super::*;
use crate::sim::reference::{Outcome, Reference};
use crate::sim::workload::*;

fn run(load: &Workload, until: Duration, policy: impl Policy) -> Outcome {
    Reference::new(load).until(until).ordered().run(policy)
}

/// The tasks of the first handles.
fn first(n: usize, outcome: &Outcome) -> Vec<usize> {
    outcome.order().iter().take(n).map(|ran| ran.task).collect()
}

/// Three tasks in one partition, one in another.
fn three_and_one() -> Workload {
    Workload::new()
        .with(tenant("a").runs(hog(micros(20)).copies(3)))
        .with(tenant("b").runs(hog(micros(20))))
}

/// In one queue a partition of three tasks gets three times as much as one of one.
#[test]
fn a_queue_knows_no_partitions() {
    let outcome = run(&three_and_one(), millis(1), Fifo::default());
    assert_eq!(first(8, &outcome), [0, 1, 2, 3, 0, 1, 2, 3]);
}

/// One handle each: partitions alternate, and tasks within them.
#[test]
fn one_handle_each_alternates() {
    let outcome = run(&three_and_one(), millis(1), OneHandleEach::default());
    assert_eq!(first(8, &outcome), [0, 3, 1, 3, 2, 3, 0, 3]);
    // However long the handles are.
    let load = Workload::new()
        .with(tenant("a").runs(hog(millis(1))))
        .with(tenant("b").weight(3).runs(hog(micros(1))));
    let outcome = run(&load, secs(1), OneHandleEach::default());
    assert_eq!((outcome.service("a"), outcome.service("b")), (secs(1), micros(999)));
}

/// Turns by virtual runtime last half a millisecond, and shares are by weight.
#[test]
fn virtual_runtime_shares_by_weight() {
    let load = Workload::new()
        .with(tenant("a").runs(hog(micros(20))))
        .with(tenant("b").weight(3).runs(hog(micros(7))))
        .with(tenant("c").weight(2).runs(hog(millis(2))));
    let outcome = run(&load, secs(2), VirtualRuntime::default());
    assert!(outcome.jain(["a", "b", "c"]) > 0.999, "{:?}", outcome.service("a"));
    let turn: Vec<_> = outcome.order().iter().take_while(|ran| ran.task == 0).collect();
    assert_eq!(turn.len(), 25, "25 handles of 20 µs are half a millisecond");
}

/// Who slept long has no credit under virtual runtime: a burst shares the thread.
#[test]
fn virtual_runtime_keeps_no_credit() {
    let load = Workload::new()
        .with(tenant("hog").runs(hog(micros(20))))
        .with(tenant("sleeper").runs(sleeper(millis(400), micros(20)).burst(10_000)));
    let outcome = run(&load, millis(600), VirtualRuntime::default());
    assert!(outcome.waits("hog").max() < millis(1), "{:?}", outcome.waits("hog").max());
    assert!(outcome.service("sleeper") > millis(99), "{:?}", outcome.service("sleeper"));
}

/// A line of newborns that never ends starves everybody under virtual runtime: each begins where
/// the last one served began, and that stands still. The gate of our dispatcher is for this.
#[test]
fn newborns_starve_others_under_virtual_runtime() {
    let crowd = (0..4).fold(Workload::new(), |load, number| {
        load.with(tenant(format!("t{number}")).runs(churn(1, micros(20))))
    });
    let load = crowd.with(tenant("old").runs(hog(micros(20))));
    let starved = run(&load, millis(500), VirtualRuntime::default());
    assert!(starved.service("old") < millis(2), "{:?}", starved.service("old"));
    // Ours lets 64 newborns ahead a round.
    let served = run(&load, millis(500), Scrr::default());
    assert!(served.waits("old").max() <= 65 * micros(20) + micros(100));
}

/// Long handles are paid for while one stays awake; to sleep is to be forgiven.
#[test]
fn debt_is_forgotten_by_sleeping() {
    let beside = |actor: Actor| {
        Workload::new()
            .with(tenant("long").runs(actor))
            .with(tenant("short").weight(2).runs(hog(micros(20))))
    };
    let awake = beside(hog(millis(5)));
    let gamer = beside(sleeper(micros(1), millis(5)));
    let shares = |load, policy| run(load, secs(4), policy).jain(["long", "short"]);
    assert!(shares(&awake, DebtForgotten::default()) > 0.999);
    assert!(shares(&gamer, DebtForgotten::default()) < 0.55);
    let ours = |load| run(load, secs(4), Scrr::default()).jain(["long", "short"]);
    assert!(ours(&awake) > 0.999 && ours(&gamer) > 0.99, "{}", ours(&gamer));
}

/// Debt that is kept in the round robin is worked off although nobody else has work.
#[test]
fn a_debtor_alone_goes_on() {
    let load = Workload::new().with(tenant("a").runs(hog(secs(1)).rounds(3)));
    assert_eq!(run(&load, secs(9), DebtForgotten::default()).elapsed(), secs(3));
}

/// With a budget of one handle our dispatcher is one handle each.
#[test]
fn a_budget_of_one_handle_is_one_handle_each() {
    let budget = crate::Budget::handles(1);
    let ours = run(&three_and_one(), millis(10), Scrr::from(budget));
    let theirs = run(&three_and_one(), millis(10), OneHandleEach::default());
    assert_eq!(ours.order(), theirs.order());
}

/// A group holds one share, however many partitions are made in it, as long as it has a member
/// that stays.
#[test]
fn a_group_holds_newborns_to_one_share() {
    let young = |group: Option<&str>| {
        let maker = churn(1, micros(90)).copies(3);
        let (home, maker) = match group {
            Some(group) => (tenant("young").group(group), maker.group(group)),
            None => (tenant("young"), maker),
        };
        let load = Workload::new().with(home.runs(maker));
        run(&load.with(tenant("old").runs(hog(micros(20)))), secs(1), Scrr::default())
    };
    let grouped = young(Some("g"));
    assert!(grouped.jain(["old", "young/*"]) > 0.999, "{:?}", grouped.service("old"));
    assert!(young(None).service("old") < grouped.service("old") / 2);
}
