use std::time::Duration;

use super::*;
use crate::Budget;
use crate::sched::Settings;
use crate::trace::{MAIN_TASK, What, Why};

#[test]
fn p0_catches_a_handle_that_overtakes() {
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    // Between partitions there is no order.
    script.wake(b, 9).wake(a, 1).wake(a, 2).run(a, 1, 5).run(b, 9, 5).run(a, 2, 5);
    assert_fifo_within(&script.trace());
    script.wake(a, 1).wake(a, 2).wake(b, 9).run(b, 9, 3).run(a, 2, 7).run(a, 1, 7);
    broken(
        check_fifo_within(&script.trace()),
        "P0",
        &[
            "in `a` task 2 ran at 18ns (event 16), before task 1, which has waited 3ns, since 15ns \
             (event 11)",
            "served meanwhile: `b` 3ns in 1 handle",
        ],
    );
}

/// A trace in which `a` is queued and runs, and may be broken thereafter.
fn queued() -> (Script, crate::sched::PartitionId) {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    script.tell_loop(What::Start).wake(a, 1).run(a, 1, 5).wake(a, 1);
    (script, a)
}

#[test]
fn conservation_catches_what_runs_unwoken() {
    let (mut script, a) = queued();
    script.run(a, 1, 5);
    assert_conserved(&script.trace());
    script.run(a, 1, 5);
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["`a`, task 0 ran a handle that nobody had queued there, at 10ns (event 8)"],
    );

    // Nor may it run in another partition than it was queued in.
    let (mut script, _) = queued();
    let b = script.partition("b", 1);
    script.run(b, 1, 5);
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["`b`, task 0 ran a handle that nobody"],
    );
}

#[test]
fn conservation_catches_what_is_queued_twice() {
    let (mut script, a) = queued();
    script.wake(a, 1);
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["`a`, task 0 queued a task that was queued since 5ns (event 5)"],
    );
}

#[test]
fn conservation_catches_what_is_lost() {
    let (mut script, a) = queued();
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["`a`, task 0 queued a handle that has not run by the end at 5ns, one of 1 such"],
    );
    // A run that was stopped leaves something, as does one that is under way.
    script.tell_loop(What::Stop);
    assert_conserved(&script.trace());
    let (mut script, a2) = queued();
    script.wake(a2, 2).tell(a2, 1, What::Run);
    assert_conserved(&script.trace());
    // But not a partition that is freed.
    let (mut script, _) = queued();
    script.tell(a, 0, What::Freed);
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["`a` was freed with 1 handles queued"],
    );
}

#[test]
fn conservation_catches_handles_within_handles() {
    let (mut script, a) = queued();
    script.wake(a, 2).tell(a, 1, What::Run).tell(a, 2, What::Run);
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["task 1 ran within a handle that runs"],
    );
    let (mut script, a) = queued();
    script.tell(a, 1, What::Run).tell(a, 2, What::Ran);
    broken(check_conserved(&script.trace()), "conservation", &["ended a handle that did not run"]);
}

/// Of the future of `block_on` a poll may be left over from an earlier call.
#[test]
fn the_main_future_may_be_queued_twice() {
    let (mut script, a) = queued();
    script.run(a, 1, 1).wake(a, MAIN_TASK).wake(a, MAIN_TASK);
    script.run(a, MAIN_TASK, 1).run(a, MAIN_TASK, 1);
    assert_conserved(&script.trace());
    script.run(a, MAIN_TASK, 1);
    broken(
        check_conserved(&script.trace()),
        "conservation",
        &["`a`, main ran a handle that nobody"],
    );
}

#[test]
fn p7_catches_a_thread_that_rests() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    let sleep = What::Sleep { until: Some(Duration::from_nanos(50)) };
    // It may sleep when all is idle, and a turn may take time between handles.
    script.pass(9).tell_loop(sleep).pass(41).wake(a, 1).turn(a, true);
    script.tell(a, 0, What::Deliver { wakes: 0 }).pass(3).run(a, 1, 5).end(a, Why::Idle);
    script.tell_loop(sleep).pass(10).wake(a, 1);
    assert_work_conserving(&script.trace());
    script.pass(7).turn(a, true).run(a, 1, 5);
    broken(
        check_work_conserving(&script.trace()),
        "P7",
        &["nothing ran from 68ns to 75ns (event 10), while `a` had work since 68ns"],
    );
}

#[test]
fn p7_catches_a_thread_that_sleeps() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    script.wake(a, 1).tell_loop(What::Sleep { until: None });
    broken(
        check_work_conserving(&script.trace()),
        "P7",
        &["the loop went to sleep at 0ns (event 2), while `a` had work since 0ns"],
    );
}

/// Two partitions with turns of as many handles of this length as these, one after the other.
fn turns(settings: Settings, takes: u64, turns: &[(usize, u32)]) -> Script {
    let mut script = Script::new(settings);
    let both = [script.partition("a", 1), script.partition("b", 2)];
    script.wake(both[0], 1).wake(both[1], 2);
    for (who, handles) in turns {
        for _ in 0..*handles {
            script.run_again(both[*who], 1 + *who as u64, takes);
        }
    }
    script.tell_loop(What::Stop);
    script
}

#[test]
fn p2_catches_turns_of_another_length() {
    let settings = Settings::from(Budget::handles(3));
    let mut rounds = [(0, 3), (1, 6)].repeat(8);
    assert_turns_equal(&turns(settings, 5, &rounds).trace());
    // With a time as well, as long as handles are light.
    let both = Settings::from(Budget::new(3, Duration::from_nanos(30)));
    assert_turns_equal(&turns(both, 10, &rounds).trace());
    rounds[12].1 = 4;
    broken(
        check_turns_equal(&turns(settings, 5, &rounds).trace()),
        "P2",
        &["`a` ran 4 light handles in a row from", "where a turn is 3; served meanwhile: `a`"],
    );
    broken(
        check_turns_equal(&turns(both, 10, &rounds).trace()),
        "P2",
        &["`a` ran 4 light handles"],
    );
    // Of heavy handles nothing is known.
    assert_turns_equal(&turns(both, 11, &rounds).trace());
}

#[test]
fn p2_catches_turns_out_of_order() {
    let mut script = Script::new(Settings::from(Budget::handles(1)));
    let all = ["a", "b", "c"].map(|name| script.partition(name, 1));
    for (id, task) in all.iter().zip(1..) {
        script.wake(*id, task);
    }
    let mut order = [0, 1, 2].repeat(6);
    for who in &order {
        script.run_again(all[*who], *who as u64 + 1, 10);
    }
    assert_turns_equal(&script.trace());
    order = vec![0, 2, 1, 0, 1, 2];
    for who in &order {
        script.run_again(all[*who], *who as u64 + 1, 10);
    }
    broken(
        check_turns_equal(&script.trace()),
        "P2",
        &["`c` had a turn at 190ns", "where it was the turn of `b`, as a round before, at 160ns"],
    );
}
