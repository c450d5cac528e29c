//! Who gets how much: I, P2, P3, P4, P9, P13 and PH.

use evenloop::Budget;
use evenloop::sched::{Creator, Dispatcher, GroupId, Next, PartitionId, Settings, Step, Weight};
use proptest::prelude::*;

use super::world::{Actor, Kind, Life, Plan, Ran, World, intact};

/// R ≤ φ < R + 1 + c/Q for all that is runnable and was forgiven nothing. With weights that
/// change, Q is the least the allotment has been. Up to 0.999 of the bound has been seen.
pub(crate) fn i(plan: &Plan) -> Result<(), TestCaseError> {
    World::run(plan, |world| {
        let round = u128::from(world.dispatcher.round());
        for life in world.lives.iter().filter(|life| world.dispatcher.is_runnable(life.id)) {
            if world.dispatcher.forgiven(life.id) != Some(0) {
                continue;
            }
            let tag = world.dispatcher.tag(life.id).expect("it is runnable");
            let (whole, spent) = (u128::from(life.allotment), u128::from(tag.spent));
            let phi = u128::from(tag.round) * whole + spent;
            prop_assert!(round * whole <= phi, "behind the round: {tag:?} in {round}");
            // φ·Q < (R + 1)·Q + c·Q/Q_min, both sides times Q_min.
            let least = u128::from(life.allotment_min);
            let overdraft = u128::from(life.actor.dearest) * whole;
            let bound = (round + 1) * whole * least + overdraft;
            prop_assert!(phi * least < bound, "{tag:?} in {round}");
        }
        Ok(())
    })?;
    Ok(())
}

/// With unit costs and a budget of b, all busy: b handles each, cyclic in wake order, exactly.
pub(crate) fn p2(
    budget: u32,
    partitions: usize,
    tweak: fn(Settings) -> Settings,
) -> Result<(), TestCaseError> {
    let mut dispatcher = Dispatcher::new(tweak(Settings::from(Budget::handles(budget))));
    let mut ids = Vec::new();
    for who in 0..partitions {
        let id = dispatcher.create(Weight::ONE, None, None).expect("no group was named");
        dispatcher.push(id, who).expect("just created");
        ids.push(id);
    }
    let turn = budget as usize;
    let mut held = None;
    for n in 0..turn * partitions * 4 {
        let turn_now = held.take().or_else(|| dispatcher.pick()).expect("all are busy");
        let Step::Run(who) = dispatcher.step(&turn_now) else { panic!("all have a handle") };
        prop_assert_eq!(who, n / turn % partitions, "handle {}", n);
        dispatcher.push(ids[who], who).expect("it is there");
        if let Next::Continues(same) = dispatcher.charge(turn_now, 1) {
            held = Some(same);
        }
    }
    Ok(())
}

/// How much more of its allotment `i` got than `j` in the worst window, times both allotments.
fn worst_gain(trace: &[Ran], (i, life_i): (usize, &Life), (j, life_j): (usize, &Life)) -> i128 {
    let (mut balance, mut lowest, mut worst) = (0, 0, 0);
    for ran in trace {
        if ran.who == i {
            balance += i128::from(ran.cost) * i128::from(life_j.allotment);
        } else if ran.who == j {
            balance -= i128::from(ran.cost) * i128::from(life_i.allotment);
        }
        lowest = lowest.min(balance);
        worst = worst.max(balance - lowest);
    }
    worst
}

/// 2 + c_i/Q_i + c_j/Q_j, times both allotments.
fn gain_bound(i: &Life, j: &Life) -> i128 {
    let (q_i, q_j) = (i128::from(i.allotment), i128::from(j.allotment));
    2 * q_i * q_j + i128::from(i.actor.dearest) * q_j + i128::from(j.actor.dearest) * q_i
}

/// |W_i/w_i − W_j/w_j| < 2Q + c_i/w_i + c_j/w_j in every window in which both are busy. Up to
/// 0.996 of the bound has been seen.
pub(crate) fn p3(plan: &Plan) -> Result<(), TestCaseError> {
    let world = World::run(plan, |_| Ok(()))?;
    for i in world.hogs() {
        for j in world.hogs().filter(|j| j.0 != i.0) {
            let (gain, bound) = (worst_gain(&world.trace, i, j), gain_bound(i.1, j.1));
            prop_assert!(gain < bound, "{gain} of {bound}");
        }
    }
    Ok(())
}

/// W_i/Q_i − W_j/Q_j < 2 + c_i/Q_i + c_j/Q_j in every window in which j is busy, whatever i does. Up
/// to 0.996 of the bound has been seen.
pub(crate) fn p9(plan: &Plan) -> Result<(), TestCaseError> {
    let world = World::run(plan, |_| Ok(()))?;
    for j in world.hogs() {
        for i in world.lives.iter().enumerate().filter(|i| i.0 != j.0) {
            let (gain, bound) = (worst_gain(&world.trace, i, j), gain_bound(i.1, j.1));
            prop_assert!(gain < bound, "{gain} of {bound}");
        }
    }
    Ok(())
}

/// A window of the trace seen by one member of one level.
struct Window {
    /// Time that level was served.
    time: i128,
    /// Service the member got of it.
    got: i128,
    /// Weights and dearest handles of the members served, the member itself included.
    weights: i128,
    dearest: i128,
}

impl Window {
    /// r(T − Σc) − 2Q − c, times Σw, against the service times Σw.
    fn holds(&self, weight: i128, allotment: i128, dearest: i128) -> (i128, i128) {
        let owed = weight * (self.time - self.dearest) - (2 * allotment + dearest) * self.weights;
        (self.got * self.weights, owed)
    }
}

/// W_i ≥ r_i(T − Σ c_j) − 2Q_i − c_i over every busy window in which i is busy. Up to 0.86 of the lag
/// allowed has been seen.
pub(crate) fn p4(plan: &Plan) -> Result<(), TestCaseError> {
    let world = World::run(plan, |_| Ok(()))?;
    for (who, life) in world.hogs() {
        for start in (0..world.trace.len()).step_by(37) {
            let mut served = vec![false; world.lives.len()];
            served[who] = true;
            let dearest = i128::from(life.actor.dearest);
            let weight = i128::from(life.actor.weight);
            let mut window = Window { time: 0, got: 0, weights: weight, dearest };
            for ran in &world.trace[start..] {
                let cost = i128::from(ran.cost);
                window.time += cost;
                window.got += if ran.who == who { cost } else { 0 };
                if !std::mem::replace(&mut served[ran.who], true) {
                    window.weights += i128::from(world.lives[ran.who].actor.weight);
                    window.dearest += i128::from(world.lives[ran.who].actor.dearest);
                }
                let (got, owed) = window.holds(weight, i128::from(life.allotment), dearest);
                prop_assert!(got >= owed, "{got} of {owed} from {start}");
            }
        }
    }
    Ok(())
}

/// Who is in which group, all of them busy all the time.
pub(crate) fn hierarchy() -> impl Strategy<Value = Plan> {
    let groups = prop::collection::vec(1..5u32, 1..4);
    let actors = prop::collection::vec((1..5u32, 1..600u64, 0..5usize), 2..10);
    (groups, actors, 1..100u64, any::<u64>()).prop_map(|(groups, actors, slice, seed)| {
        let actors = actors.into_iter().map(|(weight, dearest, group)| Actor {
            weight,
            dearest,
            kind: Kind::Hog,
            group: (group < groups.len()).then_some(group),
        });
        Plan {
            quantum: 100,
            slice,
            newborns: 2,
            actors: actors.collect(),
            groups: groups.clone(),
            flood: 0,
            flood_dearest: 1,
            reweigh: false,
            handles: 600,
            seed,
            tweak: intact,
        }
    })
}

/// A leaf has the rate r_g·r_i and the latency θ_g + θ_i/r_g: the bound of P4, once for its group
/// at the root and once for it in the time its group got. Half of the lag allowed has been seen: the
/// worst of both levels seldom meet.
pub(crate) fn ph(plan: &Plan) -> Result<(), TestCaseError> {
    let world = World::run(plan, |_| Ok(()))?;
    for (who, life) in world.lives.iter().enumerate() {
        let Some(group) = life.actor.group else { continue };
        let group_weight = i128::from(plan.groups[group]);
        let group_dearest = members(plan, group).map(|actor| i128::from(actor.dearest)).max();
        let group_dearest = group_dearest.expect("it has at least this member");
        let weight = i128::from(life.actor.weight);
        let (q_g, q_i) = (group_weight * i128::from(plan.quantum), i128::from(life.allotment));
        let c_i = i128::from(life.actor.dearest);
        for start in (0..world.trace.len()).step_by(53) {
            let mut served = vec![false; plan.actors.len()];
            let (mut time, mut got) = (0, 0);
            for ran in &world.trace[start..] {
                served[ran.who] = true;
                time += i128::from(ran.cost);
                got += if ran.who == who { i128::from(ran.cost) } else { 0 };
            }
            served[who] = true;
            let root = root_members(plan, &served, Some(group));
            let leaves = leaves(plan, &served, Some(group));
            // W_g·S ≥ w_g(T − C) − (2Q_g + c_g)·S, then the same for i in W_g; all times S·S_g.
            let of_group = group_weight * (time - root.1) - (2 * q_g + group_dearest) * root.0;
            let owed =
                weight * (of_group - leaves.1 * root.0) - (2 * q_i + c_i) * root.0 * leaves.0;
            prop_assert!(got * root.0 * leaves.0 >= owed, "{got} from {start}");
        }
    }
    Ok(())
}

fn members(plan: &Plan, group: usize) -> impl Iterator<Item = &Actor> {
    plan.actors.iter().filter(move |actor| actor.group == Some(group))
}

/// Weights and dearest handles of the leaves served in a group, or outside any.
fn leaves(plan: &Plan, served: &[bool], group: Option<usize>) -> (i128, i128) {
    let all =
        plan.actors.iter().zip(served).filter(|(actor, served)| **served && actor.group == group);
    all.fold((0, 0), |(weights, dearest), (actor, _)| {
        (weights + i128::from(actor.weight), dearest + i128::from(actor.dearest))
    })
}

/// Weights and dearest handles of what was served at the root.
fn root_members(plan: &Plan, served: &[bool], own: Option<usize>) -> (i128, i128) {
    let mut sum = leaves(plan, served, None);
    for (group, weight) in plan.groups.iter().enumerate() {
        let leaves = plan.actors.iter().zip(served);
        let dearest = leaves
            .filter(|(actor, served)| {
                actor.group == Some(group) && (**served || own == Some(group))
            })
            .map(|(actor, _)| i128::from(actor.dearest))
            .max();
        if let Some(dearest) = dearest {
            sum = (sum.0 + i128::from(*weight), sum.1 + dearest);
        }
    }
    sum
}

/// How an heir is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heir {
    /// The cost of the handle that makes it.
    pub(crate) cost: u64,
    /// Whether it is put in a new group of its own.
    pub(crate) in_group: bool,
    /// Whether its maker is removed in its own turn.
    pub(crate) removes_maker: bool,
}

pub(crate) fn heirs() -> impl Strategy<Value = Vec<Heir>> {
    let heir = (1..2_000u64, any::<bool>(), any::<bool>())
        .prop_map(|(cost, in_group, removes_maker)| Heir { cost, in_group, removes_maker });
    prop::collection::vec(heir, 1..60)
}

/// A line of partitions, each made by the last handle of the one before, is bound as one
/// partition is: P9 holds for the sum of them. Up to 0.97 of the bound has been seen.
pub(crate) fn p13(heirs: &[Heir], rival: u64) -> Result<(), TestCaseError> {
    let quantum = 100;
    let budget = Budget::time(std::time::Duration::from_nanos(quantum));
    let mut dispatcher = Dispatcher::new(Settings::from(budget).with_max_debt(Settings::MAX_DEBT));
    let hog = dispatcher.root();
    dispatcher.push(hog, None).expect("the root is there");
    let first = dispatcher.create(Weight::ONE, None, None).expect("no group was named");
    dispatcher.push(first, Some(0)).expect("just created");

    let (mut balance, mut lowest) = (0i128, 0i128);
    let bound = i128::from(2 * quantum + 2_000 + rival);
    let mut held = None;
    loop {
        let turn = held.take().or_else(|| dispatcher.pick()).expect("the hog is busy");
        let partition = turn.partition();
        let Step::Run(handle) = dispatcher.step(&turn) else {
            dispatcher.finish(turn, 0);
            continue;
        };
        let cost = match handle {
            None => {
                dispatcher.push(hog, None).expect("the root is there");
                balance -= i128::from(rival);
                rival
            }
            Some(n) => {
                let Some(heir) = heirs.get(n) else { return Ok(()) };
                let id = make_heir(&mut dispatcher, partition, *heir);
                dispatcher.push(id, Some(n + 1)).expect("just created");
                if heir.removes_maker {
                    assert!(dispatcher.remove(partition).is_some_and(|left| left.is_empty()));
                }
                balance += i128::from(heir.cost);
                heir.cost
            }
        };
        lowest = lowest.min(balance);
        prop_assert!(balance - lowest < bound, "{} of {}", balance - lowest, bound);
        if let Next::Continues(same) = dispatcher.charge(turn, cost) {
            held = Some(same);
        }
    }
}

fn make_heir<H>(dispatcher: &mut Dispatcher<H>, maker: PartitionId, heir: Heir) -> PartitionId {
    let group: Option<GroupId> = heir.in_group.then(|| dispatcher.create_group(Weight::ONE));
    let creator = Creator { partition: maker, spent: 0 };
    dispatcher.create(Weight::ONE, group, Some(creator)).expect("the group is there")
}
