use std::rc::Rc;

use super::*;
use crate::sched::Timestamp;

type Log = Rc<RefCell<Vec<String>>>;

/// Writes down what it hears, and does `act` on each tick.
struct Recorder<F> {
    name: &'static str,
    interests: Events,
    log: Log,
    act: F,
}

impl<F: FnMut()> Instrument for Recorder<F> {
    fn interests(&self) -> Events {
        self.interests
    }

    fn tick_start(&mut self, _: &TickStart) {
        self.log.borrow_mut().push(format!("{} tick", self.name));
        (self.act)();
    }

    fn io_start(&mut self, _: &IoStart) {
        self.log.borrow_mut().push(format!("{} io", self.name));
    }
}

impl<F> Drop for Recorder<F> {
    fn drop(&mut self) {
        self.log.borrow_mut().push(format!("{} dropped", self.name));
    }
}

struct Stage {
    hooks: Rc<Hooks>,
    counters: Arc<LoopCounters>,
    log: Log,
}

impl Stage {
    fn new() -> Self {
        let counters = Arc::new(LoopCounters::new(0));
        let hooks = Rc::new(Hooks::new(Arc::clone(&counters)));
        Self { hooks, counters, log: Log::default() }
    }

    fn add(
        &self,
        name: &'static str,
        interests: Events,
        act: impl FnMut() + 'static,
    ) -> InstrumentId {
        let recorder = Recorder { name, interests, log: Rc::clone(&self.log), act };
        let id = InstrumentId::new();
        self.hooks.add(id, Box::new(recorder));
        id
    }

    /// Ends an io wait and begins a tick; returns what was heard.
    fn tick(&self) -> Vec<String> {
        self.hooks.io_start(&IoStart { at: Timestamp::ZERO, timeout: None });
        self.hooks.tick_start(&TickStart { at: Timestamp::ZERO });
        self.log.take()
    }

    fn panics(&self) -> u64 {
        self.counters.snapshot(0).instrument_panics
    }
}

/// Each hears what it asked for, in the order they came, until it is taken off.
#[test]
fn instruments_hear_in_the_order_they_came() {
    let stage = Stage::new();
    assert_eq!(stage.hooks.mask(), Events::NONE);
    stage.add("a", Events::TICK, || ());
    let b = stage.add("b", Events::ALL, || ());
    assert_eq!(stage.tick(), ["b io", "a tick", "b tick"]);

    let removed = stage.hooks.remove(b).expect("it is there");
    assert_eq!(stage.hooks.mask(), Events::TICK);
    assert_eq!(stage.tick(), ["a tick"]);
    drop(removed);
    assert!(stage.hooks.remove(b).is_none());
    assert_eq!(stage.hooks.mask(), Events::TICK);
}

/// One that panics is taken off, counted, and dropped; the others hear everything.
#[test]
fn a_panic_takes_the_instrument_off_and_nothing_else() {
    let stage = Stage::new();
    stage.add("a", Events::TICK, || ());
    let b = stage.add("b", Events::ALL, || panic!("b is broken"));
    stage.add("c", Events::TICK, || ());
    assert_eq!(stage.tick(), ["b io", "a tick", "b tick", "b dropped", "c tick"]);
    assert_eq!(stage.panics(), 1);
    assert_eq!(stage.hooks.mask(), Events::TICK);
    assert_eq!(stage.tick(), ["a tick", "c tick"]);
    assert!(stage.hooks.remove(b).is_none());
}

/// A hook may add an instrument, which hears of the next event, not of this one.
#[test]
fn a_hook_may_add_instruments() {
    let stage = Stage::new();
    let (hooks, log) = (Rc::downgrade(&stage.hooks), Rc::clone(&stage.log));
    let mut added = false;
    stage.add("a", Events::TICK, move || {
        if !added {
            added = true;
            let log = Rc::clone(&log);
            let late = Recorder { name: "late", interests: Events::TICK, log, act: || () };
            let hooks = hooks.upgrade().expect("the hooks call this");
            hooks.add(InstrumentId::new(), Box::new(late));
        }
    });
    assert_eq!(stage.tick(), ["a tick"]);
    assert_eq!(stage.tick(), ["a tick", "late tick"]);
}

/// A hook may take off those behind it, those before it, and itself.
#[test]
fn a_hook_may_remove_instruments() {
    let stage = Stage::new();
    let hooks = Rc::clone(&stage.hooks);
    let ids = Rc::new(RefCell::new(Vec::new()));
    let a = stage.add("a", Events::TICK, || ());
    let b = stage.add("b", Events::TICK, {
        let ids = Rc::clone(&ids);
        move || {
            let removed = ids.take().into_iter().map(|id| hooks.remove(id).is_some());
            assert_eq!(removed.collect::<Vec<_>>(), [true, true, false], "b is being called");
        }
    });
    let c = stage.add("c", Events::TICK, || ());
    stage.add("d", Events::TICK, || ());
    ids.replace(vec![a, c, b]);
    assert_eq!(stage.tick(), ["a tick", "b tick", "a dropped", "c dropped", "b dropped", "d tick"]);
    assert_eq!(stage.tick(), ["d tick"]);
    assert_eq!(stage.panics(), 0);
}

/// An event that happens inside a hook reaches the others; the one being called is passed over.
#[test]
fn an_event_inside_a_hook_passes_it_over() {
    let stage = Stage::new();
    let hooks = Rc::downgrade(&stage.hooks);
    stage.add("a", Events::ALL, move || {
        let hooks = hooks.upgrade().expect("the hooks call this");
        hooks.io_start(&IoStart { at: Timestamp::ZERO, timeout: None });
    });
    stage.add("b", Events::ALL, || ());
    assert_eq!(stage.tick(), ["a io", "b io", "a tick", "b io", "b tick"]);
}
