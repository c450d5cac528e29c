//! The propositions of `docs/fairness.md` as properties of the whole runtime: its tasks, timers,
//! simulated sockets and wakers, not the dispatcher alone (which is what `tests/props.rs` does).
//!
//! Each property draws workloads, budgets and seeds until 100,000 handles have run, and says how
//! many cases that took. `EVENLOOP_SIM_CASES=10000 cargo test --test fairness` goes on for as many
//! cases a property; a failure prints the least case and the line that replays it.

mod fairness {
    pub(crate) mod bytes;
    pub(crate) mod conservation;
    pub(crate) mod latency;
    pub(crate) mod order;
    pub(crate) mod sharing;
    pub(crate) mod suite;
}

use std::process::Command;

use fairness::suite::{Judged, cases, free_deliveries, prove};
use fairness::{bytes, conservation, latency, order, sharing};

#[test]
fn i_no_runnable_partition_is_behind_or_far_ahead() {
    let judged = Judged::default();
    prove(sharing::i_cases(), |case, sim| sharing::i(case, sim, &judged));
    judged.at_least(1_000, "wakes of idle partitions");
}

#[test]
fn p0_handles_run_as_they_were_queued() {
    let judged = Judged::default();
    prove(order::p0_cases(), |case, sim| order::p0(case, sim, &judged));
    judged.at_least(10_000, "handles with others queued behind them");
}

#[test]
fn p1_one_partition_is_a_plain_queue() {
    prove(order::p1_cases(), order::p1);
}

#[test]
fn p1_one_partition_is_dispatched_without_a_clock() {
    prove(order::light(), order::p1_clock);
}

#[test]
fn p2_equal_budgets_are_exact() {
    let judged = Judged::default();
    prove(order::counted(), |case, sim| order::p2(case, sim, &judged));
    judged.at_least(1_000, "full visits");
}

#[test]
fn p3_busy_partitions_share_by_weight() {
    let judged = Judged::default();
    prove(sharing::p3_cases(), |case, sim| sharing::p3(case, sim, &judged));
    judged.at_least(1_000, "turns");
}

#[test]
fn p4_a_busy_partition_has_its_rate() {
    let judged = Judged::default();
    prove(sharing::p4_cases(), |case, sim| sharing::p4(case, sim, &judged));
    judged.at_least(1_000, "turns");
}

#[test]
fn p5_a_sparse_wake_waits_for_the_lane_only() {
    let judged = Judged::default();
    prove(latency::p5_cases(), |case, sim| latency::p5(case, sim, &judged));
    judged.at_least(1_000, "wakes with allotment left");
}

#[test]
fn p6_a_flood_of_newborns_starves_nobody() {
    let judged = Judged::default();
    prove(latency::floods(), |case, sim| latency::p6(case, sim, &judged));
    judged.at_least(1_000, "newborns");
}

#[test]
fn p7_debt_never_idles_the_thread() {
    let judged = Judged::default();
    prove(order::p7_cases(), |case, sim| order::p7(case, sim, &judged));
    judged.at_least(100, "sleeps");
}

#[test]
fn p8_a_decision_takes_a_bounded_number_of_steps() {
    let judged = Judged::default();
    prove(order::p8_cases(), |case, sim| order::p8(case, sim, &judged));
    judged.at_least(1_000, "turns");
}

#[test]
fn p9_nobody_gains_by_how_it_sleeps() {
    let judged = Judged::default();
    prove(sharing::p9_cases(), |case, sim| sharing::p9(case, sim, &judged));
    judged.at_least(1_000, "turns");
}

#[test]
fn p10_a_ready_source_is_noticed_within_a_period_and_a_handle() {
    let judged = Judged::default();
    prove(latency::p10_cases(), |case, sim| latency::p10(case, sim, &judged));
    judged.at_least(500, "readinesses of idle partitions");
}

#[test]
fn p11_a_queue_that_never_empties_gets_its_readiness() {
    let judged = Judged::default();
    prove(latency::p11_cases(), |case, sim| latency::p11(case, sim, &judged));
    judged.at_least(100, "readinesses behind queued handles");
}

#[test]
fn p12_a_workload_leaves_nothing_behind() {
    prove(conservation::all(), conservation::p12);
}

#[test]
fn p12_a_workload_cut_short_leaves_nothing_behind() {
    let judged = Judged::default();
    prove(conservation::cut(), |case, sim| conservation::p12_cut_short(case, sim, &judged));
    judged.at_least(10, "workloads that were under way");
}

#[test]
fn p13_an_heir_bears_its_makers_debt() {
    let judged = Judged::default();
    prove(sharing::heirs(), |case, sim| sharing::p13(case, sim, &judged));
    judged.at_least(500, "heirs");
}

#[test]
fn ph_a_leaf_has_its_part_of_its_groups_part() {
    let judged = Judged::default();
    prove(sharing::ph_cases(), |case, sim| sharing::ph(case, sim, &judged));
    judged.at_least(500, "wakes in groups");
}

#[test]
fn the_oracles_hold_of_anything() {
    prove(cases(free_deliveries()), sharing::all);
}

#[test]
fn every_wake_leads_to_one_run() {
    let judged = Judged::default();
    prove(conservation::all(), |case, sim| conservation::conserved(case, sim, &judged));
    judged.at_least(5, "cases whose totals are known");
}

#[test]
fn everything_stays_at_home() {
    let judged = Judged::default();
    prove(conservation::all(), |case, sim| conservation::at_home(case, sim, &judged));
    judged.at_least(500, "deliveries");
}

#[test]
fn counters_say_what_the_trace_shows() {
    let judged = Judged::default();
    prove(conservation::all(), |case, sim| conservation::counted(case, sim, &judged));
    judged.at_least(50, "partitions");
}

#[test]
fn the_same_seed_is_the_same_trace() {
    let judged = Judged::default();
    prove(conservation::all(), |case, sim| conservation::same_again(case, sim, &judged));
    judged.at_least(100_000, "events");
}

#[test]
fn every_byte_is_read_in_order() {
    let judged = Judged::default();
    prove(bytes::talks(), |case, sim| bytes::bytes(case, sim, &judged));
    judged.at_least(100_000, "bytes");
}

#[test]
fn datagrams_come_whole_and_once() {
    let judged = Judged::default();
    prove(bytes::letters(), |case, sim| bytes::datagrams(case, sim, &judged));
    judged.at_least(10_000, "datagrams");
}

/// Fails when it is asked to, in a process of its own.
#[test]
fn fails_on_request() {
    if std::env::var_os("EVENLOOP_TEST_FAILS").is_some() {
        prove(conservation::all(), |case, sim| {
            let counts = sim.block_on(async { case.load.spawn().await });
            assert!(counts.tasks < 3, "{} tasks, as was to be expected", counts.tasks);
        });
    }
}

/// Returns what a run of [`fails_on_request`] prints.
fn failure(seed: Option<&str>) -> String {
    let program = std::env::current_exe().expect("this program is a file");
    let mut command = Command::new(program);
    command.args(["--exact", "fails_on_request", "--nocapture"]);
    command.env("EVENLOOP_TEST_FAILS", "1").env("RUST_BACKTRACE", "0");
    command.env_remove("EVENLOOP_SIM_CASES").env_remove("EVENLOOP_SIM_SEED");
    command.envs(seed.map(|seed| ("EVENLOOP_SIM_SEED", seed)));
    let output = command.output().expect("it can be run again");
    assert!(!output.status.success(), "it passes: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A property of this suite that fails prints one line, which replays exactly that failure.
#[test]
fn a_failure_prints_the_line_that_replays_it() {
    let first = failure(None);
    let line = first.lines().find(|line| line.contains("again: ")).expect("it says how to replay");
    assert!(line.contains("cargo test") && line.ends_with("fails_on_request"), "{line}");
    let (_, rest) = line.split_once("EVENLOOP_SIM_SEED=").expect("it names the seed");
    let seed = rest.split(' ').next().expect("it has a value");
    let second = failure(Some(seed));
    let told = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("thread '"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(told(&first), told(&second));
}
