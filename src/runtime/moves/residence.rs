//! Where tasks live, and how they move.
//!
//! A task is queued in one partition, its *home*. The part of it that is in no `within` lives in
//! its *base*, which is its home but for the time that a `within` has taken the task elsewhere.
//!
//! | the running task | home becomes | base becomes |
//! |---|---|---|
//! | switches to `p` | `p` | `p`, unless it does so inside a `within` |
//! | enters `p`, or is called back to it | `p` | stays |
//! | leaves the last `within` | its base | stays |
//!
//! Who asks for a move has the task woken, so that a moved task has a handle to come: it is queued
//! in the new home when the running one ends.

use std::sync::Arc;
use std::task::Waker;

use crate::runtime::core::{Core, Queued};
use crate::runtime::local::Local;
use crate::runtime::moves::wants::{Passed, Want, Wants};
use crate::runtime::partition::Partition;
use crate::runtime::partition::sealed::Name;
use crate::runtime::run::MainWaker;
use crate::runtime::shared::Shared;
use crate::runtime::tasks::Key;
use crate::sched::PartitionId;

/// What runs in the scope of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Runner {
    #[default]
    Nobody,
    /// Wakers and destructors, but no task.
    Delivery,
    /// The future of `block_on`.
    Main,
    /// A task of the registry.
    Task(Key),
}

/// What is kept of a task that has ever been in a `within`.
#[derive(Debug, Default)]
pub(crate) struct Travels {
    /// Its base, if that is not its home; so it is kept alive.
    base: Option<Partition>,
    wants: Wants,
}

impl Travels {
    pub(super) fn is_away(&self) -> bool {
        self.base.is_some()
    }

    /// Has the task come back to another base; returns the old one.
    pub(super) fn rebase(&mut self, base: Option<Partition>) -> Option<Partition> {
        std::mem::replace(&mut self.base, base)
    }

    /// Whether the task is away from this, its base.
    pub(crate) fn belongs_to(&self, partition: PartitionId) -> bool {
        self.base.as_ref().is_some_and(|base| base.id() == partition)
    }
}

/// The moves of the handle that runs.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The `within`s that are being polled, outermost first, each with its place.
    enclosing: Vec<(u64, Partition)>,
    /// The last handle in which a move was asked for, and how often it was.
    asked: (u64, u32),
    /// Tokens given out.
    tokens: u64,
    /// How many `within`s have ended.
    ended: u64,
    /// Tasks with parts that wait for the task to be somewhere.
    lines: i32,
    main: Option<Main>,
}

#[cfg(all(test, feature = "sim"))]
impl Moves {
    pub(crate) fn lines(&self) -> i32 {
        self.lines
    }
}

/// What the registry keeps of a task, for the future of `block_on`.
#[derive(Debug)]
struct Main {
    waker: Waker,
    travels: Option<Travels>,
}

/// How often one handle may ask for moves: one that goes on and on never ends.
const ASKED_MAX: u32 = 1 << 20;

/// Taken out of the loop's state, to be dropped when nothing is borrowed.
type Left<T> = Option<T>;

impl Core {
    /// The home of what runs, if that is a task or the future of `block_on`.
    fn home(&self) -> Option<PartitionId> {
        match self.runner {
            Runner::Main => Some(self.main),
            Runner::Task(key) => Some(self.tasks.by_key(key)?.partition()),
            Runner::Nobody | Runner::Delivery => None,
        }
    }

    fn travels(&self) -> Option<&Travels> {
        match self.runner {
            Runner::Main => self.moves.main.as_ref()?.travels.as_ref(),
            Runner::Task(key) => self.tasks.by_key(key)?.travels(),
            Runner::Nobody | Runner::Delivery => None,
        }
    }

    fn travels_mut(&mut self) -> Option<&mut Option<Travels>> {
        match self.runner {
            Runner::Main => self.moves.main.as_mut().map(|main| &mut main.travels),
            Runner::Task(key) => self.tasks.travels_mut(key),
            Runner::Nobody | Runner::Delivery => None,
        }
    }

    fn wants_mut(&mut self) -> Option<&mut Wants> {
        Some(&mut self.travels_mut()?.as_mut()?.wants)
    }

    fn waker(&self) -> Option<Waker> {
        match self.runner {
            Runner::Main => self.moves.main.as_ref().map(|main| main.waker.clone()),
            Runner::Task(key) => self.tasks.by_key(key).map(|entry| entry.task.waker()),
            Runner::Nobody | Runner::Delivery => None,
        }
    }

    fn set_home(&mut self, home: PartitionId) {
        match self.runner {
            Runner::Main => {
                let old = std::mem::replace(&mut self.main, home);
                self.directory.check_unused(old);
            }
            Runner::Task(key) => self.rehome(key, home),
            Runner::Nobody | Runner::Delivery => {}
        }
    }

    /// Counts a task in another partition than before, where it is queued from now on.
    pub(super) fn rehome(&mut self, key: Key, home: PartitionId) {
        let Some(entry) = self.tasks.by_key(key) else { return };
        let old = entry.partition();
        entry.task.header().set_partition(home);
        self.directory.task_added(home);
        self.directory.task_removed(old);
    }

    /// Moves the running task, base and all; if it is wanted elsewhere, the base alone.
    fn resettle(&mut self, place: &Partition) -> Left<Partition> {
        let home = self.home()?;
        let wanted = self.is_wanted();
        let base = (wanted && home != place.id()).then(|| place.clone());
        let left = match self.travels_mut()? {
            Some(travels) => travels.rebase(base),
            None => None,
        };
        if !wanted && home != place.id() {
            self.set_home(place.id());
        }
        left
    }

    /// Whether parts of the running task wait for it to be somewhere.
    fn is_wanted(&self) -> bool {
        self.travels().is_some_and(|travels| !travels.wants.is_empty())
    }

    /// Moves the running task, and keeps its base.
    fn go(&mut self, home: PartitionId, shared: &Arc<Shared>) -> Left<Partition> {
        let old = self.home()?;
        if old == home {
            return None;
        }
        let handle = self.directory.handle(old, shared);
        let base = &mut self.travels_mut()?.get_or_insert_default().base;
        if base.is_none() {
            *base = handle;
        }
        let is_back = base.as_ref().is_some_and(|base| base.id() == home);
        let left = if is_back { base.take() } else { None };
        self.set_home(home);
        left
    }

    /// Sends the running task to the place of the first in line.
    fn give_turn(&mut self, shared: &Arc<Shared>) -> Turn {
        let place = self.wants_mut().and_then(|wants| wants.place().cloned());
        let left = place.as_ref().and_then(|place| self.go(place.id(), shared));
        let part = self.wants_mut().and_then(Wants::waker);
        Turn { left: [place, left], wakers: [part, self.waker()] }
    }

    /// Somebody has left the line; if it was the first, and `next` is there, that has its turn.
    fn next_turn(&mut self, next: bool, shared: &Arc<Shared>) -> Turn {
        if self.wants_mut().is_none_or(|wants| wants.is_empty()) {
            self.count_lines(-1);
        }
        if next { self.give_turn(shared) } else { Turn::default() }
    }

    /// A task is forgotten, and its wants with it.
    pub(crate) fn forget_wants(&mut self, travels: Option<&Travels>) {
        if travels.is_some_and(|travels| !travels.wants.is_empty()) {
            self.count_lines(-1);
        }
    }

    /// Counts the tasks with parts that wait for the task to be somewhere: while there are any, the
    /// ends of polls are looked at.
    fn count_lines(&mut self, more: i32) {
        self.moves.lines += more;
        self.interrupt();
    }

    /// Whether the ends of polls are to be looked at.
    #[inline]
    pub(crate) fn attends_polls(&self) -> bool {
        self.moves.lines > 0
    }

    fn count_asked(&mut self) -> u32 {
        let now = self.handle_number();
        let (handle, count) = self.moves.asked;
        let count = if handle == now { count + 1 } else { 1 };
        self.moves.asked = (now, count);
        count
    }
}

/// For the task that runs.
impl Local {
    /// Returns who runs; `what` was called.
    ///
    /// # Panics
    ///
    /// If it is not a task, or one that does not come to an end.
    #[track_caller]
    pub(super) fn mover(&self, what: &str) -> Runner {
        let mut core = self.core.borrow_mut();
        let (runner, count) = (core.runner, core.count_asked());
        drop(core);
        assert!(
            matches!(runner, Runner::Main | Runner::Task(_)),
            "{what} moves the task that awaits it, and none runs here: await it in a task, not in \
             a waker, a hook or a destructor"
        );
        assert!(
            count < ASKED_MAX,
            "{what} was polled a million times by one handle of a task, which moves when that \
             handle ends: `.await` it in the task, not in an executor inside of it"
        );
        runner
    }

    /// Finds the partition to move to, or makes it; `what` was called.
    ///
    /// # Panics
    ///
    /// If it is of another runtime, closed or gone.
    #[track_caller]
    pub(super) fn destination(&self, name: Name<'_>, what: &str) -> Partition {
        let mut core = self.core.borrow_mut();
        let id = match name {
            Name::Key(key) => core.by_key(key, &self.shared),
            Name::Partition(partition) => partition.id_in(&self.shared),
        };
        let open = core.is_open(id);
        let found = core.directory.handle(id, &self.shared);
        drop(core);
        match found.filter(|_| open) {
            Some(partition) => partition,
            None => panic!(
                "{what}: the partition is closed or gone, so that no task can move there; ask \
                 `Partition::is_closed` first, or hold a `Partition` to keep it"
            ),
        }
    }

    /// Returns where the code that runs lives: in the place of the innermost `within`, or else in
    /// its task's base.
    pub(super) fn place(&self) -> Partition {
        let core = self.core.borrow_mut();
        if let Some((_, place)) = core.moves.enclosing.last() {
            return place.clone();
        }
        if let Some(base) = core.travels().and_then(|travels| travels.base.clone()) {
            return base;
        }
        let home = core.home().unwrap_or_else(|| core.scope());
        core.directory.handle(home, &self.shared).expect("a task refers to its home")
    }

    /// Moves the code that runs to `place`, and the task along with it.
    pub(super) fn settle_in(&self, place: &Partition) {
        let mut core = self.core.borrow_mut();
        let left = match core.moves.enclosing.last_mut() {
            Some((_, enclosing)) => {
                let old = std::mem::replace(enclosing, place.clone());
                let wanted = core.is_wanted();
                (Some(old), if wanted { None } else { core.go(place.id(), &self.shared) })
            }
            None => (None, core.resettle(place)),
        };
        let waker = core.waker();
        drop(core);
        drop(left);
        wake(waker);
    }

    /// Whether the handle that runs is one of `place`.
    pub(super) fn is_in(&self, place: &Partition) -> bool {
        let id = place.id_in(&self.shared);
        self.core.borrow().scope() == id
    }

    /// Whether a move to `place` would change nothing, now or with the next handle.
    pub(super) fn is_settled_in(&self, place: &Partition) -> bool {
        self.is_in(place) && self.core.borrow().home() == Some(place.id()) && self.place() == *place
    }

    /// Which handle runs, counted from one.
    pub(super) fn handle_number(&self) -> u64 {
        self.core.borrow().handle_number()
    }

    /// Returns the name of another `within`.
    pub(super) fn next_token(&self) -> u64 {
        let mut core = self.core.borrow_mut();
        core.moves.tokens += 1;
        core.moves.tokens
    }

    /// The partition of the handle that runs.
    pub(super) fn scope(&self) -> PartitionId {
        self.core.borrow().scope()
    }

    /// Says that a `within` has ended.
    pub(super) fn end_visit(&self) {
        self.core.borrow_mut().moves.ended += 1;
    }

    /// How many `within`s have ended.
    pub(super) fn visits_ended(&self) -> u64 {
        self.core.borrow().moves.ended
    }

    /// Whether the task is where it is for the sake of something in the `within` called `token`.
    pub(super) fn is_here_for(&self, token: u64) -> bool {
        let core = self.core.borrow();
        let Some(Travels { wants, .. }) = core.travels() else { return false };
        wants.is_first_inside(token) && wants.place().is_some_and(|at| at.id() == core.scope())
    }

    /// Says that a part of the running task wants to be in `place`, to be polled there by `waker`.
    pub(super) fn ask(&self, token: u64, place: &Partition, waker: &Waker) {
        let want = Want {
            token,
            place: place.clone(),
            around: self.core.borrow().moves.enclosing.iter().map(|(token, _)| *token).collect(),
            waker: Some(waker.clone()),
        };
        let mut core = self.core.borrow_mut();
        let Some(travels) = core.travels_mut() else { return };
        let wants = &mut travels.get_or_insert_default().wants;
        if wants.is_empty() {
            core.count_lines(1);
        }
        let (first, old) = core.wants_mut().map(|wants| wants.ask(want)).unwrap_or_default();
        let turn = if first { core.give_turn(&self.shared) } else { Turn::default() };
        drop(core);
        drop(old);
        turn.take();
    }

    /// Says that a part of the running task wants nothing any more; the next in line has its turn.
    pub(super) fn want_nothing(&self, token: u64) {
        let mut core = self.core.borrow_mut();
        let Some((want, next)) = core.wants_mut().and_then(|wants| wants.withdraw(token)) else {
            return;
        };
        let turn = core.next_turn(next, &self.shared);
        drop(core);
        drop(want);
        turn.take();
    }

    /// The running task was polled and pends; whoever is the first in line may have been left out.
    #[cold]
    pub(crate) fn attend(&self) {
        let mut core = self.core.borrow_mut();
        let (scope, home) = (core.scope(), core.home());
        let Some(wants) = core.wants_mut() else { return };
        let there = wants.place().is_none_or(|place| Some(place.id()) == home);
        let (turn, lapsed) = match wants.pass(scope) {
            Passed::Nothing if there => return,
            // It was adopted meanwhile.
            Passed::Nothing => (core.give_turn(&self.shared), None),
            Passed::Again => (core.give_turn(&self.shared), None),
            Passed::Lapsed(lapsed) => (core.next_turn(true, &self.shared), lapsed),
        };
        drop(core);
        drop(lapsed);
        turn.take();
    }

    /// Ends a `within` of `runner` that was dropped: if the running task is in `place` because of
    /// it, it goes back to where the code that runs lives.
    pub(super) fn leave(&self, runner: Runner, token: u64, place: &Partition) {
        if self.core.borrow().runner != runner {
            return;
        }
        self.want_nothing(token);
        self.end_visit();
        let stays = {
            let core = self.core.borrow();
            core.is_wanted() || core.home() != Some(place.id())
        };
        let outer = self.place();
        if stays || outer == *place {
            return;
        }
        let mut core = self.core.borrow_mut();
        let (left, own) = (core.go(outer.id(), &self.shared), core.waker());
        drop(core);
        drop(left);
        wake(own);
    }

    /// Makes `place` that of the code that runs until the scope is dropped.
    pub(super) fn enclose<'a>(
        &'a self,
        token: u64,
        place: &'a mut Option<Partition>,
    ) -> Enclosed<'a> {
        if let Some(place) = place.take() {
            self.core.borrow_mut().moves.enclosing.push((token, place));
        }
        Enclosed { local: self, place }
    }
}

/// What is to be done for the first in line, once nothing is borrowed.
#[derive(Default)]
struct Turn {
    left: [Option<Partition>; 2],
    /// That of the part, for whatever stands between it and the task, and that of the task.
    wakers: [Option<Waker>; 2],
}

impl Turn {
    fn take(self) {
        drop(self.left);
        self.wakers.into_iter().for_each(wake);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The time of one poll of what a `within` holds.
pub(super) struct Enclosed<'a> {
    local: &'a Local,
    place: &'a mut Option<Partition>,
}

impl Drop for Enclosed<'_> {
    fn drop(&mut self) {
        // What was enclosed may have switched to another place.
        *self.place = self.local.core.borrow_mut().moves.enclosing.pop().map(|(_, place)| place);
    }
}

/// The time of one `block_on`.
pub(crate) struct Stage<'a> {
    local: &'a Local,
    main: &'a Arc<MainWaker>,
}

impl<'a> Stage<'a> {
    /// The future of `main` begins, in ROOT.
    pub(crate) fn enter(local: &'a Local, main: &'a Arc<MainWaker>) -> Self {
        let waker = Waker::from(main.clone());
        local.core.borrow_mut().moves.main = Some(Main { waker, travels: None });
        local.queue_main();
        Self { local, main }
    }
}

impl Drop for Stage<'_> {
    /// It has ended, wherever it was; a panic of the loop may have left a handle of it.
    fn drop(&mut self) {
        let queued = self.main.finish();
        let mut core = self.local.core.borrow_mut();
        let home = core.main;
        if queued {
            let _ = core.withdraw(home, Queued::is_mark);
        }
        core.main = core.sched.root();
        core.directory.check_unused(home);
        let left = (core.moves.main.take(), std::mem::take(&mut core.moves.enclosing));
        core.forget_wants(left.0.as_ref().and_then(|main| main.travels.as_ref()));
        drop(core);
        drop(left);
    }
}
