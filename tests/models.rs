//! Random programs against models of what they have to do: timers, sources, tasks, and the first
//! bytes of requests. The same programs are fuzzed, see `tests/fuzz`.
//!
//! `EVENLOOP_PROPTEST_CASES=20 cargo test --test models` tries twenty times as many cases.

mod models {
    pub(crate) mod check;
    pub(crate) mod deadlines;
    pub(crate) mod program;
    #[cfg(target_os = "linux")]
    pub(crate) mod registrations;
    pub(crate) mod requests;
    pub(crate) mod tasks;
    pub(crate) mod timers;
}

use models::check::check;
use models::{deadlines, requests, tasks, timers};

#[test]
fn deadlines_are_a_sorted_map() {
    check(300, 120, deadlines::decode, deadlines::run);
}

#[test]
fn timers_wake_once_in_order_and_never_early() {
    check(500, 120, timers::decode, timers::run);
}

#[test]
fn tasks_are_polled_when_woken_and_end_once() {
    check(500, 120, tasks::decode, tasks::run);
}

#[test]
#[cfg(target_os = "linux")]
fn who_waits_for_an_fd_is_told_and_nothing_else_happens() {
    check(500, 120, models::registrations::decode, models::registrations::run);
}

#[test]
fn what_is_told_of_a_request_stays_true() {
    check(3_000, 40, requests::decode, requests::run);
}
