//! A loop in miniature: the pure dispatcher in virtual time, told to a recorder as the loop's core
//! tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::Budget;
use crate::sched::{
    Creator, Dispatcher, Ended, GroupId, Next, PartitionId, Settings, Step, Turn, Wake, Weight,
};
use crate::sim::Trace;
use crate::trace::{NO_TASK, Recorder, What};

/// What one actor does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Is never without work.
    Hog,
    /// Naps for up to so long, then has up to so many handles to run.
    Sleeper { nap: u64, burst: u64 },
    /// Waits for a source that is ready again up to so long after it was read.
    Reader { nap: u64 },
    /// Makes a partition with each handle, which runs one handle and ends; then naps.
    Maker { nap: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) weight: u32,
    pub(crate) group: Option<usize>,
    /// What its costliest handle takes.
    pub(crate) dearest: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) budget: Budget,
    pub(crate) slice: Option<u64>,
    pub(crate) newborns: u32,
    pub(crate) actors: Vec<Actor>,
    /// The weights of the groups.
    pub(crate) groups: Vec<u32>,
    /// Partitions made from outside at each handle boundary, each for one handle.
    pub(crate) flood: u32,
    /// Whether weights change.
    pub(crate) reweigh: bool,
    pub(crate) handles: usize,
    pub(crate) seed: u64,
    /// The identity, or a defect.
    pub(crate) tweak: fn(Settings) -> Settings,
}

/// The harvest period.
const PERIOD: u64 = 100;

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let nanos = Duration::from_nanos;
    let budget = prop_oneof![
        Just(Budget::time(nanos(100))),
        (1..10u32).prop_map(Budget::handles),
        (1..10u32).prop_map(move |handles| Budget::new(handles, nanos(100))),
    ];
    let dearest = prop_oneof![1..20u64, 20..200u64, 200..3_000u64, Just(9_000)];
    let kind = prop_oneof![
        3 => Just(Kind::Hog),
        2 => (1..3_000u64, 1..6u64).prop_map(|(nap, burst)| Kind::Sleeper { nap, burst }),
        1 => (1..3_000u64).prop_map(|nap| Kind::Reader { nap }),
        1 => (1..3_000u64).prop_map(|nap| Kind::Maker { nap }),
    ];
    let actor = (1..5u32, prop::option::of(0..3usize), dearest, kind)
        .prop_map(|(weight, group, dearest, kind)| Actor { weight, group, dearest, kind });
    let actors = prop::collection::vec(actor, 1..8);
    let groups = prop::collection::vec(1..4u32, 3);
    let slice = prop::option::of(1..100u64);
    let flood = prop_oneof![4 => Just(0u32), 1 => 1..3u32];
    (budget, slice, 0..4u32, actors, groups, (flood, prop::bool::weighted(0.2)), any::<u64>())
        .prop_map(|(budget, slice, newborns, actors, groups, (flood, reweigh), seed)| Plan {
            budget,
            slice,
            newborns,
            actors,
            groups,
            flood,
            reweigh,
            handles: 500,
            seed,
            tweak: |settings| settings,
        })
}

/// Runs a plan and returns what was recorded.
pub(crate) fn run(plan: &Plan) -> Trace {
    let mut world = World::new(plan);
    while world.ran < plan.handles && world.advance() {}
    world.record(None, NO_TASK, What::Stop);
    Trace::of(world.recorder.so_far())
}

struct Life {
    id: PartitionId,
    actor: Actor,
    /// What it has been given to run.
    queued: u64,
    alive: bool,
}

struct World {
    plan: Plan,
    dispatcher: Dispatcher<u64>,
    recorder: Recorder,
    groups: Vec<GroupId>,
    lives: Vec<Life>,
    by_id: BTreeMap<PartitionId, usize>,
    /// When naps end.
    alarms: BTreeMap<(u64, usize), ()>,
    /// When sources become ready, of those that wait.
    sources: BTreeMap<(u64, usize), ()>,
    now: u64,
    harvested: u64,
    tasks: u64,
    ran: usize,
    turn: Option<Turn>,
    /// Made and roused by the running handle.
    unborn: Vec<(usize, bool)>,
    inside: bool,
    /// Somebody was roused after the running turn was last settled.
    overtaken: bool,
    random: u64,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let mut settings = Settings::from(plan.budget).with_newborns(plan.newborns);
        if let Some(slice) = plan.slice {
            settings = settings.with_express_slice(slice);
        }
        let settings = (plan.tweak)(settings);
        let mut recorder = Recorder::new(settings, usize::MAX);
        recorder.set_harvest_period(PERIOD);
        let mut dispatcher = Dispatcher::new(settings);
        recorder.describe(0, dispatcher.root(), "ROOT", Weight::ONE, None);
        let mut groups = Vec::new();
        for (n, weight) in plan.groups.iter().enumerate() {
            let group = dispatcher.create_group(Weight::of(*weight));
            recorder.describe_group(0, group, &format!("group {n}"), Weight::of(*weight));
            groups.push(group);
        }
        let mut world = Self {
            plan: plan.clone(),
            dispatcher,
            recorder,
            groups,
            lives: Vec::new(),
            by_id: BTreeMap::new(),
            alarms: BTreeMap::new(),
            sources: BTreeMap::new(),
            now: 0,
            harvested: 0,
            tasks: 0,
            ran: 0,
            turn: None,
            unborn: Vec::new(),
            inside: false,
            overtaken: false,
            random: plan.seed,
        };
        for actor in &plan.actors {
            let who = world.create(*actor, None);
            world.start(who);
        }
        world
    }

    fn create(&mut self, actor: Actor, creator: Option<Creator>) -> usize {
        let group = actor.group.map(|group| self.groups[group]);
        let weight = Weight::of(actor.weight);
        let id = self.dispatcher.create(weight, group, creator).expect("the group is there");
        let who = self.lives.len();
        self.lives.push(Life { id, actor, queued: 0, alive: true });
        self.by_id.insert(id, who);
        self.recorder.describe(self.now, id, &format!("actor {who}"), weight, group);
        if creator.is_some() {
            self.unborn.push((who, false));
        }
        who
    }

    fn start(&mut self, who: usize) {
        match self.lives[who].actor.kind {
            Kind::Hog | Kind::Maker { .. } => self.push(who, 1),
            Kind::Sleeper { burst, .. } => {
                let burst = 1 + self.below(burst);
                self.push(who, burst);
            }
            Kind::Reader { nap } => {
                self.dispatcher.mark(self.lives[who].id, true);
                let at = self.now + self.below(nap);
                self.sources.insert((at, who), ());
            }
        }
    }

    fn record(&mut self, who: Option<usize>, task: u64, what: What) {
        match who {
            Some(who) => self.recorder.record(self.now, self.lives[who].id, task, what),
            None => self.recorder.record_loop(self.now, what),
        }
    }

    fn push(&mut self, who: usize, handles: u64) {
        for _ in 0..handles {
            self.tasks += 1;
            let task = self.tasks;
            let wake = self.dispatcher.push(self.lives[who].id, task).expect("it is there");
            self.lives[who].queued += 1;
            self.record(Some(who), task, What::Wake);
            self.woken(who, wake);
        }
    }

    fn woken(&mut self, who: usize, wake: Wake) {
        if wake != Wake::Roused {
            return;
        }
        self.overtaken = true;
        match self.unborn.iter_mut().find(|unborn| unborn.0 == who) {
            Some(unborn) => unborn.1 = true,
            None => self.lined_up(who),
        }
    }

    fn lined_up(&mut self, who: usize) {
        let id = self.lives[who].id;
        let sched = &self.dispatcher;
        let tag = sched.tag(id).expect("it is there");
        let ahead = (tag.round - sched.round_of(id).expect("it is there")) as u32;
        let left = sched.allotment(id).expect("it is there") - tag.spent;
        let group = sched.group_of(id).map(|group| {
            let tag = sched.group_tag(group).expect("it is there");
            let left = sched.group_allotment(group).expect("it is there") - tag.spent;
            What::GroupStands { ahead: (tag.round - sched.round()) as u32, left }
        });
        self.record(Some(who), NO_TASK, What::Roused { ahead, left });
        if let Some(stands) = group {
            self.record(Some(who), NO_TASK, stands);
        }
    }

    fn charged(&mut self) {
        self.inside = false;
        for (who, roused) in std::mem::take(&mut self.unborn) {
            if roused {
                self.lined_up(who);
            }
        }
    }

    /// Takes one step; returns whether anything is left to do.
    fn advance(&mut self) -> bool {
        let turn = match self.turn.take() {
            Some(turn) if self.overtaken && self.dispatcher.queue_len(turn.partition()) > 0 => {
                self.overtaken = false;
                let who = self.by_id[&turn.partition()];
                let next = self.dispatcher.charge(turn, 0);
                self.go_on(who, next);
                return true;
            }
            Some(turn) => turn,
            None => match self.dispatcher.pick() {
                Some(turn) => {
                    let who = self.by_id[&turn.partition()];
                    let (express, fresh) = (turn.is_express(), turn.is_fresh());
                    self.record(Some(who), NO_TASK, What::Turn { express, fresh });
                    turn
                }
                None => return self.sleep(),
            },
        };
        let who = self.by_id[&turn.partition()];
        match self.dispatcher.step(&turn) {
            Step::Run(task) => self.handle(who, task, turn),
            Step::Deliver => self.deliver(who, turn),
            Step::Dry => {
                let ended = self.dispatcher.finish(turn, 0);
                self.ended(who, ended);
            }
        }
        true
    }

    fn handle(&mut self, who: usize, task: u64, turn: Turn) {
        self.record(Some(who), task, What::Run);
        self.inside = true;
        self.ran += 1;
        let dearest = self.lives[who].actor.dearest;
        let takes = if self.below(2) == 0 { dearest } else { self.below(dearest) };
        let end = self.now + takes;
        if let Kind::Maker { .. } = self.lives[who].actor.kind {
            self.make(who);
        }
        self.alarms_until(end);
        self.now = end;
        self.act(who);
        self.lives[who].queued -= 1;
        self.record(Some(who), task, What::Ran);
        let cost = self.dispatcher.settings().price_nanos(takes);
        self.overtaken = false;
        let next = self.dispatcher.charge(turn, cost);
        self.charged();
        self.go_on(who, next);
        if self.now >= self.harvested + PERIOD {
            self.harvest();
        }
    }

    /// What a handle leaves behind, at its end.
    fn act(&mut self, who: usize) {
        match self.lives[who].actor.kind {
            Kind::Hog => self.push(who, 1),
            Kind::Reader { nap } => {
                let at = self.now + 1 + self.below(nap);
                self.sources.insert((at, who), ());
            }
            Kind::Sleeper { .. } | Kind::Maker { .. } => {}
        }
        for _ in 0..self.plan.flood {
            let kind = Kind::Sleeper { nap: 0, burst: 1 };
            let newborn = self.create(Actor { weight: 1, group: None, dearest: 30, kind }, None);
            self.push(newborn, 1);
        }
        if self.plan.reweigh && self.below(4) == 0 {
            let whose = self.below(self.plan.actors.len() as u64) as usize;
            let weight = Weight::of(1 + self.below(5) as u32);
            self.dispatcher.set_weight(self.lives[whose].id, weight);
            self.record(Some(whose), NO_TASK, What::Weight(weight.get()));
        }
    }

    fn make(&mut self, who: usize) {
        let maker = self.lives[who].id;
        let group = match self.below(3) {
            0 => None,
            1 => self.lives[who].actor.group,
            _ => Some(self.below(self.groups.len() as u64) as usize),
        };
        let dearest = 1 + self.below(400);
        let kind = Kind::Sleeper { nap: 0, burst: 1 };
        let creator = Some(Creator { partition: maker, spent: 0 });
        let child = self.create(Actor { weight: 1, group, dearest, kind }, creator);
        self.push(child, 1);
    }

    fn alarms_until(&mut self, end: u64) {
        while let Some(&(at, who)) = self.alarms.keys().next().filter(|(at, _)| *at <= end) {
            self.alarms.remove(&(at, who));
            self.now = self.now.max(at);
            self.start(who);
        }
    }

    fn deliver(&mut self, who: usize, turn: Turn) {
        let read: Vec<(u64, usize)> = self
            .sources
            .keys()
            .filter(|it| it.1 == who && it.0 <= self.harvested)
            .copied()
            .collect();
        self.record(Some(who), NO_TASK, What::Deliver { wakes: read.len() as u32 });
        for source in &read {
            self.sources.remove(source);
            self.push(who, 1);
        }
        let next = self.dispatcher.delivered(turn, false);
        self.go_on(who, next);
    }

    fn harvest(&mut self) {
        let before = std::mem::replace(&mut self.harvested, self.now);
        self.record(None, NO_TASK, What::Harvest { events: 0 });
        let ready: Vec<(u64, usize)> =
            self.sources.keys().filter(|it| before < it.0 && it.0 <= self.now).copied().collect();
        for (at, who) in ready {
            self.record(Some(who), NO_TASK, What::Ready { since: Duration::from_nanos(at) });
            if let Some(wake) = self.dispatcher.rouse(self.lives[who].id) {
                self.woken(who, wake);
            }
        }
    }

    fn sleep(&mut self) -> bool {
        let alarm = self.alarms.keys().next().map(|it| it.0);
        let source = self.sources.keys().find(|it| it.0 > self.harvested).map(|it| it.0);
        let Some(next) = alarm.into_iter().chain(source).min() else { return false };
        let until = Some(Duration::from_nanos(next));
        self.record(None, NO_TASK, What::Sleep { until });
        self.now = self.now.max(next);
        self.alarms_until(next);
        self.harvest();
        true
    }

    fn go_on(&mut self, who: usize, next: Next) {
        match next {
            Next::Continues(turn) => self.turn = Some(turn),
            Next::Ended(ended) => self.ended(who, ended),
        }
    }

    fn ended(&mut self, who: usize, ended: Ended) {
        self.record(Some(who), NO_TASK, What::TurnEnd(ended.into()));
        if ended != Ended::Idle || self.lives[who].queued > 0 {
            return;
        }
        match self.lives[who].actor.kind {
            Kind::Sleeper { nap: 0, .. } => {
                let life = &mut self.lives[who];
                if std::mem::take(&mut life.alive) {
                    let left = self.dispatcher.remove(life.id).expect("it is there");
                    assert!(left.is_empty());
                    self.record(Some(who), NO_TASK, What::Freed);
                }
            }
            Kind::Sleeper { nap, .. } | Kind::Maker { nap } => {
                let at = self.now + self.below(nap);
                self.alarms.insert((at, who), ());
            }
            Kind::Hog | Kind::Reader { .. } => {}
        }
    }

    /// Returns a number below `end`, or 0.
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}
