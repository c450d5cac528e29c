use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Budget;

fn recorder(limit: usize) -> Recorder {
    Recorder::new(Settings::from(Budget::handles(1)), limit)
}

fn partition(slot: u32, generation: u32) -> PartitionId {
    PartitionId::from_bits(u64::from(generation) << 32 | u64::from(slot))
}

fn any_what() -> impl Strategy<Value = What> {
    let time = (0..1u64 << 55).prop_map(Duration::from_nanos);
    let place = || (0..65_536u32, 0..1u64 << 40);
    prop_oneof![
        (any::<u32>(), prop::option::of(0..1u32 << 23))
            .prop_map(|(weight, group)| What::Created { weight, group }),
        any::<u32>().prop_map(What::Weight),
        Just(What::Freed),
        (0..1u32 << 23, any::<u32>())
            .prop_map(|(group, weight)| What::GroupCreated { group, weight }),
        (0..1u32 << 23, any::<u32>())
            .prop_map(|(group, weight)| What::GroupWeight { group, weight }),
        Just(What::Wake),
        any::<bool>().prop_map(|idle| What::Withdrawn { idle }),
        place().prop_map(|(ahead, left)| What::Roused { ahead, left }),
        place().prop_map(|(ahead, left)| What::GroupStands { ahead, left }),
        time.clone().prop_map(|since| What::Ready { since }),
        any::<(bool, bool)>().prop_map(|(express, fresh)| What::Turn { express, fresh }),
        prop::sample::select(vec![Why::Idle, Why::Spent, Why::Preempted, Why::Removed])
            .prop_map(What::TurnEnd),
        prop::sample::select(vec![What::Run, What::Ran, What::Done, What::Start, What::Stop]),
        any::<u32>().prop_map(|wakes| What::Deliver { wakes }),
        any::<u32>().prop_map(|events| What::Harvest { events }),
        prop::option::of(time).prop_map(|until| What::Sleep { until }),
        (0..1u64 << 56).prop_map(What::Round),
    ]
}

proptest! {
    /// What is written down is read back.
    #[test]
    fn events_are_read_back(what in any_what(), at in any::<u64>(), slot in 0..100u32) {
        let mut recorder = recorder(10);
        recorder.record(at, partition(slot, 3), 7, what);
        let event = recorder.so_far().events[0];
        prop_assert_eq!((event.at, event.what()), (at, what));
        prop_assert_eq!((event.partition, event.task), (0, 0));
    }

    /// The hash tells any two events apart, and any two orders.
    #[test]
    fn hashes_tell_events_and_their_order(
        (a, b) in (any_what(), any_what()), (t, u) in (0..5u64, 0..5u64), (p, q) in (0..3u32, 0..3u32)
    ) {
        prop_assume!((a, t, p) != (b, u, q));
        let hash = |events: &[(u64, u32, What)]| {
            let mut recorder = recorder(10);
            // All are known, so that numbers do not depend on who comes first.
            (0..3).for_each(|slot| recorder.record(0, partition(slot, 1), 0, What::Wake));
            for (at, slot, what) in events {
                recorder.record(*at, partition(*slot, 1), 0, *what);
            }
            recorder.hash()
        };
        let (a, b) = ((t, p, a), (u, q, b));
        prop_assert_ne!(hash(&[a]), hash(&[b]));
        prop_assert_ne!(hash(&[a, b]), hash(&[b, a]));
        prop_assert_eq!(hash(&[a, b]), hash(&[a, b]));
    }
}

/// What is too large to be written down is the largest that is not.
#[test]
fn what_does_not_fit_is_cut() {
    let mut recorder = recorder(10);
    let huge = What::Roused { ahead: u32::MAX, left: u64::MAX };
    recorder.record(0, partition(0, 1), 0, huge);
    let kept = What::Roused { ahead: 65_535, left: (1 << 40) - 1 };
    assert_eq!(recorder.so_far().events[0].what(), kept);
}

/// An event is 24 bytes.
#[test]
fn events_are_small() {
    assert_eq!(size_of::<Packed>(), 24);
}

/// Past the limit nothing is kept, but all is counted and hashed; and it is said.
#[test]
fn past_the_limit_events_are_only_counted() {
    let (mut short, mut long) = (recorder(3), recorder(100));
    for n in 0..3 {
        short.record(n, partition(0, 1), n, What::Wake);
        long.record(n, partition(0, 1), n, What::Wake);
    }
    assert!(!short.so_far().is_cut());
    for n in 3..20 {
        // New names, too, are numbered as without a limit.
        short.record(n, partition(n as u32, 1), n, What::Wake);
        long.record(n, partition(n as u32, 1), n, What::Wake);
    }
    assert!(short.so_far().is_cut() && !long.so_far().is_cut());
    assert_eq!(short.so_far().events, long.so_far().events[..3]);
    assert_eq!(short.so_far().counted, 20);
    assert_eq!(short.hash(), long.hash());
}

/// A slot that is used again is another partition; one that comes back is the same.
#[test]
fn a_slot_used_again_is_another_number() {
    let mut recorder = recorder(100);
    let ids = [(5, 1), (5, 2), (9, 1), (5, 2), (9, 1)];
    for (slot, generation) in ids {
        recorder.record(0, partition(slot, generation), 0, What::Wake);
    }
    let numbers: Vec<u32> = recorder.so_far().events.iter().map(|event| event.partition).collect();
    assert_eq!(numbers, [0, 1, 2, 1, 2]);
    assert_eq!(recorder.so_far().partitions.len(), 3);
}

/// Ids that are not made of slots have numbers as well, and no table is made for them.
#[test]
fn wild_ids_are_numbered() {
    let mut recorder = recorder(100);
    // The third would share a slot with the first.
    let tasks = [1, u64::MAX - 7, 1 << 63 | 1];
    for task in tasks.into_iter().chain(tasks).chain([4_000_000_000, MAIN_TASK, NO_TASK]) {
        recorder.record(0, partition(0, 1), task, What::Wake);
    }
    let numbers: Vec<u32> = recorder.so_far().events.iter().map(|event| event.task).collect();
    assert_eq!(numbers, [0, 1, 2, 0, 1, 2, 3, MAIN, NOBODY]);
}

/// Names, groups and places of spawning are kept beside the events.
#[test]
fn descriptions_are_kept() {
    let mut recorder = recorder(100);
    let group = GroupId::from_bits(1 << 32 | 3);
    recorder.describe_group(1, group, "tenants", Weight::of(2));
    recorder.describe(2, partition(1, 1), "a", Weight::of(3), Some(group));
    recorder.describe_task(9, Some("reader"), Location::caller());
    let record = recorder.so_far();
    assert_eq!(&*record.partitions[0].name, "a");
    assert_eq!((record.partitions[0].group, record.partitions[0].weight), (Some(0), 3));
    assert_eq!((&*record.groups[0].name, record.groups[0].weight), ("tenants", 2));
    assert_eq!(record.tasks[0].name.as_deref(), Some("reader"));
    assert!(record.tasks[0].location.is_some_and(|at| at.file().ends_with("tests.rs")));
    let whats: Vec<What> = record.events.iter().map(|event| event.what()).collect();
    let created = What::Created { weight: 3, group: Some(0) };
    assert_eq!(whats, [What::GroupCreated { group: 0, weight: 2 }, created]);
}
