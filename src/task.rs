//! Tasks: a future in a cell, what refers to it, and what becomes of it.
//!
//! One allocation holds everything. What happens on the thread of the task's loop, as nearly all
//! does, takes plain loads and stores; what other threads do goes through one atomic word, and a wake
//! of theirs through the loop's way in.
//!
//! | part | subject |
//! |---|---|
//! | [`word`] | the atomic word: how the task stands, references of other threads |
//! | [`cell`] | the allocation, the local state, polls and ends |
//! | [`home`] | what a task needs of its loop; its name; its outcome |
//! | [`refs`] | runnables, references, notices |
//! | [`joint`] | the right to the outcome |
//! | [`waker`] | the table of functions behind a `Waker` |

mod cell;
mod home;
mod joint;
mod refs;
mod sync;
mod waker;
mod word;

pub(crate) use cell::Header;
pub use home::TaskId;
pub(crate) use home::{Home, Outcome, Payload, panic_text};
pub(crate) use joint::{Joint, spawn, spawn_without_loop};
pub(crate) use refs::{Notice, Queued, Ran, Runnable, Task};
pub(crate) use waker::table;
