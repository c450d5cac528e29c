//! What few nodes have at a time: handles behind the first, a weight, debt that was forgiven.

use std::collections::VecDeque;

use super::partition::NONE;
use super::units::Weight;

/// The part of a node that is lent to it while it needs one.
#[derive(Debug)]
pub(super) struct Cold<H> {
    pub(super) weight: Weight,
    /// Debt over the limit that was let go, in cost units.
    pub(super) forgiven: u64,
    /// The handles behind the first.
    pub(super) rest: VecDeque<H>,
}

/// Parts that keep the space of their queue when they come back.
const SPARE: usize = 256;

/// All cold parts of a dispatcher. What comes back keeps the space of its queue for the next, within
/// limits.
#[derive(Debug)]
pub(super) struct Colds<H> {
    parts: Vec<Cold<H>>,
    spare: Vec<u32>,
}

impl<H> Colds<H> {
    pub(super) const fn new() -> Self {
        Self { parts: Vec::new(), spare: Vec::new() }
    }

    /// Returns whether every part that is lent is needed.
    pub(super) fn is_tidy(&self) -> bool {
        let needed = self.parts.iter().filter(|cold| !cold.is_blank()).count();
        needed + self.spare.len() == self.parts.len()
    }

    #[cfg(test)]
    pub(super) fn lent(&self) -> usize {
        self.parts.len() - self.spare.len()
    }

    pub(super) fn get(&self, part: u32) -> Option<&Cold<H>> {
        self.parts.get(part as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, part: u32) -> Option<&mut Cold<H>> {
        self.parts.get_mut(part as usize)
    }

    /// Returns the part that `part` names; if it is [`NONE`], it names one from here on. O(1),
    /// amortised.
    #[inline]
    pub(super) fn get_or_lend(&mut self, part: &mut u32) -> &mut Cold<H> {
        // One comparison: `NONE` is out of bounds as well.
        if *part as usize >= self.parts.len() {
            *part = self.lend();
        }
        &mut self.parts[*part as usize]
    }

    #[inline(never)]
    fn lend(&mut self) -> u32 {
        self.spare.pop().unwrap_or_else(|| {
            // There are fewer than nodes.
            self.parts.push(Cold { weight: Weight::ONE, forgiven: 0, rest: VecDeque::new() });
            (self.parts.len() - 1) as u32
        })
    }

    /// Takes a part back that has an empty queue, unless it remembers something.
    pub(super) fn take_back(&mut self, part: &mut u32) {
        let Some(cold) = self.parts.get_mut(*part as usize) else { return };
        let keeps_space = self.spare.len() < SPARE;
        cold.trim(keeps_space);
        if cold.is_blank() {
            self.spare.push(std::mem::replace(part, NONE));
        }
    }

    /// Takes a part back, if it is one, and returns what is queued in it.
    pub(super) fn dissolve(&mut self, part: u32) -> VecDeque<H> {
        let Some(cold) = self.parts.get_mut(part as usize) else { return VecDeque::new() };
        (cold.weight, cold.forgiven) = (Weight::ONE, 0);
        self.spare.push(part);
        std::mem::take(&mut cold.rest)
    }
}

impl<H> Cold<H> {
    /// Queues a handle at the tail and takes the one at the front.
    #[inline]
    pub(super) fn rotate(&mut self, handle: H) -> H {
        // Out before in, so that the queue need not grow.
        match self.rest.pop_front() {
            Some(next) => {
                self.rest.push_back(handle);
                next
            }
            None => handle,
        }
    }

    /// Whether it is as it was lent.
    fn is_blank(&self) -> bool {
        self.rest.is_empty() && self.forgiven == 0 && self.weight == Weight::ONE
    }

    /// Lets go of what a burst left behind, or of all space. The burst paid for it: a queue this long
    /// took as many pushes.
    fn trim(&mut self, keeps_space: bool) {
        if !keeps_space {
            self.rest.shrink_to_fit();
        } else if self.rest.capacity() > 1024 {
            self.rest.shrink_to(64);
        }
    }
}
