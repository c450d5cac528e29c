//! What one task does, handle by handle: a state machine without a loop, a clock or a waker.
//!
//! Two hosts drive it: a task on a runtime, and the reference loop. Both do what a step says and
//! ask for the next; a handle is all steps up to the first that ends it.

use std::time::Duration;

use fastrand::Rng;

use super::actor::{Cost, between};

/// One step: what it costs, and what is then to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Spent before what follows.
    pub cost: Duration,
    /// What follows.
    pub then: Then,
}

/// What follows a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The handle ends, and the next is queued.
    Yield,
    /// The handle ends; the next comes when so much time has passed.
    Sleep(Duration),
    /// The handle ends; the next comes once a wake is there, at once if one is. It uses it up.
    Wait,
    /// The task is done.
    Done,
    /// Wakes a task, and goes on.
    Wake(Who),
    /// Spawns a task, and goes on.
    Spawn(Birth),
}

/// Whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The task that spawned this one.
    Parent,
    /// The task of this number: the place of its [`Role`](super::Role) in the workload's cast.
    Task(usize),
}

/// A task to be spawned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Where it is to live.
    pub place: Place,
    /// What it does.
    pub behaviour: Behaviour,
}

/// Where a spawned task is to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the partition of the task that spawns it.
    Here,
    /// In a partition made for it, perhaps in a group.
    Fresh {
        /// The name of the group.
        group: Option<String>,
    },
}

/// What a task does, and how far it is.
///
/// # Examples
///
/// ```
/// use evenloop::sim::workload::{Then, Workload, hog, micros, tenant};
/// use std::time::Duration;
///
/// let load = Workload::new().with(tenant("a").runs(hog(micros(20)).rounds(2)));
/// let mut task = load.cast().remove(0);
/// let mut random = task.random();
/// let first = task.behaviour.step(Duration::ZERO, &mut random);
/// assert_eq!((first.cost, first.then), (micros(20), Then::Yield));
/// let second = task.behaviour.step(micros(20), &mut random);
/// assert_eq!(second.then, Then::Done);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    part: Part,
    /// Rounds to go, the one under way included; for ever if there are none.
    left: Option<u32>,
    /// Wakes its parent when it is done.
    reports: bool,
    begun: bool,
}

/// The part a task plays. Counters count what is left of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Hog { cost: Cost },
    Sleeper { period: Duration, burst: u32, cost: Cost, left: u32 },
    Burster { period: Duration, tasks: u32, cost: Cost, left: u32 },
    Churner { handles: u32, cost: Cost, group: Option<String>, lives: bool },
    Bell { period: Duration, first: usize, end: usize, next: usize },
    Waiter { cost: Cost },
    Timer { spread: Duration, cost: Cost },
    Node { fanout: u32, depth: u32, cost: Cost, unborn: u32, alive: u32 },
    Opener { cost: Cost, peer: usize, played: bool },
    Returner { cost: Cost, peer: usize, played: bool },
    Producer { cost: Cost, consumer: usize, sent: bool },
    Consumer { cost: Cost, producers: u32, left: u32 },
}

impl Behaviour {
    pub(super) fn new(part: Part, rounds: Option<u32>) -> Self {
        Self { part, left: rounds, reports: false, begun: false }
    }

    fn child(part: Part, rounds: u32) -> Self {
        Self { reports: true, ..Self::new(part, Some(rounds)) }
    }

    /// Returns whether the task is never done.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.left.is_none()
    }

    /// Takes one step. `now` is the time since the workload began, `random` the task's own source
    /// of chance. After [`Then::Done`] there is none.
    pub fn step(&mut self, now: Duration, random: &mut Rng) -> Step {
        let begins = !std::mem::replace(&mut self.begun, true);
        if self.left == Some(0) {
            return self.leave();
        }
        match &mut self.part {
            Part::Hog { cost } => {
                let cost = cost.draw(random);
                self.end_round(cost, Then::Yield)
            }
            Part::Sleeper { period, burst, cost, left } => {
                let period = *period;
                if begins {
                    *left = *burst;
                    return free(until_next(now, period));
                }
                let cost = cost.draw(random);
                *left -= 1;
                if *left > 0 {
                    return Step { cost, then: Then::Yield };
                }
                *left = *burst;
                self.end_round(cost, until_next(now + cost, period))
            }
            Part::Burster { period, tasks, cost, left } => {
                if !begins && *left > 0 {
                    *left -= 1;
                    let behaviour = Self::new(Part::Hog { cost: *cost }, Some(1));
                    return free(Then::Spawn(Birth { place: Place::Here, behaviour }));
                }
                *left = *tasks;
                let pause = until_next(now, *period);
                if begins { free(pause) } else { self.end_round(Duration::ZERO, pause) }
            }
            Part::Churner { handles, cost, group, lives } => {
                *lives = !*lives;
                if !*lives {
                    return free(Then::Wait);
                }
                if !begins && self.left.as_mut().is_some_and(was_last) {
                    return self.leave();
                }
                let behaviour = Self::child(Part::Hog { cost: *cost }, *handles);
                let place = Place::Fresh { group: group.clone() };
                free(Then::Spawn(Birth { place, behaviour }))
            }
            Part::Bell { period, first, end, next } => {
                if !begins && next < end {
                    *next += 1;
                    return free(Then::Wake(Who::Task(*next - 1)));
                }
                *next = *first;
                let pause = until_next(now, *period);
                if begins { free(pause) } else { self.end_round(Duration::ZERO, pause) }
            }
            Part::Waiter { .. } if begins => free(Then::Wait),
            Part::Waiter { cost } => {
                let cost = cost.draw(random);
                self.end_round(cost, Then::Wait)
            }
            Part::Timer { spread, cost } => {
                let pause = Then::Sleep(between(Duration::from_nanos(1), *spread, random));
                if begins {
                    return free(pause);
                }
                let cost = cost.draw(random);
                self.end_round(cost, pause)
            }
            Part::Node { .. } => self.grow(random),
            Part::Opener { cost, peer, played } => {
                *played = !*played;
                if !*played {
                    return free(Then::Wait);
                }
                if !begins && self.left.as_mut().is_some_and(was_last) {
                    return self.leave();
                }
                Step { cost: cost.draw(random), then: Then::Wake(Who::Task(*peer)) }
            }
            Part::Returner { .. } if begins => free(Then::Wait),
            Part::Returner { cost, peer, played } => {
                *played = !*played;
                if *played {
                    return Step { cost: cost.draw(random), then: Then::Wake(Who::Task(*peer)) };
                }
                self.end_round(Duration::ZERO, Then::Wait)
            }
            Part::Producer { cost, consumer, sent } => {
                *sent = !*sent;
                if *sent {
                    let then = Then::Wake(Who::Task(*consumer));
                    return Step { cost: cost.draw(random), then };
                }
                self.end_round(Duration::ZERO, Then::Yield)
            }
            Part::Consumer { producers, left, .. } if begins => {
                *left = *producers;
                free(Then::Wait)
            }
            Part::Consumer { cost, producers, left } => {
                let cost = cost.draw(random);
                *left -= 1;
                if *left > 0 {
                    return Step { cost, then: Then::Wait };
                }
                *left = *producers;
                self.end_round(cost, Then::Wait)
            }
        }
    }

    /// Ends a round with a step of cost `cost`: what follows is `then`, or the end.
    fn end_round(&mut self, cost: Duration, then: Then) -> Step {
        if self.left.as_mut().is_some_and(was_last) {
            return Step { cost, ..self.leave() };
        }
        Step { cost, then }
    }

    /// The rounds are over: a child first reports that.
    fn leave(&mut self) -> Step {
        if std::mem::take(&mut self.reports) {
            return free(Then::Wake(Who::Parent));
        }
        free(Then::Done)
    }

    /// A task of a tree: spawns its children, waits for each, and begins anew.
    fn grow(&mut self, random: &mut Rng) -> Step {
        let Part::Node { fanout, depth, cost, unborn, alive } = &mut self.part else {
            unreachable!("only the tasks of a tree grow")
        };
        let mut spent = Duration::ZERO;
        if *alive == 0 && *unborn == 0 {
            spent = cost.draw(random);
            if *depth == 0 || *fanout == 0 {
                return self.end_round(spent, Then::Yield);
            }
            (*unborn, *alive) = (*fanout, *fanout + 1);
        }
        if *unborn > 0 {
            *unborn -= 1;
            let part =
                Part::Node { fanout: *fanout, depth: *depth - 1, cost: *cost, unborn: 0, alive: 0 };
            let birth = Birth { place: Place::Here, behaviour: Self::child(part, 1) };
            return Step { cost: spent, then: Then::Spawn(birth) };
        }
        // The first time nobody was waited for yet; from then on each handle tells of one child.
        *alive -= 1;
        if *alive > 0 {
            return free(Then::Wait);
        }
        if self.left.as_mut().is_some_and(was_last) {
            return self.leave();
        }
        self.grow(random)
    }
}

/// A step without a cost.
fn free(then: Then) -> Step {
    Step { cost: Duration::ZERO, then }
}

/// Sleeps to the next multiple of `period`.
fn until_next(now: Duration, period: Duration) -> Then {
    let (now, period) = (now.as_nanos(), period.as_nanos());
    let pause = period - now % period;
    Then::Sleep(Duration::from_nanos(u64::try_from(pause).unwrap_or(u64::MAX)))
}

/// Counts a round, and returns whether it was the last.
fn was_last(left: &mut u32) -> bool {
    *left -= 1;
    *left == 0
}
