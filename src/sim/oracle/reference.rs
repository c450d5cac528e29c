//! A round number for each ring, followed through a trace.
//!
//! It is what the ring's own round would be, as far as a trace tells. Nothing that is checked
//! depends on its being right: it is a yardstick, by which most pairs of members are seen at a
//! glance to be close enough to one another.

use super::order::events;
use super::rings::{Member, Rings, Seat};
use crate::sim::Trace;
use crate::sim::trace::Change;
use crate::trace::What;

/// The rounds of one ring.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// When each service began, and when it had ended.
    pub(super) before: Vec<u64>,
    pub(super) after: Vec<u64>,
    /// For each member, when each of its stretches began.
    pub(super) starts: Vec<Vec<u64>>,
}

/// One ring while it is followed.
struct Wheel {
    rounds: Rounds,
    round: u64,
    /// The highest round anyone was ever in.
    latest: u64,
    in_line: usize,
    tags: Vec<Tag>,
}

/// Where a member stands.
#[derive(Clone, Copy, Default)]
struct Tag {
    round: u64,
    spent: u64,
}

/// Follows all rings. O(events).
pub(super) fn follow(trace: &Trace, rings: &Rings) -> Vec<Rounds> {
    let mut follower = Follower {
        trace,
        rings,
        wheels: rings.rings.iter().map(|ring| Wheel::new(ring.members.len())).collect(),
        handles: 0,
    };
    let mut moves = trace.history().moves.iter().peekable();
    for (index, event) in events(trace) {
        // Who is in line is known before where it stands.
        while let Some(change) = moves.next_if(|change| change.event == index) {
            follower.change(change.change);
        }
        let who = event.partition;
        match event.what() {
            What::Roused { ahead, left } => {
                let (seat, _) = rings.seats_of(who);
                follower.place(seat, ahead, left);
            }
            What::GroupStands { ahead, left } => {
                let (seat, group) = rings.seats_of(who);
                let group = group.filter(|_| follower.wheels[seat.ring].in_line == 1);
                if let Some(group) = group {
                    follower.place(group, ahead, left);
                }
            }
            What::Turn { .. } => follower.turn(who),
            _ => {}
        }
    }
    follower.wheels.into_iter().map(|wheel| wheel.rounds).collect()
}

struct Follower<'a> {
    trace: &'a Trace,
    rings: &'a Rings,
    wheels: Vec<Wheel>,
    /// Handles that have begun.
    handles: usize,
}

impl Follower<'_> {
    fn seats(&self, who: u32) -> impl Iterator<Item = Seat> + use<> {
        let (seat, group) = self.rings.seats_of(who);
        [Some(seat), group].into_iter().flatten()
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Comes(who) => {
                let (seat, group) = self.rings.seats_of(who);
                let first = self.wheels[seat.ring].comes(seat.member);
                if let Some(group) = group.filter(|_| first) {
                    self.wheels[0].comes(group.member);
                }
            }
            Change::Goes(who) => {
                let (seat, group) = self.rings.seats_of(who);
                let last = self.wheels[seat.ring].goes();
                if group.is_some() && last {
                    self.wheels[0].goes();
                }
            }
            Change::Begins(handle) => {
                let who = self.trace.history().handles[handle as usize].partition;
                self.handles += 1;
                for seat in self.seats(who) {
                    let wheel = &mut self.wheels[seat.ring];
                    wheel.rounds.before.push(wheel.round);
                    wheel.rounds.after.push(wheel.round);
                }
            }
            Change::Ends => self.charge(),
            // Where one stands is told again when it is roused next.
            Change::Weighs(..) | Change::GroupWeighs(..) => {}
        }
    }

    /// Charges the handle that has ended.
    fn charge(&mut self) {
        let handle = self.trace.history().handles[self.handles - 1];
        for seat in self.seats(handle.partition) {
            let member = self.rings.member(seat);
            let wheel = &mut self.wheels[seat.ring];
            let place = wheel.rounds.after.len() - 1;
            wheel.charge(seat.member, allotment(member, place), handle.cost);
            let limit = wheel.round + u64::from(self.trace.settings().max_debt());
            let tag = &mut wheel.tags[seat.member as usize];
            tag.round = tag.round.min(limit);
            wheel.latest = wheel.latest.max(tag.round);
            wheel.rounds.after[place] = wheel.round;
        }
    }

    /// One has just been roused: the trace tells where it stands.
    fn place(&mut self, seat: Seat, ahead: u32, left: u64) {
        let member = self.rings.member(seat);
        let wheel = &mut self.wheels[seat.ring];
        let allotment = allotment(member, wheel.rounds.before.len());
        let tag =
            Tag { round: wheel.round + u64::from(ahead), spent: allotment.saturating_sub(left) };
        wheel.latest = wheel.latest.max(tag.round);
        wheel.tags[seat.member as usize] = tag;
    }

    /// One is served: its round is the current one.
    fn turn(&mut self, who: u32) {
        for seat in self.seats(who) {
            let wheel = &mut self.wheels[seat.ring];
            wheel.round = wheel.round.max(wheel.tags[seat.member as usize].round);
        }
    }
}

/// The allotment of a member at a service of its ring, or the last it had.
fn allotment(member: &Member, place: usize) -> u64 {
    member.era(place as u32).map_or(member.allotment_max, |era| era.allotment).max(1)
}

impl Wheel {
    fn new(members: usize) -> Self {
        Self {
            rounds: Rounds { starts: vec![Vec::new(); members], ..Rounds::default() },
            round: 0,
            latest: 0,
            in_line: 0,
            tags: vec![Tag::default(); members],
        }
    }

    /// Returns whether it is the only one.
    fn comes(&mut self, member: u32) -> bool {
        self.in_line += 1;
        self.rounds.starts[member as usize].push(self.round);
        let tag = &mut self.tags[member as usize];
        if tag.round < self.round {
            *tag = Tag { round: self.round, spent: 0 };
        }
        self.in_line == 1
    }

    /// Returns whether it was the last: then all debts are over.
    fn goes(&mut self) -> bool {
        self.in_line -= 1;
        if self.in_line == 0 {
            self.round = self.latest;
        }
        self.in_line == 0
    }

    fn charge(&mut self, member: u32, allotment: u64, cost: u64) {
        let tag = &mut self.tags[member as usize];
        let spent = tag.spent.saturating_add(cost);
        tag.round += spent / allotment;
        tag.spent = spent % allotment;
        if self.in_line == 1 {
            self.round = self.round.max(tag.round);
        }
    }
}
