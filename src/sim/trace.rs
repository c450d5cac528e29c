//! What happened in a run, and what can be asked of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::sched::Settings;
use crate::sim::Runtime;
use crate::trace::{MAIN, NOBODY, Packed, Record, What};

mod csv;
mod history;
mod ideal;
mod queries;
mod svg;
mod table;

pub(crate) use history::{Busy, Change, Handle, History, Life, Move, Unserved};
pub use queries::{Lag, Share, Starvation, Waits};

/// What happened in a run: every wake, handle, turn, delivery and harvest, with its virtual time.
///
/// A trace is a value. It does not change when the run goes on, and a clone costs nothing. It
/// knows partitions by name; where a partition was dropped and made again, or where several have
/// one name, the name stands for all of them. A window is a range of times since the start of the
/// run, and `..` is all of it.
///
/// Two runs are alike exactly if their traces have the same [`hash`](Self::hash).
///
/// # Examples
///
/// ```
/// use evenloop::{sim, spawn_in};
/// use std::time::Duration;
///
/// let sim = sim::Runtime::new(1);
/// sim.block_on(async {
///     let bulk = spawn_in("bulk", async {
///         for _ in 0..100 {
///             sim::burn(Duration::from_micros(20)).await;
///         }
///     });
///     let health = spawn_in("health", async { "alive" });
///     health.await.unwrap();
///     bulk.await.unwrap();
/// });
/// let trace = sim.trace();
/// assert_eq!(trace.service("bulk", ..), Duration::from_millis(2));
/// // It waits for the express lane: a slice of 25 µs and the handle that runs over it.
/// assert!(trace.waits("health", ..).max() <= Duration::from_micros(45));
/// ```
#[derive(Clone)]
pub struct Trace {
    inner: Arc<Inner>,
}

struct Inner {
    record: Record,
    history: History,
    /// The partitions of each name, and the name's place among all.
    names: BTreeMap<Box<str>, Name>,
    /// The names in the order in which they were first seen.
    order: Vec<Box<str>>,
}

#[derive(Debug)]
struct Name {
    place: usize,
    partitions: Vec<u32>,
}

/// One event of a [`Trace`].
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its place in the trace.
    pub index: usize,
    /// When it was, since the start of the run.
    pub at: Duration,
    /// The partition it is of, if it is of one.
    pub partition: Option<&'a str>,
    /// The number of that partition, which no other has; a name may come again.
    pub partition_number: Option<u32>,
    /// The task it is of, if it is of one.
    pub task: Option<Task<'a>>,
    /// What happened.
    pub what: What,
}

/// A task, as a trace knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// Its number, in order of first appearance; `None` is the future that `block_on` runs.
    pub number: Option<u32>,
    /// Its name, if it has one.
    pub name: Option<&'a str>,
    /// Where it was spawned, if that is known.
    pub spawned_at: Option<&'static Location<'static>>,
}

impl Trace {
    /// Reads what was recorded so far. O(events).
    pub(crate) fn of(record: &Record) -> Self {
        let mut record = record.clone();
        let history = History::of(&record);
        let (mut names, mut order) = (BTreeMap::new(), Vec::new());
        for (number, note) in record.partitions.iter_mut().enumerate() {
            if note.name.is_empty() {
                note.name = format!("partition {number}").into();
            }
            let entry = names.entry(note.name.clone()).or_insert_with(|| {
                order.push(note.name.clone());
                Name { place: order.len() - 1, partitions: Vec::new() }
            });
            entry.partitions.push(number as u32);
        }
        Self { inner: Arc::new(Inner { record, history, names, order }) }
    }

    /// Returns how many events the trace has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.record().events.len()
    }

    /// Returns whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many events there were; more than [`len`](Self::len) if the trace
    /// [is cut](Self::is_cut).
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.record().counted
    }

    /// Returns whether the trace is the beginning of a longer run, which had more events than
    /// are kept. Its hash is of the whole run all the same.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.record().is_cut()
    }

    /// Returns a hash of all that happened, in its order. Equal runs have equal hashes.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.record().hash
    }

    /// Returns what the scheduler was set to in this run.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.record().settings
    }

    /// Returns when the last event was, since the start of the run.
    #[must_use]
    pub fn end(&self) -> Duration {
        Duration::from_nanos(self.history().end)
    }

    /// Returns the names of the partitions, in the order in which they were first seen.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.inner.order.iter().map(|name| &**name)
    }

    /// Returns the events in the order in which they happened.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        (0..self.len()).map(|index| self.event(index))
    }

    /// Returns the event at a place. O(1).
    ///
    /// # Panics
    ///
    /// If there are not that many.
    #[must_use]
    pub fn event(&self, index: usize) -> Event<'_> {
        let Some(&Packed { at, partition, task, .. }) = self.record().events.get(index) else {
            panic!("there is no event {index}: the trace has {} events", self.len());
        };
        let number = (partition != NOBODY).then_some(partition);
        Event {
            index,
            at: Duration::from_nanos(at),
            partition: number.map(|number| self.name_of(number)),
            partition_number: number,
            task: (task != NOBODY).then(|| self.task(task)),
            what: self.record().events[index].what(),
        }
    }

    pub(crate) fn task(&self, number: u32) -> Task<'_> {
        let note = self.record().tasks.get(number as usize);
        Task {
            number: (number != MAIN).then_some(number),
            name: note.and_then(|note| note.name.as_deref()),
            spawned_at: note.and_then(|note| note.location),
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.inner.record
    }

    pub(crate) fn history(&self) -> &History {
        &self.inner.history
    }

    /// The name of the partition with a number.
    pub(crate) fn name_of(&self, partition: u32) -> &str {
        &self.record().partitions[partition as usize].name
    }

    /// The place of a partition's name among all names.
    fn place_of(&self, partition: u32) -> usize {
        self.inner.names[self.name_of(partition)].place
    }

    /// The partitions of a name.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub(crate) fn partitions(&self, name: &str) -> &[u32] {
        match self.inner.names.get(name) {
            Some(name) => &name.partitions,
            None => panic!("no partition is called `{name}`; there are {}", self.all_names()),
        }
    }

    fn all_names(&self) -> String {
        const SHOWN: usize = 20;
        let shown: Vec<String> = self.names().take(SHOWN).map(|name| format!("`{name}`")).collect();
        let others = self.inner.order.len() - shown.len();
        match others {
            0 => shown.join(", "),
            _ => format!("{} and {others} others", shown.join(", ")),
        }
    }

    /// A window as nanoseconds, no longer than the trace.
    ///
    /// # Panics
    ///
    /// If it ends before it begins.
    #[track_caller]
    fn window(&self, window: impl RangeBounds<Duration>) -> (u64, u64) {
        let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let from = match window.start_bound() {
            Bound::Included(from) | Bound::Excluded(from) => nanos(from),
            Bound::Unbounded => 0,
        };
        let to = match window.end_bound() {
            Bound::Included(to) | Bound::Excluded(to) => nanos(to),
            Bound::Unbounded => u64::MAX,
        };
        assert!(from <= to, "a window cannot end before it begins: give the earlier time first");
        let end = self.history().end;
        (from.min(end), to.min(end))
    }
}

/// A cost in words: a time, or a number of handles if that is what the budget counts.
pub(crate) fn cost_text(settings: &Settings, cost: u64) -> String {
    match cost {
        _ if settings.timed() => format!("{:?}", Duration::from_nanos(cost)),
        1 => "1 handle".into(),
        _ => format!("{cost} handles"),
    }
}

/// A name in one line.
pub(crate) fn plain(name: &str) -> String {
    let mut line = String::new();
    for c in name.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

impl Runtime {
    /// Returns what has happened so far. O(events).
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::sim;
    ///
    /// let run = || {
    ///     let sim = sim::Runtime::new(3);
    ///     sim.block_on(async { sim::burn(std::time::Duration::from_millis(1)).await });
    ///     sim.trace()
    /// };
    /// assert_eq!(run().hash(), run().hash());
    /// println!("{}", run());
    /// ```
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.with_record(Trace::of).expect("a simulation is recorded from its beginning")
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("hash", &format_args!("{:#018x}", self.hash()))
            .field("events", &self.len())
            .field("end", &self.end())
            .field("names", &self.inner.order)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Trace {
    /// Whether the same happened in both, by their hashes.
    fn eq(&self, other: &Self) -> bool {
        (self.hash(), self.counted()) == (other.hash(), other.counted())
    }
}

impl Eq for Trace {}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {:?}", self.index, self.at)?;
        if let Some(partition) = self.partition {
            write!(f, " `{partition}`")?;
        }
        if let Some(task) = self.task {
            write!(f, " {task}")?;
        }
        write!(f, " {:?}", self.what)
    }
}

impl fmt::Display for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number, self.name) {
            (None, _) => f.write_str("main"),
            (Some(number), None) => write!(f, "task {number}"),
            (Some(number), Some(name)) => write!(f, "task {number} ({name})"),
        }
    }
}

#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;
