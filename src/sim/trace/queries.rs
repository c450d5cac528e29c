//! Questions about a trace: who got how much, and who waited how long.

use std::cmp::Reverse;
use std::ops::RangeBounds;
use std::time::Duration;

use super::{Busy, Handle, Life, Trace};

/// What one name got of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share<'a> {
    /// The name of the partition, or of several.
    pub name: &'a str,
    /// Its time on the thread.
    pub service: Duration,
    /// Its handles that began in the window.
    pub handles: usize,
}

/// A time in which a partition had work and was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starvation {
    /// When it began to wait.
    pub from: Duration,
    /// When it was served, or the window ended.
    pub to: Duration,
}

impl Starvation {
    /// Returns how long it was.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.to - self.from
    }
}

/// How far a partition fell behind the ideal, in cost units: nanoseconds if the budget has a time,
/// handles if it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// The most it was behind; 0 if it never was.
    pub worst: f64,
    /// When that was.
    pub at: Duration,
    /// How far it was behind at the end of the window; less than 0 if it was ahead.
    pub last: f64,
}

/// Times from wake to run, shortest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    sorted: Vec<Duration>,
}

impl Waits {
    pub(crate) fn new(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self { sorted: waits }
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Returns the shortest wait that at least the fraction `q` of all do not exceed; zero if
    /// there are none. `quantile(0.99)` is what is called p99. O(1).
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q.clamp(0.0, 1.0) * self.len() as f64).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Returns the longest; zero if there are none.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }

    /// Returns the mean; zero if there are none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let total: u128 = self.sorted.iter().map(Duration::as_nanos).sum();
        let mean = total.checked_div(self.len() as u128).unwrap_or_default();
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// Returns all, shortest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Duration] {
        &self.sorted
    }
}

impl Trace {
    /// Returns how long partitions of this name were on the thread in the window. O(log handles)
    /// for each.
    ///
    /// # Panics
    ///
    /// If no partition is called so, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn service(&self, name: &str, window: impl RangeBounds<Duration>) -> Duration {
        let (from, to) = self.window(window);
        let lives = self.partitions(name).iter().map(|who| &self.history().lives[*who as usize]);
        let nanos = lives.map(|life| self.served(life, to) - self.served(life, from)).sum();
        Duration::from_nanos(nanos)
    }

    /// A life's nanoseconds on the thread before `at`.
    fn served(&self, life: &Life, at: u64) -> u64 {
        let handles = &self.history().handles;
        let begun = life.handles.partition_point(|handle| handles[*handle as usize].start < at);
        let Some(last) = begun.checked_sub(1) else { return 0 };
        let handle = &handles[life.handles[last] as usize];
        life.served[last] + handle.end.min(at) - handle.start
    }

    /// Returns how many handles of this name began in the window. O(log handles) for each of its
    /// partitions.
    ///
    /// # Panics
    ///
    /// If no partition is called so, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn handles(&self, name: &str, window: impl RangeBounds<Duration>) -> usize {
        let (from, to) = self.window(window);
        self.begun(name, from, to).count()
    }

    /// The handles of a name that began in a window, the end included.
    #[track_caller]
    fn begun(&self, name: &str, from: u64, to: u64) -> impl Iterator<Item = &Handle> {
        let history = self.history();
        let start = |handle: &u32| history.handles[*handle as usize].start;
        self.partitions(name).iter().flat_map(move |who| {
            let handles = &history.lives[*who as usize].handles;
            let first = handles.partition_point(|handle| start(handle) < from);
            let end = handles.partition_point(|handle| start(handle) <= to);
            let handles = handles[first..end.max(first)].iter();
            let handles = handles.map(|handle| &history.handles[*handle as usize]);
            handles.filter(|handle| !handle.delivery)
        })
    }

    /// Returns how long each handle of this name waited that began in the window: from the wake
    /// that queued it until it ran. O(n log n) in these handles.
    ///
    /// What is queued and has not run is not among them: see [`starvation`](Self::starvation).
    ///
    /// # Panics
    ///
    /// If no partition is called so, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn waits(&self, name: &str, window: impl RangeBounds<Duration>) -> Waits {
        let (from, to) = self.window(window);
        let wait = |handle: &Handle| Duration::from_nanos(handle.start - handle.woken);
        Waits::new(self.begun(name, from, to).map(wait).collect())
    }

    /// Returns the longest time in the window in which a partition of this name was runnable and
    /// not served; `None` if it never was. One that still waits when the window ends counts up to
    /// there. O(handles and idle times of these partitions).
    ///
    /// # Panics
    ///
    /// If no partition is called so, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn starvation(&self, name: &str, window: impl RangeBounds<Duration>) -> Option<Starvation> {
        let (from, to) = self.window(window);
        let mut longest: Option<(u64, u64)> = None;
        for who in self.partitions(name) {
            self.gaps(&self.history().lives[*who as usize], |begin, end| {
                let (begin, end) = (begin.max(from), end.min(to));
                if begin < end && longest.is_none_or(|(b, e)| end - begin > e - b) {
                    longest = Some((begin, end));
                }
            });
        }
        let nanos = Duration::from_nanos;
        longest.map(|(from, to)| Starvation { from: nanos(from), to: nanos(to) })
    }

    /// Tells all times in which a life was runnable and not served.
    fn gaps(&self, life: &Life, mut tell: impl FnMut(u64, u64)) {
        let handles = &self.history().handles;
        let mut next = life.handles.iter().map(|handle| &handles[*handle as usize]).peekable();
        for busy in &life.busy {
            let mut since = busy.from;
            while let Some(handle) = next.next_if(|handle| handle.start <= busy.to) {
                tell(since, handle.start);
                since = handle.end;
            }
            tell(since, busy.to);
        }
    }

    /// Returns how long partitions of this name were runnable in the window, each for itself.
    /// O(times they were idle).
    ///
    /// # Panics
    ///
    /// If no partition is called so, or the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn runnable(&self, name: &str, window: impl RangeBounds<Duration>) -> Duration {
        let (from, to) = self.window(window);
        let lives = self.partitions(name).iter().map(|who| &self.history().lives[*who as usize]);
        let overlap = |busy: &Busy| busy.to.min(to).saturating_sub(busy.from.max(from));
        Duration::from_nanos(lives.flat_map(|life| &life.busy).map(overlap).sum())
    }

    /// Returns what each name got of the window, the most first. O(handles in the window).
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn shares(&self, window: impl RangeBounds<Duration>) -> Vec<Share<'_>> {
        let (from, to) = self.window(window);
        let nothing = |name| Share { name, service: Duration::ZERO, handles: 0 };
        let mut shares: Vec<Share<'_>> = self.names().map(nothing).collect();
        for handle in self.overlapping(from, to) {
            let share = &mut shares[self.place_of(handle.partition)];
            share.service += Duration::from_nanos(handle.end.min(to) - handle.start.max(from));
            share.handles += usize::from(handle.start >= from && !handle.delivery);
        }
        // The sort is stable: who got the same stays in the order of first appearance.
        shares.sort_by_key(|share| Reverse((share.service, share.handles)));
        shares
    }

    /// The handles that ran at some time in a window, the end included.
    fn overlapping(&self, from: u64, to: u64) -> &[Handle] {
        let handles = &self.history().handles;
        let first = handles.partition_point(|handle| handle.end < from);
        let end = handles.partition_point(|handle| handle.start <= to);
        &handles[first..end.max(first)]
    }

    /// Returns how long the thread ran handles, and deliveries that take time, in the window. O(handles in the window).
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn busy_time(&self, window: impl RangeBounds<Duration>) -> Duration {
        let (from, to) = self.window(window);
        let inside = |handle: &Handle| handle.end.min(to) - handle.start.max(from);
        Duration::from_nanos(self.overlapping(from, to).iter().map(inside).sum())
    }

    /// Returns how long the thread ran no handle in the window, whether it slept or not.
    /// O(handles in the window).
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn idle_time(&self, window: impl RangeBounds<Duration>) -> Duration {
        let (from, to) = self.window(window);
        let nanos = Duration::from_nanos;
        nanos(to - from) - self.busy_time(nanos(from)..nanos(to))
    }
}
