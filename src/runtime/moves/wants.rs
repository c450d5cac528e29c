//! Where the parts of one task want it to be: first come, first served.

use std::collections::VecDeque;
use std::task::Waker;

use crate::runtime::partition::Partition;
use crate::sched::PartitionId;

/// Handles that may end in the place of the first in line without that one being polled, before
/// its want lapses: its future is kept, it seems, but not polled.
const PATIENCE: u32 = 64;

/// One part of a task that waits for the task to be in some place.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) token: u64,
    pub(super) place: Partition,
    /// The `within`s around it, outermost first.
    pub(super) around: Vec<u64>,
    /// How to have it polled; taken when it is its turn.
    pub(super) waker: Option<Waker>,
}

/// A line of them. The task is on its way to the place of the first, or there; the others are
/// silent until it is their turn.
#[derive(Debug, Default)]
pub(super) struct Wants {
    line: VecDeque<Want>,
    /// Handles that ended in the place of the first, while others waited.
    passed: u32,
}

impl Wants {
    /// Puts a want in line, or renews it. Returns whether it is the first, and what it takes the
    /// place of. O(parts of the task that wait).
    pub(super) fn ask(&mut self, want: Want) -> (bool, Option<Want>) {
        let known = self.line.iter().position(|known| known.token == want.token);
        let Some(at) = known else {
            self.line.push_back(want);
            return (self.line.len() == 1, None);
        };
        (at == 0, Some(std::mem::replace(&mut self.line[at], want)))
    }

    /// Takes a want out of the line. Returns it, and whether another one is the first now.
    pub(super) fn withdraw(&mut self, token: u64) -> Option<(Want, bool)> {
        let at = self.line.iter().position(|want| want.token == token)?;
        let want = self.line.remove(at)?;
        if at == 0 {
            self.passed = 0;
        }
        Some((want, at == 0 && !self.line.is_empty()))
    }

    /// A handle has ended in `place`, and the first in line is still there.
    pub(super) fn pass(&mut self, place: PartitionId) -> Passed {
        match self.line.front() {
            Some(first) if first.place.id() == place && self.line.len() > 1 => {}
            _ => return Passed::Nothing,
        }
        self.passed += 1;
        if self.passed < PATIENCE {
            return Passed::Again;
        }
        self.passed = 0;
        Passed::Lapsed(self.line.pop_front())
    }

    /// Returns the place of the first in line.
    pub(super) fn place(&self) -> Option<&Partition> {
        self.line.front().map(|want| &want.place)
    }

    /// Takes the waker of the first in line, whose turn it is.
    pub(super) fn waker(&mut self) -> Option<Waker> {
        self.line.front_mut()?.waker.take()
    }

    /// Whether the first in line is somewhere in the `within` called `token`.
    pub(super) fn is_first_inside(&self, token: u64) -> bool {
        self.line.front().is_some_and(|want| want.around.contains(&token))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

/// What becomes of the first in line that was not polled.
#[derive(Debug)]
pub(super) enum Passed {
    /// Nobody else waits, or the task is not there yet.
    Nothing,
    /// It shall have another handle.
    Again,
    /// It is out of the line; should it be polled after all, it asks anew.
    Lapsed(Option<Want>),
}
