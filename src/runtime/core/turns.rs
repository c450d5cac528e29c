//! Turns: what to run next, and who pays for it.
//!
//! While nobody competes, handles are not timed and each costs the same. Then as many as fit into what
//! the turn has left run without asking the dispatcher in between, and are paid together: the end is
//! the same as if each had been charged alone. Whatever could change what runs next
//! [interrupts](Core::interrupt) them.

use crate::instrument::State;
use crate::runtime::core::{Action, Core, Queued};
use crate::runtime::moves::Runner;
use crate::runtime::shared::Shared;
use crate::sched::{Ended, Next, PartitionId, Step, Turn};
use crate::task::Ran;

impl Core {
    /// Returns what to do next. O(1).
    #[inline]
    pub(crate) fn next(&mut self) -> Action {
        loop {
            let turn = match self.turn.take() {
                // What was roused at this boundary, after the handle was charged, must not wait for
                // yet another handle of a turn it may preempt.
                Some(turn) if self.overtaken && self.sched.queue_len(self.current) > 0 => {
                    self.settle_again(turn);
                    continue;
                }
                Some(turn) => turn,
                None => match self.sched.pick() {
                    Some(turn) => self.begin_turn(turn),
                    None => return Action::Sleep,
                },
            };
            match self.sched.step(&turn) {
                Step::Run(handle) => {
                    self.granted = self.room(&turn);
                    self.unasked = self.granted;
                    self.turn = Some(turn);
                    self.begin(&handle);
                    self.probe.runs(self.current, &handle);
                    return Action::Run(self.current, handle);
                }
                Step::Deliver => {
                    self.end_lingering();
                    if self.harvest_is_stale() {
                        self.turn = Some(turn);
                        return Action::Harvest;
                    }
                    if self.has_deliveries(self.current) {
                        self.turn = Some(turn);
                        return Action::Deliver;
                    }
                    self.probe.nothing_to_deliver(self.current);
                    let next = self.sched.delivered(turn, false);
                    self.go_on(next);
                }
                Step::Dry => {
                    let cost = self.spend_in_between();
                    let ended = self.sched.finish(turn, cost);
                    self.end_turn(ended);
                }
            }
        }
    }

    #[inline]
    fn begin(&mut self, handle: &Queued) {
        self.runner = match handle.header() {
            Some(header) => Runner::Task(header.key()),
            None => Runner::Main,
        };
    }

    /// How many handles the turn may run after the next one without asking: while they are not
    /// timed, their price is known beforehand.
    fn room(&mut self, turn: &Turn) -> u32 {
        if !self.is_untimed() || self.probe.is_on() || self.attends_polls() {
            return 0;
        }
        let until_look = self.look_after.saturating_sub(self.handles - self.looked);
        let room = self.sched.room(turn, self.settings.price_nanos(0));
        room.min(until_look.saturating_sub(1)).try_into().unwrap_or(u32::MAX)
    }

    /// Returns the next handle of the turn, if that may run without asking, and queues the one that
    /// just `ran` again if it was woken. It is paid later, with the next ones. Else gives back what
    /// is left to do for it.
    #[inline]
    pub(crate) fn go_on_unasked(
        &mut self,
        ran: Ran<Shared>,
        mail: bool,
    ) -> Result<Queued, Ran<Shared>> {
        // What nothing refers to any more can wait for the end of these few handles.
        if self.unasked == 0 || mail {
            return Err(ran);
        }
        let Some(turn) = &self.turn else { return Err(ran) };
        let again = match ran {
            Ran::Woken(task) if turn.is_of(task.header().partition()) => {
                if self.sched.has_no_other(turn) {
                    // It is the next one itself.
                    self.unasked -= 1;
                    return Ok(Queued::new(task));
                }
                Some(Queued::new(task))
            }
            // It has moved.
            Ran::Woken(_) => return Err(ran),
            Ran::Pends | Ran::Ended => None,
        };
        let Some(handle) = self.sched.rotate(turn, again) else { return Err(Ran::Pends) };
        self.unasked -= 1;
        self.begin(&handle);
        Ok(handle)
    }

    /// Which handle runs, counted from one.
    pub(crate) fn handle_number(&self) -> u64 {
        self.handles + u64::from(self.granted - self.unasked) + 1
    }

    /// Something is about to change that bears on what runs next: the handles that ran are paid, and
    /// the dispatcher is asked after the one that runs.
    pub(crate) fn interrupt(&mut self) {
        let unpaid = u64::from(self.granted - self.unasked);
        (self.granted, self.unasked) = (0, 0);
        if let (true, Some(turn)) = (unpaid > 0, &self.turn) {
            self.handles += unpaid;
            self.sched.spend(turn, unpaid * self.settings.price_nanos(0));
        }
    }

    /// Charges the handle that just ran, and those before it that are not paid yet. Returns whether
    /// the loop gets nowhere, which only a simulation can tell.
    #[inline]
    #[must_use]
    pub(crate) fn ran(&mut self) -> bool {
        self.runner = Runner::Nobody;
        self.interrupt();
        self.handles += 1;
        let stuck = self.probe.ran(self.current);
        let cost = self.spend();
        self.overtaken = false;
        if let Some(turn) = self.turn.take() {
            let next = self.sched.charge(turn, cost);
            self.probe.charged(&self.sched);
            self.go_on(next);
        }
        stuck
    }

    /// Asks once more whether the turn goes on.
    #[cold]
    fn settle_again(&mut self, turn: Turn) {
        self.overtaken = false;
        let next = self.sched.charge(turn, 0);
        self.go_on(next);
    }

    /// Begins a delivery to the running partition.
    pub(crate) fn begin_delivery(&mut self) {
        self.runner = Runner::Delivery;
    }

    /// Puts the marker back behind what a delivery woke; `more` waits for the next one.
    pub(crate) fn delivered(&mut self, more: bool) {
        self.runner = Runner::Nobody;
        let cost = self.spend_in_between();
        if let Some(turn) = self.turn.take() {
            self.sched.spend(&turn, cost);
            self.probe.charged(&self.sched);
            let next = self.sched.delivered(turn, more);
            self.go_on(next);
        }
    }

    #[inline]
    fn go_on(&mut self, next: Next) {
        match next {
            Next::Continues(turn) => self.turn = Some(turn),
            Next::Ended(ended) => self.end_turn(ended),
        }
    }

    /// Whether anybody else could want the thread: then time counts.
    #[inline]
    pub(super) fn is_contested(&self) -> bool {
        !self.sched.is_sole() || self.directory.marked_beside(self.current)
    }

    /// What the time since the last boundary costs; a new boundary begins.
    #[inline]
    fn spend(&mut self) -> u64 {
        if self.is_untimed() {
            return self.settings.price_nanos(0);
        }
        let now = self.clock.ticks();
        let elapsed = now.saturating_sub(self.stamp);
        self.stamp = now;
        self.settings.price_nanos(elapsed)
    }

    /// What the time since the last boundary costs if no handle ran: just the time.
    fn spend_in_between(&mut self) -> u64 {
        if self.is_untimed() {
            return 0;
        }
        let now = self.clock.ticks();
        let elapsed = now.saturating_sub(self.stamp);
        self.stamp = now;
        elapsed
    }

    /// Whether handles are not timed, since nobody competes or the budget only counts them.
    #[inline]
    pub(super) fn is_untimed(&self) -> bool {
        self.clockless || !self.settings.timed()
    }

    /// Makes `partition` the scope of what runs outside of all turns, until [`leave`](Self::leave).
    pub(crate) fn enter(&mut self, partition: PartitionId) {
        self.current = partition;
        self.runner = Runner::Delivery;
    }

    pub(crate) fn leave(&mut self) {
        self.current = self.sched.root();
        self.runner = Runner::Nobody;
    }

    fn begin_turn(&mut self, turn: Turn) -> Turn {
        self.current = turn.partition();
        self.probe.turn(&turn, self.sched.round());
        if let Some(counters) = self.directory.counters(self.current) {
            counters.enter(State::Running, self.stamp);
            counters.queued(self.queued_beside(), self.stamp);
            if turn.is_fresh() {
                counters.turn(turn.is_express());
            }
        }
        self.clockless = !self.is_contested();
        turn
    }

    fn end_turn(&mut self, ended: Ended) {
        self.probe.turn_ended(self.current, ended);
        self.start_timing();
        self.report_handles();
        if let Some(counters) = self.directory.counters(self.current) {
            match ended {
                Ended::Idle => {
                    counters.enter(State::Waiting, self.stamp);
                    counters.rested();
                }
                _ => counters.enter(State::Starved, self.stamp),
            }
            counters.queued(self.sched.queue_len(self.current), self.stamp);
            if self.sched.forgiven_total() != self.forgiven {
                counters.forgiven(self.sched.forgiven(self.current).unwrap_or_default());
                self.forgiven = self.sched.forgiven_total();
            }
        }
        self.current = self.sched.root();
    }

    /// How many handles of the running partition wait for the one that runs, or is about to.
    pub(super) fn queued_beside(&self) -> usize {
        self.sched.queue_len(self.current).saturating_sub(1)
    }

    pub(super) fn report_handles(&mut self) {
        let handles = self.handles - self.reported;
        self.reported = self.handles;
        if let Some(counters) = self.directory.counters(self.current) {
            counters.ran(handles);
        }
    }
}
