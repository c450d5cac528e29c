//! A loop whose time stands still: when it moves on, and who waits for that.
//!
//! Where the loop would sleep until a timer, a paused clock goes there at once. Before that the
//! kernel is asked once more, so what is ready comes first; and while a blocking job is under way
//! nothing moves, since nobody knows what it is going to do. An `advance` takes the same steps, and
//! waits for no job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::clock::nanos;
use crate::runtime::core::Core;
use crate::runtime::local::Local;
use crate::runtime::shared::Shared;

/// Handles that may run at one moment of an `advance` before it goes on although the loop has more
/// to run: so many, and so many for each task if that is more.
const HANDLES_MAX: u64 = 10_000;
const HANDLES_MAX_A_TASK: u64 = 64;

/// Those who move the time on.
#[derive(Debug, Default)]
pub(crate) struct Advances {
    waiting: Vec<Waiting>,
    next_id: u64,
    /// How many handles had run at the last step.
    stepped: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    /// Where the time is to be, in nanoseconds since the epoch of the loop.
    until: u64,
    waker: Waker,
}

impl Advances {
    fn next(&self) -> Option<u64> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// Takes those out that have got to where they wanted.
    fn take(&mut self, now: u64) -> Vec<Waker> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (arrived, waiting) = waiting.partition::<Vec<_>, _>(|waiting| waiting.until <= now);
        self.waiting = waiting;
        arrived.into_iter().map(|waiting| waiting.waker).collect()
    }
}

impl Local {
    /// Stops the time.
    ///
    /// # Panics
    ///
    /// If it stands already, or is that of a simulation.
    #[track_caller]
    pub(crate) fn pause_time(&self) {
        self.refuse_simulation("time::pause");
        assert!(
            self.shared.time.pause(),
            "the time of this runtime is paused already: let it go on by `time::resume` before \
             it is paused again"
        );
    }

    /// Lets the time go on. Whoever moves it has got as far as it is.
    ///
    /// # Panics
    ///
    /// If it does, or is that of a simulation.
    #[track_caller]
    pub(crate) fn resume_time(&self) {
        self.refuse_simulation("time::resume");
        assert!(
            self.shared.time.resume(),
            "the time of this runtime is not paused: pause it by `time::pause`, or from the start \
             by `Builder::start_paused`, before it is resumed"
        );
        let moved = self.core.borrow_mut().advances.take(u64::MAX);
        self.wake_all(moved);
    }

    #[track_caller]
    fn refuse_simulation(&self, what: &str) {
        assert!(
            self.shared.time.is_real(),
            "{what}: the time of a simulation stands still while code runs, and goes on by itself \
             when nothing is left to run; to let it pass, use a sleep or `sim::spend`"
        );
    }

    /// Begins to move the time on by `duration`. Returns the number it is known by.
    ///
    /// # Panics
    ///
    /// If the time goes by itself.
    #[track_caller]
    pub(crate) fn advance_time(&self, duration: Duration, waker: Waker) -> u64 {
        self.refuse_simulation("time::advance");
        let time = &self.shared.time;
        assert!(
            time.is_paused(),
            "the time of this runtime is not paused, and goes on by itself: pause it by \
             `time::pause`, or from the start by `Builder::start_paused`, before it is advanced"
        );
        let until = time.told(time.now()).saturating_add(nanos(duration));
        let mut core = self.core.borrow_mut();
        core.advances.stepped = core.handles;
        let id = core.advances.next_id;
        core.advances.next_id += 1;
        core.advances.waiting.push(Waiting { id, until, waker });
        id
    }

    /// Has `waker` woken when the time is there; ready if it is.
    pub(crate) fn watch_advance(&self, id: u64, waker: &Waker) -> Poll<()> {
        // Cloned before the loop is borrowed, and the old one is dropped after: both may run
        // foreign code.
        let mut waker = waker.clone();
        let mut core = self.core.borrow_mut();
        let found = core.advances.waiting.iter_mut().find(|waiting| waiting.id == id);
        let waits = found.map(|waiting| std::mem::swap(&mut waiting.waker, &mut waker)).is_some();
        drop(core);
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(crate) fn cancel_advance(&self, id: u64) {
        let mut core = self.core.borrow_mut();
        let found = core.advances.waiting.iter().position(|waiting| waiting.id == id);
        let cancelled = found.map(|at| core.advances.waiting.swap_remove(at));
        drop(core);
        self.shared.panic_hook.contain(|| drop(cancelled));
    }

    /// Where time that stands still goes when nothing is left to run, if it goes anywhere.
    pub(crate) fn next_moment(&self, core: &mut Core) -> Option<u64> {
        // What is due at the end of time never is.
        let timer =
            core.all_timers().earliest().map(|at| at.as_nanos()).filter(|&at| at < u64::MAX);
        match core.advances.next() {
            Some(until) => Some(timer.map_or(until, |timer| timer.min(until))),
            None if self.shared.blocking.in_flight().get() > 0 => None,
            None => timer,
        }
    }

    /// Moves time that stands still to the next moment. The loop has just asked the kernel, and
    /// would sleep until then, unless that has made something runnable.
    pub(crate) fn pass_time(&self) {
        if !self.shared.time.is_paused() {
            return;
        }
        let moment = self.next_moment(&mut self.core.borrow_mut());
        // What a job had to say when it was last seen is in the post by now.
        if self.has_mail() || self.core.borrow().sched.runnable() > 0 {
            return;
        }
        if let Some(moment) = moment {
            self.step_to(moment);
        }
    }

    /// Moves it on for an `advance` that the loop has kept waiting for too long, since a task that
    /// always wakes itself never lets it rest.
    pub(crate) fn pass_time_busy(&self) {
        let moment = {
            let mut core = self.core.borrow_mut();
            let Some(until) = core.advances.next() else { return };
            let patience = HANDLES_MAX.max(core.tasks.len() as u64 * HANDLES_MAX_A_TASK);
            if core.handles - core.advances.stepped < patience {
                return;
            }
            self.next_moment(&mut core).unwrap_or(until)
        };
        self.step_to(moment);
    }

    /// Moves the time to `moment`; those who wanted it there hear of it once nothing is due.
    fn step_to(&self, moment: u64) {
        let time = &self.shared.time;
        time.advance_to(moment);
        let told = time.told(time.now());
        let mut core = self.core.borrow_mut();
        core.advances.stepped = core.handles;
        let is_due = core.all_timers().earliest().is_some_and(|at| at.as_nanos() <= told);
        let arrived = if is_due { Vec::new() } else { core.advances.take(told) };
        drop(core);
        self.wake_all(arrived);
    }

    fn wake_all(&self, wakers: Vec<Waker>) {
        for waker in wakers {
            self.shared.panic_hook.contain(|| waker.wake());
        }
    }
}

/// How many blocking jobs are under way: queued, running, or about to tell what came of them.
#[derive(Debug, Default)]
pub(crate) struct InFlight(AtomicUsize);

impl InFlight {
    pub(crate) fn get(&self) -> usize {
        // Ordering: Acquire pairs with the Release of a job that ends, so that what it sent before
        // is in the way in.
        self.0.load(Ordering::Acquire)
    }
}

/// A job that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Shared>);

impl UnderWay {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.blocking.in_flight().0.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.blocking.in_flight().0.fetch_sub(1, Ordering::Release);
        if self.0.time.is_paused() {
            // The loop may sleep only because of this job, of which nobody need have waited.
            self.0.call(|_| {});
        }
    }
}
