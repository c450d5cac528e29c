//! Who waits for one direction of a source. Pure bookkeeping: no waker is called, cloned or
//! dropped here, as a lock is held.

use std::task::Waker;

use slab::Slab;

/// A place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterKey(usize);

/// One slot for poll-style callers, and a list for futures.
///
/// A place in the list stays its future's own until the future leaves; the waker in it is taken
/// at each delivery.
#[derive(Default)]
pub(super) struct Waiters {
    slot: Option<Waker>,
    list: Slab<Option<Waker>>,
    /// Places whose waker has not been taken.
    listed: usize,
    awaited: bool,
}

impl Waiters {
    /// Whether anybody has ever waited.
    pub(super) fn was_awaited(&self) -> bool {
        self.awaited
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slot.is_none() && self.listed == 0
    }

    /// Whether the place holds a waker that does what `waker` does.
    pub(super) fn holds(&self, place: Option<Option<WaiterKey>>, waker: &Waker) -> bool {
        let held = match place {
            None => self.slot.as_ref(),
            Some(None) => None,
            Some(Some(key)) => self.list[key.0].as_ref(),
        };
        held.is_some_and(|held| held.will_wake(waker))
    }

    /// Puts `waker` in its place; returns the place and what was there, for the caller to drop.
    pub(super) fn put(
        &mut self,
        place: Option<Option<WaiterKey>>,
        waker: Waker,
    ) -> (Option<WaiterKey>, Option<Waker>) {
        self.awaited = true;
        match place {
            None => (None, self.slot.replace(waker)),
            Some(None) => {
                self.listed += 1;
                (Some(WaiterKey(self.list.insert(Some(waker)))), None)
            }
            Some(Some(key)) => {
                let old = self.list[key.0].replace(waker);
                self.listed += usize::from(old.is_none());
                (Some(key), old)
            }
        }
    }

    pub(super) fn take(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.slot.take());
        if self.listed > 0 {
            wakers.extend(self.list.iter_mut().filter_map(|(_, waker)| waker.take()));
            self.listed = 0;
        }
    }

    pub(super) fn leave(&mut self, key: WaiterKey) -> Option<Waker> {
        let waker = self.list.remove(key.0);
        self.listed -= usize::from(waker.is_some());
        waker
    }
}
