//! The cast of a workload: the tasks it starts with, and what they will have done in the end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fastrand::Rng;

use super::behaviour::Part;
use super::{Actor, Behaviour, Cost, Kind, Tenant, Workload, tenant};

/// A task that a workload starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The place of its partition among [`Workload::partitions`].
    pub partition: usize,
    /// What it does.
    pub behaviour: Behaviour,
    seed: u64,
}

impl Role {
    /// Returns the task's own source of chance.
    #[must_use]
    pub fn random(&self) -> Rng {
        Rng::with_seed(self.seed)
    }
}

/// What a workload will have done when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tasks spawned.
    pub tasks: u64,
    /// Handles run.
    pub handles: u64,
    /// Wakes from one task to another.
    pub wakes: u64,
    /// Spent at the least.
    pub cost_least: Duration,
    /// Spent at the most.
    pub cost_most: Duration,
}

impl Totals {
    fn new(tasks: u64, handles: u64, wakes: u64) -> Self {
        Self { tasks, handles, wakes, ..Self::default() }
    }

    /// Says how often something of this cost is spent.
    fn spending(mut self, times: u64, cost: &Cost) -> Self {
        self.cost_least = product(cost.least(), times);
        self.cost_most = product(cost.most(), times);
        self
    }

    fn add(&mut self, times: u64, other: &Self) {
        let Self { tasks, handles, wakes, cost_least, cost_most } = other;
        self.tasks = self.tasks.saturating_add(tasks.saturating_mul(times));
        self.handles = self.handles.saturating_add(handles.saturating_mul(times));
        self.wakes = self.wakes.saturating_add(wakes.saturating_mul(times));
        self.cost_least = self.cost_least.saturating_add(product(*cost_least, times));
        self.cost_most = self.cost_most.saturating_add(product(*cost_most, times));
    }
}

/// Returns `times` durations, 584 years at most.
fn product(duration: Duration, times: u64) -> Duration {
    let nanos = duration.as_nanos().saturating_mul(times.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Workload {
    /// Returns the partitions it needs, without actors: each tenant's, and behind them those that
    /// actors name, of weight 1 and in no group. A name comes once.
    #[must_use]
    pub fn partitions(&self) -> Vec<Tenant> {
        let mut names = HashSet::new();
        let named = self.actors().flat_map(Actor::peers).map(tenant);
        let bare = |tenant: &Tenant| Tenant { actors: Vec::new(), ..tenant.clone() };
        let all = self.tenants.iter().map(bare).chain(named);
        all.filter(|tenant| names.insert(tenant.name.clone())).collect()
    }

    /// Returns the tasks it starts with, in the order in which they are spawned. What
    /// [needs a runtime](Kind::needs_runtime) has none here.
    #[must_use]
    pub fn cast(&self) -> Vec<Role> {
        let partitions = self.partitions();
        let places = partitions.iter().enumerate().map(|(place, one)| (&*one.name, place));
        let mut cast = Cast { places: places.collect(), roles: Vec::new(), seed: 0 };
        for tenant in &self.tenants {
            for (place, actor) in tenant.actors.iter().enumerate() {
                cast.seed = seed_of(self.seed, &tenant.name, place);
                for _ in 0..actor.copies {
                    cast.play(&tenant.name, actor);
                }
            }
        }
        cast.roles
    }

    /// Returns what it will have done when it is over, or `None` if that cannot be told: if it is
    /// endless, or has actors that [need a runtime](Kind::needs_runtime).
    ///
    /// ```
    /// use evenloop::sim::workload::{Workload, hog, micros, tenant};
    ///
    /// let load = Workload::new().with(tenant("a").runs(hog(micros(20)).rounds(50).copies(4)));
    /// let totals = load.totals().expect("it ends, and needs no network");
    /// assert_eq!((totals.tasks, totals.handles), (4, 200));
    /// assert_eq!(totals.cost_most, micros(4_000));
    /// assert_eq!(Workload::new().with(tenant("b").runs(hog(micros(20)))).totals(), None);
    /// ```
    #[must_use]
    pub fn totals(&self) -> Option<Totals> {
        let mut sum = Totals::default();
        for actor in self.actors().filter(|actor| actor.copies > 0) {
            sum.add(actor.copies.into(), &actor.totals()?);
        }
        Some(sum)
    }

    /// Returns whether some of its actors go on for ever.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.actors().any(|actor| actor.copies > 0 && actor.is_endless())
    }
}

/// The roles so far.
struct Cast<'a> {
    places: HashMap<&'a str, usize>,
    roles: Vec<Role>,
    /// Of the next role.
    seed: u64,
}

impl Cast<'_> {
    fn add(&mut self, home: &str, part: Part, rounds: Option<u32>) {
        let partition = self.places[home];
        let behaviour = Behaviour::new(part, rounds);
        self.roles.push(Role { partition, behaviour, seed: self.seed });
        self.seed = mix(self.seed);
    }

    /// Adds the tasks of one copy of an actor.
    fn play(&mut self, home: &str, actor: &Actor) {
        let (rounds, number) = (actor.rounds, self.roles.len());
        match actor.kind.clone() {
            Kind::Hog { cost } => self.add(home, Part::Hog { cost }, rounds),
            Kind::Sleeper { period, burst, cost } => {
                self.add(home, Part::Sleeper { period, burst, cost, left: 0 }, rounds);
            }
            Kind::Bursts { period, tasks, cost } => {
                self.add(home, Part::Burster { period, tasks, cost, left: 0 }, rounds);
            }
            Kind::Churn { handles, cost, group } => {
                self.add(home, Part::Churner { handles, cost, group, lives: false }, rounds);
            }
            Kind::MassWake { tasks, period, cost } => {
                for _ in 0..tasks {
                    self.add(home, Part::Waiter { cost }, rounds);
                }
                let (first, end) = (number, number + tasks as usize);
                self.add(home, Part::Bell { period, first, end, next: end }, rounds);
            }
            Kind::Timers { tasks, spread, cost } => {
                for _ in 0..tasks {
                    self.add(home, Part::Timer { spread, cost }, rounds);
                }
            }
            Kind::Tree { fanout, depth, cost } => {
                self.add(home, Part::Node { fanout, depth, cost, unborn: 0, alive: 0 }, rounds);
            }
            Kind::PingPong { peer, cost } => {
                self.add(&peer, Part::Returner { cost, peer: number + 1, played: false }, rounds);
                self.add(home, Part::Opener { cost, peer: number, played: false }, rounds);
            }
            Kind::FanIn { from, cost } => {
                let producers = from.len() as u32;
                self.add(home, Part::Consumer { cost, producers, left: 0 }, rounds);
                for name in &from {
                    self.add(name, Part::Producer { cost, consumer: number, sent: false }, rounds);
                }
            }
            other => debug_assert!(other.needs_runtime(), "{other:?} has a part for each task"),
        }
    }
}

impl Actor {
    /// The partitions it names besides its own.
    fn peers(&self) -> Vec<String> {
        match &self.kind {
            Kind::PingPong { peer, .. } => vec![peer.clone()],
            Kind::FanIn { from, .. } => from.clone(),
            _ => Vec::new(),
        }
    }

    /// What one copy will have done.
    fn totals(&self) -> Option<Totals> {
        let r = u64::from(self.rounds?);
        Some(match &self.kind {
            Kind::Hog { cost } => Totals::new(1, r, 0).spending(r, cost),
            Kind::Sleeper { burst, cost, .. } => {
                let handles = r * u64::from(*burst);
                Totals::new(1, 1 + handles, 0).spending(handles, cost)
            }
            Kind::Bursts { tasks, cost, .. } => {
                let born = r * u64::from(*tasks);
                Totals::new(1 + born, 1 + r + born, 0).spending(born, cost)
            }
            Kind::Churn { handles, cost, .. } => {
                let handles = r * u64::from(*handles);
                Totals::new(1 + r, 1 + r + handles, r).spending(handles, cost)
            }
            Kind::MassWake { tasks, cost, .. } => {
                let woken = r * u64::from(*tasks);
                let tasks = u64::from(*tasks) + 1;
                Totals::new(tasks, tasks * (1 + r), woken).spending(woken, cost)
            }
            Kind::Timers { tasks, cost, .. } => {
                let tasks = u64::from(*tasks);
                Totals::new(tasks, tasks * (1 + r), 0).spending(tasks * r, cost)
            }
            Kind::Tree { fanout, depth, cost } => {
                let below = descendants(u64::from(*fanout), *depth);
                if below == 0 {
                    return Some(Totals::new(1, r, 0).spending(r, cost));
                }
                let born = r.saturating_mul(below);
                let tasks = born.saturating_add(1);
                Totals::new(tasks, tasks.saturating_add(born), born)
                    .spending(r.saturating_add(born), cost)
            }
            Kind::PingPong { cost, .. } => Totals::new(2, 2 * (1 + r), 2 * r).spending(2 * r, cost),
            Kind::FanIn { from, cost } => {
                let producers = from.len() as u64;
                let sent = r * producers;
                Totals::new(1 + producers, 1 + 2 * sent, sent).spending(2 * sent, cost)
            }
            other => {
                debug_assert!(other.needs_runtime(), "what {other:?} does can be told");
                return None;
            }
        })
    }
}

/// How many descend from one task in a tree.
fn descendants(fanout: u64, depth: u32) -> u64 {
    (0..depth).fold(0, |below: u64, _| below.saturating_add(1).saturating_mul(fanout))
}

/// Names and numbers to a seed: FNV-1a, then mixed.
pub(super) fn seed_of(seed: u64, name: &str, place: usize) -> u64 {
    let start = mix(seed) ^ 0xcbf2_9ce4_8422_2325;
    let bytes = name.bytes().chain((place as u64).to_le_bytes());
    mix(bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
}

/// A step of SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
