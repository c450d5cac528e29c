//! A trace as the rings see it: at the root partitions and groups are served, and in each group
//! its members. What is true of one ring is true of all, in the time that the ring was served.

use crate::sched::Settings;
use crate::sim::Trace;
use crate::sim::trace::{Change, Handle, Move};
use crate::trace::What;

/// Who shares in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Partition(u32),
    Group(u32),
}

/// One handle, as its ring sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    pub(super) member: u32,
    /// In cost units.
    pub(super) cost: u64,
    /// The handle's place among all.
    pub(super) handle: u32,
}

/// A time in which a member was runnable throughout, as a range of services.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) first: u32,
    pub(super) end: u32,
    /// When it began.
    pub(super) from: u64,
    /// The same range in the services of the root.
    pub(super) at_root: (u32, u32),
}

/// A range of services in which a member's weight did not change and none of its debt can have
/// been forgiven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era {
    pub(super) first: u32,
    pub(super) end: u32,
    pub(super) weight: u32,
    /// What a round grants, in cost units.
    pub(super) allotment: u64,
}

/// The most a member overdraws: a cost, in rounds of the allotment of its time.
#[derive(Clone, Copy, Debug)]
struct Overdraft {
    cost: u64,
    allotment: u64,
}

impl Overdraft {
    fn max(self, other: Self) -> Self {
        let left = u128::from(self.cost) * u128::from(other.allotment);
        let right = u128::from(other.cost) * u128::from(self.allotment);
        if left >= right { self } else { other }
    }
}

/// One that shares in a ring.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) who: Who,
    /// Its services, by their places in the ring.
    pub(super) services: Vec<u32>,
    /// What it was served before each of them, and in all.
    pub(super) served: Vec<u64>,
    pub(super) busy: Vec<Stretch>,
    pub(super) eras: Vec<Era>,
    /// What its costliest handle cost, and its costliest delivery, which may come on top.
    pub(super) dearest: u64,
    pub(super) delivery: u64,
    /// The lowest and the highest of its allotments.
    pub(super) allotment_min: u64,
    pub(super) allotment_max: u64,
    overdraft: Overdraft,
}

impl Member {
    /// What it may have overdrawn, or inherited, in cost units of a time with this allotment.
    pub(super) fn overdraft(&self, allotment: u64, settings: &Settings) -> u64 {
        let cost = u128::from(self.overdraft.cost) * u128::from(allotment);
        let cost = cost.div_ceil(u128::from(self.overdraft.allotment));
        // What goes beyond is forgiven.
        let most = u128::from(allotment) * u128::from(settings.max_debt());
        u64::try_from(cost.min(most)).unwrap_or(u64::MAX)
    }

    /// What it was served in a range of the ring's services.
    pub(super) fn service(&self, first: u32, end: u32) -> u64 {
        let before = |place: u32| self.served[self.services.partition_point(|it| *it < place)];
        before(end) - before(first)
    }

    /// The era a service falls into, if that is in one.
    pub(super) fn era(&self, place: u32) -> Option<&Era> {
        let era = self.eras.partition_point(|era| era.end <= place);
        self.eras.get(era).filter(|era| era.first <= place)
    }

    /// The eras that overlap a range.
    pub(super) fn eras_within(&self, first: u32, end: u32) -> impl Iterator<Item = &Era> {
        let from = self.eras.partition_point(|era| era.end <= first);
        self.eras[from..].iter().take_while(move |era| era.first < end)
    }

    /// Its services in a range.
    pub(super) fn within(&self, first: u32, end: u32) -> &[u32] {
        let from = self.services.partition_point(|it| *it < first);
        let to = self.services.partition_point(|it| *it < end);
        &self.services[from..to.max(from)]
    }
}

/// The root, or a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    pub(super) members: Vec<Member>,
    pub(super) services: Vec<Service>,
    /// The cost of all services before each, and of all.
    pub(super) clock: Vec<u64>,
    /// Services before which some weight changed, or debt of somebody may have been forgiven.
    pub(super) cuts: Vec<u32>,
}

/// Where a partition sits: its ring, and its place in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) ring: usize,
    pub(super) member: u32,
}

/// A stretch that has begun: the services there had been, in its ring and at the root, and when.
#[derive(Clone, Copy, Debug, Default)]
struct Opened {
    first: u32,
    root: u32,
    at: u64,
}

/// All rings of a trace. The first is the root's.
#[derive(Debug)]
pub(super) struct Rings {
    pub(super) rings: Vec<Ring>,
    /// By partition.
    pub(super) seats: Vec<Seat>,
    /// The places of the groups at the root.
    pub(super) groups: Vec<u32>,
}

impl Rings {
    /// Reads a trace. O(events).
    pub(super) fn of(trace: &Trace) -> Self {
        let mut rings = Self::seat(trace);
        rings.serve(trace);
        rings.stretch(trace);
        rings.weigh(trace);
        rings.inherit(trace);
        rings
    }

    /// Gives everyone a place.
    fn seat(trace: &Trace) -> Self {
        let record = trace.record();
        let groups = 0..record.groups.len() as u32;
        let mut rings = vec![Ring::default(); record.groups.len() + 1];
        let mut seats = Vec::with_capacity(record.partitions.len());
        for (number, note) in record.partitions.iter().enumerate() {
            let ring = note.group.map_or(0, |group| group as usize + 1);
            let members = &mut rings[ring].members;
            seats.push(Seat { ring, member: members.len() as u32 });
            members.push(member(Who::Partition(number as u32)));
        }
        let root = &mut rings[0].members;
        let first = root.len() as u32;
        root.extend(groups.clone().map(|group| member(Who::Group(group))));
        Self { rings, seats, groups: groups.map(|group| first + group).collect() }
    }

    /// Where a partition sits in its own ring, and what stands for it at the root.
    pub(super) fn seats_of(&self, partition: u32) -> (Seat, Option<Seat>) {
        let seat = self.seats[partition as usize];
        let group = seat.ring.checked_sub(1);
        (seat, group.map(|group| Seat { ring: 0, member: self.groups[group] }))
    }

    pub(super) fn member(&self, seat: Seat) -> &Member {
        &self.rings[seat.ring].members[seat.member as usize]
    }

    fn member_mut(&mut self, seat: Seat) -> &mut Member {
        &mut self.rings[seat.ring].members[seat.member as usize]
    }

    /// Enters all handles.
    fn serve(&mut self, trace: &Trace) {
        for (number, handle) in trace.history().handles.iter().enumerate() {
            let (seat, at_root) = self.seats_of(handle.partition);
            for seat in [Some(seat), at_root].into_iter().flatten() {
                let ring = &mut self.rings[seat.ring];
                let place = ring.services.len() as u32;
                let (member, cost) = (seat.member, handle.cost);
                ring.services.push(Service { member, cost, handle: number as u32 });
                let member = &mut ring.members[member as usize];
                member.services.push(place);
                if handle.delivery {
                    member.delivery = member.delivery.max(cost);
                } else {
                    member.dearest = member.dearest.max(cost);
                }
            }
        }
        for ring in &mut self.rings {
            ring.clock = sums(ring.services.iter().map(|service| service.cost));
            for member in &mut ring.members {
                member.dearest = member.dearest.saturating_add(member.delivery);
                let costs = member.services.iter();
                member.served = sums(costs.map(|place| ring.services[*place as usize].cost));
            }
        }
    }

    /// Enters when each was runnable.
    fn stretch(&mut self, trace: &Trace) {
        let mut runnable = vec![0u32; self.groups.len()];
        let mut groups = vec![Opened::default(); self.groups.len()];
        let mut members = vec![Opened::default(); self.seats.len()];
        for change in &trace.history().moves {
            let Move { at, event, .. } = *change;
            match change.change {
                Change::Comes(who) => {
                    let (seat, at_root) = self.seats_of(who);
                    let root = self.begun(0, event, trace);
                    let first = self.begun(seat.ring, event, trace);
                    members[who as usize] = Opened { first, root, at };
                    if at_root.is_some() {
                        let group = seat.ring - 1;
                        if runnable[group] == 0 {
                            groups[group] = Opened { first: root, root, at };
                        }
                        runnable[group] += 1;
                    }
                }
                Change::Goes(who) => {
                    let (seat, at_root) = self.seats_of(who);
                    let root = self.begun(0, event, trace);
                    let end = self.begun(seat.ring, event, trace);
                    self.close(seat, members[who as usize], end, root);
                    if let Some(at_root) = at_root {
                        let group = seat.ring - 1;
                        runnable[group] -= 1;
                        if runnable[group] == 0 {
                            self.close(at_root, groups[group], root, root);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn close(&mut self, seat: Seat, opened: Opened, end: u32, root: u32) {
        let Opened { first, at, .. } = opened;
        let stretch = Stretch { first, end, from: at, at_root: (opened.root, root) };
        self.member_mut(seat).busy.push(stretch);
    }

    /// How many services of a ring had begun before an event.
    pub(super) fn begun(&self, ring: usize, event: u32, trace: &Trace) -> u32 {
        let handles = &trace.history().handles;
        let begun = |service: &Service| handles[service.handle as usize].event < event;
        self.rings[ring].services.partition_point(begun) as u32
    }

    /// Enters the weights, and where windows may not go.
    fn weigh(&mut self, trace: &Trace) {
        for who in 0..self.seats.len() {
            let seat = self.seats[who];
            self.weigh_one(seat, &trace.history().lives[who].weights, trace);
        }
        for (group, weights) in trace.history().groups.iter().enumerate() {
            let seat = Seat { ring: 0, member: self.groups[group] };
            self.weigh_one(seat, weights, trace);
        }
        for ring in &mut self.rings {
            ring.cuts.sort_unstable();
            ring.cuts.dedup();
        }
    }

    fn weigh_one(&mut self, seat: Seat, weights: &[(u32, u32)], trace: &Trace) {
        let settings = trace.settings();
        let services = self.rings[seat.ring].services.len() as u32;
        let mut cuts = Vec::new();
        let mut eras = Vec::new();
        let mut overdraft = Overdraft { cost: 0, allotment: 1 };
        let starts = weights.iter().map(|(event, _)| self.charged_from(seat.ring, *event, trace));
        let starts: Vec<u32> = starts.collect();
        for (n, (_, weight)) in weights.iter().enumerate() {
            let mut first = if n == 0 { 0 } else { starts[n] };
            let end = starts.get(n + 1).copied().unwrap_or(services);
            let allotment = settings.quantum().saturating_mul(u64::from(*weight));
            let forgiven = allotment.saturating_mul(u64::from(settings.max_debt() - 1));
            if n > 0 {
                cuts.push(first);
            }
            let ring = &self.rings[seat.ring];
            for place in ring.members[seat.member as usize].within(first, end) {
                let member = &ring.members[seat.member as usize];
                let cost = ring.services[*place as usize].cost.saturating_add(member.delivery);
                overdraft = overdraft.max(Overdraft { cost, allotment });
                if cost > forgiven {
                    eras.push(Era { first, end: *place, weight: *weight, allotment });
                    cuts.extend([*place, *place + 1]);
                    first = *place + 1;
                }
            }
            eras.push(Era { first, end, weight: *weight, allotment });
        }
        eras.retain(|era| era.first < era.end);
        self.rings[seat.ring].cuts.extend(cuts);
        let member = self.member_mut(seat);
        let allotment = |weight: u32| settings.quantum().saturating_mul(u64::from(weight));
        let weights = || weights.iter().map(|(_, weight)| allotment(*weight));
        member.allotment_min = weights().min().unwrap_or(1);
        member.allotment_max = weights().max().unwrap_or(1);
        (member.eras, member.overdraft) = (eras, overdraft);
    }

    /// The first service that is charged after an event: one that runs when the event happens, is.
    fn charged_from(&self, ring: usize, event: u32, trace: &Trace) -> u32 {
        let begun = self.begun(ring, event, trace);
        let Some(last) = begun.checked_sub(1) else { return begun };
        let handle =
            &trace.history().handles[self.rings[ring].services[last as usize].handle as usize];
        if handle.ended > event { last } else { begun }
    }

    /// Hands on what a maker may owe to what it made.
    fn inherit(&mut self, trace: &Trace) {
        let mut turn = None;
        for event in &trace.record().events {
            match event.what() {
                What::Turn { .. } | What::Run => turn = Some(event.partition),
                What::TurnEnd(_) => turn = None,
                What::Created { .. } => {
                    let Some(maker) = turn else { continue };
                    self.inherit_from(maker, event.partition);
                }
                _ => {}
            }
        }
    }

    fn inherit_from(&mut self, maker: u32, child: u32) {
        let (maker, maker_at_root) = self.seats_of(maker);
        let own = self.member(maker).overdraft;
        let at_root = maker_at_root.map_or(own, |seat| self.member(seat).overdraft);
        let (child, group) = self.seats_of(child);
        let Some(group) = group else {
            let member = self.member_mut(child);
            member.overdraft = member.overdraft.max(at_root);
            return;
        };
        let member = self.member_mut(child);
        member.overdraft = member.overdraft.max(own);
        let group = self.member_mut(group);
        group.overdraft = group.overdraft.max(at_root);
    }
}

fn member(who: Who) -> Member {
    Member {
        who,
        services: Vec::new(),
        served: Vec::new(),
        busy: Vec::new(),
        eras: Vec::new(),
        dearest: 0,
        delivery: 0,
        allotment_min: 1,
        allotment_max: 1,
        overdraft: Overdraft { cost: 0, allotment: 1 },
    }
}

/// The sums before each, and of all.
fn sums(costs: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut sum = 0u64;
    let mut sums = vec![0];
    for cost in costs {
        sum = sum.saturating_add(cost);
        sums.push(sum);
    }
    sums
}

impl Ring {
    /// The name of a member, as it is told.
    pub(super) fn name(&self, member: u32, trace: &Trace) -> String {
        match self.members[member as usize].who {
            Who::Partition(partition) => super::quoted(trace, partition),
            Who::Group(group) => format!("the group `{}`", trace.group_name(group)),
        }
    }

    /// The handle of a service.
    pub(super) fn handle<'a>(&self, place: u32, trace: &'a Trace) -> &'a Handle {
        &trace.history().handles[self.services[place as usize].handle as usize]
    }
}
