//! The properties of the whole runtime can fail: each deliberate defect, built into a loop with
//! tasks, timers and wakers, breaks the proposition named here.
//!
//! `cargo test --features mutants --test mutants_runtime -- --nocapture` shows the least case each
//! time.

#[expect(dead_code, reason = "what the other propositions need")]
mod fairness {
    pub(crate) mod latency;
    pub(crate) mod order;
    pub(crate) mod sharing;
    pub(crate) mod suite;
}

use evenloop::sched::Mutation;
use evenloop::sim::{Check, Runtime};
use proptest::prelude::*;

use fairness::suite::{Judged, Setting};
use fairness::{latency, order, sharing};

/// Checks that `property` holds, and that it does not hold of a loop with the defect, in the same
/// cases each time.
#[track_caller]
fn catches<S>(
    proposition: &str,
    defect: Mutation,
    strategy: S,
    property: impl Fn(&S::Value, &Runtime, &Judged),
) where
    S: Strategy + Clone,
    S::Value: Setting,
{
    let judged = Judged::default();
    let check = Check::new().seed(1).cases(100);
    let run = |defect: Option<Mutation>| {
        let configure = |builder, value: &S::Value| {
            let builder = value.configure(builder);
            match defect {
                Some(defect) => builder.mutation(defect),
                None => builder,
            }
        };
        check.try_run_with(strategy.clone(), configure, |value, sim| property(&value, sim, &judged))
    };
    let failure = match run(Some(defect)) {
        Err(failure) => failure,
        Ok(passed) => panic!("{proposition} did not catch {defect:?}: {passed:?}"),
    };
    println!("{proposition} caught {defect:?}: {}\n  by {:?}", failure.reason, failure.value);
    let named = format!("{proposition} does not hold");
    assert!(failure.reason.contains(&named), "not {proposition} caught it: {}", failure.reason);
    if let Err(failure) = run(None) {
        panic!("{proposition} fails without a defect: {failure}");
    }
}

#[test]
fn shuffled_handles_break_p0() {
    catches("P0", Mutation::Shuffled(1), order::p0_cases(), order::p0);
}

#[test]
fn debt_reset_on_wake_breaks_p9() {
    catches("P9", Mutation::ResetDebtOnWake, sharing::p9_cases(), sharing::p9);
}

#[test]
fn an_open_newborn_gate_breaks_p6() {
    catches("P6", Mutation::NoNewbornGate, latency::floods(), latency::p6);
}

#[test]
fn preempting_at_the_end_of_turns_breaks_p5() {
    catches("P5", Mutation::PreemptAtTurnEnd, latency::p5_cases(), latency::p5);
}

#[test]
fn dropping_the_overshoot_breaks_p3() {
    catches("P3", Mutation::DropOvershoot, sharing::p3_cases(), sharing::p3);
}

#[test]
fn lifo_buckets_break_p2() {
    catches("P2", Mutation::LifoBuckets, order::counted(), order::p2);
}

#[test]
fn delivering_to_all_at_each_harvest_breaks_p10() {
    catches("P10", Mutation::DeliverToAll, latency::p10_cases(), latency::p10);
}
