//! A heap that knows where everything is: four children a node, O(log n) removal of anything.

/// An indexed 4-ary min-heap of `(key, item)`.
///
/// The heap does not own its index. Every move of an item is told to `place(item, position)`, and
/// whoever calls keeps the position next to the item.
#[derive(Debug)]
pub(super) struct Heap<K> {
    entries: Vec<(K, u32)>,
}

const CHILDREN: usize = 4;

impl<K: Ord + Copy> Heap<K> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Returns the least key and its item. O(1).
    pub(super) fn peek(&self) -> Option<(K, u32)> {
        self.entries.first().copied()
    }

    /// O(log n).
    pub(super) fn push(&mut self, key: K, item: u32, mut place: impl FnMut(u32, u32)) {
        self.entries.push((key, item));
        self.rise(self.entries.len() - 1, &mut place);
    }

    /// Removes what is at `position`. O(log n).
    pub(super) fn remove(&mut self, position: u32, mut place: impl FnMut(u32, u32)) {
        let position = position as usize;
        self.entries.swap_remove(position);
        if position < self.entries.len() {
            self.settle(position, &mut place);
        }
    }

    /// Gives what is at `position` another key. O(log n), or O(1) if it is the same.
    pub(super) fn update(&mut self, position: u32, key: K, mut place: impl FnMut(u32, u32)) {
        let position = position as usize;
        if self.entries[position].0 == key {
            return;
        }
        self.entries[position].0 = key;
        self.settle(position, &mut place);
    }

    fn settle(&mut self, position: usize, place: &mut impl FnMut(u32, u32)) {
        let risen = self.rise(position, place);
        if risen == position {
            self.sink(position, place);
        }
    }

    /// Moves an entry up to where its parent is not greater, and returns where that is.
    fn rise(&mut self, mut position: usize, place: &mut impl FnMut(u32, u32)) -> usize {
        let entry = self.entries[position];
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if self.entries[parent].0 <= entry.0 {
                break;
            }
            self.put(position, self.entries[parent], place);
            position = parent;
        }
        self.put(position, entry, place);
        position
    }

    /// Moves an entry down to where no child is less.
    fn sink(&mut self, mut position: usize, place: &mut impl FnMut(u32, u32)) {
        let entry = self.entries[position];
        while let Some(child) = self.least_child(position) {
            if entry.0 <= self.entries[child].0 {
                break;
            }
            self.put(position, self.entries[child], place);
            position = child;
        }
        self.put(position, entry, place);
    }

    fn least_child(&self, position: usize) -> Option<usize> {
        let first = position * CHILDREN + 1;
        let last = (first + CHILDREN).min(self.entries.len());
        (first..last).min_by_key(|child| self.entries[*child].0)
    }

    fn put(&mut self, position: usize, entry: (K, u32), place: &mut impl FnMut(u32, u32)) {
        self.entries[position] = entry;
        place(entry.1, position as u32);
    }
}
