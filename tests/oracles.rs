//! The propositions hold of the whole loop, whatever it is given to do.
//!
//! `EVENLOOP_SIM_CASES=5000 cargo test --test oracles` tries more.

use evenloop::sim::workload::{self, Workload, Workloads};
use evenloop::sim::{Runtime, check, oracle};

/// Runs a workload to its end, and holds the trace to all propositions.
fn lawful(load: Workload, sim: &Runtime) {
    sim.block_on(async { load.spawn().await });
    oracle::assert_all(&sim.trace());
}

/// Workloads of one kind or all, alone and beside others, in groups or not.
fn holds(loads: Workloads) {
    check(loads.tenants(1..=6).groups(2).weight(1..=4), lawful);
}

#[test]
fn all_holds_of_anything() {
    holds(workload::any());
}

#[test]
fn all_holds_of_those_that_never_rest() {
    holds(workload::hogs());
}

#[test]
fn all_holds_of_what_comes_and_goes() {
    holds(workload::churning().and(workload::trees()).and(workload::crowds()));
}

#[test]
fn all_holds_of_sleepers_and_bursts() {
    holds(workload::sleepers().and(workload::bursty()).and(workload::timed()));
}

#[test]
fn all_holds_of_floods_of_connections() {
    holds(workload::floods().and(workload::hogs()));
}

#[test]
fn all_holds_in_upheavals() {
    holds(workload::upheavals().and(workload::hogs()));
}
