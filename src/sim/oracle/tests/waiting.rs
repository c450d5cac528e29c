use std::time::Duration;

use super::*;
use crate::Budget;
use crate::sched::{PartitionId, Settings};
use crate::trace::{What, Why};

const LANE: (u32, u64) = (0, 100);

/// A hog in its bucket turn. The slice is 25, the quantum 100.
fn hog() -> (Script, PartitionId) {
    let mut script = Script::new(timed(100));
    let hog = script.partition("hog", 1);
    script.rouse(hog, 9, LANE).turn(hog, true).run_again(hog, 9, 30);
    script.end(hog, Why::Spent).turn(hog, false);
    (script, hog)
}

#[test]
fn p5_bounds_a_wake_by_the_running_handle() {
    let run = |handles: u32| {
        let (mut script, hog) = hog();
        let a = script.partition("a", 1);
        script.tell(hog, 9, What::Run).pass(10).rouse(a, 1, LANE).pass(20).wake(hog, 9);
        script.tell(hog, 9, What::Ran);
        for _ in 1..handles {
            script.run_again(hog, 9, 30);
        }
        script.end(hog, Why::Preempted).turn(a, true).run(a, 1, 5).end(a, Why::Idle);
        check_wait_bounded(&script.trace())
    };
    assert_eq!(run(1), Ok(()));
    broken(
        run(2),
        "P5",
        &[
            "`a` had work at 40ns (event 12) and was served at 90ns (event 19), 50ns later",
            "after 50ns of service, where 30ns are allowed: 30ns for what ran then, and 0ns for 0",
            "served meanwhile: `hog` 50ns in 2 handles",
        ],
    );
}

/// Each that is ahead in the lane may take what is left of its allotment, a slice at most, and
/// overrun it by a handle.
#[test]
fn p5_counts_who_is_ahead_in_the_lane() {
    let run = |left: u64, takes: [u64; 2]| {
        let (mut script, hog) = hog();
        let ahead = [script.partition("x", 1), script.partition("y", 1)];
        let a = script.partition("a", 1);
        script.rouse(ahead[0], 1, (0, left)).rouse(ahead[1], 2, LANE).rouse(a, 3, LANE);
        script.end(hog, Why::Preempted);
        for (who, takes) in ahead.iter().zip(takes) {
            let task = who.index() as u64;
            script.turn(*who, true);
            for _ in 0..takes / 10 {
                script.run_again(*who, task, 10);
            }
            script.end(*who, Why::Spent);
        }
        script.turn(a, true).run(a, 3, 1).end(a, Why::Idle).tell_loop(What::Stop);
        check_wait_bounded(&script.trace())
    };
    // min(5, 25) + 10 and 25 + 10.
    assert_eq!(run(5, [10, 30]), Ok(()));
    assert_eq!(run(100, [30, 30]), Ok(()));
    broken(
        run(5, [20, 30]),
        "P5",
        &["`y` had work", "after 20ns of service, where 15ns are allowed", "15ns for 1 ahead"],
    );
    broken(
        run(5, [10, 50]),
        "P5",
        &["`a` had work", "after 60ns of service, where 50ns are allowed", "50ns for 2 ahead"],
    );
}

/// An express turn under way is one that is ahead; if its partition was alone it may take a slice,
/// whatever was left of its allotment.
#[test]
fn p5_counts_an_express_turn_under_way() {
    let run = |alone: bool, handles: u32| {
        let mut script = Script::new(timed(100));
        let (x, other) = (script.partition("x", 1), script.partition("other", 1));
        let a = script.partition("a", 1);
        if !alone {
            script.rouse(other, 8, (1, 100));
        }
        script.rouse(x, 1, (0, 1)).turn(x, true).tell(x, 1, What::Run);
        script.rouse(a, 2, LANE).pass(10).wake(x, 1).tell(x, 1, What::Ran);
        for _ in 1..handles {
            script.run_again(x, 1, 10);
        }
        script.end(x, Why::Spent).turn(a, true).run(a, 2, 1).tell_loop(What::Stop);
        check_wait_bounded(&script.trace())
    };
    assert_eq!(run(false, 1), Ok(()));
    broken(run(false, 2), "P5", &["`a` had work", "20ns of service, where 11ns are allowed"]);
    assert_eq!(run(true, 3), Ok(()));
    broken(run(true, 4), "P5", &["`a` had work", "40ns of service, where 35ns are allowed"]);
}

/// The members of a group wait in the time of the group; and it at the root, if it was idle.
#[test]
fn p5_holds_at_each_level() {
    let run = |first: u64, meanwhile: u64| {
        let mut script = Script::new(timed(100));
        let group = script.group("tenants", 1);
        let (hog, rival) = (script.partition("hog", 1), script.partition("rival", 1));
        let [x, y] = ["x", "y"].map(|name| script.partition_in(name, 1, Some(group)));
        script.rouse(hog, 9, (1, 100)).rouse(rival, 8, (1, 100)).turn(hog, false);
        let stands = What::GroupStands { ahead: 0, left: 100 };
        script.rouse(x, 1, LANE).tell(x, 0, stands).rouse(y, 2, LANE).tell(y, 0, stands);
        if first > 0 {
            script.run_again(hog, 9, first);
        }
        script.end(hog, Why::Preempted).turn(x, true).run(x, 1, 40).end(x, Why::Idle);
        script.turn(hog, false).run_again(hog, 9, meanwhile).end(hog, Why::Spent);
        script.turn(y, true).run(y, 2, 5).end(y, Why::Idle).tell_loop(What::Stop);
        check_wait_bounded(&script.trace())
    };
    // What others get meanwhile is not the group's time.
    assert_eq!(run(0, 5_000), Ok(()));
    broken(run(30, 10), "P5", &["the group `tenants` had work", "30ns of service, where 0ns"]);
}

/// With no allotment left it takes a round of all that exist.
#[test]
fn p6_bounds_a_wake_in_debt_by_rounds() {
    let run = |ahead: u32, handles: u32, created: u32| {
        let mut script = Script::new(timed(100).with_newborns(1));
        let (a, b) = (script.partition("a", 1), script.partition("b", 2));
        script.rouse(b, 2, LANE).turn(b, true).rouse(a, 1, (ahead, 50));
        for _ in 0..created {
            script.partition("new", 1);
        }
        for _ in 0..handles {
            script.run_again(b, 2, 50);
        }
        script.end(b, Why::Spent).turn(a, false).run(a, 1, 10).tell_loop(What::Stop);
        check_wait_bounded(&script.trace())
    };
    // Two rounds of 200, and a handle of 50.
    assert_eq!(run(1, 9, 0), Ok(()));
    broken(
        run(1, 10, 0),
        "P6",
        &[
            "`a` had work at 0ns (event 6) and was served at 500ns",
            "after 500ns of service, where 450ns are allowed",
            "450ns for 2 rounds of all that existed, the rest for 0 created since",
            "served meanwhile: `b` 500ns in 10 handles",
        ],
    );
    // Each that was created since may take two rounds, but only two of them do: one a round.
    assert_eq!(run(1, 13, 1), Ok(()));
    broken(run(1, 14, 1), "P6", &["where 650ns", "for 1 created since"]);
    assert_eq!(run(1, 17, 9), Ok(()));
    broken(run(1, 18, 9), "P6", &["where 850ns", "for 9 created since"]);
    // Of three rounds nothing is promised if somebody is created, and if nobody is, it is.
    broken(run(2, 14, 0), "P6", &["where 650ns are allowed"]);
    assert_eq!(run(2, 99, 1), Ok(()));
}

/// Who never had to be roused may starve as well, and who waits at the end may have waited too
/// long.
#[test]
fn p6_holds_between_turns_and_at_the_end() {
    let run = |handles: u32, served: bool| {
        let mut script = Script::new(timed(100));
        let (a, b) = (script.partition("a", 1), script.partition("b", 1));
        script.rouse(a, 1, LANE).rouse(b, 2, LANE).turn(a, true).run_again(a, 1, 100);
        script.end(a, Why::Spent).turn(b, true);
        for _ in 0..handles {
            script.run_again(b, 2, 50);
        }
        if served {
            script.end(b, Why::Spent).turn(a, false).run(a, 1, 10);
        }
        script.tell_loop(What::Stop);
        check_no_starvation(&script.trace())
    };
    // A handle of 100 owes a round at most: two rounds of 100, and 50.
    assert_eq!(run(5, true), Ok(()));
    assert_eq!(run(5, false), Ok(()));
    broken(run(6, true), "P6", &["`a` had work at 100ns (event 10) and was served at 400ns"]);
    broken(
        run(6, false),
        "P6",
        &["`a` had work at 100ns (event 10) and still waits at 400ns", "`b` 300ns in 6 handles"],
    );
}

/// Costs are counted in handles where the budget counts them, however long they take.
#[test]
fn waits_are_measured_as_the_budget_does() {
    let run = |handles: u32| {
        let mut script = Script::new(Settings::from(Budget::handles(4)).with_express_slice(2));
        let (a, x) = (script.partition("a", 1), script.partition("x", 1));
        script.rouse(x, 2, (0, 4)).rouse(a, 1, (0, 4)).turn(x, true);
        for n in 0..handles {
            script.run_again(x, 2, 1_000 * u64::from(n));
        }
        script.end(x, Why::Spent).turn(a, true).run(a, 1, 10).tell_loop(What::Stop);
        check_wait_bounded(&script.trace())
    };
    assert_eq!(run(3), Ok(()));
    broken(run(4), "P5", &["after 4 handles of service, where 3 handles are allowed"]);
}

/// A light handle costs its part of the quantum, even if it takes no time.
#[test]
fn light_handles_have_their_price() {
    let run = |handles: u32| {
        let settings = Settings::from(Budget::new(4, Duration::from_nanos(100)));
        let mut script = Script::new(settings);
        let (a, x) = (script.partition("a", 1), script.partition("x", 1));
        script.rouse(x, 2, LANE).rouse(a, 1, LANE).turn(x, true);
        for _ in 0..handles {
            script.run_again(x, 2, 0);
        }
        script.end(x, Why::Spent).turn(a, true).run(a, 1, 10).tell_loop(What::Stop);
        check_wait_bounded(&script.trace())
    };
    assert_eq!(run(2), Ok(()));
    broken(run(3), "P5", &["0ns later, after 75ns of service, where 50ns are allowed"]);
}

#[test]
fn answers_are_measured_from_wake_to_end() {
    let mut script = Script::new(timed(100));
    let (a, hog) = (script.partition("a", 1), script.partition("hog", 1));
    script.wake(a, 1).wake(hog, 2).run(hog, 2, 70).run(a, 1, 10);
    let (trace, ns) = (script.trace(), Duration::from_nanos);
    assert_answers_within(&trace, "a", ns(80));
    broken(
        check_answers_within(&trace, "a", ns(79)),
        "answers",
        &[
            "a handle of `a`, woken at 0ns (event 2), waited 70ns and ran 10ns, to 80ns (event 7)",
            "80ns in all, where 79ns is allowed; served meanwhile: `hog` 70ns in 1 handle",
        ],
    );
    // One that has not been answered at the end of the trace is as late as that.
    script.wake(a, 1).wake(hog, 2).run(hog, 2, 100);
    broken(
        check_answers_within(&script.trace(), "a", ns(99)),
        "answers",
        &["a handle of `a`, woken at 80ns (event 8), has not run by 180ns (event 11), 100ns later"],
    );
    assert_answers_within(&script.trace(), "a", ns(100));
}

#[test]
#[should_panic(expected = "no partition is called `b`; there are `a`")]
fn answers_of_nobody_are_refused() {
    let mut script = Script::new(timed(100));
    script.partition("a", 1);
    assert_answers_within(&script.trace(), "b", Duration::ZERO);
}
