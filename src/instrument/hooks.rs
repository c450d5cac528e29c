//! The instruments on a loop, and the calls to them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    Events, Instrument, InstrumentId, IoEnd, IoStart, LoopCounters, LoopStart, LoopStop, TickEnd,
    TickStart,
};
use crate::task::panic_text;

/// The instruments on one loop, in the order they were added. Lives on the loop's thread.
pub(crate) struct Hooks {
    /// The events at least one instrument wants. Written by the loop's thread, read by any.
    mask: AtomicU32,
    slots: RefCell<Vec<Slot>>,
    /// The place the next one takes in the order.
    next_place: Cell<u64>,
    counters: Arc<LoopCounters>,
}

struct Slot {
    id: InstrumentId,
    /// Ascending through the list.
    place: u64,
    interests: Events,
    /// `None` while one of its hooks runs.
    instrument: Option<Box<dyn Instrument>>,
}

/// Declares `fn $hook(&self, event: &$Event)`: a test of one bit, and a cold call behind it.
macro_rules! hooks {
    ($($hook:ident, $bit:ident, $Event:ty;)*) => {
        $(
            #[inline]
            pub(crate) fn $hook(&self, event: &$Event) {
                if self.mask().intersects(Events::$bit) {
                    self.call_each(Events::$bit, &mut |instrument| instrument.$hook(event));
                }
            }
        )*
    };
}

impl Hooks {
    /// Makes an empty list that reports panics to `counters`.
    pub(crate) fn new(counters: Arc<LoopCounters>) -> Self {
        Self {
            mask: AtomicU32::new(0),
            slots: RefCell::default(),
            next_place: Cell::new(0),
            counters,
        }
    }

    /// Returns the events that anybody wants.
    #[inline]
    pub(crate) fn mask(&self) -> Events {
        Events::from_bits(self.mask.load(Ordering::Relaxed))
    }

    hooks! {
        loop_start, LOOP, LoopStart;
        tick_start, TICK, TickStart;
        io_start, IO, IoStart;
        io_end, IO, IoEnd;
        tick_end, TICK, TickEnd;
        loop_stop, LOOP, LoopStop;
    }

    /// Adds an instrument behind the others. From inside a hook, too: it hears of the next event.
    pub(crate) fn add(&self, id: InstrumentId, instrument: Box<dyn Instrument>) {
        // Foreign code runs before the list is borrowed.
        let interests = instrument.interests();
        let place = self.next_place.get();
        self.next_place.set(place + 1);
        let slot = Slot { id, place, interests, instrument: Some(instrument) };
        self.slots.borrow_mut().push(slot);
        self.update_mask();
    }

    /// Takes an instrument off and gives it back. `None` if it is not here, because it panicked
    /// for instance, or if it is being called: one that removes itself is dropped after the call.
    pub(crate) fn remove(&self, id: InstrumentId) -> Option<Box<dyn Instrument>> {
        let removed = {
            let mut slots = self.slots.borrow_mut();
            let at = slots.iter().position(|slot| slot.id == id)?;
            slots.remove(at)
        };
        self.update_mask();
        removed.instrument
    }

    /// Calls every instrument that wants `bit` and was here before the first call. The list is
    /// not borrowed during a call, so that a hook may change it.
    #[cold]
    #[inline(never)]
    fn call_each(&self, bit: Events, call: &mut dyn FnMut(&mut dyn Instrument)) {
        let end = self.next_place.get();
        let mut from = 0;
        while let Some((place, id, mut instrument)) = self.take_next(bit, from, end) {
            from = place + 1;
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| call(&mut *instrument)));
            match outcome {
                Ok(()) => self.put_back(place, instrument),
                Err(payload) => self.retire(id, place, instrument, payload),
            }
        }
    }

    /// Takes out the first instrument at or after place `from`, before `end`, that wants `bit`.
    fn take_next(
        &self,
        bit: Events,
        from: u64,
        end: u64,
    ) -> Option<(u64, InstrumentId, Box<dyn Instrument>)> {
        let mut slots = self.slots.borrow_mut();
        let first = slots.partition_point(|slot| slot.place < from);
        let wanted = slots[first..].iter_mut().take_while(|slot| slot.place < end);
        wanted.filter(|slot| slot.interests.intersects(bit)).find_map(|slot| {
            let instrument = slot.instrument.take()?;
            Some((slot.place, slot.id, instrument))
        })
    }

    fn put_back(&self, place: u64, instrument: Box<dyn Instrument>) {
        let mut slots = self.slots.borrow_mut();
        match slots.binary_search_by_key(&place, |slot| slot.place) {
            Ok(at) => slots[at].instrument = Some(instrument),
            Err(_) => {
                // It was removed while it was being called. Its destructor may call us.
                drop(slots);
                drop_quietly(instrument);
            }
        }
    }

    /// Takes off an instrument that panicked, and says so.
    fn retire(
        &self,
        id: InstrumentId,
        place: u64,
        instrument: Box<dyn Instrument>,
        payload: Box<dyn Any + Send>,
    ) {
        self.slots.borrow_mut().retain(|slot| slot.place != place);
        self.update_mask();
        self.counters.instrument_panicked();
        let text = panic_text(&*payload).unwrap_or("a payload without text");
        // A loop whose stderr is closed must go on, so this is not `eprintln!`.
        let _ = writeln!(
            io::stderr(),
            "evenloop: instrument {id} panicked and was taken off the loop: {text}"
        );
        drop_quietly(instrument);
        drop_quietly(payload);
    }

    fn update_mask(&self) {
        let mut union = Events::NONE;
        for slot in self.slots.borrow().iter() {
            union |= slot.interests;
        }
        self.mask.store(union.bits(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("mask", &self.mask()).finish_non_exhaustive()
    }
}

/// Drops foreign state; a second panic out of it must not take the loop down either.
fn drop_quietly<T>(value: T) {
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(value)));
}

#[cfg(test)]
mod tests;
