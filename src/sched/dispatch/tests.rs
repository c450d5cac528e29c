use std::time::Duration;

use super::*;
use crate::config::Budget;

/// A quantum of 100 units and no cost that is not said.
fn dispatcher() -> Dispatcher<u32> {
    Dispatcher::new(Settings::from(Budget::time(Duration::from_nanos(100))))
}

fn partition(dispatcher: &mut Dispatcher<u32>) -> PartitionId {
    dispatcher.create(Weight::ONE, None, None).expect("no group was named")
}

fn run(dispatcher: &mut Dispatcher<u32>, turn: &Turn) -> u32 {
    match dispatcher.step(turn) {
        Step::Run(handle) => handle,
        other => panic!("no handle but {other:?}"),
    }
}

fn continues(next: Next) -> Turn {
    match next {
        Next::Continues(turn) => turn,
        Next::Ended(ended) => panic!("ended: {ended:?}"),
    }
}

fn ended(next: Next) -> Ended {
    match next {
        Next::Continues(turn) => panic!("goes on: {turn:?}"),
        Next::Ended(ended) => ended,
    }
}

#[test]
fn a_woken_partition_preempts_and_the_turn_resumes_afterwards() {
    let mut d = dispatcher();
    let (bulk, health) = (partition(&mut d), partition(&mut d));
    for handle in 0..9 {
        d.push(bulk, handle).expect("it is there");
    }
    d.push(health, 100).expect("it is there");
    // Bulk spends its express slice and goes back in line; health is done at once.
    let turn = d.pick().expect("bulk");
    assert!(turn.is_express() && turn.is_fresh());
    run(&mut d, &turn);
    assert_eq!(ended(d.charge(turn, 25)), Ended::Spent);
    let turn = d.pick().expect("health");
    run(&mut d, &turn);
    assert_eq!(ended(d.charge(turn, 1)), Ended::Idle);

    let turn = d.pick().expect("bulk");
    assert!(!turn.is_express() && turn.is_fresh());
    run(&mut d, &turn);
    d.push(health, 101).expect("it is there");
    assert_eq!(ended(d.charge(turn, 10)), Ended::Preempted);
    let turn = d.pick().expect("health");
    assert_eq!((turn.partition(), run(&mut d, &turn)), (health, 101));
    assert_eq!(ended(d.charge(turn, 1)), Ended::Idle);
    let turn = d.pick().expect("bulk");
    assert!(turn.partition() == bulk && !turn.is_fresh());
    d.finish(turn, 0);
}

#[test]
fn an_overdraft_is_sat_out_round_by_round() {
    let mut d = dispatcher();
    let (heavy, light) = (partition(&mut d), partition(&mut d));
    d.push(heavy, 0).expect("it is there");
    d.push(light, 1).expect("it is there");
    d.push(heavy, 0).expect("it is there");
    let turn = d.pick().expect("heavy");
    run(&mut d, &turn);
    assert_eq!(ended(d.charge(turn, 350)), Ended::Spent);
    assert_eq!(d.tag(heavy), Some(Tag { round: 3, spent: 50 }));
    // Three rounds of light, then heavy again.
    let mut served = 0;
    while d.tag(light).expect("it is there").round < 3 {
        let turn = d.pick().expect("light");
        assert_eq!(turn.partition(), light);
        run(&mut d, &turn);
        d.push(light, 1).expect("it is there");
        match d.charge(turn, 10) {
            Next::Continues(turn) => assert_eq!(d.finish(turn, 0), Ended::Preempted),
            Next::Ended(ended) => assert_eq!(ended, Ended::Spent),
        }
        served += 10;
    }
    assert_eq!(served, 300);
    assert_eq!(d.pick().map(|turn| turn.partition()), Some(heavy));
}

#[test]
fn debt_over_the_limit_is_forgiven_and_counted() {
    let settings = Settings::from(Budget::time(Duration::from_nanos(100))).with_max_debt(5);
    let mut d = Dispatcher::new(settings);
    let (heavy, light) = (partition(&mut d), partition(&mut d));
    for id in [heavy, heavy, light] {
        d.push(id, 0).expect("it is there");
    }
    let turn = d.pick().expect("heavy");
    run(&mut d, &turn);
    assert_eq!(ended(d.charge(turn, 1_030)), Ended::Spent);
    assert_eq!(d.tag(heavy), Some(Tag { round: 5, spent: 30 }));
    assert_eq!((d.forgiven(heavy), d.forgiven(light)), (Some(500), Some(0)));
}

#[test]
fn a_marked_partition_delivers_before_it_runs_and_before_it_is_dry() {
    let mut d = dispatcher();
    let id = partition(&mut d);
    d.mark(id, true);
    d.push(id, 1).expect("it is there");
    d.push(id, 2).expect("it is there");
    let turn = d.pick().expect("it has handles");
    assert!(matches!(d.step(&turn), Step::Deliver));
    let turn = continues(d.delivered(turn, false));
    assert_eq!(run(&mut d, &turn), 1);
    d.push(id, 3).expect("it is there");
    let turn = continues(d.charge(turn, 1));
    assert_eq!(run(&mut d, &turn), 2);
    let turn = continues(d.charge(turn, 1));
    // The marker was put behind 2; 3 came later.
    assert!(matches!(d.step(&turn), Step::Deliver));
    let turn = continues(d.delivered(turn, false));
    assert_eq!(run(&mut d, &turn), 3);
    let turn = continues(d.charge(turn, 1));
    assert!(matches!(d.step(&turn), Step::Deliver));
    let turn = continues(d.delivered(turn, false));
    assert!(matches!(d.step(&turn), Step::Dry));
    assert_eq!(d.finish(turn, 1), Ended::Idle);
    assert!(d.is_quiescent());
}

#[test]
fn a_spent_turn_delivers_before_it_ends() {
    let mut d = dispatcher();
    let (id, other) = (partition(&mut d), partition(&mut d));
    d.mark(id, true);
    d.push(id, 1).expect("it is there");
    d.push(other, 9).expect("it is there");
    let turn = d.pick().expect("it has a handle");
    let turn = continues(d.delivered(turn, false));
    run(&mut d, &turn);
    let turn = continues(d.charge(turn, 150));
    assert!(matches!(d.step(&turn), Step::Deliver));
    d.push(id, 2).expect("it is there");
    d.spend(&turn, 20);
    assert_eq!(ended(d.delivered(turn, false)), Ended::Spent);
    assert_eq!(d.tag(id), Some(Tag { round: 1, spent: 70 }));
}

#[test]
fn more_to_deliver_asks_again_without_a_handle() {
    let mut d = dispatcher();
    let id = partition(&mut d);
    assert_eq!(d.rouse(id), Some(Wake::Roused));
    assert_eq!(d.rouse(id), Some(Wake::Queued));
    let turn = d.pick().expect("it is due");
    assert!(matches!(d.step(&turn), Step::Deliver));
    let turn = continues(d.delivered(turn, true));
    assert!(matches!(d.step(&turn), Step::Deliver));
    let turn = continues(d.delivered(turn, false));
    assert!(matches!(d.step(&turn), Step::Dry));
    assert_eq!(d.finish(turn, 0), Ended::Idle);
}

#[test]
fn a_weight_is_set_without_moving_the_partition_in_its_round() {
    let mut d = dispatcher();
    let id = partition(&mut d);
    d.push(id, 1).expect("it is there");
    let turn = d.pick().expect("it has a handle");
    run(&mut d, &turn);
    assert_eq!(ended(d.charge(turn, 60)), Ended::Idle);
    assert!(d.set_weight(id, Weight::of(5)));
    assert_eq!((d.tag(id), d.allotment(id)), (Some(Tag { round: 0, spent: 300 }), Some(500)));
    assert_eq!(d.weight(id), Some(Weight::of(5)));
}

#[test]
fn work_that_comes_in_after_dry_is_not_lost() {
    let mut d = dispatcher();
    let (id, other) = (partition(&mut d), partition(&mut d));
    d.rouse(id);
    d.push(other, 9).expect("it is there");
    let turn = d.pick().expect("it is due");
    let turn = continues(d.delivered(turn, false));
    assert!(matches!(d.step(&turn), Step::Dry));
    assert_eq!(d.push(id, 1), Ok(Wake::Queued));
    assert_eq!(d.finish(turn, 0), Ended::Preempted);
    let turn = d.pick().expect("it has a handle");
    assert_eq!((turn.partition(), turn.is_fresh(), run(&mut d, &turn)), (id, false, 1));
}

#[test]
fn removal_in_ones_own_turn_ends_it_and_still_charges_the_group() {
    let mut d = dispatcher();
    let group = d.create_group(Weight::ONE);
    let id = d.create(Weight::ONE, Some(group), None).expect("the group is there");
    d.push(d.root(), 9).expect("the root is there");
    d.push(id, 1).expect("it is there");
    let _ = d.pick().map(|turn| {
        run(&mut d, &turn);
        d.charge(turn, 1)
    });
    let turn = d.pick().expect("the group");
    run(&mut d, &turn);
    assert_eq!(d.remove(id), Some(VecDeque::new()));
    assert!(!d.remove_group(group), "its turn is not settled");
    assert!(matches!(d.step(&turn), Step::Dry));
    assert_eq!(ended(d.charge(turn, 130)), Ended::Removed);
    assert_eq!(d.group_tag(group), Some(Tag { round: 1, spent: 30 }));
    assert!(d.is_quiescent() && d.remove_group(group));
}

/// The turn of a group is the group's: a member of another group waits, however often the members
/// of the first one change places.
#[test]
fn a_group_of_many_has_the_share_of_one() {
    let mut d = dispatcher();
    let group = d.create_group(Weight::ONE);
    for handle in 0..50 {
        let id = d.create(Weight::ONE, Some(group), None).expect("the group is there");
        d.push(id, handle).expect("just created");
    }
    let lone = partition(&mut d);
    for _ in 0..50 {
        d.push(lone, 99).expect("it is there");
    }
    let mut served = [0, 0];
    for _ in 0..20 {
        let turn = d.pick().expect("both have handles");
        let who = usize::from(turn.partition() == lone);
        run(&mut d, &turn);
        served[who] += 1;
        if let Next::Continues(turn) = d.charge(turn, 100) {
            d.finish(turn, 0);
        }
    }
    assert_eq!(served, [10, 10]);
}

#[test]
#[should_panic(expected = "before the last one was settled")]
fn a_turn_is_settled_before_the_next_is_picked() {
    let mut d = dispatcher();
    d.push(d.root(), 1).expect("the root is there");
    let _turn = d.pick();
    let _ = d.pick();
}

#[test]
#[should_panic(expected = "the root partition cannot be removed")]
fn the_root_stays() {
    let mut d = dispatcher();
    let _ = d.remove(d.root());
}

/// What is made in a turn after its last charge takes its place when a delivery ends that turn.
#[test]
fn heirs_are_placed_when_a_delivery_ends_the_turn() {
    let mut d = dispatcher();
    let (maker, other) = (partition(&mut d), partition(&mut d));
    d.push(maker, 1).unwrap();
    d.push(other, 2).unwrap();
    let turn = d.pick().unwrap();
    assert_eq!(run(&mut d, &turn), 1);
    d.rouse(maker);
    // Spent, but it goes on: the delivery is still to come.
    let turn = continues(d.charge(turn, 600));
    assert!(matches!(d.step(&turn), Step::Deliver));

    let creator = Some(Creator { partition: maker, spent: 0 });
    let heir = d.create(Weight::ONE, None, creator).unwrap();
    d.push(heir, 3).unwrap();
    d.push(maker, 4).unwrap();
    assert_eq!(ended(d.delivered(turn, false)), Ended::Spent);

    // With both others gone nobody is charged any more, and the heir runs all the same.
    assert!(d.remove(maker).is_some() && d.remove(other).is_some());
    let turn = d.pick().unwrap();
    assert_eq!((turn.partition(), run(&mut d, &turn)), (heir, 3));
    assert_eq!(ended(d.charge(turn, 1)), Ended::Idle);
    assert!(d.remove(heir).is_some() && d.is_quiescent());
}

/// What is queued in a turn comes behind what is there, after the marker too, and the length tells.
#[test]
fn a_push_in_ones_own_turn_is_a_push() {
    for in_turn in [false, true] {
        let mut d = dispatcher();
        let (own, other) = (partition(&mut d), partition(&mut d));
        for handle in 0..2 {
            d.push(own, handle).expect("it is there");
        }
        let turn = d.pick().expect("one is runnable");
        assert!(turn.is_of(own) && !turn.is_of(other));
        assert_eq!(run(&mut d, &turn), 0);
        d.mark(own, true);
        for handle in 2..4 {
            let pushed = if in_turn {
                d.push_in_turn(&turn, handle)
            } else {
                d.push(own, handle).map(|wake| assert_eq!(wake, Wake::Queued))
            };
            pushed.expect("it is there");
        }
        assert_eq!((d.queue_len(own), d.queue_len(other)), (3, 0));
        let turn = continues(d.charge(turn, 1));
        assert_eq!(run(&mut d, &turn), 1);
        let turn = continues(d.charge(turn, 1));
        assert!(matches!(d.step(&turn), Step::Deliver), "the marker came before the pushes");
        let turn = continues(d.delivered(turn, false));
        assert_eq!(run(&mut d, &turn), 2);
        let turn = continues(d.charge(turn, 1));
        assert_eq!(run(&mut d, &turn), 3);
    }
}

#[test]
fn a_partition_that_was_removed_in_its_turn_takes_nothing() {
    let mut d = dispatcher();
    let own = partition(&mut d);
    d.push(own, 0).expect("it is there");
    let turn = d.pick().expect("one is runnable");
    assert_eq!(run(&mut d, &turn), 0);
    d.remove(own).expect("it is there");
    assert_eq!(d.push_in_turn(&turn, 1), Err(1));
}

/// Neither a handle nor a marker, nor a delivery that is due, lets the handle that runs go on alone.
#[test]
fn a_handle_has_no_other_only_in_an_empty_partition_without_a_marker() {
    let mut d = dispatcher();
    let own = partition(&mut d);
    d.push(own, 0).expect("it is there");
    let turn = d.pick().expect("one is runnable");
    assert!(!d.has_no_other(&turn), "it is still queued");
    assert_eq!(run(&mut d, &turn), 0);
    assert!(d.has_no_other(&turn));
    d.mark(own, true);
    assert!(!d.has_no_other(&turn), "its sources are to be asked");
    d.mark(own, false);
    assert!(d.has_no_other(&turn));
    d.rouse(own);
    assert!(!d.has_no_other(&turn), "something waits for it");
}
