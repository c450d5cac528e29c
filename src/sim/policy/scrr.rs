use super::{Policy, Share};
use crate::config::Budget;
use crate::sched::{Creator, Dispatcher, GroupId, Next, PartitionId, Settings, Step, Turn, Weight};

/// Surplus calendar round robin: the [`Dispatcher`] of this crate, the very code that runs in a
/// runtime.
///
/// Driven by the reference loop it gives, handle by handle, what a runtime gives on a manual clock.
#[derive(Debug)]
pub struct Scrr {
    /// A partition with work has one token queued here, its number, whatever is queued in the loop.
    dispatcher: Dispatcher<usize>,
    /// By number, with the group each is in.
    partitions: Vec<(PartitionId, Option<usize>)>,
    /// By number; those that have members.
    groups: Vec<Option<GroupId>>,
    /// The turn that is out, and whose it is.
    turn: Option<(Turn, usize)>,
}

impl Scrr {
    /// Takes the budget of a turn and the limits of the dispatcher.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let dispatcher = Dispatcher::new(settings);
        Self { dispatcher, partitions: Vec::new(), groups: Vec::new(), turn: None }
    }

    fn group(&mut self, number: usize) -> GroupId {
        if self.groups.len() <= number {
            self.groups.resize(number + 1, None);
        }
        let Self { dispatcher, groups, .. } = self;
        *groups[number].get_or_insert_with(|| dispatcher.create_group(Weight::ONE))
    }

    fn put_token(&mut self, partition: usize) {
        let put = self.dispatcher.push(self.partitions[partition].0, partition);
        assert!(put.is_ok(), "a partition was woken that is gone");
    }

    fn take_token(&mut self, turn: Turn) -> usize {
        let Step::Run(partition) = self.dispatcher.step(&turn) else {
            panic!("a turn went to a partition without work")
        };
        self.turn = Some((turn, partition));
        partition
    }
}

impl From<Budget> for Scrr {
    fn from(budget: Budget) -> Self {
        Self::new(budget.into())
    }
}

impl Default for Scrr {
    /// The budget a runtime has by default.
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Policy for Scrr {
    fn name(&self) -> &'static str {
        "evenloop"
    }

    fn timed(&self) -> bool {
        self.dispatcher.settings().timed()
    }

    fn create(&mut self, partition: usize, share: Share, maker: Option<usize>) {
        assert_eq!(partition, self.partitions.len(), "partitions are numbered as they come");
        let id = if partition == 0 {
            self.dispatcher.root()
        } else {
            let group = share.group.map(|number| self.group(number));
            let maker =
                maker.map(|maker| Creator { partition: self.partitions[maker].0, spent: 0 });
            let created = self.dispatcher.create(Weight::of(share.weight), group, maker);
            created.expect("the group was just found or made")
        };
        self.partitions.push((id, share.group));
    }

    fn remove(&mut self, partition: usize) {
        let (id, group) = self.partitions[partition];
        let tokens = self.dispatcher.remove(id).expect("it is removed once");
        assert!(tokens.is_empty(), "a partition was removed that has work");
        let Some(number) = group else { return };
        if self.groups[number].is_some_and(|id| self.dispatcher.remove_group(id)) {
            self.groups[number] = None;
        }
    }

    fn wake(&mut self, partition: usize) {
        self.put_token(partition);
    }

    fn pick(&mut self) -> Option<usize> {
        let turn = self.dispatcher.pick()?;
        Some(self.take_token(turn))
    }

    fn charge(&mut self, elapsed: u64) {
        let (turn, _) = self.turn.as_ref().expect("charged without a turn");
        let price = self.dispatcher.settings().price_nanos(elapsed);
        self.dispatcher.spend(turn, price);
    }

    fn settle(&mut self, more: bool) -> bool {
        let (turn, partition) = self.turn.take().expect("settled without a turn");
        if more {
            self.put_token(partition);
        }
        match self.dispatcher.charge(turn, 0) {
            Next::Continues(turn) => {
                self.take_token(turn);
                true
            }
            Next::Ended(_) => false,
        }
    }
}
