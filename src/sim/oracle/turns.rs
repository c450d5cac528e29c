//! Turns of equal length, in a fixed order: P2.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rings::{Ring, Rings};
use super::{At, Violation, asserts, served_most};
use crate::sim::Trace;

asserts! {
    /// Asserts P2: while the same partitions are runnable and all handles are light, each runs as
    /// many in a row as the budget grants its weight, one partition after the other in the same
    /// order, round after round.
    ///
    /// A light handle costs no more than `quantum / handles`; with a budget that only counts them,
    /// all are. The first rounds after somebody came, left or ran a heavy one are still unsettled.
    assert_turns_equal, check_turns_equal;
}

/// Checks P2: light handles run in turns of equal length, in the same order, round after round.
///
/// # Errors
///
/// The first turn of another length, or out of order. O(n log n) in the events.
pub fn check_turns_equal(trace: &Trace) -> Result<(), Violation> {
    Rings::of(trace).rings.iter().try_for_each(|ring| check_ring(ring, trace))
}

/// A row of handles of one member.
#[derive(Clone, Copy)]
struct Row {
    member: u32,
    first: u32,
    len: u64,
}

fn check_ring(ring: &Ring, trace: &Trace) -> Result<(), Violation> {
    let least = trace.settings().price_nanos(0);
    // A budget of time alone counts no handles.
    if trace.settings().timed() && least == 1 {
        return Ok(());
    }
    for (first, end, runnable) in settled(ring, trace, least) {
        let rows = rows(ring, first, end);
        // Who has not run owes more than a round, perhaps. From there on, until the round is over
        // in which all have, a turn may be in parts.
        let Some(begin) = all_seen(&rows, runnable).map(|all| all + 2 * runnable + 2) else {
            continue;
        };
        let end = rows.len().saturating_sub(1);
        for place in begin + runnable..end {
            let (row, last) = (rows[place], rows[place - runnable]);
            let era = ring.members[row.member as usize].era(row.first);
            let granted = era.map_or(0, |era| era.allotment) / least;
            if row.member != last.member {
                return Err(out_of_order(ring, trace, row, last));
            }
            if row.len != granted {
                return Err(uneven(ring, trace, row, granted));
            }
        }
    }
    Ok(())
}

/// The ranges of services in which the same members, two at least, are runnable and all handles
/// are light; and how many members that are.
fn settled(ring: &Ring, trace: &Trace, least: u64) -> Vec<(u32, u32, usize)> {
    let stretches = ring.members.iter().flat_map(|member| &member.busy);
    let mut changes: Vec<(u32, i32)> =
        stretches.flat_map(|stretch| [(stretch.first, 1), (stretch.end, -1)]).collect();
    changes.extend(ring.cuts.iter().map(|cut| (*cut, 0)));
    let is_heavy = |place: u32| {
        ring.services[place as usize].cost > least || ring.handle(place, trace).delivery
    };
    let heavy = (0..ring.services.len() as u32).filter(|place| is_heavy(*place));
    changes.extend(heavy.flat_map(|place| [(place, 0), (place + 1, 0)]));
    changes.sort_unstable();
    let (mut ranges, mut since, mut runnable) = (Vec::new(), 0, 0);
    for (place, change) in changes {
        if place > since {
            ranges.push((since, place, runnable as usize));
            since = place;
        }
        runnable += change;
    }
    ranges.retain(|(first, _, runnable)| *runnable > 1 && !is_heavy(*first));
    ranges
}

fn rows(ring: &Ring, first: u32, end: u32) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for place in first..end {
        let member = ring.services[place as usize].member;
        match rows.last_mut() {
            Some(row) if row.member == member => row.len += 1,
            _ => rows.push(Row { member, first: place, len: 1 }),
        }
    }
    rows
}

/// How many rows it takes until so many members have had one.
fn all_seen(rows: &[Row], members: usize) -> Option<usize> {
    let mut seen = BTreeSet::new();
    let last = rows.iter().position(|row| seen.insert(row.member) && seen.len() == members)?;
    Some(last + 1)
}

fn out_of_order(ring: &Ring, trace: &Trace, row: Row, last: Row) -> Violation {
    let (handle, before) = (ring.handle(row.first, trace), ring.handle(last.first, trace));
    let story = format!(
        "{} had a turn at {}, where it was the turn of {}, as a round before, at {}; {}",
        ring.name(row.member, trace),
        At(trace, handle.event),
        ring.name(last.member, trace),
        At(trace, before.event),
        served_most(trace, before.event, handle.event),
    );
    Violation::new(trace, "P2", handle.event, story)
}

fn uneven(ring: &Ring, trace: &Trace, row: Row, granted: u64) -> Violation {
    let first = ring.handle(row.first, trace);
    let last = ring.handle(row.first + row.len as u32 - 1, trace);
    let story = format!(
        "{} ran {} light handles in a row from {} to {:?}, where a turn is {granted}; {}",
        ring.name(row.member, trace),
        row.len,
        At(trace, first.event),
        Duration::from_nanos(last.end),
        served_most(trace, first.event, last.ended),
    );
    Violation::new(trace, "P2", last.event, story)
}
