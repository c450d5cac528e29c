use std::process::Command;
use std::time::Duration;

use super::*;
use crate::sim::workload::{self, Workload, micros};

/// The longest time from a wake to the run it leads to.
fn longest_wait(sim: &Runtime) -> Duration {
    let trace = sim.trace();
    trace.names().map(|name| trace.waits(name, ..).max()).max().expect("there is ROOT")
}

/// What is not so: in a loop that others use there are waits.
fn nobody_waits(load: Workload, sim: &Runtime) {
    sim.block_on(async { load.spawn().await });
    let longest = longest_wait(sim);
    assert!(longest <= micros(50), "somebody waited {longest:?}");
}

/// A failing workload shrinks to the few who bring the failure about, at just the cost it takes,
/// and the same seed fails in the same way.
#[test]
fn failures_shrink_to_a_handful() {
    for seed in 0..12 {
        let check = Check::new().seed(seed);
        let failure = check.try_run(workload::any(), nobody_waits).expect_err("somebody waits");
        let load = &failure.value;
        assert!(load.actors().count() <= 3 && load.tenants().len() <= 3, "{load:?}");
        assert!(failure.reason.contains("somebody waited"), "{failure}");

        let again = Check::new().seed(failure.seed).cases(1);
        let same = again.try_run(workload::any(), nobody_waits).expect_err("it fails again");
        assert_eq!((same.value, same.reason), (failure.value, failure.reason));
    }
}

/// Fails when it is asked to, in a process of its own.
#[test]
fn fails_on_request() {
    if std::env::var_os("EVENLOOP_TEST_FAILS").is_some() {
        check(workload::any(), nobody_waits);
    }
}

/// Runs the test above with these variables set; returns what it said.
fn on_request(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("tests know where they are"));
    command.args(["--exact", "sim::check::tests::fails_on_request", "--nocapture"]);
    command.env_remove(SEED).env_remove(COUNT).envs(variables.iter().copied());
    said_by(&mut command)
}

/// What a process says in which the test above runs, and fails.
fn said_by(command: &mut Command) -> String {
    // Backtraces tell processes apart.
    command.env("EVENLOOP_TEST_FAILS", "1").env("RUST_BACKTRACE", "0");
    let output = command.output().expect("the test starts");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("what it says is text")
}

/// The line of what was said that says how to have it said again.
fn again_in(said: &str) -> &str {
    let mut lines = said.lines().filter_map(|line| line.strip_prefix("  again: "));
    let line = lines.next().unwrap_or_else(|| panic!("no line replays it: {said}"));
    assert_eq!(lines.next(), None, "{said}");
    line
}

/// From the reason to the table: the reason, the place, the value, the line.
fn told(said: &str) -> Vec<&str> {
    let from = said.find("somebody waited").expect("the reason is told");
    said[from..].lines().take(4).collect()
}

/// The line a failure prints replays that failure: the same value, the same reason, the same line.
#[test]
fn a_failure_prints_the_line_that_replays_it() {
    let said = on_request(&[]);
    let mut words = again_in(&said).split(' ');
    let (variable, seed) = words.next().and_then(|word| word.split_once('=')).unwrap();
    let command: Vec<_> = words.collect();
    assert_eq!(command, ["cargo", "test", "sim::check::tests::fails_on_request"]);

    let again = on_request(&[(variable, seed)]);
    assert_eq!(told(&again), told(&said));
    assert!(told(&said)[1].contains("at src/sim/check/tests.rs:"), "where it failed: {said}");
    assert!(told(&said)[2].starts_with("  of Workload::new()"), "{said}");
    // Hundreds of attempts failed, and one is told.
    assert_eq!(said.matches("somebody waited").count(), 1, "{said}");
}

/// Where no test has given its thread a name, the command is that of the process.
#[test]
fn programs_are_replayed_by_their_own_command() {
    let name = std::thread::current().name().expect("a test has a name").to_owned();
    assert_eq!(again(), format!("cargo test {name}"));
    let command = std::thread::spawn(again).join().expect("it has arguments");
    let words: Vec<String> = std::env::args().map(|word| in_a_shell(&word)).collect();
    assert_eq!(command, words.join(" "));
}

/// What a shell would misread is put in quotes.
#[test]
fn words_are_quoted_for_a_shell() {
    assert_eq!(in_a_shell("--exact"), "--exact");
    assert_eq!(
        in_a_shell("docs/testing.md - first (line 7)"),
        "'docs/testing.md - first (line 7)'"
    );
    assert_eq!(in_a_shell("it's"), r"'it'\''s'");
    assert_eq!(in_a_shell(""), "''");
}

/// A value that fits on a line is told on one, and any other is indented.
#[test]
fn long_values_are_told_on_lines() {
    assert_eq!(shown(&[1, 2]), "[1, 2]");
    let long = shown(&["a".repeat(60), "b".repeat(60)]);
    let lines: Vec<_> = long.lines().map(str::len).collect();
    assert_eq!(lines, [1, 6 + 63, 6 + 63, 3], "{long}");
}

/// The environment decides, and nonsense in it is refused with a sentence.
#[test]
fn the_environment_decides() {
    let said = on_request(&[(SEED, "0xyz")]);
    assert!(said.contains("EVENLOOP_SIM_SEED=\"0xyz\", which is no number"), "{said}");
    let said = on_request(&[(COUNT, "many")]);
    assert!(said.contains("EVENLOOP_SIM_CASES=\"many\", which is no number"), "{said}");
    assert!(on_request(&[(SEED, "42")]).contains("EVENLOOP_SIM_SEED=0x2a cargo"));
}

/// Without a number of cases there are at least 64, and more until enough handles have run.
#[test]
fn small_cases_are_tried_more_often() {
    let of = |load: Workload| {
        let passed = Check::new().try_run(Just(load), |load, sim| {
            sim.block_on(async { load.spawn().await });
        });
        passed.expect("it passes")
    };
    let alone = |handles| {
        Workload::new().with(workload::tenant("a").runs(workload::hog(micros(1)).rounds(handles)))
    };
    let many = of(alone(2_000));
    assert_eq!(many.cases, 64);
    assert!(many.handles >= 128_000, "{many:?}");
    let medium = of(alone(1_000));
    assert!(medium.cases > 64 && medium.cases < 256 && medium.handles >= 100_000, "{medium:?}");
    assert_eq!(of(alone(1)).cases, 256);
    let few = Check::new().cases(3).try_run(Just(()), |(), _| {}).expect("it passes");
    assert_eq!((few.cases, few.handles), (3, 0));
}

/// Each case has a seed of its own, and its runtime has it too.
#[test]
fn each_case_has_its_seed() {
    let seeds = RefCell::new(Vec::new());
    let check = Check::new().seed(7).cases(10);
    check.try_run(Just(()), |(), sim| seeds.borrow_mut().push(sim.seed())).expect("it passes");
    let first = seeds.take();
    check.try_run(Just(()), |(), sim| seeds.borrow_mut().push(sim.seed())).expect("it passes");
    assert_eq!(first, seeds.take());
    assert_eq!(first[0], 7);
    let mut unique = first.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 10, "{first:?}");
}

/// A task that panics and that nobody joins fails the property, with its reason.
#[test]
fn a_panic_nobody_hears_is_a_failure() {
    let failure = Check::new().cases(1).try_run(Just(()), |(), sim| {
        sim.block_on(async {
            crate::spawn(async { panic!("lost in a task") });
            crate::yield_now().await;
        });
    });
    let failure = failure.expect_err("the task panics");
    assert!(failure.reason.contains("lost in a task"), "{failure}");
    assert!(!failure.to_string().contains("of ()"), "{failure}");

    let heard = Check::new().cases(1).try_run(Just(()), |(), sim| {
        let joined = sim.block_on(async { crate::spawn(async { panic!("heard") }).await });
        assert!(joined.is_err());
    });
    assert_eq!(heard.expect("the property took note of it").cases, 1);
}

/// What a lost task panicked with is told beside what came of it.
#[test]
fn a_panic_nobody_hears_is_told_as_the_cause() {
    let failure = Check::new().cases(1).try_run(Just(()), |(), sim| {
        sim.block_on(async {
            crate::spawn(async { panic!("it began here") });
            crate::yield_now().await;
            panic!("it ended here");
        });
    });
    let reason = failure.expect_err("both panic").reason;
    let (end, cause) = reason.split_once("before that, ").expect("there was something before");
    assert!(end.starts_with("it ended here") && cause.contains("it began here"), "{reason}");
}

/// A failure has the trace of the least value that failed, and tells who got what there.
#[test]
fn a_failure_has_its_trace() {
    let check = Check::new().seed(3);
    let failure = check.try_run(workload::any(), nobody_waits).expect_err("somebody waits");
    let trace = failure.trace.as_ref().expect("there was a run");
    let sim = Runtime::new(failure.seed);
    sim.block_on(async { failure.value.spawn().await });
    assert_eq!(*trace, sim.trace());
    assert!(failure.to_string().ends_with(&format!("\n\n{trace}")), "{failure}");
}

/// Settings reach the runtime.
#[test]
fn a_check_may_describe_its_runtime() {
    let check = Check::new().cases(1).runtime(|builder| builder.handle_cost(micros(3)));
    let passed = check.try_run(Just(()), |(), sim| {
        sim.block_on(crate::yield_now());
        assert_eq!(sim.elapsed(), micros(6));
    });
    assert!(passed.is_ok(), "{passed:?}");
}

/// What panics outside of a check is printed as ever, also after one.
#[test]
fn silence_ends_with_the_attempt() {
    let _ = Check::new().cases(1).try_run(Just(()), |(), _| panic!("not to be heard"));
    assert_eq!(SILENT.get(), 0);
}

/// Settings may differ from value to value.
#[test]
fn a_check_may_describe_the_runtime_of_each_value() {
    let seen = RefCell::new(Vec::new());
    let check = Check::new().seed(1).cases(20);
    let passed = check.try_run_with(
        1..9_u64,
        |builder, cost| builder.handle_cost(micros(*cost)),
        |cost, sim| {
            sim.block_on(crate::yield_now());
            assert_eq!(sim.elapsed(), micros(2 * cost));
            seen.borrow_mut().push(cost);
        },
    );
    assert!(passed.is_ok(), "{passed:?}");
    assert!(seen.take().windows(2).any(|pair| pair[0] != pair[1]));
}

/// A check may go on until enough has run, however many cases that takes.
#[test]
fn a_check_may_ask_for_handles() {
    let property = |(), sim: &Runtime| sim.block_on(crate::yield_now());
    let passed = Check::new().handles(1_000).try_run(Just(()), property).expect("it passes");
    assert_eq!((passed.cases, passed.handles), (500, 1_000));
    let passed = Check::new().handles(1_000).cases(3).try_run(Just(()), property);
    assert_eq!(passed.expect("it passes").cases, 3);
}
