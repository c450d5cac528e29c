//! `sched::Timers` against a sorted map, with crowds that fill the levels of its heaps and times
//! from one end of 64 bits to the other.

use std::collections::BTreeMap;

use evenloop::sched::{Dispatcher, PartitionId, Settings, TimerId, Timers, Timestamp, Weight};

use super::program::{STEPS_MAX, edge, words};

/// Timers of a program at most.
const CROWD_MAX: usize = 2_000;
const OWNERS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Program {
    epoch: u64,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert {
        owner: u8,
        after: u64,
    },
    /// Many at once: descending, equal or ascending, so that a heap gets another level.
    Crowd {
        owner: u8,
        count: u8,
        order: u8,
    },
    Remove {
        pick: u8,
    },
    Reset {
        pick: u8,
        after: u64,
    },
    /// To a moment that is past.
    Hasten {
        pick: u8,
        by: u64,
    },
    Give {
        pick: u8,
        owner: u8,
    },
    Advance {
        by: u64,
    },
    /// Takes what is due of one owner, up to a number.
    Take {
        owner: u8,
        max: u8,
    },
    /// The same, of all.
    TakeAll,
}

pub(crate) fn decode(bytes: &[u8]) -> Program {
    let mut words = words(bytes);
    let [class, fine, ..] = words.next().unwrap_or_default();
    let step = |[kind, a, b, c]: [u8; 4]| match kind % 16 {
        0..=3 => Step::Insert { owner: a, after: edge(b, c) },
        4 => Step::Crowd { owner: a, count: b, order: c },
        5 => Step::Remove { pick: a },
        6 | 7 => Step::Reset { pick: a, after: edge(b, c) },
        8 => Step::Hasten { pick: a, by: edge(b, c) },
        9 => Step::Give { pick: a, owner: b },
        10..=12 => Step::Advance { by: edge(b % 9, c) },
        13 | 14 => Step::Take { owner: a, max: b },
        _ => Step::TakeAll,
    };
    Program { epoch: edge(class, fine), steps: words.take(STEPS_MAX).map(step).collect() }
}

/// What is known of a timer besides its key.
#[derive(Clone, Copy)]
struct Timer {
    id: TimerId,
    owner: usize,
    payload: u64,
}

/// Deadline, and the order in which it was set.
type Key = (u64, u64);

struct World {
    timers: Timers<u64>,
    owners: [PartitionId; OWNERS],
    model: BTreeMap<Key, Timer>,
    due: [bool; OWNERS],
    now: u64,
    sequence: u64,
    gone: Vec<TimerId>,
}

pub(crate) fn run(program: &Program) {
    let mut dispatcher = Dispatcher::<()>::new(Settings::default());
    let mut make = || dispatcher.create(Weight::of(1), None, None).expect("no group is asked for");
    let owners = [(); OWNERS].map(|()| make());
    let mut world = World {
        timers: Timers::new(),
        owners,
        model: BTreeMap::new(),
        due: [false; OWNERS],
        now: program.epoch,
        sequence: 0,
        gone: Vec::new(),
    };
    for step in &program.steps {
        world.step(*step);
        world.agree();
    }
    world.end();
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Insert { owner, after } => self.insert(owner, self.now.saturating_add(after)),
            Step::Crowd { owner, count, order } => {
                for n in 0..u64::from(count) {
                    let after = match order % 3 {
                        0 => 255 - n,
                        1 => 7,
                        _ => n,
                    };
                    self.insert(owner, self.now.saturating_add(after));
                }
            }
            Step::Remove { pick } => {
                let Some((_, timer)) =
                    self.pick(pick).and_then(|key| self.model.remove_entry(&key))
                else {
                    return;
                };
                assert_eq!(self.timers.remove(timer.id), Some(timer.payload));
                self.gone.push(timer.id);
                self.forget_marks();
            }
            Step::Reset { pick, after } => self.reset(pick, self.now.saturating_add(after)),
            Step::Hasten { pick, by } => self.reset(pick, self.now.saturating_sub(by)),
            Step::Give { pick, owner } => {
                let Some(key) = self.pick(pick) else { return };
                let timer = self.model.get_mut(&key).expect("picked");
                timer.owner = usize::from(owner) % OWNERS;
                assert!(self.timers.set_owner(timer.id, self.owners[timer.owner]));
                self.forget_marks();
            }
            Step::Advance { by } => {
                self.now = self.now.saturating_add(by);
                self.mark();
            }
            Step::Take { owner, max } => self.take(usize::from(owner) % OWNERS, max.into()),
            Step::TakeAll => (0..OWNERS).for_each(|owner| self.take(owner, usize::MAX)),
        }
    }

    fn key(&mut self, deadline: u64) -> Key {
        self.sequence += 1;
        (deadline, self.sequence)
    }

    fn pick(&self, pick: u8) -> Option<Key> {
        let at = usize::from(pick).checked_rem(self.model.len())?;
        // From either end: what is due next and what is due last matter most.
        let nth = if at % 2 == 0 { at / 2 } else { self.model.len() - 1 - at / 2 };
        self.model.keys().nth(nth).copied()
    }

    fn insert(&mut self, owner: u8, deadline: u64) {
        if self.model.len() >= CROWD_MAX {
            return;
        }
        let owner = usize::from(owner) % OWNERS;
        let key = self.key(deadline);
        let at = Timestamp::from_nanos(deadline);
        let id = self.timers.insert(self.owners[owner], at, key.1);
        self.model.insert(key, Timer { id, owner, payload: key.1 });
    }

    fn reset(&mut self, pick: u8, deadline: u64) {
        let Some(timer) = self.pick(pick).and_then(|key| self.model.remove(&key)) else { return };
        let key = self.key(deadline);
        assert!(self.timers.reset(timer.id, Timestamp::from_nanos(deadline)));
        self.model.insert(key, timer);
    }

    fn of(&self, owner: usize) -> impl Iterator<Item = Key> + '_ {
        self.model.iter().filter(move |(_, timer)| timer.owner == owner).map(|(key, _)| *key)
    }

    /// A partition without timers is not kept, nor is its mark.
    fn forget_marks(&mut self) {
        for owner in 0..OWNERS {
            let any = self.of(owner).next().is_some();
            self.due[owner] &= any;
        }
    }

    fn mark(&mut self) {
        let mut named = Vec::new();
        self.timers.mark_due(Timestamp::from_nanos(self.now), |owner, earliest| {
            named.push((owner, earliest.as_nanos()));
        });
        let mut expected = Vec::new();
        for (key, timer) in self.model.range(..=(self.now, u64::MAX)) {
            if !std::mem::replace(&mut self.due[timer.owner], true) {
                expected.push((self.owners[timer.owner], key.0));
            }
        }
        assert_eq!(named, expected, "each owner with a due timer is named once, by its first");
    }

    fn take(&mut self, owner: usize, max: usize) {
        let now = self.now;
        let due: Vec<Key> = self.of(owner).take_while(|key| key.0 <= now).collect();
        let mut fired = Vec::new();
        let at = Timestamp::from_nanos(now);
        let more = self.timers.take_due(self.owners[owner], at, max, &mut fired);
        assert_eq!(more, due.len() > max);
        let expected: Vec<u64> = due
            .iter()
            .take(max)
            .map(|key| {
                let timer = self.model.remove(key).expect("due");
                self.gone.push(timer.id);
                timer.payload
            })
            .collect();
        assert_eq!(fired, expected, "by deadline, and equal ones as they were set");
        self.due[owner] = more;
    }

    /// What can be asked in passing.
    fn agree(&mut self) {
        assert_eq!(self.timers.len(), self.model.len());
        let earliest = self.model.iter().find(|(_, timer)| !self.due[timer.owner]);
        let earliest = earliest.map(|(key, _)| Timestamp::from_nanos(key.0));
        // Not each time, since the order of what is not asked for is left open.
        if self.timers.len() % 3 == 0 {
            assert_eq!(self.timers.earliest(), earliest);
        }
        let bound = self.timers.bound();
        assert!(earliest.is_none_or(|earliest| bound.is_some_and(|bound| bound <= earliest)));
        for (owner, id) in self.owners.iter().enumerate() {
            assert_eq!(self.timers.is_due(*id), self.due[owner]);
        }
    }

    /// Every timer is where the model has it, and when all are gone nothing is kept.
    fn end(mut self) {
        for (key, timer) in &self.model {
            assert_eq!(self.timers.deadline(timer.id), Some(Timestamp::from_nanos(key.0)));
            assert_eq!(self.timers.owner(timer.id), Some(self.owners[timer.owner]));
            assert_eq!(self.timers.get(timer.id), Some(&timer.payload));
        }
        for owner in 0..OWNERS {
            assert_eq!(self.timers.count(self.owners[owner]), self.of(owner).count());
        }
        for id in &self.gone {
            assert!(self.timers.get(*id).is_none() && self.timers.remove(*id).is_none());
            assert!(!self.timers.reset(*id, Timestamp::from_nanos(0)), "it is gone");
        }
        self.now = u64::MAX;
        self.mark();
        (0..OWNERS).for_each(|owner| self.take(owner, usize::MAX));
        assert!(self.timers.is_empty() && self.model.is_empty());
    }
}
