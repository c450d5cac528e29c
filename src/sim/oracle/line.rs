//! Who waits at one ring, and for what.

use std::collections::VecDeque;

use super::rings::Member;

/// The line at one ring.
#[derive(Debug)]
pub(super) struct Line {
    /// Who is in the express lane, and what each may take.
    lane: VecDeque<(u32, u64)>,
    /// The sum of it.
    lane_sum: u64,
    /// Who was served last, and may go on; and if it came through the lane, what it may take.
    current: Option<(u32, Option<u64>)>,
    /// How many are in line, the one that is served included.
    in_line: usize,
    /// What was served, in cost units, the running handle not included.
    clock: u64,
    /// The allotments and the costliest handles of all that exist.
    allotments: u128,
    dearest: u128,
    /// All that were ever created, in order.
    created: Vec<u32>,
    /// Groups that were without members for a while, in the order of their return.
    returned: Vec<u32>,
    /// How often some weight has changed.
    reweighed: usize,
    members: Vec<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    known: bool,
    in_line: bool,
    in_lane: bool,
    wait: Option<Wait>,
}

/// A wait that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// The event it began with.
    pub(super) event: u32,
    pub(super) bound: Bound,
    /// What the clock was.
    clock: u64,
    /// How many had been created, had returned, and how often some weight had changed.
    created: usize,
    returned: usize,
    reweighed: usize,
}

impl Wait {
    pub(super) fn new(event: u32, bound: Bound) -> Self {
        Self { event, bound, clock: 0, created: 0, returned: 0, reweighed: 0 }
    }
}

/// What one may have to wait for, in cost units.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// P5: the running handle or the express turn under way, and who is ahead in the lane.
    Lane { running: u64, ahead: usize, lane: u64 },
    /// P6: the running handle, and rounds of all others that exist.
    Rounds { running: u64, rounds: u64, existing: u128 },
}

impl Bound {
    pub(super) fn sum(self) -> u128 {
        match self {
            Self::Lane { running, lane, .. } => u128::from(running) + u128::from(lane),
            Self::Rounds { running, existing, .. } => u128::from(running) + existing,
        }
    }
}

impl Line {
    pub(super) fn new(members: usize) -> Self {
        Self {
            lane: VecDeque::new(),
            lane_sum: 0,
            current: None,
            in_line: 0,
            clock: 0,
            allotments: 0,
            dearest: 0,
            created: Vec::new(),
            returned: Vec::new(),
            reweighed: 0,
            members: vec![State::default(); members],
        }
    }

    /// A member comes into being, or a group gets members again.
    pub(super) fn enter(&mut self, place: u32, member: &Member) {
        self.allotments += u128::from(member.allotment_max);
        self.dearest += u128::from(member.dearest);
        let known = std::mem::replace(&mut self.members[place as usize].known, true);
        if known { self.returned.push(place) } else { self.created.push(place) }
    }

    /// A member is no more.
    pub(super) fn exit(&mut self, member: &Member) {
        self.allotments = self.allotments.saturating_sub(u128::from(member.allotment_max));
        self.dearest = self.dearest.saturating_sub(u128::from(member.dearest));
    }

    pub(super) fn in_line(&self) -> usize {
        self.in_line
    }

    pub(super) fn join(&mut self, place: u32) {
        let state = &mut self.members[place as usize];
        if !std::mem::replace(&mut state.in_line, true) {
            self.in_line += 1;
        }
    }

    pub(super) fn join_lane(&mut self, place: u32, takes: u64) {
        if !std::mem::replace(&mut self.members[place as usize].in_lane, true) {
            self.lane.push_back((place, takes));
            self.lane_sum = self.lane_sum.saturating_add(takes);
        }
    }

    /// Takes one out of line.
    pub(super) fn leave(&mut self, place: u32) {
        self.leave_lane(place);
        let state = &mut self.members[place as usize];
        state.wait = None;
        if std::mem::take(&mut state.in_line) {
            self.in_line -= 1;
        }
        if self.current.is_some_and(|(current, _)| current == place) {
            self.current = None;
        }
    }

    fn leave_lane(&mut self, place: u32) -> Option<u64> {
        if !std::mem::take(&mut self.members[place as usize].in_lane) {
            return None;
        }
        // It is the first, as a rule.
        let entry = self.lane.iter().position(|entry| entry.0 == place)?;
        let (_, takes) = self.lane.remove(entry)?;
        self.lane_sum = self.lane_sum.saturating_sub(takes);
        Some(takes)
    }

    /// A member's turn begins or goes on. Who is in the lane comes from there.
    pub(super) fn serve(&mut self, place: u32) {
        self.members[place as usize].wait = None;
        let express = self.leave_lane(place);
        let goes_on = self.current.is_some_and(|(current, _)| current == place);
        if express.is_some() || !goes_on {
            self.current = Some((place, express));
        }
    }

    pub(super) fn end_turn(&mut self) {
        self.current = None;
    }

    /// If only the one that is served is in line, it may take as much as `full` says.
    pub(super) fn alone(&mut self, full: impl Fn(u32) -> u64) {
        if let (1, Some((place, Some(takes)))) = (self.in_line, &mut self.current) {
            *takes = (*takes).max(full(*place));
        }
    }

    /// One has another weight. If it is in the lane, or came from there, it may take as much as
    /// `full`.
    pub(super) fn reweigh(&mut self, place: u32, full: u64) {
        self.reweighed += 1;
        if let Some((current, Some(takes))) = &mut self.current {
            if *current == place {
                *takes = (*takes).max(full);
            }
        }
        if self.members[place as usize].in_lane {
            let entry = self.lane.iter_mut().find(|entry| entry.0 == place);
            let takes = &mut entry.expect("it is in the lane").1;
            let more = full.saturating_sub(*takes);
            *takes += more;
            self.lane_sum = self.lane_sum.saturating_add(more);
        }
    }

    pub(super) fn advance(&mut self, cost: u64) {
        self.clock = self.clock.saturating_add(cost);
    }

    /// P5 for one that joins the lane, while a handle of this cost runs.
    pub(super) fn lane_bound(&self, running: u64) -> Bound {
        let express = self.current.and_then(|(_, express)| express).unwrap_or(0);
        Bound::Lane { running: running.max(express), ahead: self.lane.len(), lane: self.lane_sum }
    }

    /// P6 for one that waits for so many rounds, while a handle of this cost runs.
    pub(super) fn rounds_bound(&self, running: u64, rounds: u64, own: &Member) -> Bound {
        let allotments = self.allotments.saturating_sub(u128::from(own.allotment_max));
        let dearest = self.dearest.saturating_sub(u128::from(own.dearest));
        let existing = u128::from(rounds) * allotments + dearest;
        Bound::Rounds { running, rounds, existing }
    }

    /// One begins to wait; so much of the running handle is over.
    pub(super) fn await_turn(&mut self, place: u32, wait: Wait, over: u64) {
        let clock = self.clock.saturating_add(over);
        let (created, returned) = (self.created.len(), self.returned.len());
        let reweighed = self.reweighed;
        let wait = Wait { clock, created, returned, reweighed, ..wait };
        self.members[place as usize].wait = Some(wait);
    }

    /// For what one waits, and how much was served since. What the lane may take is not known any
    /// more once a weight has changed.
    pub(super) fn waited(&self, place: u32) -> Option<(&Wait, u64)> {
        let wait = self.members[place as usize].wait.as_ref()?;
        if matches!(wait.bound, Bound::Lane { .. }) && wait.reweighed != self.reweighed {
            return None;
        }
        Some((wait, self.clock.saturating_sub(wait.clock)))
    }

    /// Who was created since one waits, and who has returned.
    pub(super) fn came_since(&self, wait: &Wait) -> (&[u32], &[u32]) {
        (&self.created[wait.created..], &self.returned[wait.returned..])
    }
}
