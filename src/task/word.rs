//! The word of a task that all threads share: how it stands, and who refers to it.

#[cfg(not(evenloop_loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(evenloop_loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};

/// Five flags, and above them a count of references.
///
/// | flag    | set by                         | cleared by              | means |
/// |---------|--------------------------------|-------------------------|-------|
/// | DONE    | who ends the task              |                         | the outcome is there; who wants it owns it |
/// | WANTED  | its making                     | the join handle's drop  | somebody may take the outcome |
/// | WAITED  | the join handle, with a waker  | the join handle, to change the waker | the waker is for who ends the task to take |
/// | NOTICED | a wake on another thread       | the loop that takes it  | a notice of the wake is on its way |
/// | ABORTED | `abort`                        |                         | the next poll is the last |
///
/// Before DONE the count is what other threads have added and taken off, which may be less than
/// nothing: the loop's thread counts for itself, in a plain number. DONE adds the two. So only from
/// then on does nought mean that nobody refers to the task.
#[derive(Debug)]
pub(super) struct Word(AtomicUsize);

const DONE: usize = 1;
const WANTED: usize = 1 << 1;
const WAITED: usize = 1 << 2;
const NOTICED: usize = 1 << 3;
const ABORTED: usize = 1 << 4;
const ONE: usize = 1 << 5;

/// What is left to do for who has ended a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// To call the waker, which is there, and then to give up the task's reference to itself.
    Wake,
    /// To free the task.
    Free,
    Nothing,
}

impl Word {
    /// Begins with `count` references and an outcome that is wanted.
    pub(super) fn new(count: usize) -> Self {
        Self(AtomicUsize::new(WANTED + count * ONE))
    }

    /// Whether the outcome is there; what its maker wrote is visible then.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) & DONE != 0
    }

    #[inline]
    pub(super) fn is_aborted(&self) -> bool {
        // Ordering: Relaxed, since the wake that follows an abort publishes it.
        self.0.load(Ordering::Relaxed) & ABORTED != 0
    }

    pub(super) fn abort(&self) {
        self.0.fetch_or(ABORTED, Ordering::Relaxed);
    }

    /// Adds a reference for who has one already.
    pub(super) fn retain(&self) {
        self.0.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Adds references that were counted elsewhere, or takes them off.
    pub(super) fn retain_many(&self, count: isize) {
        self.0.fetch_add((count as usize).wrapping_mul(ONE), Ordering::Relaxed);
    }

    /// Gives up a reference. Returns whether the task is to be freed.
    #[must_use = "nobody else frees it"]
    pub(super) fn release(&self) -> bool {
        // Nobody else refers to a task whose one reference is given up here, so nobody can add one.
        // Ordering: Acquire, for who frees it.
        let now = self.0.load(Ordering::Acquire);
        if now & DONE != 0 && now / ONE == 1 {
            return true;
        }
        // Ordering: Release for what was done with the task, Acquire for who frees it.
        let before = self.0.fetch_sub(ONE, Ordering::AcqRel);
        before & DONE != 0 && before / ONE == 1
    }

    /// Takes note of a wake from another thread. Returns whether a notice is to be sent.
    #[must_use = "the loop does not look by itself"]
    pub(super) fn notice(&self) -> bool {
        // Ordering: Release, so that what was written before the wake is visible to the poll: the
        // loop clears the flag, with Acquire, before it polls. Also when the flag was set already.
        self.0.fetch_or(NOTICED, Ordering::AcqRel) & (NOTICED | DONE) == 0
    }

    /// The notice has arrived: the next wake sends another.
    pub(super) fn take_notice(&self) {
        self.0.fetch_and(!NOTICED, Ordering::AcqRel);
    }

    /// Says that the outcome is there, and counts the `kept` references of the loop's thread, one
    /// of which is that of the task to itself; it is given up unless there is a waker to call.
    ///
    /// Fails, without an effect, if the outcome is unwanted and `discarded` does not say that it
    /// has been dropped.
    pub(super) fn complete(&self, kept: isize, discarded: bool) -> Option<Left> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & WANTED == 0 && !discarded {
                return None;
            }
            let wake = word & WAITED != 0;
            let added = if wake { kept } else { kept - 1 };
            let next = word.wrapping_add(DONE).wrapping_add((added as usize).wrapping_mul(ONE));
            // Ordering: Release publishes the outcome; Acquire is for the waker.
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if wake => return Some(Left::Wake),
                Ok(_) if next / ONE == 0 => return Some(Left::Free),
                Ok(_) => return Some(Left::Nothing),
                Err(now) => word = now,
            }
        }
    }

    /// Whether a waker is there. Only the join handle may ask, which sets and clears the flag.
    pub(super) fn is_waited(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WAITED != 0
    }

    /// Hands over the waker that was put down. Fails if the task has ended.
    #[must_use = "an outcome that is there is not announced again"]
    pub(super) fn set_waited(&self) -> bool {
        // Ordering: Release publishes the waker; Acquire is for the outcome.
        self.0.fetch_or(WAITED, Ordering::AcqRel) & DONE == 0
    }

    /// Takes the waker back. Fails if the task has ended: then it belongs to who ended it.
    #[must_use = "a waker that is not one's own must not be touched"]
    pub(super) fn clear_waited(&self) -> bool {
        self.0.fetch_and(!WAITED, Ordering::AcqRel) & DONE == 0
    }

    /// Gives up the wish for the outcome and a reference at once. Fails if the outcome is there,
    /// which then has to be dropped first.
    #[must_use = "an outcome that is there would leak"]
    pub(super) fn detach(&self) -> bool {
        let mut word = self.0.load(Ordering::Acquire);
        while word & DONE == 0 {
            let next = word.wrapping_sub(WANTED + ONE);
            match self.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}
