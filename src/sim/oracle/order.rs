//! Who runs at all, and in which order: P0, P7 and conservation.

use std::collections::VecDeque;
use std::time::Duration;

use super::{At, Violation, asserts, quoted, served_most};
use crate::sim::Trace;
use crate::sim::trace::Change;
use crate::trace::{MAIN, NOBODY, Packed, What};

asserts! {
    /// Asserts P0: the handles of a partition run in the order in which they were queued.
    assert_fifo_within, check_fifo_within;
    /// Asserts that every wake leads to one run: nothing runs that was not woken, no task is queued
    /// twice at a time, and nothing is left, unless the run was stopped before.
    assert_conserved, check_conserved;
    /// Asserts P7: the thread neither sleeps nor rests while anyone has work.
    assert_work_conserving, check_work_conserving;
}

/// A handle in a queue: the task and the event that queued it.
type Queued = (u32, u32);

/// Checks P0: the handles of a partition run in the order in which they were queued.
///
/// # Errors
///
/// The first handle that ran before one that was queued earlier. O(events).
pub fn check_fifo_within(trace: &Trace) -> Result<(), Violation> {
    let mut queues: Vec<VecDeque<Queued>> = vec![VecDeque::new(); trace.record().partitions.len()];
    for (index, event) in events(trace) {
        let Some(queue) = queues.get_mut(event.partition as usize) else { continue };
        match event.what() {
            What::Wake => queue.push_back((event.task, index)),
            What::Withdrawn { .. } => queue.retain(|queued| queued.0 != event.task),
            What::Run => match queue.iter().position(|queued| queued.0 == event.task) {
                Some(0) => drop(queue.pop_front()),
                // That it was not woken is not for this proposition.
                None => {}
                Some(_) => return Err(overtaken(trace, index, queue[0])),
            },
            _ => {}
        }
    }
    Ok(())
}

fn overtaken(trace: &Trace, index: u32, (first, queued): Queued) -> Violation {
    let event = trace.record().events[index as usize];
    let story = format!(
        "in {} {} ran at {}, before {}, which has waited {:?}, since {}; {}",
        quoted(trace, event.partition),
        trace.task(event.task),
        At(trace, index),
        trace.task(first),
        Duration::from_nanos(event.at - trace.record().events[queued as usize].at),
        At(trace, queued),
        served_most(trace, queued, index),
    );
    Violation::new(trace, "P0", index, story)
}

/// Checks that every wake leads to one run: nothing runs that was not woken, no task is queued
/// twice at a time, and nothing is left, unless the run was stopped before or goes on.
///
/// # Errors
///
/// The first handle that ran unwoken or was queued twice, or one that was lost. O(events).
pub fn check_conserved(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    for (index, event) in events(trace) {
        ledger.note(index, event)?;
    }
    ledger.close()
}

/// What is queued and what runs.
struct Ledger<'a> {
    trace: &'a Trace,
    /// For each task the partition it is queued in, and by which event.
    tasks: Vec<Option<(u32, u32)>>,
    /// How often the future of `block_on` is queued: of an earlier call a poll may be left.
    main: u32,
    /// Handles queued in each partition.
    queued: Vec<u32>,
    /// The handle that runs.
    running: Option<(u32, u32)>,
    stopped: bool,
}

impl<'a> Ledger<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            tasks: Vec::new(),
            main: 0,
            queued: vec![0; trace.record().partitions.len()],
            running: None,
            stopped: false,
        }
    }

    fn note(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        match event.what() {
            What::Start => self.stopped = false,
            What::Stop => self.stopped = true,
            What::Wake => self.wake(index, event)?,
            What::Withdrawn { .. } => self.withdrawn(index, event)?,
            What::Run => self.run(index, event)?,
            What::Ran | What::Done => self.ran(index, event)?,
            What::Freed if !self.stopped && self.queued[event.partition as usize] > 0 => {
                let left = self.queued[event.partition as usize];
                return Err(self.broken(index, format!("was freed with {left} handles queued")));
            }
            _ => {}
        }
        Ok(())
    }

    fn wake(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        self.queued[event.partition as usize] += 1;
        if event.task == MAIN || event.task == NOBODY {
            self.main += 1;
            return Ok(());
        }
        let task = event.task as usize;
        if self.tasks.len() <= task {
            self.tasks.resize(task + 1, None);
        }
        let before = self.tasks[task].replace((event.partition, index));
        match before {
            None => Ok(()),
            Some((_, before)) => {
                let before = At(self.trace, before);
                Err(self.broken(index, format!("queued a task that was queued since {before}")))
            }
        }
    }

    fn withdrawn(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        if event.task == MAIN || event.task == NOBODY {
            self.main = self.main.saturating_sub(1);
        } else {
            let queued = self.tasks.get_mut(event.task as usize).and_then(Option::take);
            if queued.is_none_or(|(partition, _)| partition != event.partition) {
                return Err(self.broken(index, "lost a handle that nobody had queued there".into()));
            }
        }
        self.queued[event.partition as usize] -= 1;
        Ok(())
    }

    fn run(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        if let Some((_, since)) = self.running {
            let since = At(self.trace, since);
            return Err(self.broken(index, format!("ran within a handle that runs since {since}")));
        }
        self.running = Some((event.task, index));
        let woken = if event.task == MAIN || event.task == NOBODY {
            let woken = self.main > 0;
            self.main -= u32::from(woken);
            woken
        } else {
            let queued = self.tasks.get_mut(event.task as usize).and_then(Option::take);
            queued.is_some_and(|(partition, _)| partition == event.partition)
        };
        if !woken {
            return Err(self.broken(index, "ran a handle that nobody had queued there".into()));
        }
        self.queued[event.partition as usize] -= 1;
        Ok(())
    }

    fn ran(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        match self.running.take() {
            Some((task, _)) if task == event.task => Ok(()),
            _ => Err(self.broken(index, "ended a handle that did not run".into())),
        }
    }

    /// Looks for what was left. Nothing may be, if the run was neither stopped nor is under way.
    fn close(self) -> Result<(), Violation> {
        let under_way = self.stopped || self.running.is_some() || self.trace.is_cut();
        let left: u32 = self.queued.iter().sum();
        if under_way || left == 0 {
            return Ok(());
        }
        let oldest = self.tasks.iter().flatten().map(|(_, event)| *event).min();
        let last = self.trace.len() as u32 - 1;
        let Some(event) = oldest else {
            return Err(self.broken(last, format!("was the last to be seen, and {left} are left")));
        };
        let end = self.trace.end();
        let story =
            format!("queued a handle that has not run by the end at {end:?}, one of {left} such");
        Err(self.broken(event, story))
    }

    fn broken(&self, index: u32, what: String) -> Violation {
        let event = self.trace.record().events[index as usize];
        let who = match event.partition {
            NOBODY => "the loop".into(),
            partition => quoted(self.trace, partition),
        };
        let task = match event.task {
            NOBODY => String::new(),
            task => format!(", {}", self.trace.task(task)),
        };
        let story = format!("{who}{task} {what}, at {}", At(self.trace, index));
        Violation::new(self.trace, "conservation", index, story)
    }
}

/// Checks P7: the thread neither sleeps nor rests while anyone has work.
///
/// # Errors
///
/// The first rest that somebody had work in. O(events).
pub fn check_work_conserving(trace: &Trace) -> Result<(), Violation> {
    let mut moves = trace.history().moves.iter().peekable();
    let (mut runnable, mut running) = (0usize, false);
    // Within a turn time belongs to the partition, whether a handle runs or a delivery.
    let (mut turn, mut stopped) = (false, false);
    let mut last = 0;
    for (index, event) in events(trace) {
        let sleeps = matches!(event.what(), What::Sleep { .. });
        let rested = event.at > last && !running && !turn;
        if runnable > 0 && !stopped && (sleeps || rested) {
            return Err(rest(trace, index, last, sleeps));
        }
        last = event.at;
        match event.what() {
            What::Turn { .. } => turn = true,
            What::TurnEnd(_) => turn = false,
            What::Start => stopped = false,
            What::Stop => stopped = true,
            _ => {}
        }
        while let Some(change) = moves.next_if(|change| change.event == index) {
            match change.change {
                Change::Comes(_) => runnable += 1,
                Change::Goes(_) => runnable -= 1,
                Change::Begins(_) => running = true,
                Change::Ends => running = false,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Tells of a rest that ended with an event, or a sleep that began with it.
fn rest(trace: &Trace, index: u32, since: u64, sleeps: bool) -> Violation {
    let waits = trace.history().lives.iter().enumerate().filter_map(|(who, life)| {
        let at = trace.record().events[index as usize].at;
        let busy = life.busy.iter().find(|busy| busy.from <= since && at <= busy.to)?;
        Some((busy.from, who as u32))
    });
    let what = match sleeps {
        true => format!("the loop went to sleep at {}", At(trace, index)),
        false => {
            format!("nothing ran from {:?} to {}", Duration::from_nanos(since), At(trace, index))
        }
    };
    let who = match waits.min() {
        Some((from, who)) => {
            format!("{} had work since {:?}", quoted(trace, who), Duration::from_nanos(from))
        }
        None => "there was work".into(),
    };
    Violation::new(trace, "P7", index, format!("{what}, while {who}"))
}

/// The events with their places.
pub(super) fn events(trace: &Trace) -> impl Iterator<Item = (u32, Packed)> {
    trace.record().events.iter().enumerate().map(|(index, event)| (index as u32, *event))
}
