//! Wakers of tasks: cloned, called and dropped on any thread, at any time.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::cell::Header;
use super::home::Home;
use super::refs::{Task, retain};

/// Returns the functions behind wakers, for [`Home::wakers`].
pub(crate) const fn table<L: Home>() -> RawWakerVTable {
    RawWakerVTable::new(clone::<L>, wake_and_drop::<L>, wake_by_ref::<L>, drop_waker::<L>)
}

/// Returns a waker that owns a reference to the task.
///
/// # Safety
///
/// The reference exists, and is the waker's from here on: dropping the waker gives it up.
#[allow(unsafe_code)]
pub(super) unsafe fn borrowed<L: Home>(task: NonNull<Header<L>>) -> Waker {
    let raw = RawWaker::new(task.as_ptr().cast_const().cast(), L::wakers());
    // SAFETY: the functions of the table keep to the contract of `RawWakerVTable`; each takes the
    // pointer back to what it was made of.
    unsafe { Waker::from_raw(raw) }
}

/// Returns the task whose waker this is, with the waker's reference; any other waker is given back.
#[inline]
#[allow(unsafe_code)]
pub(super) fn into_task<L: Home>(waker: Waker) -> Result<Task<L>, Waker> {
    if !std::ptr::eq(waker.vtable(), L::wakers()) {
        return Err(waker);
    }
    let waker = ManuallyDrop::new(waker);
    // SAFETY: the table says that the data is a pointer to a task, and that the waker owns a
    // reference, which is taken over.
    Ok(unsafe { Task::from_counted(header::<L>(waker.data())) })
}

impl<L: Home> Header<L> {
    /// Whether `waker` is one of this task's, and nobody's who wraps it.
    #[inline]
    pub(crate) fn is_woken_by(&self, waker: &Waker) -> bool {
        let task = std::ptr::from_ref(self).cast();
        std::ptr::eq(waker.data(), task) && std::ptr::eq(waker.vtable(), L::wakers())
    }
}

#[allow(unsafe_code)]
unsafe fn header<L: Home>(data: *const ()) -> NonNull<Header<L>> {
    // SAFETY: the data of a waker of ours is a pointer to a task, see `borrowed`.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

#[allow(unsafe_code)]
unsafe fn clone<L: Home>(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned refers to the task.
    retain(unsafe { header::<L>(data).as_ref() });
    RawWaker::new(data, L::wakers())
}

#[allow(unsafe_code)]
unsafe fn wake_and_drop<L: Home>(data: *const ()) {
    // SAFETY: the waker's reference is taken over.
    unsafe { Task::from_counted(header::<L>(data)) }.wake();
}

#[allow(unsafe_code)]
unsafe fn wake_by_ref<L: Home>(data: *const ()) {
    // SAFETY: the waker refers to the task during the call, and keeps its reference.
    let task = ManuallyDrop::new(unsafe { Task::from_counted(header::<L>(data)) });
    task.wake_by_ref();
}

#[allow(unsafe_code)]
unsafe fn drop_waker<L: Home>(data: *const ()) {
    // SAFETY: the waker's reference is taken over.
    drop(unsafe { Task::from_counted(header::<L>(data)) });
}
