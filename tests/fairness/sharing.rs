//! Who gets how much: I, P3, P4, P9, P13 and PH.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use evenloop::sched::Settings;
use evenloop::sim::workload::{self, millis, nanos};
use evenloop::sim::{self, Builder, Runtime, Trace, What, oracle};
use evenloop::{Budget, JoinHandle, Partition, spawn_in};
use proptest::prelude::*;

use crate::fairness::suite::{
    Case, Judged, Setting, budgets, everything, play, timed_budgets, under,
};

pub(crate) fn i_cases() -> impl Strategy<Value = Case> + Clone {
    let long = workload::any().and(workload::upheavals()).cost(nanos(0)..=millis(5));
    under(budgets(), prop_oneof![everything(), long])
}

/// I: nobody is behind, and nobody far ahead. `R ≤ φ_i < R + 1 + c_i/Q_i`, as far as a trace shows
/// it: at every wake, and up to the turn that follows. `c_i` is the costliest handle and the
/// costliest delivery, which may come in one turn, and whatever the maker had to bear.
pub(crate) fn i(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    let mut rounds = Rounds::new(*trace.settings());
    for event in trace.events() {
        rounds.read(&event, judged);
    }
}

/// A partition or a group, as far as its tag goes.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    group: Option<u32>,
    /// The least its allotment has been.
    allotment: f64,
    /// The costliest handle and the costliest delivery, in cost units.
    handle: u64,
    delivery: u64,
    /// What its maker may have handed on, in rounds.
    inherited: f64,
    /// The round at the root it is entitled to be served in, while it waits for that.
    waits_for: Option<u64>,
}

impl Standing {
    /// How far it may be ahead, in rounds.
    fn ahead_max(&self) -> f64 {
        1.0 + self.overdraft()
    }

    fn overdraft(&self) -> f64 {
        ((self.handle + self.delivery) as f64 / self.allotment).max(self.inherited)
    }
}

struct Rounds {
    settings: Settings,
    round: u64,
    partitions: BTreeMap<u32, Standing>,
    groups: BTreeMap<u32, Standing>,
    /// Whose turn it is.
    turn: Option<u32>,
    /// When what runs began: a handle, or else a delivery.
    began: Option<(Duration, bool)>,
    /// What it has made.
    children: Vec<u32>,
}

impl Rounds {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            round: 0,
            partitions: BTreeMap::new(),
            groups: BTreeMap::new(),
            turn: None,
            began: None,
            children: Vec::new(),
        }
    }

    fn read(&mut self, event: &sim::Event<'_>, judged: &Judged) {
        let quantum = self.settings.quantum() as f64;
        let who = event.partition_number;
        if !matches!(event.what, What::Wake | What::Created { .. } | What::Weight(_)) {
            self.delivered(event.at);
        }
        match event.what {
            What::GroupCreated { group, weight } => {
                let allotment = f64::from(weight) * quantum;
                self.groups.insert(group, Standing { allotment, ..Standing::default() });
            }
            What::Created { weight, group } => {
                let allotment = f64::from(weight) * quantum;
                let who = who.expect("a partition was created");
                let made = Standing { group, allotment, ..Standing::default() };
                self.partitions.insert(who, made);
                self.children.extend(self.turn.map(|_| who));
            }
            What::Weight(weight) => {
                let one = self.one(who);
                one.allotment = one.allotment.min(f64::from(weight) * quantum);
            }
            What::Turn { .. } => {
                self.turn = who;
                self.one(who).waits_for = None;
            }
            What::TurnEnd(_) => self.turn = None,
            What::Freed => drop(self.partitions.remove(&who.expect("a partition was freed"))),
            What::Run => self.began = Some((event.at, true)),
            What::Deliver { .. } => self.began = Some((event.at, false)),
            What::Ran | What::Done => {
                let (since, _) = self.began.take().expect("it began");
                self.charge(event.at - since, true);
            }
            What::Round(round) => {
                self.round = round;
                let behind = self.partitions.iter();
                let mut behind = behind.filter(|(_, one)| one.waits_for.is_some_and(|t| t < round));
                let first = behind.next();
                assert!(first.is_none(), "I does not hold: {first:?} is behind, {event}");
            }
            What::Roused { ahead, left } => {
                let round = self.round + u64::from(ahead);
                let one = self.one(who);
                assert_ahead(one, ahead, left, event);
                one.waits_for = one.group.is_none().then_some(round);
                judged.add(1);
            }
            What::GroupStands { ahead, left } => {
                let group = self.one(who).group.expect("it is in a group");
                assert_ahead(&self.groups[&group], ahead, left, event);
            }
            _ => {}
        }
    }

    fn one(&mut self, who: Option<u32>) -> &mut Standing {
        let who = who.expect("the event is of a partition");
        self.partitions.get_mut(&who).expect("it was created")
    }

    /// A delivery is over when anything else happens than what it brings about.
    fn delivered(&mut self, at: Duration) {
        if let Some((since, false)) = self.began {
            self.began = None;
            self.charge(at - since, false);
        }
    }

    /// Notes what a handle or a delivery took, for whoever has the turn, its group, and what it made.
    fn charge(&mut self, took: Duration, is_handle: bool) {
        let Some(who) = self.turn else { return };
        let cost = self.settings.price(took);
        let Some(one) = self.partitions.get_mut(&who) else { return };
        let group = one.group.and_then(|group| self.groups.get_mut(&group));
        for standing in [Some(one), group].into_iter().flatten() {
            let most = if is_handle { &mut standing.handle } else { &mut standing.delivery };
            *most = cost.max(*most);
        }
        let one = self.partitions[&who];
        let at_root = one.group.map_or(one, |group| self.groups[&group]).overdraft();
        let own = one.overdraft();
        for child in std::mem::take(&mut self.children) {
            let Some(child) = self.partitions.get_mut(&child) else { continue };
            let Some(group) = child.group else {
                child.inherited = at_root;
                continue;
            };
            child.inherited = own;
            let group = self.groups.get_mut(&group).expect("it was created");
            group.inherited = group.inherited.max(at_root);
        }
    }
}

#[track_caller]
fn assert_ahead(one: &Standing, ahead: u32, left: u64, event: &sim::Event<'_>) {
    // Of the weight it has now, which may be more than it was.
    let spent = 1.0 - (left as f64 / one.allotment).min(1.0);
    let lead = f64::from(ahead) + spent;
    assert!(
        lead < one.ahead_max() + 1e-9,
        "I does not hold: {lead} rounds ahead, and {} are allowed: {event}, {one:?}",
        one.ahead_max()
    );
}

pub(crate) fn p3_cases() -> impl Strategy<Value = Case> + Clone {
    let hogs = workload::hogs().tenants(2..=8).actors(1..=2).rounds(20..=80);
    under(budgets(), hogs.groups(0))
}

/// P3: shares by weight. For i and j busy `|W_i/w_i − W_j/w_j| < 2Q + c_i/w_i + c_j/w_j` in any
/// window.
pub(crate) fn p3(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_lag_bounded(&trace);
    judged.add(turns(&trace));
}

pub(crate) fn p4_cases() -> impl Strategy<Value = Case> + Clone {
    let hogs = workload::hogs().and(workload::hogs()).and(workload::sleepers());
    let hogs = hogs.and(workload::bursty()).tenants(2..=8).actors(1..=2).rounds(20..=80);
    under(budgets(), hogs.groups(0))
}

/// P4: a rate and a latency. For i busy while T is served, of which A get any, `W_i ≥ r_i (T − Σ_A
/// c_j) − 2Q_i − c_i` with `r_i = w_i / Σ_A w_j`.
pub(crate) fn p4(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_share(&trace);
    judged.add(turns(&trace));
}

pub(crate) fn p9_cases() -> impl Strategy<Value = Case> + Clone {
    let sly = workload::sleepers().pause(nanos(1_000)..=nanos(200_000));
    let sly = sly.and(workload::hogs()).and(workload::bursty()).and(workload::churning());
    let loads = sly.tenants(2..=8).actors(1..=2).rounds(10..=60);
    let long = loads.clone().cost(nanos(0)..=millis(2));
    under(budgets(), prop_oneof![loads.groups(0), long])
}

/// P9: nobody gains by sleeping, bursting or yielding. For any i and j busy `W_i/Q_i − W_j/Q_j < 2 +
/// c_i/Q_i + c_j/Q_j` in any window.
pub(crate) fn p9(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_lag_bounded(&trace);
    judged.add(turns(&trace));
}

pub(crate) fn ph_cases() -> impl Strategy<Value = Case> + Clone {
    let hogs = workload::hogs().and(workload::hogs()).and(workload::sleepers());
    under(budgets(), hogs.tenants(3..=10).actors(1..=2).rounds(20..=60).groups(2))
}

/// PH: hierarchy. A busy member i of a busy group g has the rate `r_g · r_i`, and the latency `θ_g +
/// θ_i / r_g`, where each θ is P4's latency at its own level.
pub(crate) fn ph(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_hierarchy(&trace);
    let grouped = trace.events().filter(|event| matches!(event.what, What::GroupStands { .. }));
    judged.add(grouped.count());
}

/// All that the oracles know of, whatever the workload.
pub(crate) fn all(case: &Case, sim: &Runtime) {
    let (_, trace) = play(&case.load, sim);
    oracle::assert_all(&trace);
}

fn turns(trace: &Trace) -> usize {
    trace.events().filter(|event| matches!(event.what, What::Turn { .. })).count()
}

/// A line of partitions, each made by a handle of the one before, and a rival.
#[derive(Clone, Debug)]
pub(crate) struct Heirs {
    budget: Budget,
    /// Of each partition's only handle, in percent of the quantum; and whether it makes its heir
    /// before it works, or after.
    line: Vec<(u64, bool)>,
    /// Whether each is in a new group of its own.
    groups: bool,
    /// Of a handle, in percent of the quantum.
    rival: u64,
    weight: u32,
}

impl Setting for Heirs {
    fn configure(&self, builder: Builder) -> Builder {
        builder.budget(self.budget)
    }
}

pub(crate) fn heirs() -> impl Strategy<Value = Heirs> {
    // Not so long that any of it is forgiven.
    let cost = || prop_oneof![1..100_u64, 100..6_000_u64];
    let line = prop::collection::vec((cost(), any::<bool>()), 2..60);
    (timed_budgets(), line, any::<bool>(), 1..300_u64, 1..4_u32).prop_map(
        |(budget, line, groups, rival, weight)| Heirs { budget, line, groups, rival, weight },
    )
}

fn found(case: &Rc<Heirs>, quantum: u64, number: usize, over: Rc<Cell<bool>>) -> JoinHandle<()> {
    let name = format!("heir {number}");
    let builder = Partition::builder(&name);
    let partition = if case.groups { builder.group(&name).build() } else { builder.build() };
    let case = case.clone();
    partition.spawn(async move {
        let Some((percent, first)) = case.line.get(number).copied() else {
            over.set(true);
            return;
        };
        let cost = nanos(quantum * percent / 100);
        if first {
            drop(found(&case, quantum, number + 1, over));
            sim::spend(cost);
        } else {
            sim::spend(cost);
            drop(found(&case, quantum, number + 1, over));
        }
    })
}

/// P13: no laundering of debt. A line of partitions, each made by a handle of the one before, is
/// bound by P9 as if it were one: `W_i/Q_i − W_j/Q_j < 2 + c_i/Q_i + c_j/Q_j`, where i is the line
/// and j is busy.
pub(crate) fn p13(case: &Heirs, sim: &Runtime, judged: &Judged) {
    let settings = Settings::from(case.budget);
    let quantum = settings.quantum();
    let case = Rc::new(case.clone());
    sim.block_on(async {
        let over = Rc::new(Cell::new(false));
        let ends = over.clone();
        let rival = Partition::builder("rival").weight(case.weight).build();
        let cost = nanos((quantum * case.rival / 100).max(1));
        let rival = rival.spawn(async move {
            while !ends.get() {
                sim::burn(cost).await;
            }
        });
        spawn_in("founder", {
            let case = case.clone();
            async move {
                // The rival is busy from here on.
                evenloop::yield_now().await;
                drop(found(&case, quantum, 0, over));
            }
        });
        rival.await.expect("it burns to its end");
    });
    let services = services(&sim.trace());
    let dearest = |of: fn(&str) -> bool| {
        let costs = services.iter().filter(|(name, _)| of(name)).map(|(_, cost)| *cost);
        costs.max().unwrap_or(0) as f64
    };
    let is_heir = |name: &str| name.starts_with("heir");
    let is_rival = |name: &str| name == "rival";
    let (own, others) = (quantum as f64, quantum as f64 * f64::from(case.weight));
    let bound = 2.0 + dearest(is_heir) / own + dearest(is_rival) / others;
    let (mut gain, mut least) = (0.0, 0.0_f64);
    let begun = services.iter().position(|(name, _)| is_rival(name)).unwrap_or(services.len());
    for (name, cost) in &services[begun..] {
        if is_heir(name) {
            gain += *cost as f64 / own;
            judged.add(1);
        } else if is_rival(name) {
            gain -= *cost as f64 / others;
        }
        least = least.min(gain);
        assert!(
            gain - least < bound + 1e-9,
            "P13 does not hold: the line gained {} rounds on its rival, {bound} are allowed",
            gain - least
        );
    }
}

/// What ran, in order, and what it cost.
fn services(trace: &Trace) -> Vec<(String, u64)> {
    let (mut services, mut began) = (Vec::new(), Duration::ZERO);
    for event in trace.events() {
        match event.what {
            What::Run => began = event.at,
            What::Ran | What::Done => {
                let name = event.partition.expect("a handle is of a partition").to_owned();
                services.push((name, trace.settings().price(event.at - began)));
            }
            _ => {}
        }
    }
    services
}
