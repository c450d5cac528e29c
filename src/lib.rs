//! An async runtime whose event loop is *even*.

pub mod config;
pub mod instrument;
pub mod sched;

pub use config::Budget;
