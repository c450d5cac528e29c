//! The oracles catch each deliberate defect of the dispatcher.

use std::collections::BTreeSet;

use proptest::strategy::ValueTree;

use super::*;
use crate::sched::{Mutation, Settings};

/// Asserts that these propositions are among those that a defect breaks in some hundred runs.
fn catches(tweak: fn(Settings) -> Settings, expected: &[&str]) {
    let mut broken = BTreeSet::new();
    let mut runner = runner(1);
    for _ in 0..400 {
        let plan = world::plan().new_tree(&mut runner).expect("there are plans").current();
        let trace = world::run(&world::Plan { tweak, ..plan });
        let checks = [check_turns_equal, check_lag_bounded, check_share, check_wait_bounded];
        let more = [check_no_starvation, check_delivered_within, check_fifo_within];
        for check in checks.into_iter().chain(more) {
            broken.extend(check(&trace).err().map(|violation| violation.proposition()));
        }
    }
    for proposition in expected {
        assert!(broken.contains(proposition), "{proposition} is not among {broken:?}");
    }
}

#[test]
fn debt_reset_on_wake_is_caught() {
    catches(|settings| settings.with_mutation(Mutation::ResetDebtOnWake), &["P9"]);
}

#[test]
fn an_open_newborn_gate_is_caught() {
    catches(|settings| settings.with_mutation(Mutation::NoNewbornGate), &["P6"]);
}

#[test]
fn preempting_at_the_end_of_turns_is_caught() {
    catches(|settings| settings.with_mutation(Mutation::PreemptAtTurnEnd), &["P5"]);
}

#[test]
fn a_dropped_overshoot_is_caught() {
    catches(|settings| settings.with_mutation(Mutation::DropOvershoot), &["P3", "P4", "P9"]);
}

#[test]
fn lifo_buckets_are_caught() {
    catches(|settings| settings.with_mutation(Mutation::LifoBuckets), &["P2", "P6"]);
}
