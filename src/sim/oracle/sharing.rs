//! Who gains on whom: P3 and P9.

use std::time::Duration;

use super::reference::{self, Rounds};
use super::rings::{Era, Member, Ring, Rings, Stretch};
use super::{At, Violation, asserts, served_most};
use crate::sched::Settings;
use crate::sim::Trace;
use crate::sim::trace::cost_text;

asserts! {
    /// Asserts P3 and P9: in no window does anyone get more of its allotments than one that is
    /// runnable throughout, but for two rounds and a handle of each.
    ///
    /// For any `i`, and `j` busy: `W_i/Q_i − W_j/Q_j < 2 + c_i/Q_i + c_j/Q_j`. For two that are both
    /// busy that bounds the difference on both sides. At the root it is among partitions and
    /// groups, and in each group among its members; what one inherited from its maker counts as
    /// its own handle.
    assert_lag_bounded, check_lag_bounded;
}

/// Checks P3 and P9: in no window does anyone get more of its allotments than one that is runnable
/// throughout, but for two rounds and a handle of each.
///
/// # Errors
///
/// The first window found in which somebody gained more. O(events) if all holds and little
/// else, up to O(events) for each pair of partitions if not.
pub fn check_lag_bounded(trace: &Trace) -> Result<(), Violation> {
    let rings = Rings::of(trace);
    let rounds = reference::follow(trace, &rings);
    rings.rings.iter().zip(&rounds).try_for_each(|(ring, rounds)| check_ring(ring, rounds, trace))
}

/// How far one may be from the yardstick, for all that rounding does to it: in rounds.
const SLACK: f64 = 1e-6;

/// A member's services in one era, as one who may have gained.
struct Gainer {
    place: u32,
    era: Era,
    /// How much more it got than the rounds that passed, over what it may: less than 0 if lawful.
    excess: f64,
}

/// A member in one stretch and era, as one who may have lost.
struct Loser<'a> {
    place: u32,
    era: &'a Era,
    stretch: &'a Stretch,
    /// How much less it got than the rounds that passed, over what it may.
    lack: f64,
}

/// One gains on another what it is ahead of the ring's rounds, and the other behind them. If these
/// two do not exceed two rounds and a handle of each, nor does the gain, in any window. So only
/// pairs that do are looked at together.
fn check_ring(ring: &Ring, rounds: &Rounds, trace: &Trace) -> Result<(), Violation> {
    let mut gainers = gainers(ring, rounds, trace.settings());
    gainers.sort_by(|a, b| b.excess.total_cmp(&a.excess));
    for (place, member) in ring.members.iter().enumerate() {
        for (stretch, start) in member.busy.iter().zip(&rounds.starts[place]) {
            for era in member.eras_within(stretch.first, stretch.end) {
                let place = place as u32;
                let mut loser = Loser { place, era, stretch, lack: 0.0 };
                loser.lack = lack(ring, rounds, &loser, *start, trace.settings());
                for gainer in &gainers {
                    if gainer.excess + loser.lack < -SLACK {
                        break;
                    }
                    if gainer.place != place {
                        Pair::new(ring, trace, gainer, &loser).check()?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// What one may be ahead or behind: a round and what it may overdraw.
fn allowed(member: &Member, era: &Era, settings: &Settings) -> f64 {
    1.0 + member.overdraft(era.allotment, settings) as f64 / era.allotment as f64
}

fn gainers(ring: &Ring, rounds: &Rounds, settings: &Settings) -> Vec<Gainer> {
    let mut gainers = Vec::new();
    for (place, member) in ring.members.iter().enumerate() {
        for era in &member.eras {
            let allotment = era.allotment as f64;
            let (mut balance, mut lowest, mut ahead) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
            for service in member.within(era.first, era.end) {
                let at = *service as usize;
                lowest = f64::min(lowest, balance - rounds.before[at] as f64);
                balance += ring.services[at].cost as f64 / allotment;
                ahead = f64::max(ahead, balance - rounds.after[at] as f64 - lowest);
            }
            if ahead > 0.0 {
                let excess = ahead - allowed(member, era, settings);
                gainers.push(Gainer { place: place as u32, era: *era, excess });
            }
        }
    }
    gainers
}

fn lack(ring: &Ring, rounds: &Rounds, loser: &Loser<'_>, start: u64, settings: &Settings) -> f64 {
    let Loser { place, era, stretch, .. } = *loser;
    let member = &ring.members[place as usize];
    let (first, end) = (stretch.first.max(era.first), stretch.end.min(era.end));
    let since = if first == stretch.first { start } else { rounds.before[first as usize] };
    let allotment = era.allotment as f64;
    let (mut balance, mut highest, mut behind) = (0.0, -(since as f64), 0.0);
    for service in member.within(first, end) {
        let at = *service as usize;
        behind = f64::max(behind, rounds.before[at] as f64 + highest - balance);
        balance += ring.services[at].cost as f64 / allotment;
        highest = f64::max(highest, balance - rounds.after[at] as f64);
    }
    if let Some(last) = end.checked_sub(1) {
        behind = f64::max(behind, rounds.after[last as usize] as f64 + highest - balance);
    }
    behind - allowed(member, era, settings)
}

/// One that may have gained, one that was runnable, and the services meanwhile.
struct Pair<'a> {
    ring: &'a Ring,
    trace: &'a Trace,
    gainer: u32,
    loser: u32,
    /// Allotments.
    q: (i128, i128),
    /// What is allowed, times both allotments.
    bound: i128,
    first: u32,
    end: u32,
    /// What the gainer got of the handle that ran when the loser was roused, and when that was.
    head: u64,
    roused: u64,
}

impl<'a> Pair<'a> {
    fn new(ring: &'a Ring, trace: &'a Trace, gainer: &Gainer, loser: &Loser<'_>) -> Self {
        let Loser { era, stretch, .. } = *loser;
        let first = stretch.first.max(era.first).max(gainer.era.first);
        let end = stretch.end.min(era.end).min(gainer.era.end).max(first);
        let overdraft = |place: u32, allotment: u64| {
            let member = &ring.members[place as usize];
            i128::from(member.overdraft(allotment, trace.settings()))
        };
        let (i, j) = (i128::from(gainer.era.allotment), i128::from(era.allotment));
        let (c_i, c_j) =
            (overdraft(gainer.place, gainer.era.allotment), overdraft(loser.place, era.allotment));
        let head = match first.checked_sub(1) {
            Some(before) if first == stretch.first && gainer.era.first < first => {
                let handle = ring.handle(before, trace);
                let own = ring.services[before as usize].member == gainer.place;
                let runs = own && handle.end > stretch.from;
                if runs { handle.rest(stretch.from, trace.settings()) } else { 0 }
            }
            _ => 0,
        };
        let bound = 2 * i * j + c_i * j + c_j * i;
        let (gainer, loser) = (gainer.place, loser.place);
        let roused = stretch.from;
        Self { ring, trace, gainer, loser, q: (i, j), bound, first, end, head, roused }
    }

    /// Looks for a window in which the gainer gained more than it may: the steepest ascent of the
    /// difference.
    fn check(&self) -> Result<(), Violation> {
        let members = &self.ring.members;
        let (gainer, loser) = (&members[self.gainer as usize], &members[self.loser as usize]);
        let got = i128::from(gainer.service(self.first, self.end) + self.head);
        if got * self.q.1 < self.bound {
            return Ok(());
        }
        let mut losses = loser.within(self.first, self.end).iter().copied().peekable();
        let mut balance = i128::from(self.head) * self.q.1;
        let (mut lowest, mut since) = (0, self.first.saturating_sub(u32::from(self.head > 0)));
        for gain in gainer.within(self.first, self.end).iter().copied() {
            while let Some(loss) = losses.next_if(|loss| *loss < gain) {
                balance -= i128::from(self.ring.services[loss as usize].cost) * self.q.0;
            }
            if balance < lowest {
                (lowest, since) = (balance, gain);
            }
            balance += i128::from(self.ring.services[gain as usize].cost) * self.q.1;
            if balance - lowest >= self.bound {
                return Err(self.violation(since, gain, balance - lowest));
            }
        }
        Ok(())
    }

    fn violation(&self, since: u32, until: u32, gain: i128) -> Violation {
        let Self { ring, trace, .. } = *self;
        let (first, last) = (ring.handle(since, trace), ring.handle(until, trace));
        // Of the handle that ran when the loser was roused only the rest counts.
        let (from, early) = match since < self.first {
            true => (self.roused, first.cost - self.head),
            false => (first.start, 0),
        };
        let events = &trace.record().events;
        let event = events.partition_point(|event| event.at < from) as u32;
        let event = event.max(first.event);
        let got = |member: u32, allotment: i128| {
            let early = if member == self.gainer { early } else { 0 };
            let cost = ring.members[member as usize].service(since, until + 1) - early;
            let rounds = cost as f64 / allotment as f64;
            format!("{} ({rounds:.2} rounds)", cost_text(trace.settings(), cost))
        };
        let whole = (self.q.0 * self.q.1) as f64;
        let story = format!(
            "{} had work from {} to {:?} and got {}, while {} got {}; that is {:.3} rounds more, and \
             less than {:.3} is allowed: two and the costliest handle of each; {}",
            ring.name(self.loser, trace),
            At(trace, event),
            Duration::from_nanos(last.end),
            got(self.loser, self.q.1),
            ring.name(self.gainer, trace),
            got(self.gainer, self.q.0),
            gain as f64 / whole,
            self.bound as f64 / whole,
            served_most(trace, event, last.ended),
        );
        let busy = |stretch: &Stretch| stretch.first <= since && until < stretch.end;
        let both = ring.members[self.gainer as usize].busy.iter().any(busy);
        Violation::new(trace, if both { "P3" } else { "P9" }, last.event, story)
    }
}
