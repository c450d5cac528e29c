//! The property suite can fail: each deliberate defect breaks the proposition named here.
//!
//! `cargo test --features mutants --test mutants -- --nocapture` shows the least case each time.

#[expect(dead_code, reason = "what the other propositions need")]
mod props {
    pub(crate) mod delivery;
    pub(crate) mod latency;
    pub(crate) mod sharing;
    pub(crate) mod world;
}

use std::fmt::Debug;

use evenloop::sched::{Mutation, Settings};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use props::world::{Plan, intact, plan};
use props::{delivery, latency, sharing};

type Tweak = fn(Settings) -> Settings;

/// Checks that `property` holds, and that it does not hold of a dispatcher with the defect.
fn catches<S: Strategy>(
    proposition: &str,
    defect: Tweak,
    strategy: S,
    property: impl Fn(S::Value, Tweak) -> Result<(), TestCaseError>,
) where
    S::Value: Debug + Clone,
{
    let run = |tweak: Tweak| {
        let config = ProptestConfig {
            failure_persistence: None,
            max_shrink_iters: 200,
            ..ProptestConfig::with_cases(500)
        };
        // The same cases each time, so that a defect once caught is always caught.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(config, rng);
        runner.run(&strategy, |value| property(value, tweak))
    };
    match run(defect) {
        Err(TestError::Fail(reason, case)) => {
            println!("{proposition} caught it: {reason}\n  by {case:?}");
        }
        other => panic!("{proposition} did not catch the defect: {other:?}"),
    }
    let whole = run(intact);
    assert!(whole.is_ok(), "{proposition} fails without a defect: {whole:?}");
}

#[test]
fn debt_reset_on_wake_breaks_p9() {
    let defect: Tweak = |settings| settings.with_mutation(Mutation::ResetDebtOnWake);
    catches("P9", defect, plan(1), |plan, tweak| sharing::p9(&Plan { tweak, ..plan }));
}

#[test]
fn an_open_newborn_gate_breaks_p6() {
    let defect: Tweak = |settings| settings.with_mutation(Mutation::NoNewbornGate);
    catches("P6", defect, (plan(1), 1..4usize), |(plan, flood), tweak| {
        latency::p6(&Plan { tweak, flood, ..plan })
    });
}

#[test]
fn preempting_at_the_end_of_turns_breaks_p5() {
    let defect: Tweak = |settings| settings.with_mutation(Mutation::PreemptAtTurnEnd);
    catches("P5", defect, plan(1), |plan, tweak| latency::p5(&Plan { tweak, ..plan }));
}

#[test]
fn dropping_the_overshoot_breaks_p9() {
    let defect: Tweak = |settings| settings.with_mutation(Mutation::DropOvershoot);
    catches("P9", defect, plan(1), |plan, tweak| sharing::p9(&Plan { tweak, ..plan }));
}

#[test]
fn lifo_buckets_break_p2() {
    let defect: Tweak = |settings| settings.with_mutation(Mutation::LifoBuckets);
    catches("P2", defect, (1..20u32, 1..100usize), |(budget, partitions), tweak| {
        sharing::p2(budget, partitions, tweak)
    });
}

/// The dispatcher has no part in this one: it is the host that delivers.
#[test]
fn delivering_to_all_at_each_harvest_breaks_p10() {
    let defect: Tweak = |settings| settings.with_mutation(Mutation::DeliverToAll);
    catches("P10", defect, delivery::plan(), |plan, tweak| {
        let settings = tweak(Settings::default());
        let to_all = settings.mutation() == Some(Mutation::DeliverToAll);
        delivery::p10(&delivery::Plan { tweak, to_all, ..plan })
    });
}
