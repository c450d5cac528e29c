//! What a busy partition gets of a window at least: P4 and PH.

use std::time::Duration;

use super::rings::{Era, Member, Ring, Rings, Stretch};
use super::{At, Violation, asserts, served_most};
use crate::sched::Settings;
use crate::sim::Trace;
use crate::sim::trace::cost_text;

asserts! {
    /// Asserts P4: a partition or group that is busy while T is served, of which `A` get any, gets
    /// its part `r_i = w_i / Σ_A w_j` of that, but for a bounded latency: `W_i ≥ r_i (T − Σ_A c_j) −
    /// 2Q_i − c_i`.
    ///
    /// Of all windows those are looked at that lie in the same part of 64, of 512, of 4096 …
    /// handles of the trace.
    assert_share, check_share;
    /// Asserts PH: a busy member of a group has its part of the group's part, and a latency that is
    /// bounded. It is P4 in the time of the group, and P4 twice over in the time of the root.
    assert_hierarchy, check_hierarchy;
}

/// Checks P4: a busy partition or group has its rate, but for a bounded latency.
///
/// # Errors
///
/// The first window found in which one got less. O(events · log events).
pub fn check_share(trace: &Trace) -> Result<(), Violation> {
    let rings = Rings::of(trace);
    check_ring(&rings.rings[0], trace, "P4")
}

/// Checks PH: a busy member of a group has its part of the group's part.
///
/// # Errors
///
/// The first window found in which one got less. O(events · log events).
pub fn check_hierarchy(trace: &Trace) -> Result<(), Violation> {
    let rings = Rings::of(trace);
    for ring in &rings.rings[1..] {
        check_ring(ring, trace, "PH")?;
    }
    check_leaves(&rings, trace)
}

/// The length of the shortest windows, in handles.
const SHORTEST: u32 = 64;
/// How much longer the next ones are.
const LONGER: u32 = 8;

/// Returns all windows between two cuts: parts of several lengths, the last of which is all of it.
fn windows(cuts: &[u32], services: u32) -> Vec<Windows> {
    let mut all = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([services]) {
        let mut size = SHORTEST;
        // One handle alone is within any bound.
        if from + 1 < to {
            all.push(Windows { from, to, size });
        }
        while size < to - from {
            size = size.saturating_mul(LONGER);
            all.push(Windows { from, to, size });
        }
        from = to;
    }
    all
}

/// Windows of one length, one after the other.
#[derive(Clone, Copy)]
struct Windows {
    from: u32,
    to: u32,
    size: u32,
}

impl Windows {
    fn window(self, n: u32) -> (u32, u32) {
        let first = self.from + n * self.size;
        (first, first.saturating_add(self.size).min(self.to))
    }

    fn count(self) -> u32 {
        (self.to - self.from).div_ceil(self.size)
    }

    /// The windows that lie in a stretch each.
    fn throughout<'a>(
        self,
        busy: &'a [Stretch],
        range: impl Fn(&Stretch) -> (u32, u32) + Copy + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        let first = busy.partition_point(|stretch| range(stretch).1 <= self.from);
        let stretches = busy[first..].iter().map(range).take_while(move |it| it.0 < self.to);
        stretches.flat_map(move |(first, end)| {
            let begin = first.saturating_sub(self.from).div_ceil(self.size);
            let last = if end >= self.to { self.count() } else { (end - self.from) / self.size };
            begin..last
        })
    }
}

/// The weights and the costliest handles of those that were served in a window.
#[derive(Clone, Copy, Default)]
struct Served {
    weights: i128,
    dearest: i128,
}

impl Served {
    fn add(&mut self, member: &Member, weight: u32) {
        self.weights += i128::from(weight);
        self.dearest += i128::from(member.dearest);
    }

    /// Counts one in, if it was not served.
    fn with(mut self, member: &Member, era: &Era, (first, end): (u32, u32)) -> Self {
        if member.within(first, end).is_empty() {
            self.add(member, era.weight);
        }
        self
    }
}

/// Adds up who was served in each window.
fn served(ring: &Ring, windows: Windows) -> Vec<Served> {
    let mut seen = vec![u32::MAX; ring.members.len()];
    let one = |n| {
        let (first, end) = windows.window(n);
        let mut served = Served::default();
        for service in &ring.services[first as usize..end as usize] {
            let member = &ring.members[service.member as usize];
            if std::mem::replace(&mut seen[service.member as usize], n) != n {
                // Between two cuts a weight is the same.
                served.add(member, member.era(first).map_or(1, |era| era.weight));
            }
        }
        served
    };
    (0..windows.count()).map(one).collect()
}

fn check_ring(ring: &Ring, trace: &Trace, proposition: &'static str) -> Result<(), Violation> {
    for windows in windows(&ring.cuts, ring.services.len() as u32) {
        let served = served(ring, windows);
        if !can_lack(ring, windows, &served, trace.settings()) {
            continue;
        }
        for (place, member) in ring.members.iter().enumerate() {
            let teller = Teller { ring, trace, proposition, place: place as u32 };
            let range = |stretch: &Stretch| (stretch.first, stretch.end);
            for n in windows.throughout(&member.busy, range) {
                let window = windows.window(n);
                let Some(era) = member.era(window.0) else { continue };
                let all = served[n as usize].with(member, era, window);
                let rate = Rate { part: i128::from(era.weight), whole: all.weights };
                let allowed =
                    rate.part * all.dearest + latency(member, era, trace.settings()) * all.weights;
                let services = member.within(window.0, window.1);
                if let Some(lack) = lack(ring, services, window, rate, allowed) {
                    return Err(teller.violation(ring, &lack, rate, allowed));
                }
            }
        }
    }
    Ok(())
}

/// Whether anybody at all can be behind in any of these windows: `r_i (T − Σ c_j) > 2Q_i` is, for
/// all alike, `T > Σ c_j + 2Q Σ w_j`.
fn can_lack(ring: &Ring, windows: Windows, served: &[Served], settings: &Settings) -> bool {
    served.iter().enumerate().any(|(n, served)| {
        let (first, end) = windows.window(n as u32);
        let time = ring.clock[end as usize] - ring.clock[first as usize];
        i128::from(time) > served.dearest + 2 * i128::from(settings.quantum()) * served.weights
    })
}

/// 2Q + c.
fn latency(member: &Member, era: &Era, settings: &Settings) -> i128 {
    2 * i128::from(era.allotment) + i128::from(member.overdraft(era.allotment, settings))
}

/// What one is due of what is served.
#[derive(Clone, Copy)]
struct Rate {
    part: i128,
    whole: i128,
}

/// A window in which one got too little.
struct Lack {
    first: u32,
    end: u32,
    /// What it was behind its rate, times the whole.
    behind: i128,
}

/// Looks in a range for the window in which one is further behind its rate than is allowed, both
/// times the whole: the steepest ascent of `part · T − whole · W`.
fn lack(
    ring: &Ring,
    services: &[u32],
    (first, end): (u32, u32),
    rate: Rate,
    allowed: i128,
) -> Option<Lack> {
    let time = |place: u32| i128::from(ring.clock[place as usize] - ring.clock[first as usize]);
    let (mut got, mut lowest, mut since) = (0, 0, first);
    for place in services.iter().copied().chain([end]) {
        let behind = rate.part * time(place) - rate.whole * got - lowest;
        if behind > allowed {
            return Some(Lack { first: since, end: place, behind });
        }
        if place == end {
            break;
        }
        got += i128::from(ring.services[place as usize].cost);
        let after = rate.part * time(place + 1) - rate.whole * got;
        if after < lowest {
            (lowest, since) = (after, place + 1);
        }
    }
    None
}

/// Checks the members of groups in the time of the root: rate upon rate, and latency upon latency.
fn check_leaves(rings: &Rings, trace: &Trace) -> Result<(), Violation> {
    let root = &rings.rings[0];
    let mut cuts = root.cuts.clone();
    for ring in &rings.rings[1..] {
        // A service of a group is one of the root, at the place of its handle.
        let place = |cut: &u32| ring.services.get(*cut as usize).map(|service| service.handle);
        cuts.extend(ring.cuts.iter().filter_map(place));
    }
    cuts.sort_unstable();
    cuts.dedup();
    for windows in windows(&cuts, root.services.len() as u32) {
        let above = served(root, windows);
        if !can_lack(root, windows, &above, trace.settings()) {
            continue;
        }
        for (ring, group) in rings.rings[1..].iter().zip(&rings.groups) {
            let level = Level { root, ring, group: &root.members[*group as usize], trace };
            level.check(windows, &above)?;
        }
    }
    Ok(())
}

/// A group, seen from the root.
struct Level<'a> {
    root: &'a Ring,
    ring: &'a Ring,
    group: &'a Member,
    trace: &'a Trace,
}

impl Level<'_> {
    fn check(&self, windows: Windows, above: &[Served]) -> Result<(), Violation> {
        let Self { root, ring, group, trace } = *self;
        let settings = trace.settings();
        let below = self.served(windows);
        let can_lack: Vec<bool> = (0..windows.count())
            .map(|n| self.can_lack(windows.window(n), n, above, &below))
            .collect();
        if !can_lack.contains(&true) {
            return Ok(());
        }
        for (place, member) in ring.members.iter().enumerate() {
            let teller = Teller { ring, trace, proposition: "PH", place: place as u32 };
            let busy = windows.throughout(&member.busy, |stretch| stretch.at_root);
            for n in busy.filter(|n| can_lack[*n as usize]) {
                let window = windows.window(n);
                let range = (self.inside(window.0), self.inside(window.1));
                let eras = (group.era(window.0), member.era(range.0));
                let (Some(group_era), Some(era)) = eras else { continue };
                let above = above[n as usize].with(group, group_era, window);
                let below = below[n as usize].with(member, era, range);
                let (weight, share) = (i128::from(era.weight), i128::from(group_era.weight));
                let rate = Rate { part: weight * share, whole: above.weights * below.weights };
                let of_group =
                    share * above.dearest + latency(group, group_era, settings) * above.weights;
                let allowed = weight * (of_group + below.dearest * above.weights)
                    + latency(member, era, settings) * rate.whole;
                let services = member.within(range.0, range.1).iter();
                let services = services.map(|service| ring.services[*service as usize].handle);
                let services: Vec<u32> = services.collect();
                if let Some(lack) = lack(root, &services, window, rate, allowed) {
                    return Err(teller.violation(root, &lack, rate, allowed));
                }
            }
        }
        Ok(())
    }

    /// Whether any member at all can be behind in a window, as [`can_lack`] has it for one level.
    fn can_lack(&self, window: (u32, u32), n: u32, above: &[Served], below: &[Served]) -> bool {
        let (above, below) = (above[n as usize], below[n as usize]);
        let Some(era) = self.group.era(window.0) else { return false };
        let clock = |place: u32| i128::from(self.root.clock[place as usize]);
        let time = clock(window.1) - clock(window.0) - above.dearest;
        let settings = self.trace.settings();
        let of_group = i128::from(era.weight) * time
            - (latency(self.group, era, settings) + below.dearest) * above.weights;
        of_group > 2 * i128::from(settings.quantum()) * below.weights * above.weights
    }

    /// The services of the group before a place at the root.
    fn inside(&self, place: u32) -> u32 {
        self.ring.services.partition_point(|service| service.handle < place) as u32
    }

    /// Adds up which members were served in each window.
    fn served(&self, windows: Windows) -> Vec<Served> {
        let mut seen = vec![u32::MAX; self.ring.members.len()];
        let mut all = vec![Served::default(); windows.count() as usize];
        let range = self.inside(windows.from)..self.inside(windows.to);
        for place in range {
            let service = self.ring.services[place as usize];
            let n = (service.handle - windows.from) / windows.size;
            if std::mem::replace(&mut seen[service.member as usize], n) != n {
                let member = &self.ring.members[service.member as usize];
                all[n as usize].add(member, member.era(place).map_or(1, |era| era.weight));
            }
        }
        all
    }
}

/// Tells who got too little.
struct Teller<'a> {
    ring: &'a Ring,
    trace: &'a Trace,
    proposition: &'static str,
    place: u32,
}

impl Teller<'_> {
    /// Tells it in the time of `clock`: the ring's own, or the root's.
    fn violation(&self, clock: &Ring, lack: &Lack, rate: Rate, allowed: i128) -> Violation {
        let Self { ring, trace, proposition, place } = *self;
        let settings = trace.settings();
        let (first, last) = (clock.handle(lack.first, trace), clock.handle(lack.end - 1, trace));
        let served = clock.clock[lack.end as usize] - clock.clock[lack.first as usize];
        let text = |cost: i128| cost_text(settings, u64::try_from(cost / rate.whole).unwrap_or(0));
        let got = rate.part * i128::from(served) - lack.behind;
        let story = format!(
            "{} had work from {} to {:?} and got {} of {} that were served, where its share is \
             {}/{}; it is {} behind its rate, and {} are allowed; {}",
            ring.name(place, trace),
            At(trace, first.event),
            Duration::from_nanos(last.end),
            text(got),
            cost_text(settings, served),
            rate.part,
            rate.whole,
            text(lack.behind),
            text(allowed),
            served_most(trace, first.event, last.ended),
        );
        Violation::new(trace, proposition, last.event, story)
    }
}
