//! Whatever order things happen in: P0, P7 and P12.

use std::collections::VecDeque;
use std::time::Duration;

use evenloop::Budget;
use evenloop::sched::{
    Creator, Dispatcher, Ended, GroupId, Next, PartitionId, Settings, Step, Turn, Weight,
};
use proptest::prelude::*;

/// Anything a host may do, at any time, within a handle or between two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Create {
        group: usize,
        by_runner: bool,
        weight: u32,
    },
    CreateGroup {
        weight: u32,
    },
    Push {
        pick: usize,
    },
    /// Takes back the handle in that place of the queue.
    Withdraw {
        pick: usize,
        at: usize,
    },
    Remove {
        pick: usize,
    },
    RemoveRunning,
    RemoveGroup {
        pick: usize,
    },
    Weigh {
        pick: usize,
        weight: u32,
    },
    WeighGroup {
        pick: usize,
        weight: u32,
    },
    Mark {
        pick: usize,
        on: bool,
    },
    Rouse {
        pick: usize,
    },
    /// Starts a handle, or delivers, or ends a turn that is dry.
    Start {
        more: bool,
    },
    /// Ends the handle that runs.
    End {
        cost: u64,
    },
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let any = any::<usize>;
    let weight = || 1..5u32;
    let op = prop_oneof![
        3 => (0..4usize, prop::bool::ANY, weight())
            .prop_map(|(group, by_runner, weight)| Op::Create { group, by_runner, weight }),
        1 => weight().prop_map(|weight| Op::CreateGroup { weight }),
        12 => any().prop_map(|pick| Op::Push { pick }),
        4 => (any(), 0..4usize).prop_map(|(pick, at)| Op::Withdraw { pick, at }),
        2 => any().prop_map(|pick| Op::Remove { pick }),
        1 => Just(Op::RemoveRunning),
        1 => any().prop_map(|pick| Op::RemoveGroup { pick }),
        1 => (any(), weight()).prop_map(|(pick, weight)| Op::Weigh { pick, weight }),
        1 => (any(), weight()).prop_map(|(pick, weight)| Op::WeighGroup { pick, weight }),
        2 => (any(), prop::bool::ANY).prop_map(|(pick, on)| Op::Mark { pick, on }),
        2 => any().prop_map(|pick| Op::Rouse { pick }),
        12 => prop::bool::ANY.prop_map(|more| Op::Start { more }),
        8 => prop_oneof![0..40u64, 40..3_000u64].prop_map(|cost| Op::End { cost }),
    ];
    prop::collection::vec(op, 0..400)
}

/// What a partition is to be: a queue, and whether something waits for it.
struct Known {
    id: PartitionId,
    queue: VecDeque<u64>,
    marked: bool,
    due: bool,
    group: Option<GroupId>,
}

struct Host {
    dispatcher: Dispatcher<u64>,
    known: Vec<Known>,
    groups: Vec<GroupId>,
    gone: Vec<PartitionId>,
    /// The turn that is out, and whether a handle of it runs.
    turn: Option<(Turn, bool)>,
    pushed: u64,
}

impl Host {
    fn new(tweak: fn(Settings) -> Settings) -> Self {
        let settings = Settings::from(Budget::time(Duration::from_nanos(100))).with_newborns(2);
        let dispatcher = Dispatcher::new(tweak(settings));
        let id = dispatcher.root();
        let root = Known { id, queue: VecDeque::new(), marked: false, due: false, group: None };
        let (known, groups, gone) = (vec![root], Vec::new(), Vec::new());
        Self { dispatcher, known, groups, gone, turn: None, pushed: 0 }
    }

    fn at(&self, pick: usize) -> usize {
        pick % self.known.len()
    }

    fn running(&self) -> Option<PartitionId> {
        self.turn.as_ref().map(|(turn, _)| turn.partition())
    }

    fn act(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Create { group, by_runner, weight } => self.create(group, by_runner, weight),
            Op::CreateGroup { weight } => {
                self.groups.push(self.dispatcher.create_group(Weight::of(weight)));
            }
            Op::Push { pick } => {
                let at = self.at(pick);
                let known = &mut self.known[at];
                prop_assert!(self.dispatcher.push(known.id, self.pushed).is_ok());
                known.queue.push_back(self.pushed);
                self.pushed += 1;
            }
            Op::Withdraw { pick, at } => {
                let place = self.at(pick);
                let known = &mut self.known[place];
                let wanted = known.queue.remove(at);
                let got = self.dispatcher.withdraw(known.id, |&handle| Some(handle) == wanted);
                prop_assert_eq!(got, wanted, "the handle asked for, or none");
            }
            Op::Remove { pick } => self.remove(self.at(pick))?,
            Op::RemoveRunning => {
                let running = self.running();
                let at = self.known.iter().position(|known| Some(known.id) == running);
                at.map_or(Ok(()), |at| self.remove(at))?;
            }
            Op::RemoveGroup { pick } => self.remove_group(pick)?,
            Op::Weigh { pick, weight } => {
                let id = self.known[self.at(pick)].id;
                prop_assert!(self.dispatcher.set_weight(id, Weight::of(weight)));
            }
            Op::WeighGroup { pick, weight } => {
                if let Some(at) = pick.checked_rem(self.groups.len()) {
                    let weight = Weight::of(weight);
                    prop_assert!(self.dispatcher.set_group_weight(self.groups[at], weight));
                }
            }
            Op::Mark { pick, on } => {
                let at = self.at(pick);
                self.known[at].marked = on;
                self.dispatcher.mark(self.known[at].id, on);
            }
            Op::Rouse { pick } => {
                let at = self.at(pick);
                self.known[at].due = true;
                prop_assert!(self.dispatcher.rouse(self.known[at].id).is_some());
            }
            Op::Start { more } => self.start(more)?,
            Op::End { cost } => self.end(cost),
        }
        Ok(())
    }

    fn create(&mut self, group: usize, by_runner: bool, weight: u32) {
        let group = self.groups.get(group).copied();
        let creator = self.running().filter(|_| by_runner);
        let creator = creator.map(|partition| Creator { partition, spent: 7 });
        let id = self.dispatcher.create(Weight::of(weight), group, creator);
        let id = id.expect("the group is there");
        self.known.push(Known { id, queue: VecDeque::new(), marked: false, due: false, group });
    }

    fn remove(&mut self, at: usize) -> Result<(), TestCaseError> {
        if self.known[at].id == self.dispatcher.root() {
            return Ok(());
        }
        let Known { id, queue, .. } = self.known.swap_remove(at);
        prop_assert_eq!(self.dispatcher.remove(id), Some(queue), "every handle is given back");
        self.gone.push(id);
        Ok(())
    }

    fn remove_group(&mut self, pick: usize) -> Result<(), TestCaseError> {
        let Some(at) = pick.checked_rem(self.groups.len()) else { return Ok(()) };
        let id = self.groups[at];
        let members = self.known.iter().filter(|known| known.group == Some(id)).count();
        prop_assert_eq!(self.dispatcher.group_members(id), Some(members));
        if self.dispatcher.remove_group(id) {
            prop_assert_eq!(members, 0);
            prop_assert!(!self.dispatcher.remove_group(id));
            self.groups.swap_remove(at);
        } else {
            prop_assert!(members > 0 || self.turn.is_some());
        }
        Ok(())
    }

    fn start(&mut self, more: bool) -> Result<(), TestCaseError> {
        let turn = match self.turn.take() {
            Some((turn, true)) => {
                self.turn = Some((turn, true));
                return Ok(());
            }
            Some((turn, false)) => turn,
            None => {
                let busy = self.known.iter().any(|known| !known.queue.is_empty() || known.due);
                let turn = self.dispatcher.pick();
                prop_assert_eq!(turn.is_some(), busy, "P7: a pick exactly while there is work");
                let Some(turn) = turn else { return Ok(()) };
                turn
            }
        };
        let at = self.known.iter().position(|known| known.id == turn.partition());
        match self.dispatcher.step(&turn) {
            Step::Run(handle) => {
                let known = &mut self.known[at.expect("what is gone runs nothing")];
                prop_assert_eq!(known.queue.pop_front(), Some(handle), "P0: as they came");
                self.turn = Some((turn, true));
            }
            Step::Deliver => {
                let known = &mut self.known[at.expect("what is gone delivers nothing")];
                prop_assert!(known.marked || known.due);
                known.due = more;
                self.keep(|dispatcher| dispatcher.delivered(turn, more));
            }
            Step::Dry => {
                let removed = at.is_none();
                let ended = self.dispatcher.finish(turn, 1);
                prop_assert_eq!(ended == Ended::Removed, removed);
                if let Some(at) = at {
                    prop_assert!(self.known[at].queue.is_empty() && !self.known[at].due);
                    prop_assert_eq!(ended, Ended::Idle);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, cost: u64) {
        match self.turn.take() {
            Some((turn, true)) => self.keep(|dispatcher| dispatcher.charge(turn, cost)),
            other => self.turn = other,
        }
    }

    fn keep(&mut self, decide: impl FnOnce(&mut Dispatcher<u64>) -> Next) {
        if let Next::Continues(turn) = decide(&mut self.dispatcher) {
            self.turn = Some((turn, false));
        }
    }

    fn agrees(&self) -> Result<(), TestCaseError> {
        let running = self.running();
        let mut runnable = 0;
        for known in &self.known {
            let busy = !known.queue.is_empty() || known.due || running == Some(known.id);
            runnable += usize::from(busy);
            prop_assert_eq!(self.dispatcher.is_runnable(known.id), busy);
            prop_assert_eq!(self.dispatcher.queue_len(known.id), known.queue.len());
            prop_assert_eq!(self.dispatcher.group_of(known.id), known.group);
        }
        let queued = self.known.iter().map(|known| known.queue.len()).sum::<usize>();
        prop_assert_eq!(self.dispatcher.runnable(), runnable);
        prop_assert_eq!(self.dispatcher.is_sole(), runnable == 1);
        prop_assert_eq!(self.dispatcher.queued_total(), queued);
        prop_assert_eq!(self.dispatcher.len(), self.known.len());
        Ok(())
    }

    /// Ids of what is gone mean nothing, and give back what is pushed.
    fn forgets(&mut self) -> Result<(), TestCaseError> {
        for id in &self.gone {
            prop_assert!(!self.dispatcher.contains(*id));
            prop_assert_eq!(self.dispatcher.push(*id, 9), Err(9));
            prop_assert_eq!(self.dispatcher.rouse(*id), None);
            prop_assert_eq!(self.dispatcher.remove(*id), None);
            prop_assert_eq!(self.dispatcher.tag(*id), None);
        }
        Ok(())
    }

    /// Removes all that can be removed and runs the rest.
    fn wind_up(mut self) -> Result<(), TestCaseError> {
        for at in (0..self.known.len()).rev() {
            self.remove(at)?;
        }
        self.end(1);
        while self.turn.is_some() || self.dispatcher.runnable() > 0 {
            self.start(false)?;
            self.end(1);
        }
        for at in (0..self.groups.len()).rev() {
            prop_assert!(self.dispatcher.remove_group(self.groups[at]));
        }
        prop_assert!(self.dispatcher.is_quiescent(), "P12: {:?}", self.dispatcher);
        prop_assert_eq!(self.dispatcher.len(), 1);
        Ok(())
    }
}

/// P0, P7 and P12 under any sequence of operations.
pub(crate) fn churn(ops: &[Op], tweak: fn(Settings) -> Settings) -> Result<(), TestCaseError> {
    let mut host = Host::new(tweak);
    for op in ops {
        host.act(*op)?;
        host.agrees()?;
    }
    host.forgets()?;
    host.wind_up()
}
