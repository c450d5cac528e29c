//! An allocator that counts the bytes that are out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, and a count beside it.
#[derive(Debug)]
pub struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

/// Returns the bytes that are out; 0 where the allocator is another.
#[must_use]
pub fn bytes() -> f64 {
    BYTES.load(Ordering::Relaxed) as f64
}

// SAFETY: every call goes to the system's allocator as it came, and its answer back.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.dealloc(at, layout) }
    }
}
