//! Who waits how long, and what a decision costs: P1, P5, P6, P7 and P8.

use evenloop::sched::{Dispatcher, Next, Step, Weight};
use proptest::prelude::*;

use super::world::{Plan, World};

/// With one partition the order is plain FIFO, and after the first pick nothing is decided at all:
/// the turn goes on without a step on any list, and the loop need not price a handle.
pub(crate) fn p1(plan: &Plan, costs: &[u64]) -> Result<(), TestCaseError> {
    let mut dispatcher = Dispatcher::new(plan.settings());
    let only = dispatcher.create(Weight::ONE, None, None).expect("no group was named");
    for handle in 0..costs.len() {
        dispatcher.push(only, handle).expect("it is there");
    }
    let mut turn = dispatcher.pick().expect("it has handles");
    let steps = dispatcher.steps();
    for (n, cost) in costs.iter().enumerate() {
        prop_assert!(dispatcher.is_sole());
        let Step::Run(handle) = dispatcher.step(&turn) else { panic!("{n} handles only") };
        prop_assert_eq!(handle, n);
        let last = n + 1 == costs.len();
        match dispatcher.charge(turn, *cost) {
            Next::Continues(same) if !last => turn = same,
            Next::Ended(_) if last => break,
            next => return Err(TestCaseError::fail(format!("{next:?} after {n}"))),
        }
    }
    prop_assert_eq!(dispatcher.steps(), steps);
    prop_assert!(dispatcher.is_quiescent());
    Ok(())
}

/// A partition that wakes with allotment left waits at most the running handle and, for each
/// express entry ahead, min(allotment left, slice) + c. An express turn that is out counts as an
/// entry ahead, in place of the running handle. Reached exactly.
pub(crate) fn p5(plan: &Plan) -> Result<(), TestCaseError> {
    let world = World::run(plan, |_| Ok(()))?;
    for wait in &world.waits {
        if let Some(bound) = wait.lane_bound {
            prop_assert!(wait.waited <= bound, "{wait:?}");
        }
    }
    Ok(())
}

/// One that owes a round at most waits at most c_cur + Σ_existing(ρQ + c) + Kρ(ρQ_new + c_new),
/// however many are created meanwhile. Up to 0.92 of the bound has been seen.
pub(crate) fn p6(plan: &Plan) -> Result<(), TestCaseError> {
    let world = World::run(plan, |_| Ok(()))?;
    let unserved = |life: &super::world::Life| life.waiting(world.now);
    let waiting = world.lives.iter().filter_map(unserved);
    for wait in world.waits.iter().copied().chain(waiting) {
        if let Some(bound) = wait.churn_bound {
            prop_assert!(wait.waited <= bound, "{wait:?}");
        }
    }
    Ok(())
}

/// A pick, a charge and a wake take at most 8 steps on lists and bitmaps a level. 6 have been
/// seen.
pub(crate) fn p8(plan: &Plan) -> Result<(), TestCaseError> {
    let levels = if plan.groups.is_empty() { 1 } else { 2 };
    let world = World::run(plan, |_| Ok(()))?;
    let steps = world.turn_steps + world.wake_steps;
    prop_assert!(steps <= 8 * levels, "{steps} steps");
    Ok(())
}

/// The same for any number of partitions, most of them deep in debt.
pub(crate) fn p8_crowd(plan: &Plan, crowd: usize) -> Result<(), TestCaseError> {
    let mut dispatcher = Dispatcher::new(plan.settings());
    for n in 0..crowd {
        let id = dispatcher.create(Weight::ONE, None, None).expect("no group was named");
        dispatcher.push(id, n).expect("just created");
    }
    for n in 0..2 * crowd {
        let before = dispatcher.steps();
        let turn = dispatcher.pick().expect("all are busy");
        let id = turn.partition();
        let Step::Run(handle) = dispatcher.step(&turn) else { panic!("all have a handle") };
        dispatcher.push(id, handle).expect("it is there");
        // Scatters the partitions over the calendar.
        let cost = 1 + (n as u64).wrapping_mul(7_919) % 20_000;
        if let Next::Continues(turn) = dispatcher.charge(turn, cost) {
            dispatcher.finish(turn, 0);
        }
        let steps = dispatcher.steps() - before;
        prop_assert!(steps <= 8, "{steps} steps among {crowd}");
    }
    Ok(())
}

/// There is a turn exactly while there is work: debt never idles the thread, and the world, which
/// counts on its own, checks it at every pick.
pub(crate) fn p7(plan: &Plan) -> Result<(), TestCaseError> {
    World::run(plan, |_| Ok(())).map(drop)
}
