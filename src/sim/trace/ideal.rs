//! The ideal: at each moment every runnable partition is served at once, at the rate of its share.
//!
//! What the thread serves is dealt out by weight to those that are runnable: at the root to
//! partitions and groups, and what a group gets to its members. How much of it one gets while it
//! stays runnable is its weight times what a weight of one got meanwhile, so a partition is looked
//! at only when it comes, goes or is asked about.

use std::ops::RangeBounds;
use std::time::Duration;

use super::history::{Change, Move};
use super::queries::Lag;
use super::{Handle, Trace};
use crate::sched::Settings;
use crate::trace::Record;

/// One level: the root, or a group.
#[derive(Clone, Debug, Default)]
struct Level {
    /// The weights of those that are runnable.
    weights: u64,
    /// What a weight of one got so far, in cost units.
    each: f64,
}

impl Level {
    fn deal(&mut self, cost: f64) {
        if self.weights > 0 {
            self.each += cost / self.weights as f64;
        }
    }
}

/// A group at the root.
#[derive(Clone, Debug)]
struct Group {
    weight: u32,
    members: Level,
    /// What a weight of one had at the root when the members were last dealt to.
    seen: f64,
}

/// A partition, in its level.
#[derive(Clone, Debug)]
struct Leaf {
    weight: u32,
    group: Option<usize>,
    /// The place of its name.
    name: usize,
    runnable: bool,
    /// What a weight of one had in its level when it was last settled.
    seen: f64,
}

/// The ideal, followed through a trace.
struct Fluid<'a> {
    trace: &'a Trace,
    root: Level,
    groups: Vec<Group>,
    leaves: Vec<Leaf>,
    /// By the places of the names.
    names: Vec<Verdict>,
    /// The handle that runs, and how much of its cost has been dealt out.
    running: Option<(&'a Handle, f64)>,
}

/// What the ideal says of a name in a window, in cost units.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) lag: Lag,
    /// What it should have got.
    pub(super) ideal: f64,
    pub(super) got: f64,
    /// Its partitions that are runnable.
    runnable: Vec<usize>,
}

impl<'a> Fluid<'a> {
    fn new(trace: &'a Trace) -> Self {
        let record: &Record = trace.record();
        let group = |weight| Group { weight, members: Level::default(), seen: 0.0 };
        let groups = record.groups.iter().map(|note| group(note.weight)).collect();
        let leaves = record.partitions.iter().enumerate().map(|(number, note)| Leaf {
            weight: note.weight,
            group: note.group.map(|group| group as usize),
            name: trace.place_of(number as u32),
            runnable: false,
            seen: 0.0,
        });
        let leaves = leaves.collect();
        let names = trace.names().map(|_| Verdict::default()).collect();
        Self { trace, root: Level::default(), groups, leaves, names, running: None }
    }

    /// Deals out what was served up to `at`.
    fn advance(&mut self, at: u64) {
        let settings: &Settings = self.trace.settings();
        let Some((handle, dealt)) = &mut self.running else { return };
        let cost = handle.cost as f64;
        let so_far = match handle.elapsed() {
            _ if at >= handle.end => cost,
            _ if !settings.timed() => 0.0,
            elapsed => cost * (at - handle.start) as f64 / elapsed as f64,
        };
        let more = so_far - *dealt;
        *dealt = so_far;
        let name = self.leaves[handle.partition as usize].name;
        self.names[name].got += more;
        self.root.deal(more);
    }

    /// Deals out to a group's members what the group got.
    fn share_out(&mut self, group: usize) {
        let group = &mut self.groups[group];
        group.members.deal(f64::from(group.weight) * (self.root.each - group.seen));
        group.seen = self.root.each;
    }

    fn settle(&mut self, who: usize) {
        let each = match self.leaves[who].group {
            None => self.root.each,
            Some(group) => {
                self.share_out(group);
                self.groups[group].members.each
            }
        };
        let leaf = &mut self.leaves[who];
        if leaf.runnable {
            self.names[leaf.name].ideal += f64::from(leaf.weight) * (each - leaf.seen);
        }
        leaf.seen = each;
    }

    fn comes(&mut self, who: usize) {
        self.settle(who);
        let Leaf { weight, group, name, .. } = self.leaves[who];
        self.leaves[who].runnable = true;
        self.names[name].runnable.push(who);
        let Some(group) = group else {
            self.root.weights += u64::from(weight);
            return;
        };
        let group = &mut self.groups[group];
        if group.members.weights == 0 {
            self.root.weights += u64::from(group.weight);
        }
        group.members.weights += u64::from(weight);
    }

    fn goes(&mut self, who: usize) {
        self.settle(who);
        let Leaf { weight, group, name, .. } = self.leaves[who];
        self.leaves[who].runnable = false;
        self.names[name].runnable.retain(|other| *other != who);
        let Some(group) = group else {
            self.root.weights -= u64::from(weight);
            return;
        };
        let group = &mut self.groups[group];
        group.members.weights -= u64::from(weight);
        if group.members.weights == 0 {
            self.root.weights -= u64::from(group.weight);
        }
    }

    fn weighs(&mut self, who: usize, weight: u32) {
        let runnable = self.leaves[who].runnable;
        if runnable {
            self.goes(who);
        }
        self.leaves[who].weight = weight;
        if runnable {
            self.comes(who);
        }
    }

    fn group_weighs(&mut self, group: usize, weight: u32) {
        self.share_out(group);
        let group = &mut self.groups[group];
        if group.members.weights > 0 {
            self.root.weights = self.root.weights - u64::from(group.weight) + u64::from(weight);
        }
        group.weight = weight;
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Comes(who) => self.comes(who as usize),
            Change::Goes(who) => self.goes(who as usize),
            Change::Begins(handle) => {
                self.running = Some((&self.trace.history().handles[handle as usize], 0.0));
            }
            Change::Ends => self.running = None,
            Change::Weighs(who, weight) => self.weighs(who as usize, weight),
            Change::GroupWeighs(group, weight) => self.group_weighs(group as usize, weight),
        }
    }

    /// Begins to measure.
    fn reset(&mut self) {
        for who in 0..self.leaves.len() {
            self.settle(who);
        }
        for name in &mut self.names {
            (name.ideal, name.got, name.lag) = (0.0, 0.0, Lag::default());
        }
    }

    /// Compares what a name got with what it should have.
    fn compare(&mut self, name: usize, at: u64) {
        for place in 0..self.names[name].runnable.len() {
            self.settle(self.names[name].runnable[place]);
        }
        let Verdict { lag, ideal, got, .. } = &mut self.names[name];
        lag.last = *ideal - *got;
        if lag.last > lag.worst {
            (lag.worst, lag.at) = (lag.last, Duration::from_nanos(at));
        }
    }

    /// Follows the ideal through the window. O(events).
    fn measure(mut self, from: u64, to: u64) -> Vec<Verdict> {
        let moves = &self.trace.history().moves;
        let first = moves.partition_point(|change| change.at < from);
        let end = moves.partition_point(|change| change.at <= to);
        for change in &moves[..first] {
            self.advance(change.at);
            self.apply(change.change);
        }
        self.advance(from);
        self.reset();
        for Move { at, change, .. } in &moves[first..end.max(first)] {
            self.advance(*at);
            // Who is behind falls behind until it is served.
            if let Change::Begins(handle) = change {
                let who = self.trace.history().handles[*handle as usize].partition;
                self.compare(self.leaves[who as usize].name, *at);
            }
            self.apply(*change);
        }
        self.advance(to);
        for name in 0..self.names.len() {
            self.compare(name, to);
        }
        self.names
    }
}

impl Trace {
    /// Measures all names against the ideal.
    pub(super) fn verdicts(&self, from: u64, to: u64) -> Vec<Verdict> {
        Fluid::new(self).measure(from, to)
    }

    /// Returns how far partitions of this name fell behind the ideal in the window. The ideal
    /// serves all that is runnable at each moment at once, by weight: at the root partitions and
    /// groups, and in a group its members. O(events).
    ///
    /// A dispatcher serves one after the other, so a lag of a round or two is the rule. What
    /// counts is that it does not grow.
    ///
    /// # Panics
    ///
    /// If no partition is called so, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn lag(&self, name: &str, window: impl RangeBounds<Duration>) -> Lag {
        let (from, to) = self.window(window);
        let place = self.place_of(self.partitions(name)[0]);
        self.verdicts(from, to)[place].lag
    }

    /// Returns Jain's index of what the partitions got that were runnable throughout the window,
    /// each measured by the share it is due: 1 if all got as much of it, 1/n if one of n got all.
    /// With fewer than two such partitions it is 1. O(events).
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn jain(&self, window: impl RangeBounds<Duration>) -> f64 {
        let (from, to) = self.window(window);
        let throughout = |who: &u32| {
            self.history().lives[*who as usize]
                .busy
                .iter()
                .any(|busy| busy.from <= from && to <= busy.to)
        };
        let verdicts = self.verdicts(from, to);
        let busy = verdicts
            .iter()
            .zip(self.names())
            .filter(|(_, name)| self.partitions(name).iter().any(throughout));
        jain(busy.map(|(verdict, _)| verdict))
    }

    /// Returns Jain's index of what these partitions got in the window, whether or not they could
    /// have had more, each measured by the share it was due while it was runnable. O(events).
    ///
    /// # Panics
    ///
    /// If no partition is called by one of the names, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn jain_among(&self, names: &[&str], window: impl RangeBounds<Duration>) -> f64 {
        let (from, to) = self.window(window);
        let places = names.iter().map(|name| self.place_of(self.partitions(name)[0]));
        let places: Vec<usize> = places.collect();
        let verdicts = self.verdicts(from, to);
        jain(places.into_iter().map(|place| &verdicts[place]))
    }
}

/// (Σx)² / (n Σx²), where x is what one got of what it was due.
fn jain<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> f64 {
    let due = verdicts.filter(|verdict| verdict.ideal > 0.0);
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for Verdict { ideal, got, .. } in due {
        let part = got / ideal;
        (n, sum, squares) = (n + 1.0, sum + part, squares + part * part);
    }
    if squares > 0.0 { sum * sum / (n * squares) } else { 1.0 }
}
