//! What is done with timers, and when.

use crate::models::program::{STEPS_MAX, edge, words};

pub(super) const SLOTS: usize = 12;
pub(super) const PLACES: u8 = 3;
/// The clock of a simulation ends after 584 years, and a loop that reaches it turns for ever.
pub(super) const END: u64 = u64::MAX - 1_000_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(super) epoch: u64,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// In that partition.
    Do(u8, Act, Reactions),
    Advance {
        by: u64,
    },
}

/// What is done to a timer, by the program or by a waker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Nothing,
    Create {
        slot: usize,
        after: After,
    },
    Poll {
        slot: usize,
    },
    /// With the waker it has already.
    PollAgain {
        slot: usize,
    },
    Reset {
        slot: usize,
        after: After,
    },
    Drop {
        slot: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    Nanos(u64),
    Before(u64),
    /// `Duration::MAX`, which no clock can tell.
    Never,
}

/// What the waker of a poll does when it is called, and when it is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reactions {
    pub(super) wake: Act,
    pub(super) drop: Act,
}

impl Reactions {
    pub(super) const NONE: Self = Self { wake: Act::Nothing, drop: Act::Nothing };
}

pub(crate) fn decode(bytes: &[u8]) -> Program {
    let mut words = words(bytes);
    let [class, fine, ..] = words.next().unwrap_or_default();
    let mut steps = Vec::new();
    while let (Some([kind, a, b, c]), true) = (words.next(), steps.len() < STEPS_MAX) {
        let slot = usize::from(a) % SLOTS;
        let act = match kind % 16 {
            0..=5 => Act::Create { slot, after: after(b, c) },
            6 => Act::Poll { slot },
            7 => Act::PollAgain { slot },
            8 | 9 => Act::Reset { slot, after: after(b, c) },
            10 => Act::Drop { slot },
            _ => {
                steps.push(Step::Advance { by: edge(b % 9, c) });
                continue;
            }
        };
        // The next word, if there is one, says what the waker does.
        let reactions = match kind & 0x10 {
            0 => Reactions::NONE,
            _ => reactions(words.next().unwrap_or_default()),
        };
        steps.push(Step::Do((kind >> 5) % PLACES, act, reactions));
    }
    Program { epoch: edge(class, fine).min(END), steps }
}

fn after(class: u8, fine: u8) -> After {
    match class % 13 {
        10 => After::Never,
        11 => After::Before(u64::from(fine)),
        12 => After::Nanos(0),
        class => After::Nanos(edge(class, fine)),
    }
}

fn reactions([a, b, c, d]: [u8; 4]) -> Reactions {
    let act = |kind: u8, fine: u8| {
        let slot = usize::from(kind >> 3) % SLOTS;
        match kind % 6 {
            0 => Act::Nothing,
            1 => Act::Create { slot, after: after(fine % 13, fine) },
            2 => Act::Poll { slot },
            3 => Act::PollAgain { slot },
            4 => Act::Reset { slot, after: after(fine % 13, fine) },
            _ => Act::Drop { slot },
        }
    };
    Reactions { wake: act(a, b), drop: act(c, d) }
}
