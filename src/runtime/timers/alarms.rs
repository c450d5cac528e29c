//! The timers of a loop, and in front of them the one that was set last.
//!
//! Most timers are limits, and most limits are taken back before anything else happens to a timer: what
//! they limit was ready, or is polled again only much later. So the newest timer waits by itself, with
//! its deadline as it was told, and joins the others once somebody looks at them.

use std::task::Waker;
use std::time::Duration;

use crate::clock::{self, Instant, Source};
use crate::runtime::tasks::{Key, Tasks};
use crate::sched::{PartitionId, TimerId, Timers, Timestamp};

/// What a loop does when a deadline has come: it wakes a task.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: Timestamp,
    pub(crate) waker: Waker,
}

impl Alarm {
    pub(super) fn new(at: Timestamp, waker: Waker) -> Self {
        Self { at, waker }
    }

    /// Gives it another deadline.
    pub(super) fn reset(&mut self, at: Timestamp) {
        self.at = at;
    }

    /// Returns the nanoseconds from the deadline to `now`.
    pub(crate) fn late(&self, now: Timestamp) -> u64 {
        clock::nanos(now.saturating_since(self.at))
    }
}

/// The timers of a loop.
///
/// | newest | add             | take it | anything else |
/// |--------|-----------------|---------|---------------|
/// | none   | the new one     |         |               |
/// | one    | joins, the new  | none    | joins         |
#[derive(Debug)]
pub(crate) struct Alarms {
    timers: Timers<Alarm>,
    /// Named in `timers`, and not kept there yet.
    newest: Option<Newest>,
    time: Source,
    /// Deadlines from here on are far.
    far: Option<Instant>,
}

#[derive(Debug)]
struct Newest {
    id: TimerId,
    owner: PartitionId,
    deadline: Instant,
    wakes: Wakes,
}

/// Whom the newest timer wakes.
#[derive(Debug)]
pub(super) enum Wakes {
    /// The task that has set it, of which no waker was cloned.
    Task(Key),
    Other(Waker),
}

impl Wakes {
    /// Returns a waker. One of a task that has ended wakes nobody.
    fn into_waker(self, tasks: &Tasks) -> Waker {
        match self {
            Self::Other(waker) => waker,
            Self::Task(key) => match tasks.by_key(key) {
                Some(entry) => entry.task.waker(),
                None => Waker::noop().clone(),
            },
        }
    }
}

/// A deadline as far ahead of the last look at the clock as this is not compared with the clock. A
/// handle that has blocked its thread for that long is told by the next harvest that its timer is due.
const FAR: Duration = Duration::from_secs(1);

impl Alarms {
    /// Creates an empty set of timers that go by `time`, at `told`.
    pub(crate) fn new(time: Source, told: u64) -> Self {
        let mut alarms = Self { timers: Timers::new(), newest: None, time, far: None };
        alarms.look(Timestamp::from_nanos(told));
        alarms
    }

    /// Whether a deadline was far ahead at the last look at the clock.
    #[inline]
    pub(super) fn is_far(&self, deadline: Instant) -> bool {
        self.far.is_some_and(|far| deadline >= far)
    }

    /// Sets a timer.
    #[inline]
    pub(super) fn add(
        &mut self,
        owner: PartitionId,
        deadline: Instant,
        wakes: Wakes,
        tasks: &Tasks,
    ) -> TimerId {
        if self.newest.is_some() {
            self.settle(tasks);
        }
        let id = self.timers.reserve();
        self.newest = Some(Newest { id, owner, deadline, wakes });
        id
    }

    /// Takes the newest timer back, if it is that one, and returns whose it was.
    #[inline]
    pub(super) fn take_newest(&mut self, id: TimerId) -> Option<(Wakes, PartitionId)> {
        match &self.newest {
            Some(newest) if newest.id == id => {
                self.newest.take().map(|newest| (newest.wakes, newest.owner))
            }
            _ => None,
        }
    }

    /// Returns all timers, the newest among them.
    #[inline]
    pub(crate) fn settled(&mut self, tasks: &Tasks) -> &mut Timers<Alarm> {
        if self.newest.is_some() {
            self.settle(tasks);
        }
        &mut self.timers
    }

    #[inline(never)]
    fn settle(&mut self, tasks: &Tasks) {
        if let Some(Newest { id, owner, deadline, wakes }) = self.newest.take() {
            let at = timestamp(&self.time, deadline);
            self.timers.keep(id, owner, at, Alarm { at, waker: wakes.into_waker(tasks) });
        }
    }

    /// Takes note of a look at the clock.
    pub(crate) fn look(&mut self, told: Timestamp) {
        // Virtual time may jump while a handle runs.
        if self.time.is_real() {
            self.far = self.time.instant_at(told.as_nanos()).checked_add(FAR);
        }
    }

    /// Returns whether a partition is marked due.
    #[inline]
    pub(crate) fn is_due(&self, owner: PartitionId) -> bool {
        self.timers.is_due(owner)
    }

    /// Returns how many timers a partition has set.
    #[inline]
    pub(crate) fn count(&self, owner: PartitionId) -> usize {
        let newest = self.newest.as_ref().is_some_and(|newest| newest.owner == owner);
        self.timers.count(owner) + usize::from(newest)
    }

    /// Returns how many timers are set.
    #[cfg(feature = "sim")]
    pub(crate) fn len(&self) -> usize {
        self.timers.len() + usize::from(self.newest.is_some())
    }

    /// Gives every timer up, in no order.
    pub(crate) fn end(&mut self, tasks: &Tasks) -> impl Iterator<Item = Alarm> + use<> {
        std::mem::take(self.settled(tasks)).into_payloads()
    }
}

/// Tells a deadline as the loop counts time; what lies beyond 584 years is never.
pub(super) fn timestamp(time: &Source, deadline: Instant) -> Timestamp {
    Timestamp::from_nanos(time.nanos_at(deadline))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::sched::{Dispatcher, Settings};

    /// Writes its number down when it is woken.
    struct Numbered(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Numbered {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    proptest! {
        /// Whatever becomes of the newest, timers have the names, and fire in the order, that they would
        /// have if each joined the others at once.
        #[test]
        fn the_newest_is_one_of_all(
            steps in proptest::collection::vec((0..5_u8, 0..4_u64, any::<Index>()), 1..80),
        ) {
            let owner = Dispatcher::<()>::new(Settings::default()).root();
            let (time, tasks) = (Source::real(), Tasks::default());
            let mut alarms = Alarms::new(time.clone(), 0);
            let mut model = Timers::new();
            let fired = Arc::default();
            let mut set: Vec<TimerId> = Vec::new();
            for (number, (step, nanos, which)) in steps.into_iter().enumerate() {
                let at = Timestamp::from_nanos(nanos);
                let id = (!set.is_empty()).then(|| which.get(&set)).copied();
                match (step, id) {
                    (2, Some(id)) => {
                        let newest = alarms.take_newest(id).is_some();
                        prop_assert!(newest || alarms.settled(&tasks).remove(id).is_some());
                        prop_assert!(model.remove(id).is_some());
                        set.retain(|each| *each != id);
                    }
                    (3, Some(id)) => {
                        prop_assert!(alarms.settled(&tasks).reset(id, at));
                        prop_assert!(model.reset(id, at));
                    }
                    (4, _) => prop_assert_eq!(alarms.settled(&tasks).len(), model.len()),
                    _ => {
                        let waker = Waker::from(Arc::new(Numbered(number, Arc::clone(&fired))));
                        let deadline = time.instant_at(nanos);
                        let id = alarms.add(owner, deadline, Wakes::Other(waker), &tasks);
                        prop_assert_eq!(model.insert(owner, at, number), id);
                        set.push(id);
                    }
                }
                prop_assert_eq!(alarms.count(owner), set.len());
            }
            let (now, mut due, mut expected) = (Timestamp::from_nanos(9), Vec::new(), Vec::new());
            alarms.settled(&tasks).take_due(owner, now, usize::MAX, &mut due);
            due.into_iter().for_each(|alarm| alarm.waker.wake());
            model.take_due(owner, now, usize::MAX, &mut expected);
            prop_assert_eq!(&*fired.lock().unwrap(), &expected);
        }
    }
}
