//! The run loop: ticks of harvest, turns and handles.

mod sole_handle;

use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::driver::Readied;
use crate::instrument::{Events, IoEnd, IoStart, LoopStart, LoopStop, TickEnd, TickStart};
use crate::runtime::context;
use crate::runtime::coop;
use crate::runtime::core::{Action, DELIVERY_MAX, Queued};
use crate::runtime::local::Local;
use crate::runtime::shared::{Message, Shared};
use crate::runtime::timers::Alarm;
use crate::sched::{Direction, PartitionId, RegistrationId, Timestamp};
use crate::task::Ran;
use sole_handle::SoleHandle;

/// Space that deliveries use again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    ready: Vec<(RegistrationId, Direction)>,
    alarms: Vec<Alarm>,
    wakers: Vec<Waker>,
}

impl Local {
    /// Runs the loop until `main`, polled like any other handle of its partition, says it is done.
    pub(crate) fn run(&self, main: &mut dyn FnMut() -> bool) {
        let mut scratch = Scratch::default();
        self.core.borrow_mut().started();
        self.hooks.loop_start(&LoopStart { at: self.stamp() });
        self.shared.counters.busy(self.shared.now());
        while !self.tick(main, &mut scratch) {}
        coop::end();
        self.core.borrow_mut().stopped();
        self.shared.counters.idle(self.shared.now());
        self.hooks.loop_stop(&LoopStop { at: self.stamp() });
    }

    /// One pass: a harvest, then turns until the next one is due. Returns whether `main` is done.
    fn tick(&self, main: &mut dyn FnMut() -> bool, scratch: &mut Scratch) -> bool {
        let started = self.stamp();
        let handles = self.core.borrow().handles;
        self.hooks.tick_start(&TickStart { at: started });
        #[cfg(feature = "test-util")]
        self.pass_time_busy();
        self.harvest();
        #[cfg(feature = "mutants")]
        self.deliver_to_all(scratch);
        let done = self.turns(main, scratch);
        let handles = self.core.borrow().handles - handles;
        let at = self.stamp();
        self.shared.counters.tick();
        self.shared.counters.ran(handles);
        self.hooks.tick_end(&TickEnd { started, at, handles });
        done
    }

    /// Runs handles until the next harvest is due or nothing is runnable.
    fn turns(&self, main: &mut dyn FnMut() -> bool, scratch: &mut Scratch) -> bool {
        let mut action = self.core.borrow_mut().next();
        loop {
            match action {
                Action::Run(partition, handle) => {
                    context::begin_handles(&self.shared, partition);
                    let done = self.run_handles(handle, main);
                    context::end_handles();
                    if done {
                        let _ = self.core.borrow_mut().ran();
                        return true;
                    }
                    let mail = self.has_mail();
                    let mut core = self.core.borrow_mut();
                    let stuck = core.ran();
                    let doomed = core.directory.has_doomed();
                    let due = core.harvest_is_due();
                    if !due && core.timer_is_due() {
                        core.notice_timers();
                    }
                    if !(due || doomed || mail || stuck) {
                        action = core.next();
                        continue;
                    }
                    drop(core);
                    if stuck {
                        self.report_livelock();
                    }
                    if doomed {
                        self.bury();
                    }
                    self.receive();
                    if due {
                        return false;
                    }
                }
                Action::Deliver => {
                    self.deliver(scratch);
                    // One delivery after the other may take longer than sources of others may wait.
                    let mut core = self.core.borrow_mut();
                    if core.harvest_is_overdue() {
                        return false;
                    }
                    if core.timer_is_due() {
                        core.notice_timers();
                    }
                }
                // A delivery is asked for again right after the harvest.
                Action::Harvest | Action::Sleep => return false,
            }
            action = self.core.borrow_mut().next();
        }
    }

    /// Runs a handle, and those of its turn after it that need not ask for it; returns whether
    /// `main` is done. The last one is not charged yet.
    ///
    /// Nothing is thrown here: a task's cell catches what its future throws, and whoever waits for
    /// the task.
    #[inline]
    fn run_handles(&self, mut handle: Queued, main: &mut dyn FnMut() -> bool) -> bool {
        loop {
            coop::begin();
            let ran = match handle.open() {
                Some(task) => task.run(),
                None if main() => return true,
                // It has queued itself again if it was woken.
                None => Ran::Ended,
            };
            let mail = self.has_mail();
            let next = self.core.borrow_mut().go_on_unasked(ran, mail);
            match next {
                Ok(next) => handle = next,
                Err(ran) => {
                    self.ran_last(ran);
                    return false;
                }
            }
        }
    }

    /// Does what is left for a handle after which the dispatcher is asked.
    fn ran_last(&self, ran: Ran<Shared>) {
        if matches!(ran, Ran::Ended) {
            return;
        }
        if self.core.borrow().attends_polls() {
            self.attend();
        }
        if let Ran::Woken(task) = ran {
            self.core.borrow_mut().queue(task);
        }
    }

    /// Takes in what other threads sent and frees what nothing refers to.
    fn tidy(&self) {
        self.receive();
        if self.core.borrow().directory.has_doomed() {
            self.bury();
        }
    }

    /// Asks the kernel which sources are ready and the heaps which timers are due; sleeps if there
    /// is nothing to run. Only marks: what is ready is delivered in its partition's own turn.
    fn harvest(&self) {
        self.tidy();
        let busy = self.core.borrow().sched.runnable() > 0;
        if busy && self.driver.borrow().is_empty() {
            self.harvested(0, false);
        } else if busy || self.has_inbox.get() || !self.shared.injector().try_sleep() {
            // The time is for those who listen: otherwise it is not worth a look at the clock.
            let listened = self.hooks.mask().contains(Events::IO);
            let started = if listened { self.shared.now() } else { self.stamp().as_nanos() };
            let events = self.poll_driver(started, Some(Duration::ZERO));
            self.harvested(events, false);
            self.io_ended(started, Some(Duration::ZERO), events);
        } else {
            self.sleep();
        }
        self.tidy();
    }

    /// Sleeps until a source is ready, a timer is due or another thread has sent something.
    fn sleep(&self) {
        let counters = &self.shared.counters;
        let now = self.shared.now();
        let timeout = self.sleep_time(now);
        counters.harvest_gap(now.saturating_sub(self.core.borrow().harvested().as_nanos()));
        counters.idle(now);
        self.core.borrow_mut().probe.sleeps(timeout);
        let events = self.poll_driver(now, timeout);
        self.shared.injector().awake();
        #[cfg(feature = "test-util")]
        self.pass_time();
        self.harvested(events, true);
        counters.busy(self.core.borrow().harvested().as_nanos());
        self.io_ended(now, timeout, events);
    }

    /// How long to sleep: until the earliest timer of all; `None` is until something happens.
    fn sleep_time(&self, now: u64) -> Option<Duration> {
        let mut core = self.core.borrow_mut();
        if core.sched.runnable() > 0 {
            return Some(Duration::ZERO);
        }
        #[cfg(feature = "test-util")]
        if self.shared.time.is_paused() {
            // Time passes by itself at once, or not at all.
            return self.next_moment(&mut core).map(|_| Duration::ZERO);
        }
        let earliest = core.all_timers().earliest()?.as_nanos();
        Some(Duration::from_nanos(earliest.saturating_sub(self.shared.time.told(now))))
    }

    /// Asks the kernel; marks what it reports and returns how much that was.
    fn poll_driver(&self, started: u64, timeout: Option<Duration>) -> usize {
        let at = Timestamp::from_nanos(started);
        self.hooks.io_start(&IoStart { at, timeout });
        // A hook may have woken a task or set a timer, on which the loop must not sleep.
        let sleeps = timeout != Some(Duration::ZERO);
        let patience = if sleeps { self.sleep_time(started) } else { timeout };
        let harvest = self.driver.borrow_mut().harvest(patience, |ready| {
            let id = RegistrationId::from_bits(ready.token as u64);
            self.source_ready(id, ready);
        });
        match harvest {
            Ok(events) => events,
            Err(error) => self.report_no_kernel(&error),
        }
    }

    /// The kernel refuses to say what is ready: no loop can go on from here.
    #[cold]
    fn report_no_kernel(&self, error: &io::Error) -> ! {
        self.shared.injector().awake();
        if error.kind() == io::ErrorKind::Deadlock {
            self.report_deadlock();
        }
        panic!("evenloop: the operating system's poll failed: {error}");
    }

    fn io_ended(&self, started: u64, timeout: Option<Duration>, events: usize) {
        let (started, at) = (Timestamp::from_nanos(started), self.stamp());
        self.hooks.io_end(&IoEnd { started, at, timeout, events });
    }

    /// Marks the due timers, and counts. A loop that slept looked at the kernel all the time.
    fn harvested(&self, events: usize, slept: bool) {
        let mut core = self.core.borrow_mut();
        let counters = &self.shared.counters;
        counters.harvest(events as u64);
        counters.gated_newborns(core.sched.gated_newborns());
        core.probe.harvested(events);
        let gap = core.harvest_ended();
        if !slept {
            counters.harvest_gap(gap);
        }
    }

    /// Marks a ready source and rouses the partitions whose tasks wait for it.
    fn source_ready(&self, id: RegistrationId, ready: Readied) {
        let mut core = self.core.borrow_mut();
        // An event of a source that is gone names a generation that nobody has.
        let Some(io) = core.io.get(id) else { return };
        io.set_ready(ready);
        let read = ready.readable && io.has_waiter(Direction::Read);
        let write = ready.writable && io.has_waiter(Direction::Write);
        for (awaited, direction) in [(read, Direction::Read), (write, Direction::Write)] {
            let owner = if awaited { core.io.mark(id, direction) } else { None };
            if let Some(owner) = owner {
                core.probe.ready(owner, ready.since);
                core.rouse(owner);
            }
        }
    }

    /// Turns what the running partition has ready and due into wakes, and only that.
    fn deliver(&self, scratch: &mut Scratch) {
        let current = {
            let mut core = self.core.borrow_mut();
            core.begin_delivery();
            core.current
        };
        let more = self.deliver_to(current, scratch);
        self.core.borrow_mut().delivered(more);
    }

    /// Turns what a partition has ready and due into wakes. Returns whether more is left.
    fn deliver_to(
        &self,
        partition: PartitionId,
        Scratch { ready, alarms, wakers }: &mut Scratch,
    ) -> bool {
        let mut more = false;
        {
            let mut core = self.core.borrow_mut();
            let (now, told) = (core.harvested(), core.told());
            if core.io.has_pending(partition) {
                more |= core.io.take(partition, DELIVERY_MAX, ready);
                for (id, direction) in ready.drain(..) {
                    if let Some(io) = core.io.get(id) {
                        io.take_wakers(direction, wakers);
                    }
                }
            }
            if core.timers.is_due(partition) {
                more |= core.all_timers().take_due(partition, told, DELIVERY_MAX, alarms);
                core.source_changed(partition);
            }
            if let Some(counters) = core.directory.counters(partition) {
                counters.delivered(now.as_nanos());
                for alarm in alarms.iter() {
                    let late = alarm.late(told);
                    counters.timer_late(late);
                    self.shared.counters.timer_late(late);
                }
            }
            wakers.extend(alarms.drain(..).map(|alarm| alarm.waker));
            core.probe.delivers(partition, wakers.len());
        }
        for waker in wakers.drain(..) {
            self.shared.panic_hook.contain(|| waker.wake());
        }
        more
    }

    /// A deliberate defect: a harvest delivers to all partitions, in nobody's turn.
    #[cfg(feature = "mutants")]
    fn deliver_to_all(&self, scratch: &mut Scratch) {
        let all = self.core.borrow().defective_deliveries();
        for partition in all {
            while self.core.borrow().has_deliveries(partition) {
                self.deliver_to(partition, scratch);
            }
            // Nobody pays for it.
            self.core.borrow_mut().skip_time();
        }
    }

    fn stamp(&self) -> Timestamp {
        self.core.borrow().stamp()
    }
}

/// The waker of the future that `block_on` runs.
#[derive(Debug)]
pub(crate) struct MainWaker {
    shared: Arc<Shared>,
    handle: SoleHandle,
}

impl MainWaker {
    /// The first poll is queued by whoever makes the waker.
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, handle: SoleHandle::queued() })
    }

    /// Begins a poll. Wakes from here on need another one.
    pub(crate) fn begin_poll(&self) {
        self.handle.begin_poll();
    }

    /// Ends a poll that left the future pending; returns whether it is to be polled again.
    #[must_use = "then a handle has to be queued"]
    pub(crate) fn end_poll(&self) -> bool {
        self.handle.end_poll()
    }

    /// The future is done: wakes from here on are for nobody. Returns whether a handle is queued
    /// or on its way, as it may be when a panic of the loop itself ended `block_on`.
    pub(crate) fn finish(&self) -> bool {
        self.handle.finish()
    }

    /// Whether a wake that was under way from another thread comes too late.
    pub(crate) fn is_over(&self) -> bool {
        self.handle.is_over()
    }
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.handle.ask() {
            return;
        }
        if context::with_loop(&self.shared, |local| local.queue_main()).is_none() {
            // A loop that is gone polls nothing.
            let _ = self.shared.send(Message::WakeMain(self.clone()));
        }
    }
}
