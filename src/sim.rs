//! A deterministic simulation, to property-test fairness with.
//!
//! [`Runtime`] is the crate's own loop on a clock that is moved by hand and a kernel in memory:
//! every task, timer and socket of the crate works in it unchanged. Time stands still while
//! tasks run, but for what they say they cost ([`burn`], [`spend`]), and jumps to the next event
//! when nothing is left to run. So an hour of service takes seconds, and an outcome is the same on
//! every machine and every time.
//!
//! What the rules leave open, the order of simultaneous events, say, is decided by one number: the
//! seed.
//!
//! # Examples
//!
//! A health check beside bulk work, whose handles take a millisecond each. Never does the check
//! wait for more than one of them, however many there are:
//!
//! ```
//! use evenloop::sim;
//! use evenloop::time::{Duration, Instant, sleep};
//!
//! const MS: Duration = Duration::from_millis(1);
//!
//! sim::Runtime::new(7).block_on(async {
//!     for _ in 0..50 {
//!         evenloop::spawn_in("bulk", async {
//!             loop {
//!                 sim::burn(MS).await;
//!             }
//!         });
//!     }
//!     let health = evenloop::spawn_in("health", async {
//!         for _ in 0..100 {
//!             let due = Instant::now() + 10 * MS;
//!             sleep(10 * MS).await;
//!             assert!(due.elapsed() <= MS, "{:?} late", due.elapsed());
//!         }
//!     });
//!     health.await.unwrap();
//! });
//! ```

mod check;
mod cost;
#[cfg(test)]
mod moves;
mod network;
pub mod oracle;
pub mod policy;
pub mod reference;
mod runtime;
mod trace;
pub mod workload;

pub use crate::driver::sim::{Link, Route};
pub use crate::runtime::Holdings;
pub use crate::trace::{What, Why};
pub use check::{Check, Failure, Passed, check, check_seeds};
pub use cost::{Burn, burn, spend};
pub use network::Network;
pub use runtime::{Builder, Runtime};
pub use trace::{Event, Lag, Share, Starvation, Task, Trace, Waits};
