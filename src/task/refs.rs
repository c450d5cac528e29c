//! Those who refer to a task: its runnable, plain references, notices of wakes from elsewhere.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::Waker;

use super::cell::{Header, Verdict, release_shared};
use super::home::Home;
use super::waker;

/// The right to run a task, or to refuse it: what a queue holds. A task has one at most, from the
/// wake, or its making, to the poll.
///
/// It counts no reference: a task refers to itself until it ends, and only who has this can end it.
/// Dropped, it leaks the task.
#[must_use = "a task that is neither run nor refused never ends"]
pub(crate) struct Runnable<L: Home>(NonNull<Header<L>>);

// SAFETY: a runnable is one thread's at a time. A future that is not `Send` is of a task that was
// made on the thread of its loop: its runnable stays there, since that thread alone queues it, and
// is passed on by `Home::queue` there. Tasks made on other threads have futures that are `Send`.
#[allow(unsafe_code)]
unsafe impl<L: Home> Send for Runnable<L> {}

impl<L: Home> Runnable<L> {
    /// Takes up the right to run the task.
    ///
    /// # Safety
    ///
    /// The task has not ended and nobody else has its runnable.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) unsafe fn new(task: NonNull<Header<L>>) -> Self {
        Self(task)
    }

    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn header(&self) -> &Header<L> {
        // SAFETY: a task that has a runnable has not ended, and refers to itself.
        unsafe { self.0.as_ref() }
    }

    /// Refers to the task beyond its run.
    pub(crate) fn task(&self) -> Task<L> {
        retain(self.header());
        Task(self.0)
    }

    /// Polls the task once, on its loop's thread, or ends it if it was aborted.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn run(self) -> Ran<L> {
        let header = self.header();
        header.local.begin();
        if header.word.is_aborted() {
            self.end(Verdict::Aborted);
            return Ran::Ended;
        }
        // SAFETY: this is the runnable, and it is not used again if the task ends.
        let pends = unsafe { (header.vtable().poll)(self.0) };
        if !pends {
            return Ran::Ended;
        }
        if self.header().local.pend() { Ran::Woken(self) } else { Ran::Pends }
    }

    /// Polls a task that has no loop, once, which has to be enough.
    #[allow(unsafe_code)]
    pub(crate) fn run_to_end(self) {
        // SAFETY: as in `run`.
        let pends = unsafe { (self.header().vtable().poll)(self.0) };
        debug_assert!(!pends, "a task without a loop has nobody to poll it again");
    }

    /// Ends a task that nobody takes in: its future is dropped here and now, unpolled, and its
    /// handle says so.
    pub(crate) fn refuse(self) {
        self.end(Verdict::Refused);
    }

    /// Ends a task that was aborted before it ran: its future is dropped here and now.
    pub(crate) fn cancel(self) {
        self.end(Verdict::Aborted);
    }

    #[allow(unsafe_code)]
    fn end(self, verdict: Verdict) {
        // SAFETY: this is the runnable, and it is given up.
        unsafe { (self.header().vtable().cancel)(self.0, verdict) };
    }
}

/// A runnable, or a mark that stands for something else: what a queue holds. It is as small as a
/// pointer, and so is an `Option` of it.
pub(crate) struct Queued<L: Home>(NonNull<Header<L>>);

impl<L: Home> Queued<L> {
    /// The mark: an address at which no task is.
    pub(crate) const MARK: Self = Self(NonNull::dangling());

    #[inline]
    pub(crate) fn new(task: Runnable<L>) -> Self {
        Self(task.0)
    }

    /// Returns the runnable, unless this is the mark.
    #[inline]
    pub(crate) fn open(self) -> Option<Runnable<L>> {
        (!self.is_mark()).then_some(Runnable(self.0))
    }

    #[inline]
    pub(crate) fn is_mark(&self) -> bool {
        self.0 == NonNull::dangling()
    }

    /// Returns the header of the task, unless this is the mark.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn header(&self) -> Option<&Header<L>> {
        if self.is_mark() {
            return None;
        }
        // SAFETY: this is a runnable, whose task has not ended.
        Some(unsafe { self.0.as_ref() })
    }
}

impl<L: Home> fmt::Debug for Queued<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.header() {
            Some(header) => header.fmt(f),
            None => f.write_str("Mark"),
        }
    }
}

/// What a poll came to.
#[must_use = "a task that was woken is to be queued"]
pub(crate) enum Ran<L: Home> {
    Ended,
    Pends,
    /// It pends, and was woken meanwhile.
    Woken(Runnable<L>),
}

impl<L: Home> fmt::Debug for Runnable<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}

/// A task, referred to: what a registry, an abort handle or a waker has.
pub(crate) struct Task<L: Home>(NonNull<Header<L>>);

// SAFETY: what can be done by a reference to a task can be done on any thread, as with a waker. The
// future is out of its reach, and freeing a cell drops neither a future nor an outcome.
#[allow(unsafe_code)]
unsafe impl<L: Home> Send for Task<L> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<L: Home> Sync for Task<L> {}

impl<L: Home> Task<L> {
    /// Takes over a reference that is counted.
    ///
    /// # Safety
    ///
    /// There is one, and nobody else gives it up.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) unsafe fn from_counted(task: NonNull<Header<L>>) -> Self {
        Self(task)
    }

    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn header(&self) -> &Header<L> {
        // SAFETY: the reference keeps the task.
        unsafe { self.0.as_ref() }
    }

    /// Returns a waker of the task.
    #[allow(unsafe_code)]
    pub(crate) fn waker(&self) -> Waker {
        let task = ManuallyDrop::new(self.clone());
        // SAFETY: the new reference becomes the waker's.
        unsafe { waker::borrowed(task.0) }
    }

    /// Has the task polled: queues it on its loop's thread, elsewhere sends the loop a notice.
    #[inline]
    pub(crate) fn wake_by_ref(&self) {
        if self.header().home().is_here() {
            self.wake_here();
        } else {
            self.wake_elsewhere();
        }
    }

    #[inline(never)]
    fn wake_elsewhere(&self) {
        if self.header().word.notice() {
            Notice(self.clone()).send();
        }
    }

    /// As [`wake_by_ref`](Self::wake_by_ref), and gives up the reference.
    #[inline]
    pub(super) fn wake(self) {
        let header = self.header();
        if header.home().is_here() {
            self.wake_here();
        } else if header.word.notice() {
            Notice(self).send();
        }
    }

    #[inline]
    fn wake_here(&self) {
        if self.header().local.wake() {
            self.queue();
        }
    }

    /// Queues the task, which was not queued and does not run.
    // Apart, so that a wake which changes nothing costs next to nothing.
    #[inline(never)]
    #[allow(unsafe_code)]
    fn queue(&self) {
        // SAFETY: nobody has the runnable, says the local state; and the task has not ended.
        L::queue(unsafe { Runnable::new(self.0) });
    }

    /// Makes the next poll the last, in which the future is dropped, and has it polled.
    pub(crate) fn abort(&self) {
        self.header().word.abort();
        self.wake_by_ref();
    }
}

impl<L: Home> Clone for Task<L> {
    #[inline]
    fn clone(&self) -> Self {
        retain(self.header());
        Self(self.0)
    }
}

impl<L: Home> Drop for Task<L> {
    #[inline]
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        let header = self.header();
        if header.is_ours() {
            header.local.release(&header.word);
        } else {
            // SAFETY: this is the reference that is given up.
            unsafe { release_shared(self.0) };
        }
    }
}

impl<L: Home> fmt::Debug for Task<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header().fmt(f)
    }
}

/// Counts a reference, for who has one or looks at a task that has not ended.
#[inline]
pub(super) fn retain<L: Home>(header: &Header<L>) {
    if header.is_ours() {
        header.local.retain(&header.word);
    } else {
        header.word.retain();
    }
}

/// The news that a task was woken on another thread than its loop's.
#[derive(Debug)]
#[must_use = "the task waits for it"]
pub(crate) struct Notice<L: Home>(Task<L>);

impl<L: Home> Notice<L> {
    fn send(self) {
        let home = self.0.header().home().clone();
        home.notify(self);
    }

    /// Takes the news, on the thread of the task's loop, whichever runtime that has entered. Returns
    /// the runnable if the task is to be queued.
    #[must_use = "a task that was woken is to be queued"]
    #[allow(unsafe_code)]
    pub(crate) fn take(self) -> Option<Runnable<L>> {
        let header = self.0.header();
        header.word.take_notice();
        // SAFETY: nobody has the runnable, says the local state; and the task has not ended.
        header.local.wake().then(|| unsafe { Runnable::new(self.0.0) })
    }
}
