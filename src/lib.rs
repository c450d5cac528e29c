//! An async runtime whose event loop is *even*: work is kept apart in partitions, and every
//! partition gets its share of the thread, whatever the others do.
//!
//! A health check answers in time while bulk traffic saturates the loop:
//!
//! ```
//! use evenloop::{spawn_in, yield_now};
//!
//! evenloop::block_on(async {
//!     for _ in 0..100 {
//!         spawn_in("bulk", async {
//!             for _ in 0..1_000 {
//!                 yield_now().await;
//!             }
//!         });
//!     }
//!     // Does not wait for the hundred tasks above, but for a fair turn.
//!     let health = spawn_in("healthcheck", async { "alive" });
//!     assert_eq!(health.await.unwrap(), "alive");
//! });
//! ```
//!
//! - A task lives in the partition it was spawned in, and so does all it creates.
//! - A dispatcher gives each partition an equal budget of handles and time: see [`sched`].
//! - Sockets and timers are delivered for the partition that runs dry, so that back-pressure stays
//!   implicit, partition by partition.
//! - Without partitions the loop is a plain FIFO loop.
//!
//! Start with [`block_on`], [`spawn()`] and [`spawn_in`]; [`Runtime`] and [`Handle`] are for more
//! than one call and more than one thread, [`Partition`] for weights and groups.
//!
//! What you promise can be tested: [`sim`] (feature `sim`) runs the same loop in virtual time, and
//! the clock of any runtime can be paused (feature `test-util`): see [`time`].
//!
#![cfg_attr(not(feature = "sim"), doc = "[`sim`]: https://docs.rs/evenloop/latest/evenloop/sim")]

mod clock;
pub mod config;
mod driver;
pub mod fs;
#[cfg(feature = "hyper")]
pub mod hyper;
mod injector;
pub mod instrument;
pub mod net;
mod runtime;
pub mod sched;
#[cfg(feature = "sim")]
pub mod sim;
mod task;
pub mod time;
#[cfg(feature = "sim")]
// Until the loop tells it everything.
#[allow(dead_code)]
mod trace;

pub use config::{Budget, Clock};
pub use runtime::{
    AbortHandle, Builder, Close, EnterGuard, Handle, IntoPartition, JoinError, JoinHandle, JoinSet,
    Partition, PartitionBuilder, PendingTask, Progress, Runtime, ShutdownReport, Spawn,
    TryCurrentError, UnhandledPanic, Within, block_on, poll_proceed, spawn, spawn_blocking,
    spawn_in, spawn_isolated, switch_to, within, yield_now,
};
pub use task::TaskId;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

/// The guide to testing holds.
#[cfg(all(doctest, feature = "sim", feature = "test-util"))]
#[doc = include_str!("../docs/testing.md")]
struct TestingExamples;

/// The guide to isolation compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/isolation.md")]
struct IsolationExamples;
