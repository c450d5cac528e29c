//! Every oracle passes lawful traces and catches broken ones.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::world;
use super::*;
use crate::sim::trace::script::{Script, timed};

mod delivery;
#[cfg(feature = "mutants")]
mod mutants;
mod order;
mod sharing;
mod waiting;

fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Asserts that a check found this proposition broken, and told this.
#[track_caller]
fn broken(found: Result<(), Violation>, proposition: &str, told: &[&str]) {
    let violation = found.expect_err("it is broken");
    assert_eq!(violation.proposition(), proposition, "{violation}");
    let text = violation.to_string();
    for part in told {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// Whatever the dispatcher is given to do, all propositions hold of it.
/// `EVENLOOP_PROPTEST_CASES=20` tries twenty times as many cases.
#[test]
fn the_dispatcher_holds_to_all() {
    let factor = std::env::var("EVENLOOP_PROPTEST_CASES").ok().and_then(|n| n.parse::<u32>().ok());
    let outcome = runner(200 * factor.unwrap_or(1)).run(&world::plan(), |plan| {
        check_all(&world::run(&plan))
            .map_err(|violation| TestCaseError::fail(violation.to_string()))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Of nothing, everything holds.
#[test]
fn an_empty_trace_is_lawful() {
    assert_all(&Script::new(timed(100)).trace());
}

/// An assertion panics with what was broken, and which trace it was.
#[test]
fn an_assertion_tells_the_trace() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    script.run(a, 1, 5);
    let trace = script.trace();
    let panic = std::panic::catch_unwind(|| assert_all(&trace)).expect_err("nobody woke task 0");
    let text = panic.downcast::<String>().expect("it is a text");
    assert!(text.starts_with("conservation does not hold: `a`, task 0 ran"), "{text}");
    assert!(text.ends_with(&format!("\ntrace {:#018x}", trace.hash())), "{text}");
}

/// A violation is an error that knows where it was.
#[test]
fn a_violation_knows_its_place() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    script.pass(30).run(a, 1, 5);
    let violation: Box<dyn Error> = check_conserved(&script.trace()).expect_err("unwoken").into();
    let violation = violation.downcast::<Violation>().expect("it is one");
    assert_eq!((violation.at(), violation.event()), (Duration::from_nanos(30), 1));
}
