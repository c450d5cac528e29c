//! A heap that knows where everything is: four children a node, O(log n) removal of anything. What
//! comes in may wait unsorted for the next look at the least.
//!
//! The d-ary heap is D. B. Johnson's, "Priority queues with update and finding minimum spanning
//! trees" (1975), and the way a removal takes I. Wegener's, "Bottom-up heapsort" (1993): what fills
//! the gap came from the bottom, so it mostly belongs there, and is compared on the way up from a
//! leaf instead of at each level on the way down.

/// What is known of the items of a heap besides their keys. Whoever calls keeps it next to them.
pub(super) trait Index<K> {
    /// Whether `a` goes before `b`, which is another item.
    fn precedes(&self, a: (K, u32), b: (K, u32)) -> bool;

    /// Takes note of where an item is. Every move is told.
    fn place(&mut self, item: u32, position: u32);
}

/// An indexed 4-ary min-heap of `(key, item)`, with an unsorted tail.
#[derive(Debug)]
pub(super) struct Heap<K> {
    entries: Vec<(K, u32)>,
    /// Entries of the heap; those after them are the tail.
    sorted: usize,
}

const CHILDREN: usize = 4;

impl<K: Ord + Copy> Heap<K> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), sorted: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Returns how many entries wait unsorted.
    #[inline]
    pub(super) fn tail(&self) -> usize {
        self.entries.len() - self.sorted
    }

    /// Returns the least key and its item. O(1).
    ///
    /// The tail must be empty.
    #[inline]
    pub(super) fn peek(&self) -> Option<(K, u32)> {
        debug_assert!(self.tail() == 0, "looked for the least before all was sorted");
        self.entries.first().copied()
    }

    /// Returns the key of what is at `position`. O(1).
    #[inline]
    pub(super) fn key(&self, position: u32) -> K {
        self.entries[position as usize].0
    }

    /// Adds an entry to the tail, at position [`len`](Self::len), which is not told. O(1).
    #[inline]
    pub(super) fn append(&mut self, key: K, item: u32) {
        self.entries.push((key, item));
    }

    /// Takes the tail into the heap. O(t log n) for t entries; O(t) if their keys are greater than
    /// most, as those of timeouts are.
    #[inline]
    pub(super) fn sort(&mut self, index: &mut impl Index<K>) {
        while self.sorted < self.entries.len() {
            self.rise(self.sorted, index);
            self.sorted += 1;
        }
    }

    /// Adds an entry to a heap without a tail. O(log n).
    pub(super) fn push(&mut self, key: K, item: u32, index: &mut impl Index<K>) {
        let position = self.entries.len();
        self.append(key, item);
        index.place(item, position as u32);
        self.sort(index);
    }

    /// Removes what is at `position`. O(log n), or O(1) in the tail.
    #[inline]
    pub(super) fn remove(&mut self, position: u32, index: &mut impl Index<K>) {
        let mut position = position as usize;
        if position < self.sorted {
            position = self.sink_out(position, index);
        }
        self.entries.swap_remove(position);
        if let Some(&(_, item)) = self.entries.get(position) {
            index.place(item, position as u32);
        }
    }

    /// Gives what is at `position` another key, or the same if it goes behind its equals. O(log n).
    pub(super) fn update(&mut self, position: u32, key: K, index: &mut impl Index<K>) {
        let position = position as usize;
        let old = std::mem::replace(&mut self.entries[position].0, key);
        if position >= self.sorted {
            return;
        }
        if key < old {
            self.rise(position, index);
        } else {
            self.sink(position, index);
        }
    }

    /// Takes an entry out of the heap, which so has one less, and returns where it is then: at the
    /// end of the heap, in front of the tail.
    fn sink_out(&mut self, position: usize, index: &mut impl Index<K>) -> usize {
        self.sorted -= 1;
        let last = self.sorted;
        if position < last {
            // The gap goes down to a leaf, and the last entry up from there.
            let filler = self.entries[last];
            let gap = self.entries[position];
            let leaf = self.sink_gap(position, index);
            self.entries[leaf] = filler;
            self.rise(leaf, index);
            self.entries[last] = gap;
        }
        last
    }

    /// Moves the gap at `position` down to a leaf, past the least child of each, and returns where
    /// that is.
    fn sink_gap(&mut self, mut position: usize, index: &mut impl Index<K>) -> usize {
        while let Some(child) = self.least_child(position, index) {
            self.put(position, self.entries[child], index);
            position = child;
        }
        position
    }

    /// Moves an entry up to where its parent is not greater.
    #[inline]
    fn rise(&mut self, mut position: usize, index: &mut impl Index<K>) {
        let entry = self.entries[position];
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if !index.precedes(entry, self.entries[parent]) {
                break;
            }
            self.put(position, self.entries[parent], index);
            position = parent;
        }
        self.put(position, entry, index);
    }

    /// Moves an entry down to where no child is less.
    fn sink(&mut self, mut position: usize, index: &mut impl Index<K>) {
        let entry = self.entries[position];
        while let Some(child) = self.least_child(position, index) {
            if !index.precedes(self.entries[child], entry) {
                break;
            }
            self.put(position, self.entries[child], index);
            position = child;
        }
        self.put(position, entry, index);
    }

    #[inline]
    fn least_child(&self, position: usize, index: &impl Index<K>) -> Option<usize> {
        let first = position * CHILDREN + 1;
        let heap = &self.entries[..self.sorted];
        if let Some(&[a, b, c, d]) = heap.get(first..first + CHILDREN) {
            // Two rounds, so that the comparisons of the first do not wait for each other.
            let (left, least) = if index.precedes(b, a) { (1, b) } else { (0, a) };
            let (right, other) = if index.precedes(d, c) { (3, d) } else { (2, c) };
            return Some(first + if index.precedes(other, least) { right } else { left });
        }
        (first..self.sorted).reduce(|least, child| {
            if index.precedes(heap[child], heap[least]) { child } else { least }
        })
    }

    #[inline]
    fn put(&mut self, position: usize, entry: (K, u32), index: &mut impl Index<K>) {
        self.entries[position] = entry;
        index.place(entry.1, position as u32);
    }
}
