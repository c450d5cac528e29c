//! Actors: what goes on in a partition, by kind.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

/// What a handle costs: a length of time, or any within a range.
///
/// ```
/// use evenloop::sim::workload::{Cost, micros};
///
/// assert_eq!(Cost::from(micros(20)).most(), micros(20));
/// assert_eq!(Cost::from(micros(5)..=micros(20)).least(), micros(5));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    least: Duration,
    most: Duration,
}

impl Cost {
    /// Returns the least a handle costs.
    #[must_use]
    pub const fn least(&self) -> Duration {
        self.least
    }

    /// Returns the most a handle costs.
    #[must_use]
    pub const fn most(&self) -> Duration {
        self.most
    }

    pub(super) fn draw(&self, random: &mut Rng) -> Duration {
        if self.least == self.most {
            return self.least;
        }
        between(self.least, self.most, random)
    }
}

impl From<Duration> for Cost {
    fn from(cost: Duration) -> Self {
        Self { least: cost, most: cost }
    }
}

impl From<RangeInclusive<Duration>> for Cost {
    /// # Panics
    ///
    /// If the range is empty.
    #[track_caller]
    fn from(costs: RangeInclusive<Duration>) -> Self {
        assert!(!costs.is_empty(), "no cost lies in the range {costs:?}; name the least first");
        Self { least: *costs.start(), most: *costs.end() }
    }
}

/// Draws a duration, in whole nanoseconds, both ends included.
pub(super) fn between(least: Duration, most: Duration, random: &mut Rng) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.u64(nanos(least)..=nanos(most)))
}

/// What an actor does. A *round* is what it does again and again.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// See [`hog`].
    Hog {
        /// Of a handle.
        cost: Cost,
    },
    /// See [`sleeper`].
    Sleeper {
        /// From one wake to the next.
        period: Duration,
        /// Handles a wake; at least one.
        burst: u32,
        /// Of a handle.
        cost: Cost,
    },
    /// See [`bursts`].
    Bursts {
        /// From one burst to the next.
        period: Duration,
        /// Spawned in a burst.
        tasks: u32,
        /// Of a task, which has one handle.
        cost: Cost,
    },
    /// See [`churn`].
    Churn {
        /// Of a life; at least one.
        handles: u32,
        /// Of a handle.
        cost: Cost,
        /// Of the partitions.
        group: Option<String>,
    },
    /// See [`mass_wake`].
    MassWake {
        /// Woken together.
        tasks: u32,
        /// From one event to the next.
        period: Duration,
        /// Of a handle.
        cost: Cost,
    },
    /// See [`timers`].
    Timers {
        /// Each with a timer.
        tasks: u32,
        /// A timer is due within this time.
        spread: Duration,
        /// Of a handle.
        cost: Cost,
    },
    /// See [`tree`].
    Tree {
        /// Children of a task.
        fanout: u32,
        /// Generations below the root.
        depth: u32,
        /// Of a task's first handle.
        cost: Cost,
    },
    /// See [`ping_pong`].
    PingPong {
        /// The partition of the other player.
        peer: String,
        /// Of a handle that plays the ball.
        cost: Cost,
    },
    /// See [`fan_in`].
    FanIn {
        /// The partitions of the producers.
        from: Vec<String>,
        /// Of a message, both to make and to take.
        cost: Cost,
    },
    /// See [`flood`].
    Flood {
        /// Connections.
        clients: u32,
        /// The first requests are spread over this time.
        over: Duration,
        /// Of a request, and of its answer.
        bytes: u32,
        /// Of a request, on the side of the server.
        cost: Cost,
    },
    /// See [`nursery`].
    Nursery {
        /// Spawned in a round.
        tasks: u32,
        /// Of a task's first handle.
        cost: Cost,
    },
    /// See [`deadlines`].
    Deadlines {
        /// Of the interval.
        period: Duration,
        /// Of the handle after a tick.
        cost: Cost,
    },
    /// See [`closing`].
    Closing {
        /// In a partition that is closed.
        tasks: u32,
        /// Of a task's first handle.
        cost: Cost,
    },
    /// See [`fickle`].
    Fickle {
        /// From one weight to the next.
        period: Duration,
    },
    /// See [`dominoes`].
    Dominoes {
        /// Woken together.
        tasks: u32,
        /// Of a waker.
        cost: Cost,
    },
    /// See [`remote`].
    Remote {
        /// Woken together.
        tasks: u32,
        /// Of a handle.
        cost: Cost,
    },
}

impl Kind {
    /// Returns whether it takes sockets, partitions or join handles, which a reference loop has
    /// not: then it runs on a runtime only, its handles are not counted, and what it does cannot
    /// be told in advance.
    #[must_use]
    pub fn needs_runtime(&self) -> bool {
        use Kind::{Closing, Deadlines, Dominoes, Fickle, Flood, Nursery, Remote};
        matches!(
            self,
            Flood { .. }
                | Nursery { .. }
                | Deadlines { .. }
                | Closing { .. }
                | Fickle { .. }
                | Dominoes { .. }
                | Remote { .. }
        )
    }
}

/// One or more tasks that do the same, for a number of rounds or for ever.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "an actor does nothing before it is given to a tenant"]
pub struct Actor {
    pub(crate) kind: Kind,
    /// For ever if there is none; never zero.
    pub(crate) rounds: Option<u32>,
    pub(crate) copies: u32,
}

impl Actor {
    fn new(kind: Kind) -> Self {
        Self { kind, rounds: None, copies: 1 }
    }

    /// Ends the actor after so many rounds. Without this it goes on for ever.
    ///
    /// # Panics
    ///
    /// If there are none: leave the actor out instead.
    #[track_caller]
    pub fn rounds(mut self, rounds: u32) -> Self {
        assert!(rounds > 0, "an actor of no rounds does nothing; leave it out");
        self.rounds = Some(rounds);
        self
    }

    /// Has so many of them, each with draws of its own.
    pub fn copies(mut self, copies: u32) -> Self {
        self.copies = copies;
        self
    }

    /// Sets the handles that a [`sleeper`] runs each time it wakes; 1 if it is not set.
    ///
    /// # Panics
    ///
    /// If there are none, or if it is no sleeper.
    #[track_caller]
    pub fn burst(mut self, handles: u32) -> Self {
        assert!(handles > 0, "a sleeper that runs nothing when it wakes; leave it out");
        match &mut self.kind {
            Kind::Sleeper { burst, .. } => *burst = handles,
            _ => panic!("only a sleeper has a burst; this is {self:?}"),
        }
        self
    }

    /// Puts the partitions of a [`churn`] into a group.
    ///
    /// # Panics
    ///
    /// If it is no churn.
    #[track_caller]
    pub fn group(mut self, name: impl Into<String>) -> Self {
        match &mut self.kind {
            Kind::Churn { group, .. } => *group = Some(name.into()),
            _ => panic!("only the partitions of a churn have a group; this is {self:?}"),
        }
        self
    }

    /// Returns what it does.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns whether it goes on for ever.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.rounds.is_none()
    }
}

/// A task that is always ready. A round is a handle.
pub fn hog(cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::Hog { cost: cost.into() })
}

/// A task that sleeps, and runs a [`burst`](Actor::burst) of handles at each multiple of `period`
/// since the workload began; multiples it missed are skipped. A round is a burst.
///
/// With a period shorter than its handles it is hardly ever ready when another handle ends, and
/// still takes all it can get: it games schedulers that forgive whoever sleeps.
///
/// # Panics
///
/// If the period is zero: a [`hog`] does that.
#[track_caller]
pub fn sleeper(period: Duration, cost: impl Into<Cost>) -> Actor {
    assert!(!period.is_zero(), "a sleeper without a pause is a hog");
    Actor::new(Kind::Sleeper { period, burst: 1, cost: cost.into() })
}

/// A task that spawns `tasks` others at each multiple of `period`, each for one handle. A round is
/// a burst.
///
/// # Panics
///
/// If the period is zero.
#[track_caller]
pub fn bursts(period: Duration, tasks: u32, cost: impl Into<Cost>) -> Actor {
    assert!(!period.is_zero(), "bursts without a pause; give them a period");
    Actor::new(Kind::Bursts { period, tasks, cost: cost.into() })
}

/// A task that makes a partition, waits until the task it spawned there has run `handles` handles,
/// and lets it go. A round is the life of such a partition.
///
/// # Panics
///
/// If there are no handles.
#[track_caller]
pub fn churn(handles: u32, cost: impl Into<Cost>) -> Actor {
    assert!(handles > 0, "a partition in which nothing runs; give it a handle");
    Actor::new(Kind::Churn { handles, cost: cost.into(), group: None })
}

/// A crowd of `tasks` that all wait for one event, which comes at each multiple of `period`. A
/// round is an event.
///
/// # Panics
///
/// If the period is zero.
#[track_caller]
pub fn mass_wake(tasks: u32, period: Duration, cost: impl Into<Cost>) -> Actor {
    assert!(!period.is_zero(), "events without a pause; give them a period");
    Actor::new(Kind::MassWake { tasks, period, cost: cost.into() })
}

/// A crowd of `tasks`, each of which sleeps up to `spread` and runs one handle. A round is one
/// sleep of each.
///
/// # Panics
///
/// If the spread is zero.
#[track_caller]
pub fn timers(tasks: u32, spread: Duration, cost: impl Into<Cost>) -> Actor {
    assert!(!spread.is_zero(), "timers without a deadline to come; give them a spread");
    Actor::new(Kind::Timers { tasks, spread, cost: cost.into() })
}

/// A task that spawns `fanout` children, which do the same `depth` generations down. Each is done
/// when its children are. A round is a tree.
pub fn tree(fanout: u32, depth: u32, cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::Tree { fanout, depth, cost: cost.into() })
}

/// Two tasks that play a ball to and fro, one of them in the partition called `peer`. A round is
/// there and back.
pub fn ping_pong(peer: impl Into<String>, cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::PingPong { peer: peer.into(), cost: cost.into() })
}

/// A task that takes messages from producers that are always ready, one in each of the named
/// partitions. A round is a message from each.
///
/// # Panics
///
/// If no partition is named.
#[track_caller]
pub fn fan_in<N: Into<String>>(from: impl IntoIterator<Item = N>, cost: impl Into<Cost>) -> Actor {
    let from: Vec<String> = from.into_iter().map(Into::into).collect();
    assert!(!from.is_empty(), "messages from nobody; name the partition of a producer");
    Actor::new(Kind::FanIn { from, cost: cost.into() })
}

/// An echo service, and `clients` in the partition `…/clients` that connect to it within the time
/// `over`, send requests of `bytes` bytes and check the answers. A round is a request of each.
///
/// It needs sockets, so it runs on a runtime only.
///
/// # Panics
///
/// If the requests are empty.
#[track_caller]
pub fn flood(clients: u32, over: Duration, bytes: u32, cost: impl Into<Cost>) -> Actor {
    assert!(bytes > 0, "an empty request is never answered; send at least a byte");
    Actor::new(Kind::Flood { clients, over, bytes, cost: cost.into() })
}

/// A task that spawns `tasks` others, of which by turns one ends, one panics, one is aborted in its
/// sleep and one is let go, and joins them. A round is such a brood.
///
/// It runs on a runtime only, as do all below.
pub fn nursery(tasks: u32, cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::Nursery { tasks, cost: cost.into() })
}

/// A task that waits for the tick of an interval, then for half a period at most for a sleep that
/// may be twice as long. A round is a tick and a timeout.
///
/// # Panics
///
/// If the period is zero.
#[track_caller]
pub fn deadlines(period: Duration, cost: impl Into<Cost>) -> Actor {
    assert!(!period.is_zero(), "an interval without a period; give it one");
    Actor::new(Kind::Deadlines { period, cost: cost.into() })
}

/// A task that makes a partition, spawns `tasks` tasks there, closes it, by turns with
/// [`Close::Drain`](crate::Close::Drain) and [`Close::Cancel`](crate::Close::Cancel), and joins
/// them. A round is such a partition.
pub fn closing(tasks: u32, cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::Closing { tasks, cost: cost.into() })
}

/// A task that gives its partition another weight, from 1 to 8, after each `period`. A round is a
/// weight.
///
/// # Panics
///
/// If the period is zero.
#[track_caller]
pub fn fickle(period: Duration) -> Actor {
    assert!(!period.is_zero(), "weights without a pause; give them a period");
    Actor::new(Kind::Fickle { period })
}

/// A task that spawns `tasks` others which sleep to the same moment, with wakers of their own that
/// come back into the loop while it delivers: each takes `cost`, spawns a task, aborts another and
/// cancels a timer. A round is such a row.
pub fn dominoes(tasks: u32, cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::Dominoes { tasks, cost: cost.into() })
}

/// A task that spawns `tasks` others and has another thread wake them, which spawns and aborts
/// tasks besides, and drops a timer and a partition. The loop stands still until that thread is
/// done, so this is as deterministic as the rest. A round is such a thread.
pub fn remote(tasks: u32, cost: impl Into<Cost>) -> Actor {
    Actor::new(Kind::Remote { tasks, cost: cost.into() })
}
