use std::time::Duration;

use super::*;
use crate::Budget;
use crate::sched::{PartitionId, Settings};
use crate::trace::{What, Why};

/// The script harvests every 100 ns.
fn script(settings: Settings) -> (Script, PartitionId, PartitionId) {
    let mut script = Script::new(settings);
    script.recorder().set_harvest_period(100);
    let (a, hog) = (script.partition("a", 1), script.partition("hog", 1));
    script.wake(hog, 9).turn(hog, false);
    (script, a, hog)
}

fn ready(since: u64) -> What {
    What::Ready { since: Duration::from_nanos(since) }
}

#[test]
fn p10_catches_readiness_that_is_noticed_late() {
    // 100 between two harvests, and a handle of 70.
    let (mut script, a, hog) = script(timed(100));
    script.run_again(hog, 9, 90).run_again(hog, 9, 20).run_again(hog, 9, 70);
    script.tell(a, 0, ready(10));
    assert_delivered_within(&script.trace());
    script.tell(a, 0, ready(9));
    broken(
        check_delivered_within(&script.trace()),
        "P10",
        &[
            "of `a`, idle then, was ready at 9ns and noticed at 180ns (event 14), 171ns later",
            "where 170ns are allowed: 100ns between two harvests and 70ns for what ran",
            "served meanwhile: `hog` 171ns in 3 handles",
        ],
    );
}

/// Where handles are not timed, it may take 64 of them.
#[test]
fn p10_allows_for_handles_that_are_not_timed() {
    let run = |since: u64| {
        let (mut script, a, hog) = script(Settings::from(Budget::handles(4)));
        for _ in 0..70 {
            script.run_again(hog, 9, 50);
        }
        script.tell(a, 0, ready(since));
        check_delivered_within(&script.trace())
    };
    assert_eq!(run(3_500 - 3_300), Ok(()));
    broken(run(3_500 - 3_301), "P10", &["3.301µs later, where 3.3µs are allowed"]);
}

/// A delivery that takes time, as when a waker computes, counts as a handle of its partition.
#[test]
fn deliveries_count_as_handles() {
    let run = |since: u64| {
        let (mut script, a, hog) = script(timed(100));
        script.run_again(hog, 9, 90).tell(hog, 0, What::Deliver { wakes: 1 }).pass(60);
        script.wake(hog, 8).pass(20).run_again(hog, 9, 10).tell(a, 0, ready(since));
        script.trace()
    };
    assert_eq!(run(0).service("hog", ..), Duration::from_nanos(180));
    assert_eq!(run(0).handles("hog", ..), 2);
    // 100 between two harvests, 80 to deliver, and a handle of 10.
    let wake = |since| check_delivered_within(&run(since));
    assert_eq!((wake(0), wake(5)), (Ok(()), Ok(())));
    let (mut script, a, hog) = script(timed(100));
    script.pass(1).run_again(hog, 9, 90).tell(hog, 0, What::Deliver { wakes: 0 }).pass(80);
    script.run_again(hog, 9, 90).run_again(hog, 9, 20).tell(a, 0, ready(100));
    broken(
        check_delivered_within(&script.trace()),
        "P10",
        &["181ns later, where 120ns are allowed"],
    );
}

/// It is of partitions that are idle; what was so before is none of it.
#[test]
fn p10_is_about_the_idle() {
    let (mut script, a, hog) = script(timed(100));
    script.wake(a, 1).run_again(hog, 9, 900).tell(a, 0, ready(0));
    assert_delivered_within(&script.trace());
    script.end(hog, Why::Spent).turn(a, true).run(a, 1, 5).end(a, Why::Idle);
    script.turn(hog, false).run_again(hog, 9, 50).tell(a, 0, ready(0));
    assert_delivered_within(&script.trace());
}

#[test]
fn p11_catches_readiness_that_is_delivered_late() {
    // What was delivered is no concern any more.
    let (mut lawful, a, hog) = script(timed(100));
    lawful.end(hog, Why::Spent).turn(a, true).wake(a, 1).tell(a, 0, ready(0));
    lawful.run_again(a, 1, 10).tell(a, 0, What::Deliver { wakes: 0 });
    for _ in 0..9 {
        lawful.run_again(a, 1, 10);
    }
    assert_delivered_within(&lawful.trace());

    let (mut script, a, hog) = script(timed(100));
    script.end(hog, Why::Spent).turn(a, true).wake(a, 1).wake(a, 2).tell(a, 0, ready(0));
    script.run_again(a, 1, 10).run_again(a, 2, 10);
    assert_delivered_within(&script.trace());
    script.tell(a, 0, ready(15)).run_again(a, 1, 10);
    broken(
        check_delivered_within(&script.trace()),
        "P11",
        &[
            "of `a` was noticed at 0ns (event 8) with 2 handles queued",
            "is not delivered when handle 3 runs, at 20ns (event 16), 20ns later",
            "served meanwhile: `a` 20ns in 2 handles",
        ],
    );
}
