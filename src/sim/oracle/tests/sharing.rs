use super::*;
use crate::sched::{PartitionId, Settings};
use crate::sim::trace::script::timed as quantum;
use crate::trace::{What, Why};

/// `a` and `b`, both with work; then `a` runs so many handles of 10 in a row, and `b` one.
fn gain(handles: u32) -> Script {
    let mut script = Script::new(quantum(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.wake(a, 1).wake(b, 2);
    for _ in 0..handles {
        script.run_again(a, 1, 10);
    }
    script.run_again(b, 2, 10);
    script.tell_loop(What::Stop);
    script
}

/// Two rounds of 100 and a handle of each are 220: what is less is lawful, and nothing else.
#[test]
fn p3_catches_the_first_handle_too_many() {
    assert_lag_bounded(&gain(21).trace());
    broken(
        check_lag_bounded(&gain(22).trace()),
        "P3",
        &[
            "`b` had work from 0ns (event 4) to 220ns and got 0ns (0.00 rounds)",
            "while `a` got 220ns (2.20 rounds); that is 2.200 rounds more, and less than 2.200",
            "served meanwhile: `a` 220ns in 22 handles",
        ],
    );
}

/// It is the worst window that counts, not the whole.
#[test]
fn p3_looks_at_all_windows() {
    let mut script = gain(12);
    let (a, b) = (PartitionId::from_bits(1 << 32), PartitionId::from_bits(1 << 32 | 1));
    for _ in 0..12 {
        script.run_again(b, 2, 10);
    }
    assert_lag_bounded(&script.trace());
    for _ in 0..22 {
        script.run_again(a, 1, 10);
    }
    broken(check_lag_bounded(&script.trace()), "P3", &["`b` had work from 250ns", "`a` got 220ns"]);
}

/// What one got before the other had work does not count, not even of the handle that runs.
#[test]
fn p9_begins_with_the_wake() {
    let run = |early: u64| {
        let mut script = Script::new(quantum(100));
        let (a, b) = (script.partition("a", 1), script.partition("b", 1));
        script.wake(a, 1).run_again(a, 1, 100).tell(a, 1, What::Run);
        script.pass(100 - early).wake(b, 2).pass(early).wake(a, 1).tell(a, 1, What::Ran);
        script.run_again(a, 1, 100).run_again(a, 1, 100).run_again(a, 1, 50);
        script.run(b, 2, 10).tell_loop(What::Stop);
        check_lag_bounded(&script.trace())
    };
    // 2Q + c_a + c_b are 310, of which 250 came after the handle that ran then.
    assert_eq!(run(59), Ok(()));
    broken(
        run(60),
        "P3",
        &[
            "`b` had work from 140ns (event 7) to 450ns and got 0ns",
            "while `a` got 310ns (3.10 rounds)",
            "served meanwhile: `a` 310ns in 4 handles",
        ],
    );
}

/// Who sleeps in between may not gain either, though it is not busy.
#[test]
fn p9_catches_who_gains_by_sleeping() {
    let mut script = Script::new(quantum(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.wake(b, 2);
    for _ in 0..30 {
        script.wake(a, 1).turn(a, true).run(a, 1, 20).end(a, Why::Idle);
        script.turn(b, false).run_again(b, 2, 1).end(b, Why::Preempted);
    }
    script.tell_loop(What::Stop);
    broken(
        check_lag_bounded(&script.trace()),
        "P9",
        &["`b` had work from", "while `a` got", "12 handles, `b` 11ns in 11 handles"],
    );
}

/// The weights count: three times the weight, three times the service.
#[test]
fn p3_measures_by_weight() {
    let run = |weights: [u32; 2]| {
        let mut script = Script::new(quantum(100));
        let (a, b) = (script.partition("a", weights[0]), script.partition("b", weights[1]));
        script.wake(a, 1).wake(b, 2);
        for _ in 0..20 {
            script.run_again(a, 1, 90).run_again(a, 1, 90).run_again(a, 1, 90).run_again(b, 2, 90);
        }
        script.tell_loop(What::Stop);
        check_lag_bounded(&script.trace())
    };
    assert_eq!(run([3, 1]), Ok(()));
    broken(run([1, 1]), "P3", &["`a` got"]);
    broken(run([3, 2]), "P3", &["`a` got"]);
    broken(run([6, 1]), "P3", &["`b` got"]);
}

/// Windows end where a weight changes, and where debt may have been forgiven.
#[test]
fn windows_are_cut() {
    let mut script = gain(15);
    let a = PartitionId::from_bits(1 << 32);
    script.tell(a, 0, What::Weight(2));
    for _ in 0..15 {
        script.run_again(a, 1, 10);
    }
    assert_lag_bounded(&script.trace());

    let run = |rounds: u64| {
        let mut script = Script::new(quantum(100));
        let (a, b) = (script.partition("a", 1), script.partition("b", 1));
        script.wake(a, 1).wake(b, 2);
        for _ in 0..3 {
            script.run_again(a, 1, rounds * 100);
        }
        script.run_again(b, 2, 10).tell_loop(What::Stop);
        check_lag_bounded(&script.trace())
    };
    // Of 64 rounds of debt nothing is promised; of 63 it is.
    assert_eq!(run(64), Ok(()));
    broken(run(63), "P3", &["`a` got 12.6µs (126.00 rounds)"]);
}

/// An heir may be as far ahead as its maker was, and its maker's group at the root.
#[test]
fn p9_counts_what_an_heir_inherited() {
    let run = |made: bool| {
        let mut script = Script::new(quantum(100));
        let (a, b) = (script.partition("a", 1), script.partition("b", 1));
        script.wake(a, 1).turn(a, true).tell(a, 1, What::Run);
        let heir = made.then(|| script.partition("heir", 1));
        script.pass(3_000).tell(a, 1, What::Ran).end(a, Why::Idle);
        let heir = heir.unwrap_or_else(|| script.partition("heir", 1));
        // The heir waits for thirty rounds, and b gets them.
        script.wake(heir, 3).wake(b, 2);
        for _ in 0..30 {
            script.run_again(b, 2, 100);
        }
        script.run(heir, 3, 10).tell_loop(What::Stop);
        check_lag_bounded(&script.trace())
    };
    assert_eq!(run(true), Ok(()));
    broken(run(false), "P3", &["`heir` had work", "`b` got 400ns (4.00 rounds)"]);
}

/// In a group it is the group's time that counts, and at the root the group is one.
#[test]
fn groups_are_bound_as_partitions_are() {
    let run = |order: &[usize]| {
        let mut script = Script::new(quantum(100));
        let group = script.group("tenants", 1);
        let all = [
            script.partition("a", 1),
            script.partition_in("x", 1, Some(group)),
            script.partition_in("y", 1, Some(group)),
        ];
        for (who, task) in all[..3].iter().zip(1..) {
            script.wake(*who, task);
        }
        for who in order.repeat(30) {
            script.run_again(all[who], who as u64 + 1, 50);
        }
        script.tell_loop(What::Stop);
        check_lag_bounded(&script.trace())
    };
    assert_eq!(run(&[0, 1, 0, 2]), Ok(()));
    broken(run(&[0, 1, 2]), "P3", &["`a` had work", "while the group `tenants` got"]);
    broken(run(&[0, 1]), "P3", &["`y` had work", "while `x` got"]);
}

/// `a` and `b` with these weights, run in this order over and over.
fn shares(settings: Settings, weights: [u32; 2], order: &[usize], takes: u64) -> Script {
    let mut script = Script::new(settings);
    let both = [script.partition("a", weights[0]), script.partition("b", weights[1])];
    script.wake(both[0], 1).wake(both[1], 2);
    for who in order.repeat(100) {
        script.run_again(both[who], who as u64 + 1, takes);
    }
    script.tell_loop(What::Stop);
    script
}

#[test]
fn p4_catches_who_gets_less_than_its_rate() {
    assert_share(&shares(quantum(100), [1, 1], &[0, 1], 50).trace());
    assert_share(&shares(quantum(100), [3, 1], &[0, 0, 0, 1], 50).trace());
    broken(
        check_share(&shares(quantum(100), [1, 1], &[0, 0, 0, 1], 50).trace()),
        "P4",
        &["`b` had work from", "where its share is 1/2; it is", "served meanwhile: `a`"],
    );
    // Counted in handles, too.
    let counted = Settings::from(crate::Budget::handles(2));
    assert_share(&shares(counted, [1, 1], &[0, 1], 50).trace());
    broken(
        check_share(&shares(counted, [1, 1], &[0, 0, 0, 1], 50).trace()),
        "P4",
        &["handles of", "handles that were served"],
    );
}

/// One that gets nothing at all is not among those served, and yet has its share.
#[test]
fn p4_catches_who_gets_nothing() {
    let mut script = Script::new(quantum(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 2));
    script.wake(a, 1).wake(b, 2);
    for _ in 0..100 {
        script.run_again(a, 1, 50);
    }
    script.tell_loop(What::Stop);
    broken(check_share(&script.trace()), "P4", &["`b` had work", "and got 0ns", "share is 2/3"]);
}

/// Who is idle for a part of the time is owed nothing for that part.
#[test]
fn p4_owes_nothing_to_the_idle() {
    let mut script = Script::new(quantum(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.wake(a, 1);
    for _ in 0..300 {
        script.run_again(a, 1, 50);
        script.wake(b, 2).run(b, 2, 5);
    }
    script.tell_loop(What::Stop);
    assert_share(&script.trace());
}

#[test]
fn ph_catches_a_member_without_its_part() {
    let run = |order: &[usize]| {
        let mut script = Script::new(quantum(100));
        let group = script.group("tenants", 1);
        let all = [
            script.partition("a", 1),
            script.partition_in("x", 1, Some(group)),
            script.partition_in("y", 3, Some(group)),
        ];
        for (who, task) in all[..3].iter().zip(1..) {
            script.wake(*who, task);
        }
        for who in order.repeat(150) {
            script.run_again(all[who], who as u64 + 1, 50);
        }
        script.tell_loop(What::Stop);
        script.trace()
    };
    let lawful = run(&[0, 1, 0, 2, 0, 2, 0, 2]);
    assert_hierarchy(&lawful);
    assert_share(&lawful);
    let unfair = run(&[0, 1, 0, 1, 0, 1, 0, 2]);
    assert_share(&unfair);
    broken(check_hierarchy(&unfair), "PH", &["`y` had work", "where its share is 3/4"]);
    // The group is short of its part, and so is each of its members at the root.
    let short = run(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2]);
    broken(check_share(&short), "P4", &["the group `tenants` had work", "share is 1/2"]);
    broken(check_hierarchy(&short), "PH", &["`x` had work", "share is 1/8"]);
}
