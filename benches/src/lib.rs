//! evenloop beside its peers: one small adapter for each runtime, and the work they all do.
//!
//! ```text
//!   bench runtimes ──► cell     poll  tokio  full ──► work ──► adapter     figures, one a line
//!                  └─► valgrind counted yield bare 20000     with a slow clock
//! ```
//!
//! Each figure comes from a process of its own, so that no runtime finds what another left behind,
//! and one that cannot run on this machine says why and is shown so.

pub mod child;
pub mod cores;
pub mod metrics;
pub mod peer;
pub mod peers;
pub mod size;
pub mod usage;
pub mod weigh;
pub mod work;
