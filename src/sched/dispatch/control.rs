//! Around the turns: partitions and groups come, change and go, and answer questions.

use super::*;
#[cfg(feature = "mutants")]
use crate::sched::Mutation;
use crate::sched::partition::{Node, RESUMES};

/// Creating and removing.
impl<H> Dispatcher<H> {
    /// Creates a dispatcher that holds one partition, the root.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut nodes = Arena::new();
        let index = nodes.insert(NONE, allotment(settings.quantum, Weight::ONE), Weight::ONE);
        let root = PartitionId { index, generation: nodes[index].generation };
        Self {
            settings,
            nodes,
            groups: Slab::new(),
            top: Ring::new(ROOT_BUCKETS, settings.limits),
            root,
            runnable: 0,
            partitions: 1,
            queued: 0,
            gated: 0,
            forgiven: 0,
            lease: None,
            estate: (Tag::default(), 1),
            unpriced: Vec::new(),
            #[cfg(feature = "mutants")]
            shuffles: 0,
        }
    }

    /// Creates a partition, at the root or in a group. O(1), amortised.
    ///
    /// It starts in the current round with nothing spent, or where its creator stands. The first
    /// time it is woken it passes the newborn gate.
    ///
    /// # Errors
    ///
    /// If there is no such group.
    pub fn create(
        &mut self,
        weight: Weight,
        group: Option<GroupId>,
        creator: Option<Creator>,
    ) -> Result<PartitionId, UnknownGroup> {
        let key = match group {
            Some(id) => self.group_key(id).ok_or(UnknownGroup(id))?,
            None => NONE,
        };
        let grant = allotment(self.settings.quantum, weight);
        let index = self.nodes.insert(key, grant, weight);
        let node = &mut self.nodes[index];
        node.set(NEWBORN, true);
        let id = PartitionId { index, generation: node.generation };
        self.partitions += 1;
        if key != NONE {
            self.groups[key as usize].members += 1;
        }
        self.start(id, creator);
        Ok(id)
    }

    fn start(&mut self, id: PartitionId, creator: Option<Creator>) {
        let round = self.ring_of(self.nodes[id.index].group).round();
        self.set_tag(id.index, Tag { round, spent: 0 });
        let Some(Creator { partition: maker, spent }) = creator else { return };
        if self.lease.is_some_and(|lease| lease.partition == maker) {
            self.nodes[id.index].set(UNPRICED, true);
            self.unpriced.push(id);
        } else if let Some(maker) = self.nodes.find(maker) {
            let Node { allotment, group, .. } = self.nodes[maker];
            let own = self.lead_of(self.nodes[maker].tag(), allotment, group, spent);
            self.inherit(id.index, own, self.lead_at_root(own, group, spent));
        }
    }

    /// Gives what the running handle made its maker's tag, now that the handle's price is paid,
    /// and lines up what was woken meanwhile.
    ///
    /// Until then a child of the handle could not have run anyway. Had it taken the tag when it
    /// was made, a handle that makes its heir first and works afterwards would leave no debt.
    #[cold]
    pub(super) fn price_newborns(&mut self, cost: u64) {
        let Lease { partition, group, departed } = self.lease.expect("only handles make newborns");
        let own = if departed {
            let (tag, allotment) = self.estate;
            self.lead_of(tag, allotment, group, cost)
        } else {
            let maker = &self.nodes[partition.index];
            self.lead_of(maker.tag(), maker.allotment, group, 0)
        };
        let at_root = self.lead_at_root(own, group, 0);
        let mut unpriced = std::mem::take(&mut self.unpriced);
        for id in unpriced.drain(..) {
            if self.nodes.find(id).is_some() {
                self.inherit(id.index, own, at_root);
                self.bear(id.index);
            }
        }
        self.unpriced = unpriced;
    }

    fn bear(&mut self, index: u32) {
        let node = &mut self.nodes[index];
        node.set(UNPRICED, false);
        if node.place == Place::Unborn {
            node.place = Place::Idle;
            self.line_up(index);
        }
    }

    fn lead_of(&self, tag: Tag, allotment: u64, group: u32, owed: u64) -> Lead {
        Lead::of(tag, allotment, owed, self.ring_of(group).round())
    }

    /// Measures at the root what stands for a partition there: its group, if it is in one.
    fn lead_at_root(&self, own: Lead, group: u32, owed: u64) -> Lead {
        if group == NONE {
            return own;
        }
        let node = &self.nodes[self.groups[group as usize].node];
        Lead::of(node.tag(), node.allotment, owed, self.top.round())
    }

    /// Puts a newborn as far ahead in its ring as its maker is, at the root or in a group. A
    /// group that has not run yet is put as far ahead as its first member's maker is at the root,
    /// or a new group would shed what a new partition cannot.
    fn inherit(&mut self, child: u32, own: Lead, at_root: Lead) {
        let group = self.nodes[child].group;
        if group == NONE {
            self.lead(child, at_root);
            return;
        }
        self.lead(child, own);
        let node = self.groups[group as usize].node;
        if self.nodes[node].has(NEWBORN) && self.nodes[node].place == Place::Idle {
            self.lead(node, at_root);
        }
    }

    /// Moves an idle node's tag forward to `lead`, never back.
    fn lead(&mut self, index: u32, lead: Lead) {
        let node = &self.nodes[index];
        let is_member = node.group != NONE && !node.has(GROUP);
        let round = self.ring_of(if is_member { node.group } else { NONE }).round();
        let tag = lead.tag(node.allotment, round, u64::from(self.settings.max_debt()));
        let tag = tag.max(node.tag());
        self.set_tag(index, tag);
    }

    fn set_tag(&mut self, index: u32, tag: Tag) {
        let node = &self.nodes[index];
        let is_member = node.group != NONE && !node.has(GROUP);
        let ring =
            if is_member { &mut self.groups[node.group as usize].ring } else { &mut self.top };
        ring.set_tag(&mut self.nodes, index, tag);
    }

    /// Creates a group, which shares the root's rounds and splits its share among its members.
    /// O(1) but for the group's own calendar of 256 buckets.
    pub fn create_group(&mut self, weight: Weight) -> GroupId {
        let grant = allotment(self.settings.quantum, weight);
        let index = self.nodes.insert(NONE, grant, weight);
        let ring = Ring::new(GROUP_BUCKETS, self.settings.limits);
        let key = self.groups.insert(Group { node: index, ring, members: 0 });
        let round = self.top.round();
        let node = &mut self.nodes[index];
        node.set(NEWBORN | GROUP, true);
        node.group = key as u32;
        let id = GroupId { index, generation: node.generation };
        self.set_tag(index, Tag { round, spent: 0 });
        id
    }

    /// Removes a partition in whatever state, the running one too, and returns the handles it had
    /// queued, first come first. `None` if there is no such partition. O(1).
    ///
    /// # Panics
    ///
    /// If it is the root partition.
    #[must_use = "the handles are not dropped for you"]
    pub fn remove(&mut self, id: PartitionId) -> Option<VecDeque<H>> {
        let index = self.nodes.find(id)?;
        assert!(
            id != self.root,
            "the root partition cannot be removed; it holds what is in no other"
        );
        let node = &self.nodes[index];
        let (key, place) = (node.group, node.place);
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.partition == id) {
            lease.departed = true;
            self.estate = (node.tag(), node.allotment);
        }
        self.queued -= node.len as usize;
        self.partitions -= 1;
        self.runnable -= usize::from(place != Place::Idle);
        self.unlink(index, key);
        if key != NONE {
            self.groups[key as usize].members -= 1;
        }
        Some(self.nodes.remove(index))
    }

    /// Takes a queued handle back: the first for which `is_it` is true. `None` if there is none, or
    /// no such partition. O(handles queued in the partition).
    ///
    /// A partition that is left with nothing to do is idle again, and keeps its tag.
    pub fn withdraw(&mut self, id: PartitionId, is_it: impl FnMut(&H) -> bool) -> Option<H> {
        let index = self.nodes.find(id)?;
        let handle = self.nodes.withdraw(index, is_it)?;
        self.queued -= 1;
        let node = &self.nodes[index];
        // Whose turn is out stays where it is: settling the turn decides.
        let out = self.lease.is_some_and(|lease| lease.partition == id);
        if !node.is_busy() && !out {
            self.runnable -= 1;
            self.unlink(index, node.group);
            let node = &mut self.nodes[index];
            // A newborn that waits for its price is not in line.
            node.place = Place::Idle;
            node.set(RESUMES, false);
            self.nodes.warm(index);
        }
        Some(handle)
    }

    /// Takes a partition out of line, wherever it is.
    fn unlink(&mut self, index: u32, key: u32) {
        if key == NONE {
            self.top.unlink(&mut self.nodes, index);
            return;
        }
        let group = &mut self.groups[key as usize];
        group.ring.unlink(&mut self.nodes, index);
        // While its turn is out the group stays where it is: settling the turn decides.
        let out = self.lease.is_some_and(|lease| lease.group == key);
        if group.ring.runnable() == 0 && !out {
            self.top.unlink(&mut self.nodes, group.node);
        }
    }

    /// Removes a group that has no members. Returns `false`, and leaves it, if it has some, if
    /// its turn is still to be settled, or if there is no such group. O(1).
    pub fn remove_group(&mut self, id: GroupId) -> bool {
        let Some(key) = self.group_key(id) else { return false };
        let out = self.lease.is_some_and(|lease| lease.group == key);
        let group = &self.groups[key as usize];
        if group.members > 0 || out {
            return false;
        }
        let node = group.node;
        self.top.unlink(&mut self.nodes, node);
        self.groups.remove(key as usize);
        let _ = self.nodes.remove(node);
        true
    }

    fn group_key(&self, id: GroupId) -> Option<u32> {
        self.nodes.find_group(id).map(|index| self.nodes[index].group)
    }

    fn ring_of(&self, key: u32) -> &Ring {
        if key == NONE { &self.top } else { &self.groups[key as usize].ring }
    }
}

/// A deliberate defect: handles leave in any order.
#[cfg(feature = "mutants")]
impl<H> Dispatcher<H> {
    /// Brings one of the handles that are queued ahead of the marker, or of all if there is none,
    /// to the front.
    pub(super) fn shuffle(&mut self, index: u32) {
        let Some(Mutation::Shuffled(seed)) = self.settings.mutation() else { return };
        let node = &self.nodes[index];
        let among = if node.has(MARKED | DUE) { node.ahead } else { node.len };
        if among > 1 {
            self.shuffles += 1;
            // splitmix64: the numbers of a seed one after the other.
            let mut z = seed.wrapping_add(self.shuffles.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.nodes.bring_forward(index, ((z ^ (z >> 31)) % u64::from(among)) as usize);
        }
    }
}

/// Weights.
impl<H> Dispatcher<H> {
    /// Sets the weight of a partition. What it spent of its round stays the same part of its
    /// allotment. Takes effect at once. `false` if there is no such partition. O(1).
    pub fn set_weight(&mut self, id: PartitionId, weight: Weight) -> bool {
        let Some(index) = self.nodes.find(id) else { return false };
        self.reweigh(index, weight);
        true
    }

    /// Sets the weight of a group, as [`set_weight`](Self::set_weight) does of a partition.
    pub fn set_group_weight(&mut self, id: GroupId, weight: Weight) -> bool {
        if self.group_key(id).is_none() {
            return false;
        }
        self.reweigh(id.index, weight);
        true
    }

    fn reweigh(&mut self, index: u32, weight: Weight) {
        let grant = allotment(self.settings.quantum, weight);
        let node = &mut self.nodes[index];
        node.spent = scale(node.spent, grant, node.allotment);
        node.allotment = grant;
        self.nodes.set_weight(index, weight);
    }

    /// Returns the weight of a partition.
    #[must_use]
    pub fn weight(&self, id: PartitionId) -> Option<Weight> {
        Some(self.nodes.weight(self.nodes.find(id)?))
    }

    /// Returns the weight of a group.
    #[must_use]
    pub fn group_weight(&self, id: GroupId) -> Option<Weight> {
        self.group_key(id)?;
        Some(self.nodes.weight(id.index))
    }

    /// Returns what a round at the root grants a group, in cost units.
    #[must_use]
    pub fn group_allotment(&self, id: GroupId) -> Option<u64> {
        self.group_key(id)?;
        Some(self.nodes[id.index].allotment)
    }

    /// Returns what a round grants a partition, in cost units.
    #[must_use]
    pub fn allotment(&self, id: PartitionId) -> Option<u64> {
        Some(self.nodes[self.nodes.find(id)?].allotment)
    }
}

/// Questions.
impl<H> Dispatcher<H> {
    /// Returns the root partition. It is never removed.
    #[must_use]
    pub const fn root(&self) -> PartitionId {
        self.root
    }

    /// Returns what the dispatcher is set to.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns whether there is such a partition.
    #[must_use]
    pub fn contains(&self, id: PartitionId) -> bool {
        self.nodes.find(id).is_some()
    }

    /// Returns whether the partition has work, or is running.
    #[must_use]
    pub fn is_runnable(&self, id: PartitionId) -> bool {
        self.nodes.find(id).is_some_and(|index| self.nodes[index].place != Place::Idle)
    }

    /// Returns how many handles a partition has queued; the one that runs is not.
    #[must_use]
    pub fn queue_len(&self, id: PartitionId) -> usize {
        self.nodes.find(id).map_or(0, |index| self.nodes[index].len as usize)
    }

    /// Returns the handles a partition has queued, first come first.
    #[cfg(test)]
    pub(crate) fn handles(&self, id: PartitionId) -> impl Iterator<Item = &H> {
        self.nodes.find(id).into_iter().flat_map(|index| self.nodes.handles(index))
    }

    /// Returns how many handles are queued in all partitions.
    #[must_use]
    pub const fn queued_total(&self) -> usize {
        self.queued
    }

    /// Returns how many partitions have work; the running one counts.
    #[must_use]
    pub const fn runnable(&self) -> usize {
        self.runnable
    }

    /// Returns how many partitions there are, the root included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the root is always there")]
    pub const fn len(&self) -> usize {
        self.partitions
    }

    /// Returns the group a partition is in.
    #[must_use]
    pub fn group_of(&self, id: PartitionId) -> Option<GroupId> {
        let group = self.groups.get(self.nodes[self.nodes.find(id)?].group as usize)?;
        let index = group.node;
        Some(GroupId { index, generation: self.nodes[index].generation })
    }

    /// Returns how many partitions a group has, or `None` if there is no such group.
    #[must_use]
    pub fn group_members(&self, id: GroupId) -> Option<usize> {
        Some(self.groups[self.group_key(id)? as usize].members)
    }

    /// Returns the round at the root.
    #[must_use]
    pub const fn round(&self) -> u64 {
        self.top.round()
    }

    /// Returns the round of the ring a partition shares in: the root's or its group's.
    #[must_use]
    pub fn round_of(&self, id: PartitionId) -> Option<u64> {
        Some(self.ring_of(self.nodes[self.nodes.find(id)?].group).round())
    }

    /// Returns how much debt was forgiven to all partitions and groups together, in cost units.
    #[must_use]
    #[inline]
    pub const fn forgiven_total(&self) -> u64 {
        self.forgiven
    }

    /// Returns how much of which round a partition has used. An idle partition's tag may lie
    /// behind the round; what it saved is void.
    #[must_use]
    pub fn tag(&self, id: PartitionId) -> Option<Tag> {
        Some(self.nodes[self.nodes.find(id)?].tag())
    }

    /// Returns how much of which round at the root a group has used.
    #[must_use]
    pub fn group_tag(&self, id: GroupId) -> Option<Tag> {
        self.group_key(id)?;
        Some(self.nodes[id.index].tag())
    }

    /// Returns the debt beyond the limit that was let go so far, in cost units.
    #[must_use]
    pub fn forgiven(&self, id: PartitionId) -> Option<u64> {
        let index = self.nodes.find(id)?;
        Some(self.nodes.cold(index).map_or(0, |cold| cold.forgiven))
    }

    /// Returns how many newborns were held back for a round so far, groups among them.
    #[must_use]
    pub const fn gated_newborns(&self) -> u64 {
        self.gated
    }

    /// Returns the steps taken on lists and bitmaps so far, at the root and in the groups there
    /// are. A level takes at most 8 for a pick, a charge and a wake together. O(groups).
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.top.steps() + self.groups.iter().map(|(_, group)| group.ring.steps()).sum::<u64>()
    }

    /// Returns whether nothing is runnable and every queue, list and bitmap is empty. For tests
    /// and assertions: O(buckets).
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        self.runnable == 0
            && self.queued == 0
            && self.lease.is_none()
            && self.unpriced.is_empty()
            && self.nodes.len() == self.partitions + self.groups.len()
            && self.nodes.is_tidy()
            && self.top.is_quiescent()
            && self.groups.iter().all(|(_, group)| group.ring.is_quiescent())
    }
}
