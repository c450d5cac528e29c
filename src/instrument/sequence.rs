//! A sequence lock over atomics: one writer that never waits, any number of readers.

#[cfg(not(evenloop_loom))]
use std::{
    hint,
    sync::atomic::{AtomicU32, Ordering, fence},
    thread,
};

#[cfg(evenloop_loom)]
use loom::{
    hint,
    sync::atomic::{AtomicU32, Ordering, fence},
    thread,
};

/// Looks in vain before a reader lets another thread run. The writer may have been preempted
/// half way, and spinning would only keep the processor from it.
const SPINS_MAX: u32 = 64;

/// Lets readers take several words that belong together, and take them again if the writer came
/// in between. The words are atomics, so a torn read is only useless, never undefined.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// Odd while the writer is inside. It comes round after 2³¹ writes: a reader would have to sleep
    /// through exactly so many to be deceived.
    version: AtomicU32,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self { version: AtomicU32::new(0) }
    }

    /// Runs `store`, which changes the words. One thread alone may call this.
    #[inline]
    pub(crate) fn write(&self, store: impl FnOnce()) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // Ordering: pairs with the Acquire fence in `read`. A reader that saw one of the words
        // stored below sees the odd version as well, and looks again.
        fence(Ordering::Release);
        store();
        // Ordering: Release pairs with the first load in `read`: a reader that begins at this
        // version sees every word stored above.
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Returns what `load` read while the writer was outside.
    pub(crate) fn read<T>(&self, load: impl Fn() -> T) -> T {
        let mut spins = 0;
        loop {
            let version = self.version.load(Ordering::Acquire);
            let words = load();
            fence(Ordering::Acquire);
            if version % 2 == 0 && self.version.load(Ordering::Relaxed) == version {
                return words;
            }
            spins += 1;
            if spins < SPINS_MAX {
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}
