//! Who waits how long: P5, P6, and what a user demands.

use std::time::Duration;

use super::line::{Bound, Line, Wait};
use super::order::events;
use super::rings::{Ring, Rings, Seat};
use super::{At, Violation, asserts, expect, quoted, served_most};
use crate::sim::Trace;
use crate::sim::trace::{Change, Handle, Move, Unserved, cost_text};
use crate::trace::{Packed, What, Why};

asserts! {
    /// Asserts P5 and P6 for every wake that made an idle partition runnable. With allotment left it
    /// is served after at most the running handle and, for each entry `k` ahead in the express
    /// lane, `min(allotment left, express slice) + c_k`; an express turn under way counts as an
    /// entry, and if its partition was alone its slice is a full one. Without, as
    /// [`assert_no_starvation`] has it.
    ///
    /// What the running handle creates is roused when that handle is charged. Waits are measured
    /// in what is served meanwhile; those of the members of a group, in what the group is.
    assert_wait_bounded, check_wait_bounded;
    /// Asserts P6: who has work and owes `ρ − 1` rounds is served after at most `c_running +
    /// Σ_existing (ρ Q_j + c_j) + K ρ (ρ Q_new + c_new)`, whether it was just roused or its turn has
    /// ended, and also at the end of the trace. Of more than one round it is only promised while
    /// nobody is created, and never beyond the limit of debt.
    assert_no_starvation, check_no_starvation;
}

/// Asserts that every handle of these partitions is done within `bound` of its wake, and that
/// none waits longer at the end of the trace.
///
/// This is for what an application promises: its health check answers within 5 ms, say. The time
/// is virtual, and includes the handle's own.
///
/// # Panics
///
/// If it is not so, with the [`Violation`]. If no partition is called so. O(handles).
#[track_caller]
pub fn assert_answers_within(trace: &Trace, partition: &str, bound: Duration) {
    expect(trace, check_answers_within(trace, partition, bound));
}

/// Checks that every handle of these partitions is done within `bound` of its wake, and that none
/// waits longer at the end of the trace.
///
/// # Errors
///
/// The first handle that took longer. O(handles).
///
/// # Panics
///
/// If no partition is called so.
#[track_caller]
pub fn check_answers_within(
    trace: &Trace,
    partition: &str,
    bound: Duration,
) -> Result<(), Violation> {
    let history = trace.history();
    for who in trace.partitions(partition) {
        let life = &history.lives[*who as usize];
        let handles = life.handles.iter().map(|handle| &history.handles[*handle as usize]);
        for handle in handles.filter(|handle| !handle.delivery) {
            if Duration::from_nanos(handle.end - handle.woken) > bound {
                return Err(late(trace, handle, bound));
            }
        }
        for left in &life.unserved {
            if Duration::from_nanos(history.end - left.woken) > bound {
                return Err(unanswered(trace, *who, left, bound));
            }
        }
    }
    Ok(())
}

fn late(trace: &Trace, handle: &Handle, bound: Duration) -> Violation {
    let nanos = Duration::from_nanos;
    let end = handle.ended.min(trace.len() as u32 - 1);
    let story = format!(
        "a handle of {}, woken at {}, waited {:?} and ran {:?}, to {}: {:?} in all, where {bound:?} is \
         allowed; {}",
        quoted(trace, handle.partition),
        At(trace, handle.queued),
        nanos(handle.start - handle.woken),
        nanos(handle.elapsed()),
        At(trace, end),
        nanos(handle.end - handle.woken),
        served_most(trace, handle.queued, handle.event),
    );
    Violation::new(trace, "answers", end, story)
}

fn unanswered(trace: &Trace, who: u32, left: &Unserved, bound: Duration) -> Violation {
    let end = trace.len() as u32 - 1;
    let story = format!(
        "a handle of {}, woken at {}, has not run by {}, {:?} later, where {bound:?} is allowed; {}",
        quoted(trace, who),
        At(trace, left.event),
        At(trace, end),
        Duration::from_nanos(trace.history().end - left.woken),
        served_most(trace, left.event, end + 1),
    );
    Violation::new(trace, "answers", end, story)
}

/// Checks P5 and P6 for every wake that made an idle partition runnable.
///
/// # Errors
///
/// The first that was served later, or still waits. O(events).
pub fn check_wait_bounded(trace: &Trace) -> Result<(), Violation> {
    Lines::new(trace, Scope::Roused).check()
}

/// Checks P6 for all that has work, whether it was just roused or its turn has ended.
///
/// # Errors
///
/// The first that was served later, or still waits. O(events).
pub fn check_no_starvation(trace: &Trace) -> Result<(), Violation> {
    Lines::new(trace, Scope::All).check()
}

/// Which waits are looked at.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// Those that began with a wake, for P5 or P6.
    Roused,
    /// All, for P6.
    All,
}

/// The lines at all rings, followed through a trace.
struct Lines<'a> {
    trace: &'a Trace,
    scope: Scope,
    rings: Rings,
    lines: Vec<Line>,
    /// How many members of each group exist.
    members: Vec<u32>,
    /// Whose turn it is.
    turn: Option<u32>,
    /// The handle that runs.
    running: Option<usize>,
    /// What the last handle of the turn cost.
    last: u64,
}

impl<'a> Lines<'a> {
    fn new(trace: &'a Trace, scope: Scope) -> Self {
        let rings = Rings::of(trace);
        let lines = rings.rings.iter().map(|ring| Line::new(ring.members.len())).collect();
        let members = vec![0; rings.groups.len()];
        Self { trace, scope, rings, lines, members, turn: None, running: None, last: 0 }
    }

    fn check(mut self) -> Result<(), Violation> {
        // How these came, nobody saw.
        for (who, life) in self.trace.history().lives.iter().enumerate() {
            if life.created.is_none() {
                self.created(who as u32);
            }
        }
        let mut moves = self.trace.history().moves.iter().peekable();
        for (index, event) in events(self.trace) {
            let ends =
                |change: &&Move| change.event == index && matches!(change.change, Change::Ends);
            if moves.next_if(ends).is_some() {
                self.ran();
            }
            self.note(index, event)?;
            while let Some(change) = moves.next_if(|change| change.event == index) {
                if let Change::Begins(handle) = change.change {
                    self.running = Some(handle as usize);
                }
            }
        }
        let last = self.trace.len().saturating_sub(1) as u32;
        for ring in 0..self.lines.len() {
            for member in 0..self.rings.rings[ring].members.len() as u32 {
                self.judge(Seat { ring, member }, last, false)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        let who = event.partition;
        match event.what() {
            What::Created { .. } => self.created(who),
            What::Freed => self.freed(who),
            What::Withdrawn { idle: true } => self.left(who),
            What::Roused { ahead, left } => {
                let (seat, _) = self.rings.seats_of(who);
                self.rouse(seat, (index, event.at), (ahead, left));
            }
            What::GroupStands { ahead, left } => {
                let (seat, group) = self.rings.seats_of(who);
                let group = group.filter(|_| self.lines[seat.ring].in_line() == 1);
                if let Some(group) = group {
                    self.rouse(group, (index, event.at), (ahead, left));
                }
            }
            What::Weight(_) => {
                let (seat, _) = self.rings.seats_of(who);
                self.reweighed(seat);
            }
            What::GroupWeight { group, .. } => {
                self.reweighed(Seat { ring: 0, member: self.rings.groups[group as usize] });
            }
            What::Turn { .. } => {
                self.last = 0;
                self.turn = Some(who);
                self.serve(who, index)?;
            }
            What::Run => self.serve(who, index)?,
            What::TurnEnd(why) => {
                self.turn = None;
                self.ended(who, index, why);
            }
            _ => {}
        }
        Ok(())
    }

    fn created(&mut self, who: u32) {
        let (seat, group) = self.rings.seats_of(who);
        self.lines[seat.ring].enter(seat.member, self.rings.member(seat));
        let Some(group) = group else { return };
        let members = &mut self.members[seat.ring - 1];
        *members += 1;
        // A group without members is not there.
        if *members == 1 {
            self.lines[0].enter(group.member, self.rings.member(group));
        }
    }

    fn freed(&mut self, who: u32) {
        let (seat, group) = self.rings.seats_of(who);
        self.lines[seat.ring].leave(seat.member);
        self.lines[seat.ring].exit(self.rings.member(seat));
        let Some(group) = group else { return };
        let members = &mut self.members[seat.ring - 1];
        *members = members.saturating_sub(1);
        if *members == 0 {
            self.lines[0].exit(self.rings.member(group));
        }
        if self.lines[seat.ring].in_line() == 0 {
            self.lines[0].leave(group.member);
        }
    }

    /// One leaves the line, and its group if it was the last of it.
    fn left(&mut self, who: u32) {
        let (seat, group) = self.rings.seats_of(who);
        self.lines[seat.ring].leave(seat.member);
        if let Some(group) = group.filter(|_| self.lines[seat.ring].in_line() == 0) {
            self.lines[0].leave(group.member);
        }
    }

    /// One takes its place in line.
    fn rouse(&mut self, seat: Seat, (event, at): (u32, u64), (ahead, left): (u32, u64)) {
        let settings = self.trace.settings();
        let running = self.running_in(seat.ring);
        let handle = running.map(|handle| &self.trace.history().handles[handle]);
        // Who runs dry delivers before its turn ends.
        let turn = self.turn.map(|who| self.rings.seats_of(who).0);
        let turn = turn.filter(|turn| seat.ring == 0 || turn.ring == seat.ring);
        let delivery = turn.map_or(0, |turn| self.rings.member(turn).delivery);
        let running = handle.map_or(0, |handle| handle.cost).saturating_add(delivery);
        // What it has taken so far was before.
        let taken = handle.map_or(0, |handle| handle.cost - handle.rest(at, settings));
        self.alone(seat.ring);
        let line = &mut self.lines[seat.ring];
        let member = self.rings.member(seat);
        let bound = if ahead == 0 && self.scope == Scope::Roused {
            line.lane_bound(running)
        } else {
            line.rounds_bound(running, u64::from(ahead) + 1, member)
        };
        line.await_turn(seat.member, Wait::new(event, bound), taken);
        line.join(seat.member);
        if ahead == 0 {
            let takes = left.min(settings.express_slice()).saturating_add(member.dearest);
            line.join_lane(seat.member, takes);
        }
    }

    /// What one in the lane has left grows with its weight; its slice does not.
    fn reweighed(&mut self, seat: Seat) {
        let slice = self.trace.settings().express_slice();
        let full = slice.saturating_add(self.rings.member(seat).dearest);
        self.lines[seat.ring].reweigh(seat.member, full);
    }

    /// The handle that runs, if it is of this ring.
    fn running_in(&self, ring: usize) -> Option<usize> {
        let handle = self.running?;
        let who = self.trace.history().handles[handle].partition;
        (ring == 0 || self.rings.seats_of(who).0.ring == ring).then_some(handle)
    }

    /// Who is alone in its turn has a full slice, whatever was left of its allotment: there was
    /// nobody whom it could keep waiting.
    fn alone(&mut self, ring: usize) {
        let slice = self.trace.settings().express_slice();
        let Ring { members, .. } = &self.rings.rings[ring];
        self.lines[ring].alone(|member| slice.saturating_add(members[member as usize].dearest));
    }

    /// One is served, and so is the group it is in.
    fn serve(&mut self, who: u32, index: u32) -> Result<(), Violation> {
        let (seat, group) = self.rings.seats_of(who);
        for seat in [Some(seat), group].into_iter().flatten() {
            self.judge(seat, index, true)?;
            self.lines[seat.ring].serve(seat.member);
            self.alone(seat.ring);
        }
        Ok(())
    }

    fn ran(&mut self) {
        let Some(handle) = self.running.take() else { return };
        let handle = &self.trace.history().handles[handle];
        // A delivery adds to what the handle before it overdrew.
        let before = if handle.delivery { self.last } else { 0 };
        self.last = before.saturating_add(handle.cost);
        let (seat, group) = self.rings.seats_of(handle.partition);
        for seat in [Some(seat), group].into_iter().flatten() {
            self.lines[seat.ring].advance(handle.cost);
            self.alone(seat.ring);
        }
    }

    /// A turn ends: who has more to do waits for the next.
    fn ended(&mut self, who: u32, index: u32, why: Why) {
        let (seat, group) = self.rings.seats_of(who);
        if matches!(why, Why::Idle | Why::Removed) {
            self.lines[seat.ring].leave(seat.member);
        } else {
            self.await_turn(seat, index);
        }
        match group {
            None => self.lines[0].end_turn(),
            Some(group) if self.lines[seat.ring].in_line() == 0 => {
                self.lines[0].leave(group.member);
            }
            // Whether its turn is over as well, is not told.
            Some(group) => self.await_turn(group, index),
        }
    }

    fn await_turn(&mut self, seat: Seat, index: u32) {
        if self.scope != Scope::All {
            return;
        }
        let member = self.rings.member(seat);
        // When the last handle began its round was the current one, and not all of that was spent.
        let rounds = 1 + self.last.saturating_add(member.allotment_min - 1) / member.allotment_min;
        let line = &mut self.lines[seat.ring];
        let bound = line.rounds_bound(0, rounds, member);
        line.await_turn(seat.member, Wait::new(index, bound), 0);
    }

    /// Compares how long one has waited with how long it may have to.
    fn judge(&self, seat: Seat, index: u32, served: bool) -> Result<(), Violation> {
        let line = &self.lines[seat.ring];
        let Some((wait, waited)) = line.waited(seat.member) else { return Ok(()) };
        let mut bound = wait.bound.sum();
        if u128::from(waited) <= bound {
            return Ok(());
        }
        let mut created = 0;
        if let Bound::Rounds { rounds, .. } = wait.bound {
            let settings = self.trace.settings();
            let (new, returned) = line.came_since(wait);
            created = new.len() as u64;
            if (rounds > 2 && created > 0) || rounds > u64::from(settings.max_debt()) {
                return Ok(());
            }
            let members = &self.rings.rings[seat.ring].members;
            let takes = |allotment: u64, dearest: u64| {
                u128::from(rounds) * u128::from(allotment) + u128::from(dearest)
            };
            let (mut allotment, mut dearest) = (0, 0);
            for member in new.iter().map(|member| &members[*member as usize]) {
                allotment = member.allotment_max.max(allotment);
                dearest = member.dearest.max(dearest);
            }
            let count = created.min(u64::from(settings.newborns()) * rounds);
            bound += u128::from(count) * takes(allotment, dearest);
            for member in returned.iter().map(|member| &members[*member as usize]) {
                bound += takes(member.allotment_max, member.dearest);
            }
        }
        if u128::from(waited) <= bound {
            return Ok(());
        }
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        let until = if served { Until::Served(index) } else { Until::End(index) };
        Err(self.violation(seat, (wait, until), (waited, bound), created))
    }

    fn violation(
        &self,
        seat: Seat,
        (wait, until): (&Wait, Until),
        (waited, bound): (u64, u64),
        created: u64,
    ) -> Violation {
        let trace = self.trace;
        let cost = |cost| cost_text(trace.settings(), cost);
        let (proposition, sum) = match wait.bound {
            Bound::Lane { running, ahead, lane } => (
                "P5",
                format!(
                    "{} for what ran then, and {} for {ahead} ahead in the express lane",
                    cost(running),
                    cost(lane)
                ),
            ),
            Bound::Rounds { running, rounds, existing } => (
                "P6",
                format!(
                    "{} for what ran then, {} for {rounds} rounds of all that existed, the rest for \
                     {created} created since",
                    cost(running),
                    cost(u64::try_from(existing).unwrap_or(u64::MAX))
                ),
            ),
        };
        let (how, event) = match until {
            Until::Served(event) => ("was served", event),
            Until::End(event) => ("still waits", event),
        };
        let nanos = |event: u32| trace.record().events[event as usize].at;
        let (from, to) = (nanos(wait.event), nanos(event));
        let story = format!(
            "{} had work at {} and {how} at {}, {:?} later, after {} of service{}, where {} are \
             allowed: {sum}; {}",
            self.rings.rings[seat.ring].name(seat.member, trace),
            At(trace, wait.event),
            At(trace, event),
            Duration::from_nanos(to - from),
            cost(waited),
            if seat.ring == 0 { "" } else { " to its group" },
            cost(bound),
            served_most(trace, wait.event, event),
        );
        Violation::new(trace, proposition, event, story)
    }
}

/// How a wait ended, and with which event.
#[derive(Clone, Copy)]
enum Until {
    Served(u32),
    /// It had not ended when the trace did.
    End(u32),
}
