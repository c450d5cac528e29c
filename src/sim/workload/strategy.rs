//! Workloads drawn at random, for property tests.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::strategy::{BoxedStrategy, Just, NewTree, Strategy, Union, ValueTree};
use proptest::test_runner::TestRunner;

use super::{Actor, Cost, Kind, Tenant, Workload, tenant};

/// A strategy for [`Workload`]s: which kinds of actors, how many, how costly.
///
/// It begins with a function of this module, [`any`] or one for a kind; [`and`](Self::and) mixes
/// kinds within a workload, `prop_oneof!` chooses between workloads.
///
/// A failing workload shrinks to as few tenants and actors as still fail, in no group and of
/// weight 1, with few rounds and low costs. Nothing in it is left to a seed that cannot shrink.
///
/// # Examples
///
/// ```
/// use evenloop::sim::{check, workload};
/// use evenloop::sim::workload::{micros, millis};
///
/// // However the tenants behave, a handle of theirs is all that a sleeper waits for.
/// let tenants = workload::hogs().and(workload::bursty()).cost(micros(1)..=millis(2)).tenants(1..=20);
/// check(tenants, |load, sim| {
///     sim.block_on(async {
///         let running = load.spawn();
///         let nap = evenloop::spawn_in("health", async {
///             let due = evenloop::time::Instant::now() + millis(1);
///             evenloop::time::sleep(millis(1)).await;
///             due.elapsed()
///         });
///         // The handle that runs, and what came through the express lane just before.
///         assert!(nap.await.unwrap() <= millis(2) * 21);
///         running.await;
///     });
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "a strategy draws nothing by itself"]
pub struct Workloads {
    kinds: Vec<Sort>,
    tenants: RangeInclusive<usize>,
    actors: RangeInclusive<usize>,
    copies: RangeInclusive<u32>,
    rounds: RangeInclusive<u32>,
    cost: RangeInclusive<Duration>,
    pause: RangeInclusive<Duration>,
    crowd: RangeInclusive<u32>,
    weight: RangeInclusive<u32>,
    groups: usize,
    isolated: bool,
}

/// A kind without its numbers. The first is what the others shrink to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Hog,
    Sleeper,
    Bursts,
    Churn,
    MassWake,
    Timers,
    Tree,
    PingPong,
    FanIn,
    Flood,
    Nursery,
    Deadlines,
    Closing,
    Fickle,
    Dominoes,
    Remote,
}

/// Workloads of all kinds that a [reference loop](crate::sim::reference) can run too:
/// `any().and(floods()).and(upheavals())` has the others as well.
pub fn any() -> Workloads {
    use Sort::{Bursts, Churn, FanIn, Hog, MassWake, PingPong, Sleeper, Timers, Tree};
    Workloads::of(&[Hog, Sleeper, Bursts, Churn, MassWake, Timers, Tree, PingPong, FanIn])
}

/// Workloads of [`hog`](super::hog)s.
pub fn hogs() -> Workloads {
    Workloads::of(&[Sort::Hog])
}

/// Workloads of [`sleeper`](super::sleeper)s.
pub fn sleepers() -> Workloads {
    Workloads::of(&[Sort::Sleeper])
}

/// Workloads of [`bursts`](super::bursts).
pub fn bursty() -> Workloads {
    Workloads::of(&[Sort::Bursts])
}

/// Workloads of [`churn`](super::churn), in groups and outside.
pub fn churning() -> Workloads {
    Workloads::of(&[Sort::Churn])
}

/// Workloads of [`mass_wake`](super::mass_wake)s.
pub fn crowds() -> Workloads {
    Workloads::of(&[Sort::MassWake])
}

/// Workloads of [`timers`](super::timers).
pub fn timed() -> Workloads {
    Workloads::of(&[Sort::Timers])
}

/// Workloads of [`tree`](super::tree)s.
pub fn trees() -> Workloads {
    Workloads::of(&[Sort::Tree])
}

/// Workloads of messages across partitions: [`ping_pong`](super::ping_pong) and
/// [`fan_in`](super::fan_in).
pub fn talkers() -> Workloads {
    Workloads::of(&[Sort::PingPong, Sort::FanIn])
}

/// Workloads of connection [`flood`](super::flood)s.
pub fn floods() -> Workloads {
    Workloads::of(&[Sort::Flood])
}

/// Workloads of what upsets a runtime: [`nursery`](super::nursery), [`deadlines`](super::deadlines),
/// [`closing`](super::closing), [`fickle`](super::fickle) and [`remote`](super::remote).
pub fn upheavals() -> Workloads {
    use Sort::{Closing, Deadlines, Fickle, Nursery, Remote};
    Workloads::of(&[Nursery, Deadlines, Closing, Fickle, Remote])
}

/// Workloads of [`dominoes`](super::dominoes), whose deliveries take time.
pub fn toppling() -> Workloads {
    Workloads::of(&[Sort::Dominoes])
}

impl Workloads {
    fn of(kinds: &[Sort]) -> Self {
        let micros = Duration::from_micros;
        Self {
            kinds: kinds.to_vec(),
            tenants: 1..=8,
            actors: 1..=3,
            copies: 1..=3,
            rounds: 1..=30,
            cost: Duration::ZERO..=micros(300),
            pause: micros(1)..=micros(3_000),
            crowd: 1..=30,
            weight: 1..=4,
            groups: 2,
            isolated: false,
        }
    }

    /// Draws from the kinds of another strategy as well, in the same workload. The sizes stay.
    pub fn and(mut self, other: Self) -> Self {
        self.kinds.extend(other.kinds);
        self
    }

    /// Sets how many tenants there are; 1 to 8 if it is not set.
    pub fn tenants(mut self, number: RangeInclusive<usize>) -> Self {
        self.tenants = number;
        self
    }

    /// Sets how many actors a tenant has; 1 to 3 if it is not set.
    pub fn actors(mut self, number: RangeInclusive<usize>) -> Self {
        self.actors = number;
        self
    }

    /// Sets how many copies there are of an actor; 1 to 3 if it is not set.
    pub fn copies(mut self, number: RangeInclusive<u32>) -> Self {
        self.copies = number;
        self
    }

    /// Sets how many rounds an actor goes; 1 to 30 if it is not set. Never none, and never for
    /// ever: what is drawn comes to an end.
    pub fn rounds(mut self, number: RangeInclusive<u32>) -> Self {
        self.rounds = at_least_one(number);
        self
    }

    /// Sets what handles cost; up to 300 µs if it is not set.
    pub fn cost(mut self, time: RangeInclusive<Duration>) -> Self {
        self.cost = time;
        self
    }

    /// Sets the periods of sleepers, bursts and events, and the time that timers and clients are
    /// spread over; 1 µs to 3 ms if it is not set. Never none.
    pub fn pause(mut self, time: RangeInclusive<Duration>) -> Self {
        let least = Duration::from_nanos(1);
        self.pause = (*time.start()).max(least)..=(*time.end()).max(least);
        self
    }

    /// Sets how many a crowd are: the tasks of a burst, a mass wake-up, of timers, the clients of
    /// a flood; 1 to 30 if it is not set.
    pub fn crowd(mut self, number: RangeInclusive<u32>) -> Self {
        self.crowd = at_least_one(number);
        self
    }

    /// Sets the weights of the tenants; 1 to 4 if it is not set.
    pub fn weight(mut self, shares: RangeInclusive<u32>) -> Self {
        self.weight = at_least_one(shares);
        self
    }

    /// Sets how many groups there may be; 2 if it is not set.
    pub fn groups(mut self, number: usize) -> Self {
        self.groups = number;
        self
    }

    /// Isolates the readiness of one tenant in four; of none if it is not set.
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    fn workload(&self) -> BoxedStrategy<Workload> {
        let actor = Union::new(self.kinds.iter().map(|sort| self.actor(*sort)));
        let actors = vec(actor, self.actors.clone());
        let group = (0..=self.groups).prop_map(|number| number.checked_sub(1).map(group_name));
        let isolated = weighted(if self.isolated { 0.25 } else { 0.0 });
        let tenant = (Count::default(), self.weight.clone(), group, isolated, actors).prop_map(
            |(number, weight, group, isolated, actors)| Tenant {
                weight,
                group,
                isolated,
                actors,
                ..tenant(name(number))
            },
        );
        vec(tenant, self.tenants.clone()).prop_map(|tenants| Workload { tenants, seed: 0 }).boxed()
    }

    fn actor(&self, sort: Sort) -> BoxedStrategy<Actor> {
        let kind = self.kind(sort);
        (kind, self.rounds.clone(), self.copies.clone())
            .prop_map(|(kind, rounds, copies)| Actor { kind, rounds: Some(rounds), copies })
            .boxed()
    }

    fn kind(&self, sort: Sort) -> BoxedStrategy<Kind> {
        let (cost, crowd, few) = (self.costs(), self.crowd.clone(), 1..=4_u32);
        let pause = time(self.pause.clone());
        let names = *self.tenants.end();
        let somebody = (0..names.max(1)).prop_map(name);
        match sort {
            Sort::Hog => cost.prop_map(|cost| Kind::Hog { cost }).boxed(),
            Sort::Sleeper => (pause, few, cost)
                .prop_map(|(period, burst, cost)| Kind::Sleeper { period, burst, cost })
                .boxed(),
            Sort::Bursts => (pause, crowd, cost)
                .prop_map(|(period, tasks, cost)| Kind::Bursts { period, tasks, cost })
                .boxed(),
            Sort::Churn => (few, cost, option::of(Just("young".to_owned())))
                .prop_map(|(handles, cost, group)| Kind::Churn { handles, cost, group })
                .boxed(),
            Sort::MassWake => (crowd, pause, cost)
                .prop_map(|(tasks, period, cost)| Kind::MassWake { tasks, period, cost })
                .boxed(),
            Sort::Timers => (crowd, pause, cost)
                .prop_map(|(tasks, spread, cost)| Kind::Timers { tasks, spread, cost })
                .boxed(),
            Sort::Tree => (0..=3_u32, 0..=3_u32, cost)
                .prop_map(|(fanout, depth, cost)| Kind::Tree { fanout, depth, cost })
                .boxed(),
            Sort::PingPong => {
                (somebody, cost).prop_map(|(peer, cost)| Kind::PingPong { peer, cost }).boxed()
            }
            Sort::FanIn => (vec(somebody, 1..=4), cost)
                .prop_map(|(from, cost)| Kind::FanIn { from, cost })
                .boxed(),
            Sort::Flood => (crowd, pause, 1..=4_096_u32, cost)
                .prop_map(|(clients, over, bytes, cost)| Kind::Flood { clients, over, bytes, cost })
                .boxed(),
            Sort::Nursery => {
                (crowd, cost).prop_map(|(tasks, cost)| Kind::Nursery { tasks, cost }).boxed()
            }
            Sort::Deadlines => {
                (pause, cost).prop_map(|(period, cost)| Kind::Deadlines { period, cost }).boxed()
            }
            Sort::Closing => {
                (few, cost).prop_map(|(tasks, cost)| Kind::Closing { tasks, cost }).boxed()
            }
            Sort::Fickle => pause.prop_map(|period| Kind::Fickle { period }).boxed(),
            Sort::Dominoes => {
                (crowd, cost).prop_map(|(tasks, cost)| Kind::Dominoes { tasks, cost }).boxed()
            }
            Sort::Remote => {
                (few, cost).prop_map(|(tasks, cost)| Kind::Remote { tasks, cost }).boxed()
            }
        }
    }

    /// Mostly a fixed cost, which leaves nothing to chance.
    fn costs(&self) -> BoxedStrategy<Cost> {
        let fixed = time(self.cost.clone()).prop_map(Cost::from);
        let ends = (time(self.cost.clone()), time(self.cost.clone()));
        let range = ends.prop_map(|(a, b)| Cost::from(a.min(b)..=a.max(b)));
        Union::new_weighted(vec![(3, fixed.boxed()), (1, range.boxed())]).boxed()
    }
}

impl Strategy for Workloads {
    type Tree = Box<dyn ValueTree<Value = Workload>>;
    type Value = Workload;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        self.workload().new_tree(runner)
    }
}

fn at_least_one(range: RangeInclusive<u32>) -> RangeInclusive<u32> {
    (*range.start()).max(1)..=(*range.end()).max(1)
}

/// Durations in the range: a third from its lowest orders of magnitude, a third up to the middle
/// ones. In whole microseconds if the ends are.
fn time(range: RangeInclusive<Duration>) -> BoxedStrategy<Duration> {
    let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (least, most) = (nanos(range.start()), nanos(range.end()));
    let unit = if least % 1_000 == 0 && most % 1_000 == 0 { 1_000 } else { 1 };
    let (least, most) = (least / unit, most / unit);
    let part = |power: i32| {
        let span = (most.saturating_sub(least)) as f64;
        least.saturating_add(span.powf(f64::from(power) / 3.0) as u64).clamp(least, most)
    };
    Union::new((1..=3).map(|power| least..=part(power)))
        .prop_map(move |count| Duration::from_nanos(count.saturating_mul(unit)))
        .boxed()
}

/// Counts the values drawn. So a tenant keeps its name while others are taken away.
#[derive(Clone, Debug, Default)]
struct Count(Rc<Cell<usize>>);

impl Strategy for Count {
    type Tree = Just<usize>;
    type Value = usize;

    fn new_tree(&self, _: &mut TestRunner) -> NewTree<Self> {
        let number = self.0.get();
        self.0.set(number + 1);
        Ok(Just(number))
    }
}

/// `a` to `z`, then `a1` and so on.
fn name(number: usize) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    match number / 26 {
        0 => letter.to_string(),
        turn => format!("{letter}{turn}"),
    }
}

fn group_name(number: usize) -> String {
    format!("group {}", name(number))
}

#[cfg(test)]
mod tests;
