//! x
use crate::runtime::local::Local;
use crate::sched::RegistrationId;
impl Local {
    pub(crate) fn deregister(&self, id: RegistrationId) {
        let _ = id;
    }
}
