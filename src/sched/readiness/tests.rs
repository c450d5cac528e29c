use proptest::prelude::*;

use super::*;

fn partition(index: u32, generation: u32) -> PartitionId {
    PartitionId { index, generation }
}

#[test]
fn a_mark_moves_along_with_its_direction() {
    let mut readiness = Readiness::new();
    let (a, b) = (partition(0, 1), partition(1, 1));
    let id = readiness.register(a, ());
    assert_eq!(readiness.mark(id, Direction::Read), Some(a));
    assert_eq!(readiness.mark(id, Direction::Write), Some(a));
    assert!(readiness.set_owner(id, Direction::Read, b));
    assert!(readiness.has_pending(a) && readiness.has_pending(b));

    let mut ready = Vec::new();
    assert!(!readiness.take(b, 9, &mut ready));
    assert_eq!(ready, [(id, Direction::Read)]);
    assert_eq!((readiness.count(a), readiness.count(b)), (1, 1));
}

#[test]
fn a_stale_owner_does_not_leak_into_its_slots_successor() {
    let mut readiness = Readiness::new();
    let (old, new) = (partition(3, 1), partition(3, 2));
    let left = readiness.register(old, "old");
    readiness.mark(left, Direction::Read);
    assert!(!readiness.has_pending(new));
    let id = readiness.register(new, "new");
    readiness.mark(id, Direction::Read);
    let mut ready = Vec::new();
    readiness.take(new, 9, &mut ready);
    assert_eq!(ready, [(id, Direction::Read)]);
    assert!(readiness.has_pending(old));
    assert_eq!(readiness.deregister(left), Some("old"));
    assert_eq!((readiness.count(old), readiness.count(new)), (0, 2));
}

#[test]
fn a_stale_token_means_nothing() {
    let mut readiness = Readiness::new();
    let owner = partition(0, 1);
    let old = readiness.register(owner, 1);
    assert_eq!(RegistrationId::from_bits(old.to_bits()), old);
    assert_eq!(readiness.deregister(old), Some(1));
    let new = readiness.register(owner, 2);
    assert_eq!(new.index, old.index);
    assert_eq!(readiness.mark(old, Direction::Read), None);
    assert_eq!(readiness.get(old), None);
    assert!(!readiness.has_pending(owner));
}

#[derive(Clone, Debug)]
enum Op {
    Register { owner: u32 },
    Deregister { pick: usize },
    Mark { pick: usize, direction: Direction },
    Give { pick: usize, direction: Direction, owner: u32 },
    Take { owner: u32, max: usize },
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Read), Just(Direction::Write)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..3u32).prop_map(|owner| Op::Register { owner }),
        1 => any::<usize>().prop_map(|pick| Op::Deregister { pick }),
        5 => (any::<usize>(), direction()).prop_map(|(pick, direction)| Op::Mark { pick, direction }),
        3 => (any::<usize>(), direction(), 0..3u32)
            .prop_map(|(pick, direction, owner)| Op::Give { pick, direction, owner }),
        2 => (0..3u32, 0..4usize).prop_map(|(owner, max)| Op::Take { owner, max }),
    ]
}

/// What `Readiness` is to be: who owns what, and a list of marks by owner.
#[derive(Default)]
struct Model {
    owned: Vec<(RegistrationId, [u32; 2])>,
    pending: [Vec<(RegistrationId, Direction)>; 3],
}

impl Model {
    fn owner(&mut self, pick: usize, direction: Direction) -> Option<(RegistrationId, &mut u32)> {
        let pick = pick.checked_rem(self.owned.len())?;
        let (id, owners) = &mut self.owned[pick];
        Some((*id, &mut owners[direction as usize]))
    }
}

proptest! {
    #[test]
    fn readiness_is_a_list_of_marks_by_owner(ops in prop::collection::vec(op(), 0..300)) {
        let mut readiness = Readiness::new();
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Register { owner } => {
                    let id = readiness.register(partition(owner, 1), ());
                    model.owned.push((id, [owner; 2]));
                }
                Op::Deregister { pick } => if let Some(pick) = pick.checked_rem(model.owned.len()) {
                    let (id, _) = model.owned.swap_remove(pick);
                    model.pending.iter_mut().for_each(|list| list.retain(|mark| mark.0 != id));
                    prop_assert_eq!(readiness.deregister(id), Some(()));
                    prop_assert_eq!(readiness.deregister(id), None);
                },
                Op::Mark { pick, direction } => {
                    if let Some((id, owner)) = model.owner(pick, direction) {
                        let owner = *owner;
                        let list = &mut model.pending[owner as usize];
                        let newly = !list.contains(&(id, direction));
                        let expected = newly.then_some(partition(owner, 1));
                        prop_assert_eq!(readiness.mark(id, direction), expected);
                        if newly {
                            list.push((id, direction));
                        }
                    }
                }
                Op::Give { pick, direction, owner: new } => {
                    if let Some((id, owner)) = model.owner(pick, direction) {
                        let old = std::mem::replace(owner, new);
                        let mark = (id, direction);
                        let was = &mut model.pending[old as usize];
                        if old != new && was.contains(&mark) {
                            was.retain(|other| *other != mark);
                            model.pending[new as usize].push(mark);
                        }
                        prop_assert!(readiness.set_owner(id, direction, partition(new, 1)));
                    }
                }
                Op::Take { owner, max } => {
                    let list = &mut model.pending[owner as usize];
                    let rest = list.split_off(max.min(list.len()));
                    let expected = std::mem::replace(list, rest);
                    let mut ready = Vec::new();
                    let more = readiness.take(partition(owner, 1), max, &mut ready);
                    prop_assert_eq!(more, !list.is_empty());
                    prop_assert_eq!(ready, expected);
                }
            }
            prop_assert_eq!(readiness.len(), model.owned.len());
            for owner in 0..3 {
                let id = partition(owner, 1);
                let sides = model.owned.iter().flat_map(|owned| owned.1);
                prop_assert_eq!(readiness.count(id), sides.filter(|side| *side == owner).count());
                prop_assert_eq!(readiness.has_pending(id), !model.pending[owner as usize].is_empty());
            }
        }
        for (id, owners) in model.owned {
            for direction in Direction::BOTH {
                let owner = partition(owners[direction as usize], 1);
                prop_assert_eq!(readiness.owner(id, direction), Some(owner));
            }
            readiness.deregister(id);
        }
        prop_assert!(readiness.is_empty());
    }
}
