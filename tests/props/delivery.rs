//! How readiness and deadlines reach partitions: P10 and P11.
//!
//! A small host of all three parts: it harvests at handle boundaries, once a period, and delivers
//! to a partition in that partition's turn, a batch at a time.

use std::time::Duration;

use evenloop::Budget;
use evenloop::sched::{
    Direction, Dispatcher, Next, PartitionId, Readiness, RegistrationId, Settings, Step, Timers,
    Timestamp, Turn, Weight,
};
use proptest::prelude::*;

const PERIOD: u64 = 100;
const BATCH: usize = 8;
/// What it costs to deliver one of them.
const DELIVERY: u64 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Whether it always has a handle queued.
    hog: bool,
    /// What its costliest handle takes.
    dearest: u64,
    /// When its registrations become ready; several at one time are a burst.
    ready: Vec<(u64, usize)>,
    /// When its timers are due.
    deadlines: Vec<(u64, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) members: Vec<Member>,
    pub(crate) tweak: fn(Settings) -> Settings,
    /// Whether a harvest delivers to all partitions: a defect.
    pub(crate) to_all: bool,
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let bursts = || prop::collection::vec((0..20_000u64, 1..60usize), 0..8);
    let member = (any::<bool>(), 1..300u64, bursts(), bursts())
        .prop_map(|(hog, dearest, ready, deadlines)| Member { hog, dearest, ready, deadlines });
    prop::collection::vec(member, 1..6).prop_map(|members| Plan {
        members,
        tweak: |settings| settings,
        to_all: false,
    })
}

/// Something that became ready while its partition was idle, and when that was noticed.
struct Noticed {
    ready: u64,
    noticed: u64,
}

struct Host {
    dispatcher: Dispatcher<()>,
    readiness: Readiness<()>,
    timers: Timers<u64>,
    ids: Vec<PartitionId>,
    members: Vec<Member>,
    /// Still to become ready, the soonest last.
    coming: Vec<(u64, RegistrationId)>,
    to_all: bool,
    now: u64,
    harvested: u64,
    /// For each member: handles queued at its last delivery, and run since.
    since: Vec<(usize, usize)>,
    /// For each member: when due timers were last taken.
    taken: Vec<u64>,
    noticed: Vec<Noticed>,
    delivered: usize,
    expected: usize,
}

impl Host {
    fn new(plan: &Plan) -> Self {
        let budget = Budget::time(Duration::from_nanos(100));
        let settings = (plan.tweak)(Settings::from(budget).with_express_slice(25));
        let mut host = Self {
            dispatcher: Dispatcher::new(settings),
            readiness: Readiness::new(),
            timers: Timers::new(),
            ids: Vec::new(),
            members: plan.members.clone(),
            coming: Vec::new(),
            to_all: plan.to_all,
            now: 0,
            harvested: 0,
            since: vec![(0, 0); plan.members.len()],
            taken: vec![0; plan.members.len()],
            noticed: Vec::new(),
            delivered: 0,
            expected: 0,
        };
        for member in &plan.members {
            host.add(member);
        }
        host.coming.sort_by(|a, b| b.cmp(a));
        host
    }

    fn add(&mut self, member: &Member) {
        let id = self.dispatcher.create(Weight::ONE, None, None).expect("no group was named");
        self.ids.push(id);
        self.dispatcher.mark(id, true);
        for &(at, burst) in &member.ready {
            for _ in 0..burst {
                let source = self.readiness.register(id, ());
                self.coming.push((at, source));
            }
        }
        for &(at, burst) in &member.deadlines {
            for _ in 0..burst {
                self.timers.insert(id, Timestamp::from_nanos(at), at);
            }
        }
        self.expected = self.coming.len() + self.timers.len();
        if member.hog {
            self.dispatcher.push(id, ()).expect("just created");
        }
    }

    fn run(&mut self) -> Result<(), TestCaseError> {
        self.harvest();
        while self.delivered < self.expected {
            let Some(turn) = self.dispatcher.pick() else {
                self.sleep();
                continue;
            };
            self.serve(turn)?;
        }
        prop_assert!(self.timers.is_empty());
        Ok(())
    }

    fn serve(&mut self, mut turn: Turn) -> Result<(), TestCaseError> {
        loop {
            let who = self.who(turn.partition());
            let next = match self.dispatcher.step(&turn) {
                Step::Run(()) => self.handle(who, turn)?,
                Step::Deliver => {
                    let before = self.now;
                    let more = self.deliver(who, BATCH);
                    self.dispatcher.spend(&turn, self.now - before);
                    let next = self.dispatcher.delivered(turn, more);
                    self.since[who] = (self.dispatcher.queue_len(self.ids[who]), 0);
                    next
                }
                Step::Dry => Next::Ended(self.dispatcher.finish(turn, 0)),
            };
            if self.now >= self.harvested + PERIOD {
                self.harvest();
            }
            match next {
                Next::Continues(same) if self.delivered < self.expected => turn = same,
                _ => return Ok(()),
            }
        }
    }

    fn handle(&mut self, who: usize, turn: Turn) -> Result<Next, TestCaseError> {
        let id = self.ids[who];
        let (queued, ran) = &mut self.since[who];
        *ran += 1;
        let waits = self.readiness.has_pending(id) || self.timers.is_due(id);
        prop_assert!(!waits || *ran <= *queued, "P11: {ran} handles of {queued} before delivery");
        let cost = self.members[who].dearest;
        self.now += cost;
        if self.members[who].hog && self.dispatcher.queue_len(id) == 0 {
            self.dispatcher.push(id, ()).expect("it is there");
        }
        Ok(self.dispatcher.charge(turn, cost))
    }

    /// Delivers to one partition; what it gets is a handle each.
    fn deliver(&mut self, who: usize, batch: usize) -> bool {
        let id = self.ids[who];
        let (mut ready, mut due) = (Vec::new(), Vec::new());
        let now = Timestamp::from_nanos(self.now);
        let more_ready = self.readiness.take(id, batch, &mut ready);
        let more_due = self.timers.take_due(id, now, batch, &mut due);
        self.taken[who] = self.now;
        for _ in 0..ready.len() + due.len() {
            self.now += DELIVERY;
            self.delivered += 1;
            self.dispatcher.push(id, ()).expect("it is there");
        }
        more_ready || more_due
    }

    fn harvest(&mut self) {
        let before = std::mem::replace(&mut self.harvested, self.now);
        while self.coming.last().is_some_and(|coming| coming.0 <= self.now) {
            let (at, source) = self.coming.pop().expect("just seen");
            if let Some(owner) = self.readiness.mark(source, Direction::Read) {
                self.notice(owner, at);
            }
        }
        let mut due = Vec::new();
        self.timers.mark_due(Timestamp::from_nanos(self.now), |owner, _| due.push(owner));
        for owner in due {
            // What was due at the last harvest was noticed then, and what was due at the last
            // delivery is gone.
            let who = self.who(owner);
            let before = before.max(self.taken[who]);
            let deadlines = self.members[who].deadlines.iter().map(|deadline| deadline.0);
            let since = deadlines.filter(|at| *at > before);
            let ready = since.min().unwrap_or(self.now).min(self.now);
            self.notice(owner, ready);
        }
        if self.to_all {
            for who in 0..self.ids.len() {
                self.deliver(who, usize::MAX);
            }
        }
    }

    fn notice(&mut self, owner: PartitionId, ready: u64) {
        if !self.dispatcher.is_runnable(owner) {
            self.noticed.push(Noticed { ready, noticed: self.now });
        }
        self.dispatcher.rouse(owner);
    }

    fn sleep(&mut self) {
        let fd = self.coming.last().map(|coming| coming.0);
        let timer = self.timers.earliest().map(Timestamp::as_nanos);
        let next = fd.into_iter().chain(timer).min().expect("something is still to come");
        self.now = self.now.max(next);
        self.harvest();
    }

    fn who(&self, id: PartitionId) -> usize {
        self.ids.iter().position(|other| *other == id).expect("it is there")
    }
}

/// A ready source or due timer of an idle partition becomes a wake within one harvest period and
/// one handle, a batch of deliveries counting as one. Up to 0.98 of the bound has been seen.
pub(crate) fn p10(plan: &Plan) -> Result<(), TestCaseError> {
    let mut host = Host::new(plan);
    host.run()?;
    let dearest = plan.members.iter().map(|member| member.dearest).max().unwrap_or(0);
    let bound = PERIOD + dearest.max(2 * BATCH as u64 * DELIVERY);
    for Noticed { ready, noticed } in host.noticed {
        prop_assert!(noticed - ready <= bound, "{} of {}", noticed - ready, bound);
    }
    Ok(())
}

/// Readiness is delivered after at most the handles that were queued at the last delivery, and
/// none of it is lost.
pub(crate) fn p11(plan: &Plan) -> Result<(), TestCaseError> {
    Host::new(plan).run()
}
