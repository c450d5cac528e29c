//! A record read once: which handles ran, and when each partition was runnable.

use std::collections::VecDeque;

use crate::sched::Settings;
use crate::trace::{Packed, Record, What, Why};

/// One handle that ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    /// When it was queued, and by which event.
    pub(crate) woken: u64,
    pub(crate) queued: u32,
    pub(crate) start: u64,
    /// The end of the trace, if it was not over by then.
    pub(crate) end: u64,
    /// In cost units.
    pub(crate) cost: u64,
    pub(crate) partition: u32,
    /// The event with which it began.
    pub(crate) event: u32,
    /// The event with which it ended, or before which; `u32::MAX` if the trace ended first.
    pub(crate) ended: u32,
    /// It is no handle but a delivery, for which its partition pays as for one.
    pub(crate) delivery: bool,
}

impl Handle {
    pub(crate) fn elapsed(&self) -> u64 {
        self.end - self.start
    }

    /// What is left of its cost at `at`, which is not before it starts. A part of a handle costs
    /// what a handle as long would cost.
    pub(crate) fn rest(&self, at: u64, settings: &Settings) -> u64 {
        settings.price_nanos(self.end.saturating_sub(at)).min(self.cost)
    }
}

/// A time in which a partition was runnable throughout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    pub(crate) from: u64,
    /// The end of the trace, if it was not over by then.
    pub(crate) to: u64,
}

/// A handle that was queued when the trace ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unserved {
    pub(crate) woken: u64,
    pub(crate) event: u32,
    pub(crate) task: u32,
}

/// A change of who is runnable, who runs, or who weighs how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) at: u64,
    /// The event it came with.
    pub(crate) event: u32,
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// A partition becomes runnable.
    Comes(u32),
    /// A partition has nothing left to do.
    Goes(u32),
    /// A handle begins, by its place among all.
    Begins(u32),
    /// That handle ends.
    Ends,
    /// A partition has another weight.
    Weighs(u32, u32),
    /// A group has another weight.
    GroupWeighs(u32, u32),
}

/// What one partition did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// Its handles, by their place among all.
    pub(crate) handles: Vec<u32>,
    /// Its time on the thread before each of its handles, in nanoseconds.
    pub(crate) served: Vec<u64>,
    pub(crate) busy: Vec<Busy>,
    pub(crate) unserved: Vec<Unserved>,
    /// The events by which it came, if that was seen, and went.
    pub(crate) created: Option<u32>,
    pub(crate) freed: Option<u32>,
    /// The weights it had, with the event by which it got each.
    pub(crate) weights: Vec<(u32, u32)>,
}

/// What came of a record.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// All handles, in the order in which they ran.
    pub(crate) handles: Vec<Handle>,
    /// All changes, in the order in which they came.
    pub(crate) moves: Vec<Move>,
    /// Partitions, by number.
    pub(crate) lives: Vec<Life>,
    /// The weights of the groups, with the event by which each came.
    pub(crate) groups: Vec<Vec<(u32, u32)>>,
    /// When the last event was.
    pub(crate) end: u64,
}

impl History {
    /// Reads a record. O(events).
    pub(crate) fn of(record: &Record) -> Self {
        let mut reader = Reader::new(record);
        for (index, event) in record.events.iter().enumerate() {
            reader.read(index as u32, *event);
        }
        reader.finish()
    }
}

struct Reader<'a> {
    record: &'a Record,
    history: History,
    open: Vec<Open>,
    /// Whether turns are told. If not, a partition is idle when its queue is empty.
    turns: bool,
    running: bool,
    /// The event before which the delivery that runs ends.
    delivers_until: Option<u32>,
    /// The event that is being read.
    now: (u64, u32),
}

/// What is under way in a partition.
#[derive(Debug, Default)]
struct Open {
    queue: VecDeque<Unserved>,
    /// When it became runnable.
    busy: Option<u64>,
}

impl<'a> Reader<'a> {
    fn new(record: &'a Record) -> Self {
        let mut history = History {
            handles: Vec::new(),
            moves: Vec::new(),
            lives: Vec::new(),
            groups: record.groups.iter().map(|group| vec![(0, group.weight)]).collect(),
            end: record.events.last().map_or(0, |event| event.at),
        };
        let life = |weight| Life { weights: vec![(0, weight)], ..Life::default() };
        history.lives.extend(record.partitions.iter().map(|note| life(note.weight)));
        let open = record.partitions.iter().map(|_| Open::default()).collect();
        let turns = record.events.iter().any(|event| matches!(event.what(), What::Turn { .. }));
        Self { record, history, open, turns, running: false, delivers_until: None, now: (0, 0) }
    }

    fn read(&mut self, index: u32, event: Packed) {
        self.now = (event.at, index);
        if self.delivers_until == Some(index) {
            self.delivers_until = None;
            self.tell(Change::Ends);
        }
        let what = event.what();
        if let What::GroupWeight { group, weight } = what {
            self.history.groups[group as usize].push((index, weight));
            self.tell(Change::GroupWeighs(group, weight));
        }
        let who = event.partition;
        let Some(life) = self.history.lives.get_mut(who as usize) else { return };
        match what {
            What::Created { .. } => life.created = Some(index),
            What::Weight(weight) => {
                life.weights.push((index, weight));
                self.tell(Change::Weighs(who, weight));
            }
            What::Freed => {
                life.freed = Some(index);
                self.idle(who);
            }
            What::Wake => {
                let queued = Unserved { woken: event.at, event: index, task: event.task };
                self.open[who as usize].queue.push_back(queued);
                self.rouse(who);
            }
            What::Withdrawn { idle } => {
                self.open[who as usize].queue.retain(|queued| queued.task != event.task);
                if idle {
                    self.idle(who);
                }
            }
            What::Roused { .. } => self.rouse(who),
            What::Run => self.begin(index, event),
            What::Deliver { .. } => self.deliver(index, event),
            What::Ran | What::Done => self.end(),
            What::TurnEnd(Why::Idle | Why::Removed) => self.idle(who),
            _ => {}
        }
    }

    fn tell(&mut self, change: Change) {
        let (at, event) = self.now;
        self.history.moves.push(Move { at, event, change });
    }

    fn rouse(&mut self, who: u32) {
        let busy = &mut self.open[who as usize].busy;
        if busy.is_none() {
            *busy = Some(self.now.0);
            self.tell(Change::Comes(who));
        }
    }

    fn idle(&mut self, who: u32) {
        let Some(from) = self.open[who as usize].busy.take() else { return };
        self.history.lives[who as usize].busy.push(Busy { from, to: self.now.0 });
        self.tell(Change::Goes(who));
    }

    fn begin(&mut self, index: u32, event: Packed) {
        let Packed { at, partition, task, .. } = event;
        let queue = &mut self.open[partition as usize].queue;
        let place = queue.iter().position(|queued| queued.task == task);
        let queued = place.and_then(|place| queue.remove(place));
        let queued = queued.unwrap_or(Unserved { woken: at, event: index, task });
        let cost = self.record.settings.price_nanos(0);
        let handle = Handle {
            woken: queued.woken,
            queued: queued.event,
            start: at,
            end: at,
            cost,
            partition,
            event: index,
            ended: u32::MAX,
            delivery: false,
        };
        self.enter(handle);
        self.running = true;
    }

    /// A delivery that takes time is paid for. It ends before whatever is not its doing.
    fn deliver(&mut self, index: u32, event: Packed) {
        let doings = self.record.events[index as usize + 1..].iter().take_while(|event| {
            use What::{Created, GroupCreated, GroupStands, Ready, Roused, Wake};
            let what = event.what();
            let made = matches!(what, Created { .. } | GroupCreated { .. });
            made || matches!(what, Wake | Roused { .. } | GroupStands { .. } | Ready { .. })
        });
        let ended = index + 1 + doings.count() as u32;
        let Some(end) = self.record.events.get(ended as usize).map(|event| event.at) else {
            return;
        };
        if end == event.at || !self.record.settings.timed() {
            return;
        }
        let Packed { at, partition, .. } = event;
        self.enter(Handle {
            woken: at,
            queued: index,
            start: at,
            end,
            cost: end - at,
            partition,
            event: index,
            ended,
            delivery: true,
        });
        self.delivers_until = Some(ended);
    }

    fn enter(&mut self, handle: Handle) {
        let (number, partition) = (self.history.handles.len() as u32, handle.partition);
        self.rouse(partition);
        self.history.handles.push(handle);
        let handles = &self.history.handles;
        let life = &mut self.history.lives[partition as usize];
        let before = life.handles.last().map_or(0, |last| handles[*last as usize].elapsed());
        life.served.push(life.served.last().map_or(0, |served| served + before));
        life.handles.push(number);
        self.tell(Change::Begins(number));
    }

    fn end(&mut self) {
        let Some(handle) = self.history.handles.last_mut().filter(|_| self.running) else { return };
        self.running = false;
        (handle.end, handle.ended) = self.now;
        handle.cost = self.record.settings.price_nanos(handle.elapsed());
        let who = handle.partition;
        self.tell(Change::Ends);
        if !self.turns && self.open[who as usize].queue.is_empty() {
            self.idle(who);
        }
    }

    fn finish(mut self) -> History {
        if self.running {
            self.now.1 = u32::MAX;
            self.end();
        }
        for who in 0..self.open.len() {
            self.idle(who as u32);
            self.history.lives[who].unserved = std::mem::take(&mut self.open[who].queue).into();
        }
        self.history
    }
}
