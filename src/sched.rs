//! The scheduler, pure: which partition runs next, which timers are due, which sources are ready.
//!
//! Nothing in here does IO, reads a clock or starts a thread. Time goes in as an argument and
//! decisions come out as return values, so the same code runs in the loop and in a property
//! test. What is scheduled is a type parameter.
//!
//! - [`Dispatcher`] shares the thread among partitions: surplus calendar round robin.
//! - [`Timers`] keeps one heap of deadlines a partition and one heap of partitions.
//! - [`Readiness`] keeps what the kernel reported, partition by partition, until it is asked for.
//!
//! A host runs a loop over these moves:
//!
//! ```
//! use evenloop::Budget;
//! use evenloop::sched::{Dispatcher, Next, Settings, Step, Weight};
//!
//! let settings = Settings::from(Budget::handles(2));
//! let mut dispatcher = Dispatcher::new(settings);
//! let bulk = dispatcher.create(Weight::ONE, None, None).expect("no group was named");
//! for handle in ["b1", "b2", "b3"] {
//!     dispatcher.push(bulk, handle).expect("bulk is there");
//! }
//! dispatcher.push(dispatcher.root(), "r1").expect("the root is always there");
//!
//! let mut ran = Vec::new();
//! while let Some(mut turn) = dispatcher.pick() {
//!     loop {
//!         let next = match dispatcher.step(&turn) {
//!             Step::Run(handle) => {
//!                 ran.push(handle);
//!                 dispatcher.charge(turn, 1)
//!             }
//!             Step::Deliver => dispatcher.delivered(turn, false),
//!             Step::Dry => Next::Ended(dispatcher.finish(turn, 0)),
//!         };
//!         match next {
//!             Next::Continues(same) => turn = same,
//!             Next::Ended(_) => break,
//!         }
//!     }
//! }
//! assert_eq!(ran, ["b1", "b2", "r1", "b3"]);
//! ```
#![forbid(unsafe_code)]

mod arena;
mod cold;
mod dispatch;
mod heap;
mod owners;
mod partition;
mod readiness;
mod scrr;
mod settings;
mod timers;
mod units;

pub use dispatch::{Creator, Dispatcher, Ended, Next, Step, Turn, UnknownGroup, Wake};
pub use partition::{GroupId, PartitionId, Tag};
pub use readiness::{Direction, Readiness, RegistrationId};
#[cfg(feature = "mutants")]
pub use settings::Mutation;
pub use settings::Settings;
pub use timers::{TimerId, Timers};
pub use units::{Timestamp, Weight};
