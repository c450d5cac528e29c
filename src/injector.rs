//! The way in from other threads: a lock-free stack that a single loop empties in batches.

#[cfg(not(evenloop_loom))]
use std::sync::atomic::{AtomicPtr, Ordering};

#[cfg(evenloop_loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};

/// A queue with many producers and one consumer that also settles who wakes the consumer.
///
/// Everything is one word: what is waiting and whether the loop sleeps cannot disagree, so a wake
/// can be neither lost nor made twice.
///
/// | head     | push                       | drain      | try_sleep | awake | close  |
/// |----------|----------------------------|------------|-----------|-------|--------|
/// | EMPTY    | node                       | EMPTY      | SLEEPING  | EMPTY | CLOSED |
/// | SLEEPING | node, and wakes the loop   | EMPTY      |           | EMPTY | CLOSED |
/// | node     | node → node                | EMPTY, all | refused   | node  | CLOSED, all |
/// | CLOSED   | refused, item handed back  | CLOSED     | refused   | CLOSED| CLOSED |
pub(crate) struct Injector<T> {
    head: AtomicPtr<Node<T>>,
}

struct Node<T> {
    item: Option<T>,
    next: *mut Node<T>,
}

/// What a push asks of the thread that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a sleeping loop has to be woken"]
pub(crate) enum Pushed {
    /// The loop is awake and will see the item.
    Seen,
    /// The loop sleeps; this thread, and no other, has to wake it.
    WakeLoop,
}

impl<T> Injector<T> {
    const EMPTY: *mut Node<T> = std::ptr::null_mut();

    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(Self::EMPTY) }
    }

    // The two marks are addresses no allocation has: a node is aligned to more than two bytes.
    fn sleeping() -> *mut Node<T> {
        std::ptr::without_provenance_mut(1)
    }

    fn closed() -> *mut Node<T> {
        std::ptr::without_provenance_mut(2)
    }

    fn is_mark(head: *mut Node<T>) -> bool {
        head.addr() <= 2
    }

    /// Adds `item`, or hands it back if the injector is closed. Lock-free, one allocation.
    #[allow(unsafe_code)]
    pub(crate) fn push(&self, item: T) -> Result<Pushed, T> {
        let node = Box::into_raw(Box::new(Node { item: Some(item), next: Self::EMPTY }));
        // A guess, which the exchange corrects. The models guess without looking: loom reorders an
        // access with the last one to the same word only, and our own load would hide the loop's.
        let mut head =
            if cfg!(evenloop_loom) { Self::EMPTY } else { self.head.load(Ordering::Relaxed) };
        loop {
            if head == Self::closed() {
                // SAFETY: the node was made above and never published.
                let mut node = unsafe { Box::from_raw(node) };
                return Err(node.item.take().expect("an unpublished node holds its item"));
            }
            let next = if Self::is_mark(head) { Self::EMPTY } else { head };
            // SAFETY: the node is not published until the exchange below succeeds, so this
            // thread alone has access.
            unsafe { (*node).next = next };
            // Ordering: Release publishes the node and whatever the caller wrote before it;
            // Acquire on SLEEPING orders our wake after the loop's decision to sleep.
            match self.head.compare_exchange_weak(head, node, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if head == Self::sleeping() => return Ok(Pushed::WakeLoop),
                Ok(_) => return Ok(Pushed::Seen),
                Err(now) => head = now,
            }
        }
    }

    /// Whether nothing waits. One relaxed load: the loop asks at every handle boundary.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        Self::is_mark(self.head.load(Ordering::Relaxed))
    }

    /// Takes everything that waits, oldest first.
    pub(crate) fn drain(&self) -> Drained<T> {
        if self.is_empty() {
            return Drained::empty();
        }
        // Only the consumer closes, so a head that holds a node is not closed under our hands.
        // Ordering: Acquire pairs with the Release in `push`.
        Drained::reversed(self.head.swap(Self::EMPTY, Ordering::AcqRel))
    }

    /// Announces that the loop goes to sleep; refused if something waits.
    #[must_use = "a refused sleep must not happen"]
    pub(crate) fn try_sleep(&self) -> bool {
        // Ordering: Release, so that the thread which finds the mark also finds what the loop
        // wrote before it slept.
        self.head
            .compare_exchange(Self::EMPTY, Self::sleeping(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the announcement back: from here on nobody wakes the loop.
    pub(crate) fn awake(&self) {
        // A failure is a producer that was faster: it removed the mark, and the loop finds a node.
        let _ = self.head.compare_exchange(
            Self::sleeping(),
            Self::EMPTY,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    /// Refuses all pushes from now on and takes what waits, oldest first.
    pub(crate) fn close(&self) -> Drained<T> {
        let head = self.head.swap(Self::closed(), Ordering::AcqRel);
        if Self::is_mark(head) { Drained::empty() } else { Drained::reversed(head) }
    }
}

impl<T> Drop for Injector<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<T> std::fmt::Debug for Injector<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injector").field("is_empty", &self.is_empty()).finish()
    }
}

// SAFETY: nodes are reached through the head alone; a producer gives its node up when it publishes
// it, and the one consumer owns every node it took off. So an item is on one thread at a time.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for Injector<T> {}
// SAFETY: as above; shared access moves items between threads and never shares one.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Injector<T> {}

/// What was taken off an injector, oldest first. Dropping it drops what is left.
pub(crate) struct Drained<T> {
    head: *mut Node<T>,
}

impl<T> Drained<T> {
    /// The stack is newest first; turning it around once makes a FIFO.
    #[allow(unsafe_code)]
    fn reversed(mut newest: *mut Node<T>) -> Self {
        let mut head = std::ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: the whole chain was taken off the injector with one exchange; nobody else
            // can reach its nodes any more.
            let next = unsafe { std::mem::replace(&mut (*newest).next, head) };
            head = newest;
            newest = next;
        }
        Self { head }
    }
}

impl<T> Drained<T> {
    /// A batch of nothing.
    pub(crate) fn empty() -> Self {
        Self { head: std::ptr::null_mut() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }
}

impl<T> std::fmt::Debug for Drained<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drained").field("is_empty", &self.is_empty()).finish()
    }
}

impl<T> Iterator for Drained<T> {
    type Item = T;

    #[allow(unsafe_code)]
    fn next(&mut self) -> Option<T> {
        if self.head.is_null() {
            return None;
        }
        // SAFETY: a node on this chain came from `Box::into_raw`, is ours alone (see `reversed`)
        // and leaves the chain here, so it is freed once.
        let mut node = unsafe { Box::from_raw(self.head) };
        self.head = node.next;
        node.item.take()
    }
}

impl<T> Drop for Drained<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(all(test, not(evenloop_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Items come out in the order they went in.
    #[test]
    fn drains_oldest_first() {
        let injector = Injector::new();
        for i in 0..5 {
            assert_eq!(injector.push(i), Ok(Pushed::Seen));
        }
        assert!(!injector.is_empty());
        assert_eq!(injector.drain().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(injector.is_empty());
    }

    /// Exactly the first push after the loop fell asleep has to wake it.
    #[test]
    fn first_push_wakes_a_sleeper() {
        let injector = Injector::new();
        assert!(injector.try_sleep());
        assert_eq!(injector.push(1), Ok(Pushed::WakeLoop));
        assert_eq!(injector.push(2), Ok(Pushed::Seen));
        assert!(!injector.try_sleep(), "something waits");
        assert_eq!(injector.drain().count(), 2);

        assert!(injector.try_sleep());
        injector.awake();
        assert_eq!(injector.push(3), Ok(Pushed::Seen));
    }

    /// A closed injector hands items back and has already given up what it held.
    #[test]
    fn closed_hands_items_back() {
        let item = Arc::new(());
        let injector = Injector::new();
        assert!(injector.push(item.clone()).is_ok());
        assert_eq!(injector.close().count(), 1);
        assert!(injector.push(item.clone()).is_err());
        assert_eq!(injector.drain().count(), 0);
        assert!(injector.push(item.clone()).is_err(), "draining does not open it again");
        assert_eq!(Arc::strong_count(&item), 1);
    }

    /// What nobody drained is dropped with the injector, and with a half-read batch.
    #[test]
    fn nothing_leaks() {
        let item = Arc::new(());
        let injector = Injector::new();
        for _ in 0..3 {
            assert!(injector.push(item.clone()).is_ok());
        }
        let mut batch = injector.drain();
        assert!(batch.next().is_some());
        assert!(injector.push(item.clone()).is_ok());
        drop(batch);
        drop(injector);
        assert_eq!(Arc::strong_count(&item), 1);
    }
}
