//! Faults made to happen: what the kernel refuses, what peers do, what tasks and other threads do to
//! a loop, and what becomes of everybody else meanwhile.
//!
//! Each test prints its figures in lines that begin with `figure:`. They are short by default;
//! `.ci/faults` runs them long, with `EVENLOOP_FAULTS=long`, and those faults that need a tool
//! besides. `docs/reliability.md` has the bars and what was measured.

#![cfg(target_os = "linux")]

#[path = "faults/constructors.rs"]
mod constructors;
#[path = "faults/crowd.rs"]
mod crowd;
#[path = "faults/descriptors.rs"]
mod descriptors;
#[path = "faults/panics.rs"]
mod panics;
#[path = "faults/peers.rs"]
mod peers;
#[path = "faults/proxy.rs"]
mod proxy;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/signals.rs"]
mod signals;
#[path = "faults/slow.rs"]
mod slow;
#[path = "faults/stops.rs"]
mod stops;
#[path = "faults/storms.rs"]
mod storms;
#[path = "faults/timers.rs"]
mod timers;
#[path = "faults/wakers.rs"]
mod wakers;
