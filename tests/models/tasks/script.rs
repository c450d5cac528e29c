//! What tasks are told to do.

use crate::models::program::{STEPS_MAX, words};

pub(crate) const TASKS: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(super) tasks: Vec<Script>,
    /// What the future of `block_on` does.
    pub(super) main: Vec<Act>,
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) polls: Vec<Act>,
    /// What is done again and again when `polls` are over.
    pub(super) last: Act,
    /// When the future is dropped.
    pub(super) drop: Hook,
    /// When the output is dropped.
    pub(super) output: Hook,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Ends this poll.
    Pend,
    /// Ends this poll, to be polled again.
    Yield,
    Finish,
    Panic,
    Do(Touch),
    /// Polls the handle of a task with a waker that does something when it is called, and when it
    /// is dropped.
    JoinBy(usize, Hook, Hook),
}

/// What may be done to a task from anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Touch {
    Nothing,
    Spawn(usize),
    Wake(usize),
    /// By value.
    WakeAway(usize),
    DropWaker(usize),
    Abort(usize),
    Detach(usize),
    Join(usize),
    /// Asks whether it is finished.
    Ask(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    pub(super) touch: Touch,
    pub(super) panics: bool,
}

impl Hook {
    const NONE: Self = Self { touch: Touch::Nothing, panics: false };
}

pub(crate) fn decode(bytes: &[u8]) -> Program {
    let idle = Script { polls: Vec::new(), last: Act::Pend, drop: Hook::NONE, output: Hook::NONE };
    let mut program = Program { tasks: vec![idle; TASKS], main: Vec::new() };
    let mut words = words(bytes).take(STEPS_MAX);
    while let Some([who, kind, a, b]) = words.next() {
        let who = usize::from(who) % (TASKS + 3);
        let act = match kind % 20 {
            0 | 1 => Act::Pend,
            2 | 3 => Act::Yield,
            4 => Act::Finish,
            5 => Act::Panic,
            6..=15 => Act::Do(touch(a, b)),
            16 => {
                let [wake, by, drop, then] = words.next().unwrap_or_default();
                Act::JoinBy(usize::from(a) % TASKS, hook(wake, by), hook(drop, then))
            }
            kind => {
                let Some(script) = program.tasks.get_mut(who) else { continue };
                match kind {
                    17 => script.drop = hook(a, b),
                    18 => script.output = hook(a, b),
                    _ => script.last = [Act::Pend, Act::Finish, Act::Panic][usize::from(a) % 3],
                }
                continue;
            }
        };
        match program.tasks.get_mut(who) {
            Some(script) => script.polls.push(act),
            None => program.main.push(act),
        }
    }
    program
}

fn touch(kind: u8, whom: u8) -> Touch {
    let task = usize::from(whom) % TASKS;
    match kind % 12 {
        0 => Touch::Nothing,
        1 | 2 => Touch::Spawn(task),
        3 | 4 => Touch::Wake(task),
        5 => Touch::WakeAway(task),
        6 => Touch::DropWaker(task),
        7 => Touch::Abort(task),
        8 => Touch::Detach(task),
        9 | 10 => Touch::Join(task),
        _ => Touch::Ask(task),
    }
}

fn hook(kind: u8, whom: u8) -> Hook {
    Hook { touch: touch(kind, whom), panics: kind & 0xc0 == 0x40 }
}
