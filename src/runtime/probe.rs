//! What a simulation sees of its loop, and does to it.
//!
//! Without the feature `sim` there is nothing in here, and nothing is paid for it. A loop that is
//! not simulated pays a test for each event.

#[cfg(feature = "sim")]
mod watch;

#[cfg(feature = "sim")]
use std::sync::Arc;

#[cfg(feature = "sim")]
use crate::clock::Manual;
use crate::runtime::core::Queued;
use crate::runtime::local::Local;
use crate::sched::PartitionId;
#[cfg(feature = "sim")]
pub(crate) use watch::Limits;

/// The place of a simulation in the loop.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    #[cfg(feature = "sim")]
    watch: Option<Box<watch::Watch>>,
}

#[cfg(feature = "sim")]
impl Probe {
    pub(crate) fn new(clock: Arc<Manual>, limits: Limits) -> Self {
        Self { watch: Some(Box::new(watch::Watch::new(clock, limits))) }
    }
}

/// Declares `fn $event(&mut self, …)`, which passes the event on to a simulation if there is one.
macro_rules! events {
    ($($(#[$doc:meta])* fn $event:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $event(&mut self, $($arg: $type),*) $(-> $result)? {
            #[cfg(feature = "sim")]
            if let Some(watch) = &mut self.watch {
                return watch.$event($($arg),*);
            }
            $(let _ = $arg;)*
            Default::default()
        }
    )*};
}

impl Probe {
    events! {
        /// A handle begins.
        fn runs(partition: PartitionId, handle: &Queued);
        /// It has ended, and takes its time. Returns whether too many have run in none.
        fn ran() -> bool;
    }
}

impl Local {
    /// Ends a simulation in which time does not pass.
    #[cold]
    pub(crate) fn report_livelock(&self) -> ! {
        #[cfg(feature = "sim")]
        if let Some(watch) = &self.core.borrow().probe.watch {
            watch.report_livelock();
        }
        unreachable!("only a simulation can tell that a loop gets nowhere");
    }

    /// Ends a simulation in which nothing will ever happen again.
    #[cold]
    pub(crate) fn report_deadlock(&self) -> ! {
        let pending = self.pending();
        let shown = pending.iter().take(REPORTED).map(|task| format!("\n  {task}"));
        let shown: String = shown.collect();
        let more = match pending.len().saturating_sub(REPORTED) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        panic!(
            "the simulation is stuck at {:?}: nothing is runnable, no timer is set and no event is \
             under way, so `block_on` would wait for ever. Tasks that wait:{}{shown}{more}",
            std::time::Duration::from_nanos(self.shared.now()),
            if pending.is_empty() { " none but its own" } else { "" },
        );
    }
}

/// Tasks named in a report.
const REPORTED: usize = 20;
