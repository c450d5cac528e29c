//! Who waits for one direction of a source. Pure bookkeeping: no waker is called, cloned or
//! dropped here, as a lock is held.

use std::task::Waker;

use slab::Slab;

/// A future's place, until the next delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterKey {
    /// In the list, or `FIRST`.
    index: usize,
    /// How many deliveries there had been.
    pub(super) deliveries: u64,
}

const FIRST: usize = usize::MAX;

/// One slot for poll-style callers, and places for futures, which a delivery empties.
#[derive(Default)]
pub(super) struct Waiters {
    slot: Option<Waker>,
    /// Mostly there is one future.
    first: Option<Waker>,
    list: Slab<Waker>,
    /// How often places were emptied.
    pub(super) deliveries: u64,
    awaited: bool,
}

impl Waiters {
    /// Whether anybody has ever waited.
    pub(super) fn was_awaited(&self) -> bool {
        self.awaited
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slot.is_none() && self.first.is_none() && self.list.is_empty()
    }

    /// Whether the place holds a waker that does what `waker` does.
    pub(super) fn holds(&self, place: Option<Option<WaiterKey>>, waker: &Waker) -> bool {
        let held = match place {
            None => self.slot.as_ref(),
            Some(None) => None,
            Some(Some(key)) if !self.has(key) => None,
            Some(Some(key)) if key.index == FIRST => self.first.as_ref(),
            Some(Some(key)) => self.list.get(key.index),
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
        let Some(place) = place else { return (None, self.slot.replace(waker)) };
        let key = place.filter(|key| self.has(*key));
        if key.is_some_and(|key| key.index == FIRST) || (key.is_none() && self.first.is_none()) {
            let key = WaiterKey { index: FIRST, deliveries: self.deliveries };
            return (Some(key), self.first.replace(waker));
        }
        if let Some(key) = key {
            return (Some(key), Some(std::mem::replace(&mut self.list[key.index], waker)));
        }
        let index = self.list.insert(waker);
        (Some(WaiterKey { index, deliveries: self.deliveries }), None)
    }

    /// Whether there was no delivery since the place was taken.
    fn has(&self, key: WaiterKey) -> bool {
        key.deliveries == self.deliveries
    }

    /// A delivery: all who wait, and nobody waits any more.
    #[inline]
    pub(super) fn take(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.slot.take());
        // Counted even if nobody has a place: those who left need not be told apart.
        self.deliveries += 1;
        wakers.extend(self.first.take());
        if !self.list.is_empty() {
            wakers.extend(self.list.drain());
        }
    }

    pub(super) fn leave(&mut self, key: WaiterKey) -> Option<Waker> {
        if !self.has(key) {
            return None;
        }
        if key.index == FIRST { self.first.take() } else { self.list.try_remove(key.index) }
    }
}
