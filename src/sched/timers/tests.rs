use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn partition(index: u32, generation: u32) -> PartitionId {
    PartitionId { index, generation }
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

#[test]
fn equal_deadlines_fire_in_the_order_they_were_set() {
    let mut timers = Timers::new();
    let owner = partition(0, 1);
    for payload in 0..100 {
        timers.insert(owner, at(7), payload);
    }
    let mut fired = Vec::new();
    timers.take_due(owner, at(7), usize::MAX, &mut fired);
    assert!(fired.into_iter().eq(0..100));
}

#[test]
fn a_reset_timer_queues_behind_its_equals() {
    let mut timers = Timers::new();
    let owner = partition(0, 1);
    let first = timers.insert(owner, at(7), "first");
    timers.insert(owner, at(7), "second");
    assert!(timers.reset(first, at(7)));
    let mut fired = Vec::new();
    timers.take_due(owner, at(7), usize::MAX, &mut fired);
    assert_eq!(fired, ["second", "first"]);
    assert!(!timers.reset(first, at(9)));
}

#[test]
fn a_stale_owner_does_not_leak_into_its_slots_successor() {
    let mut timers = Timers::new();
    let (old, new) = (partition(3, 1), partition(3, 2));
    let left = timers.insert(old, at(5), "old");
    assert_eq!(timers.count(new), 0);
    timers.insert(new, at(9), "new");
    let mut due = Vec::new();
    timers.mark_due(at(5), |owner, _| due.push(owner));
    assert_eq!(due, [old]);
    assert!(timers.is_due(old) && !timers.is_due(new));
    let mut fired = Vec::new();
    assert!(!timers.take_due(new, at(5), 9, &mut fired));
    assert!(fired.is_empty());
    assert_eq!(timers.remove(left), Some("old"));
    assert_eq!((timers.count(old), timers.count(new)), (0, 1));
}

#[test]
fn a_due_partition_is_named_once_until_its_timers_are_taken() {
    let mut timers = Timers::new();
    let owner = partition(0, 1);
    for _ in 0..3 {
        timers.insert(owner, at(1), ());
    }
    let mut named = 0;
    timers.mark_due(at(1), |_, _| named += 1);
    timers.mark_due(at(2), |_, _| named += 1);
    assert_eq!((named, timers.earliest()), (1, None));

    let mut fired = Vec::new();
    assert!(timers.take_due(owner, at(2), 2, &mut fired), "one more is due");
    assert!(timers.is_due(owner));
    assert!(!timers.take_due(owner, at(2), 2, &mut fired));
    assert_eq!(fired.len(), 3);
    assert!(timers.is_empty() && !timers.is_due(owner));
}

/// A timer that is taken back before anybody asked for the earliest was never sorted, and leaves no
/// trace but a bound that is too early, once.
#[test]
fn what_is_taken_back_soon_is_not_sorted() {
    let mut timers = Timers::new();
    let owner = partition(0, 1);
    let far = timers.insert(owner, at(1_000), ());
    for _ in 0..1_000 {
        let near = timers.insert(owner, at(10), ());
        assert_eq!(timers.owners[0].timers.tail(), 2, "the far one and this one");
        assert!(timers.remove(near).is_some());
    }
    assert_eq!(timers.bound(), Some(at(10)));
    timers.mark_due(at(20), |_, _| panic!("nothing is due"));
    assert_eq!((timers.bound(), timers.earliest()), (Some(at(1_000)), Some(at(1_000))));
    assert_eq!(timers.owners[0].timers.tail(), 0);
    assert!(timers.remove(far).is_some() && timers.is_empty());
}

/// Whoever sets timers sorts them, all but the last few, so that a harvest never has many to sort.
#[test]
fn few_timers_are_left_for_others_to_sort() {
    let mut timers = Timers::new();
    for deadline in 0..10_000 {
        timers.insert(partition(0, 1), at(deadline), ());
        assert!(timers.owners[0].timers.tail() <= UNSORTED_MAX);
    }
}

/// Partitions that had timers and are gone leave nothing, but for the last one.
#[test]
fn one_owner_without_timers_is_kept() {
    let mut timers = Timers::new();
    for generation in 1..100 {
        for index in 0..100 {
            let id = timers.insert(partition(index, generation), at(5), ());
            assert!(timers.remove(id).is_some());
            assert!(timers.is_empty() && timers.owners.len() <= 1);
        }
    }
    assert_eq!(timers.earliest(), None);
}

#[derive(Clone, Debug)]
enum Op {
    Insert {
        owner: u32,
        deadline: u64,
    },
    Remove {
        pick: usize,
    },
    Reset {
        pick: usize,
        deadline: u64,
    },
    Give {
        pick: usize,
        owner: u32,
    },
    MarkDue {
        elapsed: u64,
    },
    Take {
        owner: u32,
        max: usize,
    },
    /// Sets many, more than may wait unsorted.
    Flood {
        owner: u32,
        deadlines: Vec<u64>,
    },
    /// Asks for the earliest deadline, which so is not known exactly all the time.
    Ask,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4u32, 0..60u64).prop_map(|(owner, deadline)| Op::Insert { owner, deadline }),
        2 => any::<usize>().prop_map(|pick| Op::Remove { pick }),
        2 => (any::<usize>(), 0..60u64).prop_map(|(pick, deadline)| Op::Reset { pick, deadline }),
        2 => (any::<usize>(), 0..4u32).prop_map(|(pick, owner)| Op::Give { pick, owner }),
        2 => (0..9u64).prop_map(|elapsed| Op::MarkDue { elapsed }),
        4 => (0..4u32, 0..5usize).prop_map(|(owner, max)| Op::Take { owner, max }),
        1 => (0..4u32, prop::collection::vec(0..60u64, 60..140))
            .prop_map(|(owner, deadlines)| Op::Flood { owner, deadlines }),
        2 => Just(Op::Ask),
    ]
}

/// What `Timers` is to be, without any heap.
#[derive(Default)]
struct Model {
    /// Deadline and sequence → the timer, its owner and its payload, which is the sequence it
    /// was inserted with.
    timers: BTreeMap<(u64, u64), (TimerId, u32, u64)>,
    due: [bool; 4],
    sequence: u64,
}

impl Model {
    fn key(&mut self, deadline: u64) -> (u64, u64) {
        self.sequence += 1;
        (deadline, self.sequence)
    }

    fn pick(&self, pick: usize) -> Option<(u64, u64)> {
        self.timers.keys().nth(pick % self.timers.len().max(1)).copied()
    }

    fn of(&self, owner: u32) -> impl Iterator<Item = (u64, u64)> {
        self.timers.iter().filter(move |(_, timer)| timer.1 == owner).map(|(key, _)| *key)
    }

    /// A partition without timers is not kept, nor is its mark.
    fn forget(&mut self) {
        for owner in 0..4 {
            if self.of(owner).next().is_none() {
                self.due[owner as usize] = false;
            }
        }
    }

    fn earliest(&self) -> Option<u64> {
        let waiting = |timer: &(TimerId, u32, u64)| !self.due[timer.1 as usize];
        self.timers.iter().find(|(_, timer)| waiting(timer)).map(|(key, _)| key.0)
    }
}

proptest! {
    #[test]
    fn timers_are_a_sorted_map_by_partition(ops in prop::collection::vec(op(), 0..300)) {
        let mut timers = Timers::new();
        let mut model = Model::default();
        let mut now = 0;
        let mut gone = Vec::new();
        for op in ops {
            match op {
                Op::Insert { owner, deadline } => {
                    let key = model.key(now + deadline);
                    let id = timers.insert(partition(owner, 1), at(key.0), key.1);
                    model.timers.insert(key, (id, owner, key.1));
                }
                Op::Remove { pick } => if let Some(key) = model.pick(pick) {
                    let (id, _, payload) = model.timers.remove(&key).expect("picked");
                    prop_assert_eq!(timers.remove(id), Some(payload));
                    gone.push(id);
                },
                Op::Reset { pick, deadline } => if let Some(key) = model.pick(pick) {
                    let timer = model.timers.remove(&key).expect("picked");
                    let key = model.key(now + deadline);
                    prop_assert!(timers.reset(timer.0, at(key.0)));
                    model.timers.insert(key, timer);
                },
                Op::Give { pick, owner } => if let Some(key) = model.pick(pick) {
                    let timer = model.timers.get_mut(&key).expect("picked");
                    timer.1 = owner;
                    prop_assert!(timers.set_owner(timer.0, partition(owner, 1)));
                },
                Op::MarkDue { elapsed } => {
                    now += elapsed;
                    let mut named = Vec::new();
                    timers.mark_due(at(now), |owner, _| named.push(owner.index));
                    let mut expected = Vec::new();
                    for (key, timer) in &model.timers {
                        let due = &mut model.due[timer.1 as usize];
                        if key.0 <= now && !*due {
                            *due = true;
                            expected.push(timer.1);
                        }
                    }
                    prop_assert_eq!(named, expected);
                }
                Op::Take { owner, max } => {
                    let due = model.of(owner).filter(|key| key.0 <= now).collect::<Vec<_>>();
                    let mut fired = Vec::new();
                    let more = timers.take_due(partition(owner, 1), at(now), max, &mut fired);
                    prop_assert_eq!(more, due.len() > max);
                    let expected = due.iter().take(max).map(|key| {
                        let (id, _, payload) = model.timers.remove(key).expect("due");
                        gone.push(id);
                        payload
                    });
                    prop_assert_eq!(fired, expected.collect::<Vec<_>>());
                    model.due[owner as usize] = more;
                }
                Op::Flood { owner, deadlines } => for deadline in deadlines {
                    let key = model.key(now + deadline);
                    let id = timers.insert(partition(owner, 1), at(key.0), key.1);
                    model.timers.insert(key, (id, owner, key.1));
                },
                Op::Ask => {
                    prop_assert_eq!(timers.earliest().map(Timestamp::as_nanos), model.earliest());
                    prop_assert_eq!(timers.bound().map(Timestamp::as_nanos), model.earliest());
                }
            }
            model.forget();
            prop_assert_eq!(timers.len(), model.timers.len());
            let bound = timers.bound().map_or(u64::MAX, Timestamp::as_nanos);
            prop_assert!(model.earliest().is_none_or(|earliest| bound <= earliest));
            for owner in 0..4 {
                let id = partition(owner, 1);
                prop_assert_eq!(timers.count(id), model.of(owner).count());
                prop_assert_eq!(timers.is_due(id), model.due[owner as usize]);
            }
        }
        for (key, (id, owner, payload)) in &model.timers {
            prop_assert_eq!(timers.deadline(*id), Some(at(key.0)));
            prop_assert_eq!(timers.owner(*id), Some(partition(*owner, 1)));
            prop_assert_eq!(timers.get(*id), Some(payload));
        }
        for id in gone {
            prop_assert!(timers.get(id).is_none() && timers.remove(id).is_none());
        }
        for (id, ..) in model.timers.into_values() {
            timers.remove(id);
        }
        prop_assert!(timers.is_empty());
    }
}
