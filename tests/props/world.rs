//! A dispatcher in virtual time: actors with scripts, and a record of what happened to them.
//!
//! Time advances by what handles cost and by naps, never by a clock. A wake falls anywhere within
//! a handle and is acted upon at its end, as on a real loop.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use evenloop::Budget;
use evenloop::sched::{
    Dispatcher, Ended, GroupId, Next, PartitionId, Settings, Step, Turn, Wake, Weight,
};
use proptest::prelude::*;

/// What one actor does with its partition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Is never without work.
    Hog,
    /// Naps for up to `nap`, wakes with up to `burst` handles, and naps when they are done.
    Sleeper { nap: u64, burst: usize },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) weight: u32,
    /// The costliest handle, `c` of the propositions. Half the handles cost that much, the rest
    /// anything.
    pub(crate) dearest: u64,
    pub(crate) kind: Kind,
    /// The group it is in, if any.
    pub(crate) group: Option<usize>,
}

/// A world to be run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) quantum: u64,
    pub(crate) slice: u64,
    pub(crate) newborns: u32,
    pub(crate) actors: Vec<Actor>,
    /// The weight of each group.
    pub(crate) groups: Vec<u32>,
    /// Newborns created at each handle boundary, each with one handle.
    pub(crate) flood: usize,
    /// What a newborn's handle costs at most.
    pub(crate) flood_dearest: u64,
    /// Whether weights change in the course.
    pub(crate) reweigh: bool,
    pub(crate) handles: usize,
    pub(crate) seed: u64,
    /// The identity, or a defect to be found.
    pub(crate) tweak: fn(Settings) -> Settings,
}

impl Plan {
    pub(crate) fn settings(&self) -> Settings {
        let budget = Budget::time(Duration::from_nanos(self.quantum));
        let settings = Settings::from(budget)
            .with_express_slice(self.slice)
            .with_newborns(self.newborns)
            .with_max_debt(Settings::MAX_DEBT);
        (self.tweak)(settings)
    }
}

pub(crate) fn intact(settings: Settings) -> Settings {
    settings
}

/// Any kind of actor.
pub(crate) fn actor() -> impl Strategy<Value = Actor> {
    let nap = (1..3_000u64, 1..6usize);
    let kind =
        prop_oneof![Just(Kind::Hog), nap.prop_map(|(nap, burst)| Kind::Sleeper { nap, burst }),];
    (1..5u32, dearest(), kind).prop_map(|(weight, dearest, kind)| Actor {
        weight,
        dearest,
        kind,
        group: None,
    })
}

/// From a sliver of the quantum to many of them.
fn dearest() -> impl Strategy<Value = u64> {
    prop_oneof![1..20u64, 20..200u64, 200..3_000u64]
}

pub(crate) fn hog() -> impl Strategy<Value = Actor> {
    (1..5u32, dearest()).prop_map(|(weight, dearest)| Actor {
        weight,
        dearest,
        kind: Kind::Hog,
        group: None,
    })
}

/// A flat world in which at least `hogs` actors are always busy.
pub(crate) fn plan(hogs: usize) -> impl Strategy<Value = Plan> {
    let actors = (prop::collection::vec(hog(), hogs), prop::collection::vec(actor(), 0..6));
    (actors, 1..100u64, 0..4u32, 0..2usize, 1..200u64, any::<u64>()).prop_map(
        |((mut actors, others), slice, newborns, flood, flood_dearest, seed)| {
            actors.extend(others);
            Plan {
                quantum: 100,
                slice,
                newborns,
                actors,
                groups: Vec::new(),
                flood,
                flood_dearest,
                reweigh: false,
                handles: 600,
                seed,
                tweak: intact,
            }
        },
    )
}

/// One actor's life so far.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) actor: Actor,
    pub(crate) id: PartitionId,
    pub(crate) allotment: u64,
    /// The least its allotment has been.
    pub(crate) allotment_min: u64,
    pub(crate) alive: bool,
    pushed: u64,
    ran: u64,
    woken: Option<Waiting>,
}

impl Life {
    /// How long it has been waiting for its first handle at `now`, if it is.
    pub(crate) fn waiting(&self, now: u64) -> Option<Wait> {
        let Waiting { since, lane_bound, churn_bound } = self.woken?;
        Some(Wait { waited: now - since, lane_bound, churn_bound })
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: u64,
    lane_bound: Option<u64>,
    churn_bound: Option<u64>,
}

/// One handle that ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) who: usize,
    pub(crate) cost: u64,
}

/// How long a partition that woke had to wait, and what it was promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) waited: u64,
    /// The promise to one that woke with allotment left.
    pub(crate) lane_bound: Option<u64>,
    /// The promise to one that owes a round at most.
    pub(crate) churn_bound: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dispatcher: Dispatcher<u64>,
    pub(crate) lives: Vec<Life>,
    pub(crate) trace: Vec<Ran>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) now: u64,
    /// The most steps a pick and a charge took, and a wake.
    pub(crate) turn_steps: u64,
    pub(crate) wake_steps: u64,
    groups: Vec<GroupId>,
    by_id: BTreeMap<PartitionId, usize>,
    /// When nappers wake.
    alarms: BTreeMap<(u64, usize), ()>,
    /// The express lane as it should be.
    lane: VecDeque<usize>,
    turn: Option<Turn>,
    /// The most the express turn that is out may cost in all.
    express_left: Option<u64>,
    /// Whose bucket turn was preempted: no other comes first, but for the lane.
    resumes: Option<usize>,
    random: u64,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut dispatcher = Dispatcher::new(plan.settings());
        let groups = plan.groups.iter().map(|weight| dispatcher.create_group(Weight::of(*weight)));
        let groups = groups.collect();
        let mut world = Self {
            plan: plan.clone(),
            dispatcher,
            lives: Vec::new(),
            trace: Vec::new(),
            waits: Vec::new(),
            now: 0,
            turn_steps: 0,
            wake_steps: 0,
            groups,
            by_id: BTreeMap::new(),
            alarms: BTreeMap::new(),
            lane: VecDeque::new(),
            turn: None,
            express_left: None,
            resumes: None,
            random: plan.seed,
        };
        for actor in &plan.actors {
            world.add(*actor);
        }
        for who in 0..world.lives.len() {
            world.wake(who, 0, 0);
        }
        world
    }

    /// Runs the plan's handles, looking at every boundary with `look`.
    pub(crate) fn run(
        plan: &Plan,
        mut look: impl FnMut(&Self) -> Result<(), TestCaseError>,
    ) -> Result<Self, TestCaseError> {
        let mut world = Self::new(plan);
        while world.trace.len() < plan.handles {
            world.advance()?;
            look(&world)?;
        }
        Ok(world)
    }

    fn add(&mut self, actor: Actor) -> usize {
        let group = actor.group.map(|group| self.groups[group]);
        let weight = Weight::of(actor.weight);
        let id = self.dispatcher.create(weight, group, None).expect("the group is there");
        let who = self.lives.len();
        let allotment = self.dispatcher.allotment(id).expect("just created");
        let (allotment_min, alive) = (allotment, true);
        let life =
            Life { actor, id, allotment, allotment_min, alive, pushed: 0, ran: 0, woken: None };
        self.lives.push(life);
        self.by_id.insert(id, who);
        who
    }

    /// Returns a number below `end`.
    pub(crate) fn random(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Runs one handle, or ends a turn, or naps.
    fn advance(&mut self) -> Result<(), TestCaseError> {
        let busy = self.lives.iter().any(|life| life.alive && life.pushed > life.ran);
        let before = self.dispatcher.steps();
        let held = self.turn.take();
        let fresh_pick = held.is_none();
        let turn = held.or_else(|| self.dispatcher.pick());
        prop_assert_eq!(turn.is_some(), busy, "P7: a pick exactly while there is work");
        let Some(turn) = turn else { return self.nap() };
        let who = self.by_id[&turn.partition()];
        if fresh_pick {
            self.began(who, &turn)?;
        }
        let Step::Run(handle) = self.dispatcher.step(&turn) else {
            return Err(TestCaseError::fail("a turn without a handle"));
        };
        let picked = self.dispatcher.steps() - before;
        prop_assert_eq!(handle, self.lives[who].ran, "P0: handles leave as they came");
        self.lives[who].ran += 1;
        self.waits.extend(self.lives[who].waiting(self.now));
        self.lives[who].woken = None;
        let cost = self.cost(who);
        self.now += cost;
        self.trace.push(Ran { who, cost });
        self.happen(who, cost);
        let before = self.dispatcher.steps();
        let next = self.dispatcher.charge(turn, cost);
        self.turn_steps = self.turn_steps.max(picked + self.dispatcher.steps() - before);
        match next {
            Next::Continues(turn) => self.turn = Some(turn),
            Next::Ended(ended) => {
                self.resumes = (ended == Ended::Preempted).then_some(who).or(self.resumes);
                self.ended(who);
            }
        }
        Ok(())
    }

    fn began(&mut self, who: usize, turn: &Turn) -> Result<(), TestCaseError> {
        let flat = self.plan.groups.is_empty();
        if flat && turn.is_express() && turn.is_fresh() {
            prop_assert_eq!(
                self.lane.pop_front(),
                Some(who),
                "the lane is first come first served"
            );
            self.express_left = Some(self.lane_share(who));
        } else if !turn.is_express() {
            self.express_left = None;
            let resumed = self.resumes.take();
            if flat {
                prop_assert_eq!(turn.is_fresh(), resumed.is_none());
                prop_assert!(resumed.is_none_or(|it| it == who), "a preempted turn is next");
            }
        }
        Ok(())
    }

    /// The most one entry of the lane may cost those behind it.
    fn lane_share(&self, who: usize) -> u64 {
        let life = &self.lives[who];
        let spent = self.dispatcher.tag(life.id).expect("it is in the lane").spent;
        (life.allotment - spent).min(self.plan.slice) + life.actor.dearest
    }

    fn cost(&mut self, who: usize) -> u64 {
        let dearest = self.lives[who].actor.dearest;
        if self.random(2) == 0 { dearest } else { 1 + self.random(dearest) }
    }

    /// What happened while the handle ran that has just taken `cost`.
    fn happen(&mut self, who: usize, cost: u64) {
        if matches!(self.lives[who].actor.kind, Kind::Hog) {
            self.push(who, 1);
        }
        while let Some(((at, napper), ())) =
            self.alarms.first_key_value().map(|(key, ())| (*key, ()))
        {
            if at > self.now {
                break;
            }
            self.alarms.remove(&(at, napper));
            self.wake(napper, at, cost);
        }
        for _ in 0..self.plan.flood {
            let kind = Kind::Sleeper { nap: 0, burst: 1 };
            let dearest = self.plan.flood_dearest;
            let newborn = self.add(Actor { weight: 1, dearest, kind, group: None });
            self.wake(newborn, self.now, cost);
        }
        if self.plan.reweigh && self.random(4) == 0 {
            let whose = self.random(self.plan.actors.len() as u64) as usize;
            let weight = Weight::of(1 + self.random(6) as u32);
            let life = &mut self.lives[whose];
            self.dispatcher.set_weight(life.id, weight);
            life.allotment = self.dispatcher.allotment(life.id).expect("it is there");
            life.allotment_min = life.allotment_min.min(life.allotment);
        }
    }

    fn push(&mut self, who: usize, handles: u64) -> bool {
        let life = &mut self.lives[who];
        let mut roused = false;
        for _ in 0..handles {
            let wake = self.dispatcher.push(life.id, life.pushed).expect("it is there");
            roused |= wake == Wake::Roused;
            life.pushed += 1;
        }
        roused
    }

    /// Wakes an actor at the time `at`, within a handle that costs `running`.
    fn wake(&mut self, who: usize, at: u64, running: u64) {
        let burst = match self.lives[who].actor.kind {
            Kind::Hog => 1,
            Kind::Sleeper { burst, .. } => 1 + self.random(burst as u64),
        };
        let before = self.dispatcher.steps();
        let roused = self.push(who, burst);
        if !roused {
            return;
        }
        self.wake_steps = self.wake_steps.max(self.dispatcher.steps() - before);
        if self.plan.groups.is_empty() {
            self.promise(who, at, running);
        }
    }

    fn promise(&mut self, who: usize, at: u64, running: u64) {
        let tag = self.dispatcher.tag(self.lives[who].id).expect("just woken");
        let rho = tag.round - self.dispatcher.round() + 1;
        let lane_bound = (rho == 1).then(|| {
            // An express turn that is out counts as an entry ahead; any other is preempted.
            let current = self.express_left.unwrap_or(running);
            current + self.lane.iter().map(|ahead| self.lane_share(*ahead)).sum::<u64>()
        });
        let churn_bound = (rho <= 2).then(|| running + self.churn_sum(who, rho));
        if rho == 1 {
            self.lane.push_back(who);
        }
        self.lives[who].woken = Some(Waiting { since: at, lane_bound, churn_bound });
    }

    /// What all that exists and all that may still be created can take before `who` runs.
    fn churn_sum(&self, who: usize, rho: u64) -> u64 {
        let others =
            self.lives.iter().enumerate().filter(|(other, life)| life.alive && *other != who);
        let existing = others.map(|(_, life)| rho * life.allotment + life.actor.dearest);
        let newborn = rho * self.plan.quantum + self.plan.flood_dearest;
        existing.sum::<u64>() + u64::from(self.plan.newborns) * rho * newborn
    }

    fn ended(&mut self, who: usize) {
        let life = &mut self.lives[who];
        if self.dispatcher.is_runnable(life.id) {
            return;
        }
        let Kind::Sleeper { nap, .. } = life.actor.kind else {
            unreachable!("a hog is never idle")
        };
        if nap > 0 {
            let wakes = self.now + self.random(nap);
            self.alarms.insert((wakes, who), ());
            return;
        }
        life.alive = false;
        let left = self.dispatcher.remove(life.id).expect("it is there");
        assert!(left.is_empty());
        self.by_id.remove(&life.id);
    }

    fn nap(&mut self) -> Result<(), TestCaseError> {
        let Some((&(at, napper), ())) = self.alarms.first_key_value() else {
            return Err(TestCaseError::reject("nobody has work, ever"));
        };
        self.alarms.remove(&(at, napper));
        self.now = self.now.max(at);
        self.express_left = None;
        self.wake(napper, self.now, 0);
        Ok(())
    }

    /// The actors that were never without work.
    pub(crate) fn hogs(&self) -> impl Iterator<Item = (usize, &Life)> {
        self.lives.iter().enumerate().filter(|(_, life)| matches!(life.actor.kind, Kind::Hog))
    }
}
