//! The propositions of `docs/fairness.md`, each as a property in virtual time.
//!
//! `EVENLOOP_PROPTEST_CASES=20 cargo test --test props` tries twenty times as many cases.

mod props {
    pub(crate) mod delivery;
    pub(crate) mod latency;
    pub(crate) mod lifecycle;
    pub(crate) mod sharing;
    pub(crate) mod together;
    pub(crate) mod world;
}

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use props::world::{Plan, intact, plan};
use props::{delivery, latency, lifecycle, sharing, together};

/// Checks `property` on `cases` values and prints the least that breaks it.
fn check<S: Strategy>(
    cases: u32,
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let factor = std::env::var("EVENLOOP_PROPTEST_CASES").ok().and_then(|n| n.parse::<u32>().ok());
    let cases = cases.saturating_mul(factor.unwrap_or(1));
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    if let Err(failure) = runner.run(&strategy, property) {
        panic!("{failure}");
    }
}

#[test]
fn i_no_runnable_partition_is_behind_or_far_ahead() {
    check(200, (plan(1), any::<bool>()), |(plan, reweigh)| sharing::i(&Plan { reweigh, ..plan }));
}

#[test]
fn p0_handles_leave_as_they_came() {
    check(200, lifecycle::ops(), |ops| lifecycle::churn(&ops, intact));
}

#[test]
fn handles_of_one_price_are_charged_together_or_alone() {
    check(500, together::script(), |script| together::together(&script));
}

#[test]
fn p1_a_lone_partition_is_a_plain_queue() {
    let costs = prop::collection::vec(0..10_000u64, 1..200);
    check(200, (plan(0), costs), |(plan, costs)| latency::p1(&plan, &costs));
}

#[test]
fn p2_equal_budgets_are_exact() {
    check(100, (1..20u32, 1..200usize), |(budget, n)| sharing::p2(budget, n, intact));
}

#[test]
fn p3_busy_partitions_share_by_weight() {
    check(200, plan(2), |plan| sharing::p3(&plan));
}

#[test]
fn p4_a_busy_partition_has_its_rate() {
    check(100, plan(1), |plan| sharing::p4(&plan));
}

#[test]
fn p5_a_sparse_wake_waits_for_the_lane_only() {
    check(300, plan(1), |plan| latency::p5(&plan));
}

#[test]
fn p6_a_flood_of_newborns_starves_nobody() {
    check(300, (plan(1), 1..4usize), |(plan, flood)| latency::p6(&Plan { flood, ..plan }));
}

#[test]
fn p7_debt_never_idles_the_thread() {
    check(200, plan(0), |plan| latency::p7(&plan));
}

#[test]
fn p8_a_decision_takes_a_bounded_number_of_steps() {
    check(200, plan(1), |plan| latency::p8(&plan));
    check(50, sharing::hierarchy(), |plan| latency::p8(&plan));
    check(20, (plan(0), 1..5_000usize), |(plan, crowd)| latency::p8_crowd(&plan, crowd));
}

#[test]
fn p9_nobody_gains_by_how_it_sleeps() {
    check(300, plan(1), |plan| sharing::p9(&plan));
}

#[test]
fn p10_a_ready_source_is_noticed_within_a_period_and_a_handle() {
    check(150, delivery::plan(), |plan| delivery::p10(&plan));
}

#[test]
fn p11_a_queue_that_never_empties_gets_its_readiness() {
    check(150, delivery::plan(), |plan| delivery::p11(&plan));
}

#[test]
fn p12_churn_leaves_nothing_behind() {
    check(300, lifecycle::ops(), |ops| lifecycle::churn(&ops, intact));
}

#[test]
fn p13_an_heir_bears_its_makers_debt() {
    check(300, (sharing::heirs(), 1..500u64), |(heirs, rival)| sharing::p13(&heirs, rival));
}

#[test]
fn ph_a_leaf_has_its_part_of_its_groups_part() {
    check(200, sharing::hierarchy(), |plan| sharing::ph(&plan));
}
