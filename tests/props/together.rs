//! Handles of one price that are charged together end as if each had been charged alone.

use std::time::Duration;

use evenloop::Budget;
use evenloop::sched::{Dispatcher, Next, PartitionId, Settings, Step, Turn, Weight};
use proptest::prelude::*;

/// Partitions, and what to do at each boundary: for whom to push next, if for anybody.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    handles: u32,
    slice: u64,
    weights: Vec<(u32, bool)>,
    pushes: Vec<(usize, u8)>,
}

pub(crate) fn script() -> impl Strategy<Value = Script> {
    let weights = prop::collection::vec((1..4u32, any::<bool>()), 1..5);
    let pushes = prop::collection::vec((0..5usize, 0..40u8), 1..60);
    (1..70u32, 1..40_000u64, weights, pushes).prop_map(|(handles, slice, weights, pushes)| Script {
        handles,
        slice,
        weights,
        pushes,
    })
}

/// What ran: the partition and the handle.
type Ran = Vec<(usize, u64)>;

struct Host {
    dispatcher: Dispatcher<u64>,
    partitions: Vec<PartitionId>,
    price: u64,
    pushed: u64,
}

impl Host {
    fn new(script: &Script) -> Self {
        let budget = Budget::new(script.handles, Duration::from_micros(100));
        let settings = Settings::from(budget).with_express_slice(script.slice);
        let mut dispatcher = Dispatcher::new(settings);
        let group = dispatcher.create_group(Weight::ONE);
        let create = |&(weight, grouped): &(u32, bool)| {
            let group = grouped.then_some(group);
            dispatcher.create(Weight::new(weight).unwrap(), group, None).unwrap()
        };
        let partitions = script.weights.iter().map(create).collect();
        Self { dispatcher, partitions, price: settings.price_nanos(0), pushed: 0 }
    }

    /// Queues handles for one of the partitions.
    fn push(&mut self, (to, handles): (usize, u8)) {
        let to = self.partitions[to % self.partitions.len()];
        for _ in 0..handles {
            self.pushed += 1;
            self.dispatcher.push(to, self.pushed).unwrap();
        }
    }

    fn note(&self, turn: &Turn, handle: u64, ran: &mut Ran) {
        let at = self.partitions.iter().position(|id| *id == turn.partition()).unwrap();
        ran.push((at, handle));
    }

    /// Runs all that is queued, each handle charged alone or as many together as there is room for.
    fn run(&mut self, together: bool, ran: &mut Ran) {
        while let Some(mut turn) = self.dispatcher.pick() {
            loop {
                let Step::Run(handle) = self.dispatcher.step(&turn) else {
                    let _ = self.dispatcher.finish(turn, 0);
                    break;
                };
                let room = if together { self.dispatcher.room(&turn, self.price) } else { 0 };
                self.note(&turn, handle, ran);
                let mut handles = 1;
                while handles <= room {
                    let Some(handle) = self.dispatcher.rotate(&turn, None) else { break };
                    self.note(&turn, handle, ran);
                    handles += 1;
                }
                match self.dispatcher.charge(turn, handles * self.price) {
                    Next::Continues(same) => turn = same,
                    Next::Ended(_) => break,
                }
            }
        }
    }
}

/// Both ways run the same handles in the same order, and leave the same tags behind.
pub(crate) fn together(script: &Script) -> Result<(), TestCaseError> {
    let play = |together| {
        let mut host = Host::new(script);
        let mut ran = Ran::new();
        for batch in script.pushes.chunks(4) {
            batch.iter().for_each(|push| host.push(*push));
            host.run(together, &mut ran);
        }
        let tags: Vec<_> = host.partitions.iter().map(|id| host.dispatcher.tag(*id)).collect();
        (ran, tags, host.dispatcher.forgiven_total())
    };
    let (alone, at_once) = (play(false), play(true));
    prop_assert_eq!(alone, at_once);
    Ok(())
}
