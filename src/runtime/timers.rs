//! Timers of the loop.
use crate::runtime::local::Local;
use crate::sched::{RegistrationId, TimerId};
impl Local {
    pub(crate) fn cancel_timer(&self, id: TimerId) {
        let _ = id;
    }
    pub(crate) fn deregister(&self, id: RegistrationId) {
        let _ = id;
    }
}
