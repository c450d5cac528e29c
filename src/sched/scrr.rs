//! One ring: surplus calendar round robin among the members of a level.
//!
//! Members are served a round at a time. What a member overdraws moves it to the round in which
//! it is entitled again, straight into that round's bucket, so no visit is ever wasted on a
//! debtor. A member that wakes with allotment left goes through the express lane, at its own
//! expense: the lane changes when it is served, never how much.
//!
//! Nothing in here loops over members. Steps on lists and bitmaps are counted, and a property
//! test holds them to a constant.

use super::arena::Arena;
use super::partition::{NEWBORN, NONE, Place, RESUMES, Tag};
use super::settings::Limits;
#[cfg(feature = "mutants")]
use super::settings::Mutation;

/// Buckets of the calendar at the root.
pub(super) const ROOT_BUCKETS: usize = 4096;
/// Buckets of the calendar of a group. More than [`super::Settings::MAX_DEBT`].
pub(super) const GROUP_BUCKETS: usize = 256;

/// What becomes of the current member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays current.
    Continues,
    /// Its allotment or its express slice is used up; it is back in line.
    Spent,
    /// It stays current until the next pick, which serves the express lane first.
    Preempted,
    /// It has nothing left to do.
    Idle,
}

/// The member picked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picked {
    pub(super) index: u32,
    pub(super) express: bool,
    pub(super) fresh: bool,
}

/// A doubly linked list through the nodes.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE };

    fn is_empty(self) -> bool {
        self.head == NONE
    }

    fn push_back<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        nodes[index].prev = self.tail;
        nodes[index].next = NONE;
        if self.tail == NONE {
            self.head = index;
        } else {
            nodes[self.tail].next = index;
        }
        self.tail = index;
    }

    fn push_front<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        nodes[index].next = self.head;
        nodes[index].prev = NONE;
        if self.head == NONE {
            self.tail = index;
        } else {
            nodes[self.head].prev = index;
        }
        self.head = index;
    }

    fn unlink<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        let (prev, next) = (nodes[index].prev, nodes[index].next);
        if prev == NONE {
            self.head = next;
        } else {
            nodes[prev].next = next;
        }
        if next == NONE {
            self.tail = prev;
        } else {
            nodes[next].prev = prev;
        }
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    /// The current round. No runnable member's tag is behind it.
    round: u64,
    /// No tag ever given is past it.
    latest: u64,
    /// The member whose turn it is, linked nowhere; [`NONE`] between turns.
    current: u32,
    current_is_express: bool,
    /// Members that are not idle, the current one included.
    runnable: u32,
    express: List,
    /// Left of the current express turn, in cost units.
    slice_left: u64,
    /// Newborns that may still ride the express lane in this round.
    tokens: u32,
    /// A member in round `t` waits in bucket `t % buckets.len()`; rounds in use span less than
    /// that, so a bucket holds one round.
    buckets: Box<[List]>,
    /// A bit for each bucket: whether it holds anyone.
    occupied: Box<[u64]>,
    /// A bit for each word of `occupied`: whether it is not zero.
    summary: u64,
    limits: Limits,
    /// Steps taken on lists and bitmaps so far.
    steps: u64,
}

impl Ring {
    pub(super) fn new(buckets: usize, limits: Limits) -> Self {
        Self {
            round: 0,
            latest: 0,
            current: NONE,
            current_is_express: false,
            runnable: 0,
            express: List::EMPTY,
            slice_left: 0,
            tokens: limits.newborns,
            buckets: vec![List::EMPTY; buckets].into_boxed_slice(),
            occupied: vec![0; buckets / 64].into_boxed_slice(),
            summary: 0,
            limits,
            steps: 0,
        }
    }

    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    pub(super) fn runnable(&self) -> u32 {
        self.runnable
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn is_quiescent(&self) -> bool {
        self.runnable == 0
            && self.current == NONE
            && self.express.is_empty()
            && self.summary == 0
            && self.occupied.iter().all(|word| *word == 0)
            && self.buckets.iter().all(|bucket| bucket.is_empty())
    }

    /// Gives an idle member its tag.
    pub(super) fn set_tag<H>(&mut self, nodes: &mut Arena<H>, index: u32, tag: Tag) {
        nodes[index].round = tag.round;
        nodes[index].spent = tag.spent;
        self.latest = self.latest.max(tag.round);
    }

    /// Lines up a member that was idle. Returns whether the newborn gate held it back. O(1).
    #[inline]
    pub(super) fn wake<H>(&mut self, nodes: &mut Arena<H>, index: u32) -> bool {
        self.runnable += 1;
        let node = &mut nodes[index];
        // Credit dies with idleness; debt stays, or a partition could shed it by going to sleep.
        if node.round < self.round || self.sheds_debt() {
            node.round = self.round;
            node.spent = 0;
        }
        let entitled = node.round == self.round;
        let gated = entitled && node.has(NEWBORN) && !self.admit();
        node.set(NEWBORN, false);
        if entitled && !gated {
            node.place = Place::Express;
            self.steps += 1;
            self.express.push_back(nodes, index);
            return false;
        }
        if gated {
            node.round += 1;
            node.spent = 0;
            self.latest = self.latest.max(node.round);
        }
        self.join(nodes, index);
        gated
    }

    /// Lets a newborn into the express lane, if this round has a token left.
    fn admit(&mut self) -> bool {
        if self.gate_is_open() {
            return true;
        }
        let admitted = self.tokens > 0;
        self.tokens -= u32::from(admitted);
        admitted
    }

    /// Picks the member to serve: the current one unless the express lane comes first, then the
    /// lane, then the next bucket that holds anyone. O(1).
    #[inline]
    pub(super) fn pick<H>(&mut self, nodes: &mut Arena<H>) -> Option<Picked> {
        if self.current != NONE {
            let index = self.current;
            if self.current_is_express || self.express.is_empty() || self.holds_turns() {
                return Some(Picked { index, express: self.current_is_express, fresh: false });
            }
            self.put_back(nodes, index);
        }
        if !self.express.is_empty() {
            let index = self.express.head;
            self.steps += 1;
            self.express.unlink(nodes, index);
            self.slice_left = self.limits.express_slice;
            return Some(self.begin(nodes, index, true));
        }
        let bucket = self.advance()?;
        let index = self.buckets[bucket].head;
        self.unlink_bucket(nodes, bucket, index);
        Some(self.begin(nodes, index, false))
    }

    fn begin<H>(&mut self, nodes: &mut Arena<H>, index: u32, express: bool) -> Picked {
        self.current = index;
        self.current_is_express = express;
        let node = &mut nodes[index];
        node.place = Place::Current;
        let fresh = !node.has(RESUMES);
        node.set(RESUMES, false);
        Picked { index, express, fresh }
    }

    /// Puts the preempted member in front of its bucket, where the rest of its turn is next.
    fn put_back<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        self.current = NONE;
        let node = &mut nodes[index];
        node.place = Place::Bucket;
        node.set(RESUMES, true);
        let bucket = self.bucket_of(node.round);
        self.steps += 1;
        self.buckets[bucket].push_front(nodes, index);
        self.occupy(bucket);
    }

    /// Adds to what the current member has spent. Its place stays as it is until
    /// [`settle`](Self::settle). Returns what was forgiven, in cost units.
    #[inline]
    pub(super) fn pay<H>(&mut self, nodes: &mut Arena<H>, index: u32, cost: u64) -> u64 {
        self.slice_left = self.slice_left.saturating_sub(cost);
        let node = &mut nodes[index];
        node.spent = node.spent.saturating_add(cost);
        if node.spent < node.allotment { 0 } else { self.expire(nodes, index) }
    }

    /// Moves whole rounds from what a member spent into its round.
    #[inline(never)]
    fn expire<H>(&mut self, nodes: &mut Arena<H>, index: u32) -> u64 {
        let node = &mut nodes[index];
        let rounds = node.spent / node.allotment;
        node.spent %= node.allotment;
        node.round = node.round.saturating_add(rounds);
        if self.drops_overshoot() {
            node.round -= rounds - 1;
            node.spent = 0;
        }
        // With nobody else in line there is nobody to owe anything to: the round moves along,
        // and the turn goes on without a step on any list.
        if self.runnable == 1 {
            let round = node.round;
            self.latest = self.latest.max(round);
            self.enter(round);
            return 0;
        }
        let limit = self.round + self.limits.max_debt;
        let over = node.round.saturating_sub(limit);
        node.round -= over;
        self.latest = self.latest.max(node.round);
        over.saturating_mul(node.allotment)
    }

    /// Returns how many charges of `price` leave the current member where it is, whatever else it
    /// does, as long as nobody lines up. O(1).
    pub(super) fn room<H>(&self, nodes: &Arena<H>, index: u32, price: u64) -> u64 {
        if !self.express.is_empty() && !self.current_is_express {
            return 0;
        }
        let node = &nodes[index];
        let left = node.allotment - node.spent;
        let left = if self.current_is_express { left.min(self.slice_left) } else { left };
        left.saturating_sub(1) / price.max(1)
    }

    /// Decides what becomes of the current member at a handle boundary. O(1).
    #[inline]
    pub(super) fn settle<H>(&mut self, nodes: &mut Arena<H>, index: u32, busy: bool) -> Outcome {
        if !busy {
            self.retire(nodes, index);
            return Outcome::Idle;
        }
        if nodes[index].round > self.round {
            return self.send_back(nodes, index);
        }
        if !self.current_is_express {
            let preempted = !self.express.is_empty() && !self.holds_turns();
            return if preempted { Outcome::Preempted } else { Outcome::Continues };
        }
        if self.slice_left > 0 {
            return Outcome::Continues;
        }
        if self.runnable == 1 {
            self.current_is_express = false;
            return Outcome::Continues;
        }
        self.send_back(nodes, index)
    }

    /// Sends the current member to the tail of the bucket of its round.
    fn send_back<H>(&mut self, nodes: &mut Arena<H>, index: u32) -> Outcome {
        self.current = NONE;
        self.join(nodes, index);
        Outcome::Spent
    }

    #[inline]
    fn retire<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        self.current = NONE;
        let node = &mut nodes[index];
        node.place = Place::Idle;
        if node.cold != NONE {
            nodes.warm(index);
        }
        self.leave();
    }

    /// Takes a member out of line, wherever it is. O(1).
    pub(super) fn unlink<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        match nodes[index].place {
            Place::Vacant | Place::Idle | Place::Unborn => return,
            Place::Current => self.current = NONE,
            Place::Express => {
                self.steps += 1;
                self.express.unlink(nodes, index);
            }
            Place::Bucket => {
                let bucket = self.bucket_of(nodes[index].round);
                self.unlink_bucket(nodes, bucket, index);
            }
        }
        nodes[index].place = Place::Idle;
        self.leave();
    }

    /// One runnable member less. With the last one the busy period ends, and all debt with it.
    fn leave(&mut self) {
        self.runnable -= 1;
        if self.runnable == 0 {
            self.enter(self.latest);
            self.tokens = self.limits.newborns;
        }
    }

    /// Puts a member at the tail of the bucket of its round.
    fn join<H>(&mut self, nodes: &mut Arena<H>, index: u32) {
        let node = &mut nodes[index];
        node.place = Place::Bucket;
        let bucket = self.bucket_of(node.round);
        self.steps += 1;
        if self.is_lifo() {
            self.buckets[bucket].push_front(nodes, index);
        } else {
            self.buckets[bucket].push_back(nodes, index);
        }
        self.occupy(bucket);
    }

    fn bucket_of(&self, round: u64) -> usize {
        round as usize & (self.buckets.len() - 1)
    }

    fn occupy(&mut self, bucket: usize) {
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        self.summary |= 1 << (bucket / 64);
    }

    fn unlink_bucket<H>(&mut self, nodes: &mut Arena<H>, bucket: usize, index: u32) {
        self.steps += 1;
        let list = &mut self.buckets[bucket];
        list.unlink(nodes, index);
        if list.is_empty() {
            let word = &mut self.occupied[bucket / 64];
            *word &= !(1 << (bucket % 64));
            if *word == 0 {
                self.summary &= !(1 << (bucket / 64));
            }
        }
    }

    /// Advances to the next round that has anyone in line, and returns its bucket.
    #[inline]
    fn advance(&mut self) -> Option<usize> {
        let start = self.bucket_of(self.round);
        if !self.buckets[start].is_empty() {
            return Some(start);
        }
        let bucket = self.next_occupied(start)?;
        let ahead = bucket.wrapping_sub(start) & (self.buckets.len() - 1);
        self.enter(self.round + ahead as u64);
        Some(bucket)
    }

    /// Finds the first occupied bucket at or after `start`, going round. At most three words are
    /// looked at: that of `start`, the summary, and the word the summary names.
    fn next_occupied(&mut self, start: usize) -> Option<usize> {
        self.steps += 1;
        let first = start / 64;
        let here = self.occupied[first] & (!0 << (start % 64));
        if here != 0 {
            return Some(first * 64 + here.trailing_zeros() as usize);
        }
        self.steps += 2;
        // Bits above `first`; the double shift keeps 63 in range.
        let above = self.summary & ((!0 << first) << 1);
        let words = if above != 0 { above } else { self.summary };
        if words == 0 {
            return None;
        }
        let word = words.trailing_zeros() as usize;
        Some(word * 64 + self.occupied[word].trailing_zeros() as usize)
    }

    fn enter(&mut self, round: u64) {
        if round > self.round {
            self.round = round;
            self.tokens = self.limits.newborns;
        }
    }
}

/// The deliberate defects, each a constant `false` in a build without them.
impl Ring {
    #[inline]
    fn sheds_debt(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.limits.mutation == Some(Mutation::ResetDebtOnWake);
        #[cfg(not(feature = "mutants"))]
        false
    }

    #[inline]
    fn gate_is_open(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.limits.mutation == Some(Mutation::NoNewbornGate);
        #[cfg(not(feature = "mutants"))]
        false
    }

    #[inline]
    fn holds_turns(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.limits.mutation == Some(Mutation::PreemptAtTurnEnd);
        #[cfg(not(feature = "mutants"))]
        false
    }

    #[inline]
    fn drops_overshoot(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.limits.mutation == Some(Mutation::DropOvershoot);
        #[cfg(not(feature = "mutants"))]
        false
    }

    #[inline]
    fn is_lifo(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.limits.mutation == Some(Mutation::LifoBuckets);
        #[cfg(not(feature = "mutants"))]
        false
    }
}
