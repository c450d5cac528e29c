//! The counters that are always on: the loop's thread writes, anyone reads.
//!
//! Writing is a handful of plain loads and stores, no atomic read-modify-write; reading is safe at
//! any time, also while a handle stalls the loop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{AtomicHistogram, Histogram};
use super::load::{Meter, State};
use super::metrics::{PartitionMetrics, RuntimeMetrics};
use super::sequence::Sequence;

/// The length of a queue is summed over units of 1.024 µs: in nanoseconds, a queue of 100,000
/// handles would overflow 64 bits within two days.
const UNIT_LOG2: u32 = 10;

/// What one partition does. The states fill one cache line, the counts of every turn the next.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Counters {
    meter: Meter,
    handles: Count,
    turns: Count,
    express: Count,
    queue: Queue,
    tasks: Count,
    /// Made when it is needed first.
    rare: OnceLock<Box<Rare>>,
}

/// What few partitions count.
#[derive(Debug, Default)]
struct Rare {
    forgiven: Count,
    /// When its sockets and timers were last delivered, in nanoseconds; zero since it was idle.
    delivered: Count,
    timer_lateness: RareHistogram,
    delivery_gap: RareHistogram,
}

impl Counters {
    /// Starts to count at `now_ns`, in [`State::Waiting`].
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            meter: Meter::new(State::Waiting, now_ns),
            handles: Count::default(),
            turns: Count::default(),
            express: Count::default(),
            queue: Queue::default(),
            tasks: Count::default(),
            rare: OnceLock::new(),
        }
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// Tells that the partition is in `state` from `now_ns` on.
    #[inline]
    pub(crate) fn enter(&self, state: State, now_ns: u64) {
        self.meter.enter(state, now_ns);
    }

    /// Counts handles that ran.
    #[inline]
    pub(crate) fn ran(&self, handles: u64) {
        self.handles.add(handles);
    }

    /// Counts a turn.
    #[inline]
    pub(crate) fn turn(&self, express: bool) {
        self.turns.add(1);
        self.express.add(u64::from(express));
    }

    /// Tells that `len` handles are queued from `now_ns` on.
    #[inline]
    pub(crate) fn queued(&self, len: usize, now_ns: u64) {
        // A partition counts its handles in 32 bits.
        self.queue.set(len as u32, now_ns);
    }

    /// Tells how much debt was forgiven in all, in cost units.
    #[inline]
    pub(crate) fn forgiven(&self, total: u64) {
        self.rare().forgiven.set(total);
    }

    /// Counts tasks that came (`+1`) or went (`-1`), and returns how many there are.
    #[inline]
    pub(crate) fn tasks(&self, change: i64) -> u64 {
        self.tasks.add(change as u64)
    }

    /// Whether tasks are there that came and did not go.
    #[inline]
    pub(crate) fn has_tasks(&self) -> bool {
        self.tasks.get() > 0
    }

    /// Counts a timer that fired `late_ns` after its deadline.
    #[inline]
    pub(crate) fn timer_late(&self, late_ns: u64) {
        self.rare().timer_lateness.add(late_ns);
    }

    /// Counts a delivery of what the harvest at `now_ns` found, and the time since the last one.
    #[inline]
    pub(crate) fn delivered(&self, now_ns: u64) {
        let rare = self.rare();
        let last = rare.delivered.get();
        if last != 0 {
            rare.delivery_gap.add(now_ns.saturating_sub(last));
        }
        rare.delivered.set(now_ns);
    }

    /// Tells that the partition ran dry: what comes next does not wait since the last delivery.
    #[inline]
    pub(crate) fn rested(&self) {
        if let Some(rare) = self.rare.get() {
            rare.delivered.set(0);
        }
    }

    /// Returns everything counted up to `now_ns`, the state in progress included.
    pub(crate) fn snapshot(&self, now_ns: u64) -> PartitionMetrics {
        let times = self.meter.times(now_ns);
        let (queued, queue_time) = self.queue.read(now_ns);
        let rare = self.rare.get();
        PartitionMetrics {
            running: times.running,
            starved: times.starved,
            waiting: times.waiting,
            handles: self.handles.get(),
            turns: self.turns.get(),
            express_turns: self.express.get(),
            forgiven: rare.map_or(0, |rare| rare.forgiven.get()),
            tasks: self.tasks.get(),
            queued,
            queue_time,
            timer_lateness: rare.map(|rare| rare.timer_lateness.snapshot()).unwrap_or_default(),
            delivery_gap: rare.map(|rare| rare.delivery_gap.snapshot()).unwrap_or_default(),
        }
    }

    /// Returns the share of time in which the partition had work, from 0 to 1, averaged over the
    /// last seconds.
    pub(crate) fn load(&self, now_ns: u64) -> f64 {
        self.meter.load(now_ns)
    }
}

/// What the whole loop does.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct LoopCounters {
    meter: Meter,
    ticks: Count,
    harvests: Count,
    events: Count,
    handles: Count,
    remote_wakes: Count,
    instrument_panics: Count,
    gated_newborns: Count,
    harvest_gap: AtomicHistogram,
    timer_lateness: AtomicHistogram,
}

impl LoopCounters {
    /// Starts to count at `now_ns`; the loop is idle until [`busy`](Self::busy) says otherwise.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            meter: Meter::new(State::Waiting, now_ns),
            ticks: Count::default(),
            harvests: Count::default(),
            events: Count::default(),
            handles: Count::default(),
            remote_wakes: Count::default(),
            instrument_panics: Count::default(),
            gated_newborns: Count::default(),
            harvest_gap: AtomicHistogram::default(),
            timer_lateness: AtomicHistogram::default(),
        }
    }

    /// Tells that the loop works from `now_ns` on.
    #[inline]
    pub(crate) fn busy(&self, now_ns: u64) {
        self.meter.enter(State::Running, now_ns);
    }

    /// Tells that the loop sleeps, or has stopped, from `now_ns` on.
    #[inline]
    pub(crate) fn idle(&self, now_ns: u64) {
        self.meter.enter(State::Waiting, now_ns);
    }

    /// Counts a tick.
    #[inline]
    pub(crate) fn tick(&self) {
        self.ticks.add(1);
    }

    /// Counts a harvest and the events it brought.
    #[inline]
    pub(crate) fn harvest(&self, events: u64) {
        self.harvests.add(1);
        self.events.add(events);
    }

    /// Counts handles that ran.
    #[inline]
    pub(crate) fn ran(&self, handles: u64) {
        self.handles.add(handles);
    }

    /// Counts wakes and spawns that other threads sent.
    #[inline]
    pub(crate) fn remote_wakes(&self, wakes: u64) {
        self.remote_wakes.add(wakes);
    }

    /// Counts an instrument that panicked.
    pub(crate) fn instrument_panicked(&self) {
        self.instrument_panics.add(1);
    }

    /// Tells how many newborn partitions had to wait for the next round in all.
    #[inline]
    pub(crate) fn gated_newborns(&self, total: u64) {
        self.gated_newborns.set(total);
    }

    /// Counts `gap_ns` of work between two harvests.
    #[inline]
    pub(crate) fn harvest_gap(&self, gap_ns: u64) {
        self.harvest_gap.add(gap_ns);
    }

    /// Counts a timer that fired `late_ns` after its deadline.
    #[inline]
    pub(crate) fn timer_late(&self, late_ns: u64) {
        self.timer_lateness.add(late_ns);
    }

    /// Returns everything counted up to `now_ns`, the state in progress included.
    pub(crate) fn snapshot(&self, now_ns: u64) -> RuntimeMetrics {
        let times = self.meter.times(now_ns);
        RuntimeMetrics {
            busy: times.running,
            idle: times.waiting,
            ticks: self.ticks.get(),
            harvests: self.harvests.get(),
            events: self.events.get(),
            handles: self.handles.get(),
            remote_wakes: self.remote_wakes.get(),
            instrument_panics: self.instrument_panics.get(),
            gated_newborns: self.gated_newborns.get(),
            harvest_gap: self.harvest_gap.snapshot(),
            timer_lateness: self.timer_lateness.snapshot(),
        }
    }

    /// Returns the share of time in which the loop was busy, from 0 to 1, averaged over the last
    /// seconds.
    pub(crate) fn load(&self, now_ns: u64) -> f64 {
        self.meter.load(now_ns)
    }
}

/// A number that one thread changes and any thread reads.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    /// Adds, wrapping: a negative number is added as its two's complement. Returns the sum.
    #[inline]
    fn add(&self, n: u64) -> u64 {
        let sum = self.get().wrapping_add(n);
        self.set(sum);
        sum
    }

    #[inline]
    fn set(&self, n: u64) {
        // Ordering: a count stands for itself, and one thread alone writes it.
        self.0.store(n, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The length of a queue, and its integral over time.
#[derive(Debug, Default)]
struct Queue {
    sequence: Sequence,
    len: AtomicU32,
    /// The integral is `len × now − owed`: whoever joined at time `t` did not wait the `t` before.
    /// In units of 2^10 ns, wrapping, as differences are all that counts.
    owed: AtomicU64,
}

impl Queue {
    #[inline]
    fn set(&self, len: u32, now_ns: u64) {
        let was = self.len.load(Ordering::Relaxed);
        if len == was {
            return;
        }
        let joined = u64::from(len).wrapping_sub(u64::from(was));
        let joined_at = joined.wrapping_mul(now_ns >> UNIT_LOG2);
        let owed = self.owed.load(Ordering::Relaxed).wrapping_add(joined_at);
        self.sequence.write(|| {
            self.len.store(len, Ordering::Relaxed);
            self.owed.store(owed, Ordering::Relaxed);
        });
    }

    /// Returns the length and the time spent in the queue by all who were ever in it.
    fn read(&self, now_ns: u64) -> (u64, Duration) {
        let (len, owed) = self
            .sequence
            .read(|| (self.len.load(Ordering::Relaxed), self.owed.load(Ordering::Relaxed)));
        let len = u64::from(len);
        let units = len.wrapping_mul(now_ns >> UNIT_LOG2).wrapping_sub(owed);
        let nanos = u128::from(units) << UNIT_LOG2;
        let seconds = (nanos / 1_000_000_000) as u64;
        (len, Duration::new(seconds, (nanos % 1_000_000_000) as u32))
    }
}

/// A histogram made when the first duration is counted: most partitions have no timers.
#[derive(Debug, Default)]
struct RareHistogram(OnceLock<Box<AtomicHistogram>>);

impl RareHistogram {
    #[inline]
    fn add(&self, nanos: u64) {
        self.0.get_or_init(Box::default).add(nanos);
    }

    fn snapshot(&self) -> Histogram {
        self.0.get().map(|histogram| histogram.snapshot()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// A turn touches two cache lines: one of states, one of counts.
    #[test]
    fn a_turn_touches_two_lines() {
        assert_eq!(mem::align_of::<Counters>(), 64);
        assert_eq!(mem::offset_of!(Counters, handles), 64);
        assert!(mem::offset_of!(Counters, tasks) + mem::size_of::<Count>() <= 128);
        assert_eq!(mem::size_of::<Counters>(), 128);
    }

    proptest! {
        /// The time in the queue is the sum over handles, to within the unit for each change.
        #[test]
        fn queue_time_is_the_integral_of_the_length(
            start in 0_u64..1 << 40,
            steps in prop::collection::vec((0_usize..1000, 0_u64..1 << 30), 0..50),
        ) {
            let counters = Counters::new(start);
            let (mut now, mut exact, mut doubt) = (start, 0_u128, 0_u128);
            let mut before = 0;
            for (len, nanos) in &steps {
                counters.queued(*len, now);
                doubt += len.abs_diff(before) as u128 * 1024;
                before = *len;
                now += nanos;
                exact += *len as u128 * u128::from(*nanos);
            }
            let metrics = counters.snapshot(now);
            let error = metrics.queue_time.as_nanos().abs_diff(exact);
            prop_assert!(error <= doubt + 1024 * before as u128, "off by {} ns", error);
            prop_assert_eq!(metrics.queued, before as u64);
        }
    }

    /// Ten handles that waited a millisecond each have a mean delay of a millisecond.
    #[test]
    fn mean_delay_follows_from_littles_law() {
        let counters = Counters::new(0);
        assert_eq!(counters.snapshot(0).mean_delay(), None);
        counters.queued(10, 0);
        counters.queued(0, 1_000_000);
        counters.ran(10);
        let delay = counters.snapshot(5_000_000).mean_delay().unwrap();
        assert!(delay.abs_diff(Duration::from_millis(1)) < Duration::from_micros(2), "{delay:?}");
    }

    /// A difference holds what happened in between, and the gauges of its end.
    #[test]
    fn since_tells_of_the_time_between() {
        let counters = Counters::new(0);
        counters.tasks(1);
        counters.tasks(1);
        counters.enter(State::Running, 10);
        counters.turn(true);
        counters.ran(3);
        counters.timer_late(5_000);
        let first = counters.snapshot(30);
        counters.enter(State::Starved, 40);
        counters.turn(false);
        counters.ran(4);
        counters.tasks(-1);
        counters.forgiven(9);
        counters.delivered(50);
        counters.delivered(58);
        counters.rested();
        counters.delivered(70);
        let between = counters.snapshot(60).since(&first);

        assert_eq!(between.running, Duration::from_nanos(10));
        assert_eq!(between.starved, Duration::from_nanos(20));
        assert_eq!(between.waiting, Duration::ZERO);
        assert_eq!(between.wall(), Duration::from_nanos(30));
        assert_eq!(between.load(), 1.0);
        assert!((between.pressure() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((between.handles, between.turns, between.express_turns), (4, 1, 0));
        assert_eq!((between.forgiven, between.tasks), (9, 1));
        assert_eq!((between.timer_lateness.count(), between.delivery_gap.count()), (0, 1));
        assert_eq!((first.tasks, first.express_turns, first.timer_lateness.count()), (2, 1, 1));
    }

    /// A loop's snapshot says what was told of it.
    #[test]
    fn a_loop_counts_what_it_is_told() {
        let counters = LoopCounters::new(0);
        counters.busy(100);
        counters.tick();
        counters.harvest(2);
        counters.harvest(3);
        counters.ran(7);
        counters.remote_wakes(4);
        counters.harvest_gap(2_000);
        counters.timer_late(0);
        counters.gated_newborns(3);
        counters.instrument_panicked();
        counters.idle(400);
        let metrics = counters.snapshot(1_000);
        assert_eq!(metrics.busy, Duration::from_nanos(300));
        assert_eq!(metrics.idle, Duration::from_nanos(700));
        assert_eq!((metrics.ticks, metrics.harvests, metrics.events), (1, 2, 5));
        assert_eq!((metrics.handles, metrics.remote_wakes), (7, 4));
        assert_eq!((metrics.gated_newborns, metrics.instrument_panics), (3, 1));
        assert_eq!((metrics.harvest_gap.count(), metrics.timer_lateness.count()), (1, 1));
        assert!((counters.load(1_000) - 0.3).abs() < 1e-6);
        assert!((metrics.since(&RuntimeMetrics::default()).utilization() - 0.3).abs() < 1e-9);
    }

    /// One handle joins at each unit of time, so the length tells what is owed; a reader that
    /// mixed two writes would find another sum.
    #[test]
    fn readers_never_see_a_torn_queue() {
        let queue = Arc::new(Queue::default());
        let done = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
            move || {
                let mut reads = 0_u64;
                while !done.load(Ordering::Acquire) {
                    let (len, owed) = queue.sequence.read(|| {
                        (queue.len.load(Ordering::Relaxed), queue.owed.load(Ordering::Relaxed))
                    });
                    let len = u64::from(len);
                    assert_eq!(owed, len * len.saturating_sub(1) / 2, "torn at length {len}");
                    reads += 1;
                }
                reads
            }
        });
        for n in 1..2_000_000 {
            queue.set(n, u64::from(n - 1) << UNIT_LOG2);
        }
        done.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    }
}
