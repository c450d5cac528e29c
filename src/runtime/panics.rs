//! Panics that nobody else handles.

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use crate::task::{Payload, TaskId, panic_text};

/// A panic of a task whose join handle was dropped, or of something no handle can report.
pub struct UnhandledPanic {
    task: Option<(TaskId, &'static Location<'static>)>,
    payload: Payload,
}

impl UnhandledPanic {
    pub(crate) fn new(id: TaskId, location: &'static Location<'static>, payload: Payload) -> Self {
        Self { task: Some((id, location)), payload }
    }

    pub(crate) fn stray(payload: Payload) -> Self {
        Self { task: None, payload }
    }

    /// Returns the task that panicked, or `None` if it was a foreign waker that did.
    #[must_use]
    pub fn id(&self) -> Option<TaskId> {
        self.task.map(|(id, _)| id)
    }

    /// Returns where the task was spawned.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.task.map(|(_, location)| location)
    }

    /// Returns what the panic said, if it said it in text.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        panic_text(&*self.payload)
    }

    /// Takes the panic's payload, as [`std::panic::resume_unwind`] wants it.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send + 'static> {
        self.payload
    }
}

impl fmt::Debug for UnhandledPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnhandledPanic")
            .field("id", &self.id())
            .field("location", &self.location())
            .field("message", &self.message())
            .finish()
    }
}

impl fmt::Display for UnhandledPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message().unwrap_or("a payload without text");
        match self.task {
            Some((_, location)) => {
                write!(f, "the task spawned at {location} panicked unheard: {message}")
            }
            None => write!(f, "a waker or destructor panicked on the loop: {message}"),
        }
    }
}

/// What to do with a panic that nobody handles.
#[derive(Clone)]
pub(crate) struct PanicHook(Arc<dyn Fn(UnhandledPanic) + Send + Sync>);

impl PanicHook {
    pub(crate) fn new(hook: impl Fn(UnhandledPanic) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Calls the hook; a hook that panics itself is only noted, since this runs in destructors.
    pub(crate) fn call(&self, panic: UnhandledPanic) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.0)(panic))) {
            let message = panic_text(&*payload).unwrap_or("a payload without text");
            note(format_args!("the hook for unhandled panics panicked itself: {message}"));
        }
    }

    /// Runs foreign code that must not be able to harm the loop: a waker, a destructor.
    pub(crate) fn contain(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.call(UnhandledPanic::stray(payload));
        }
    }
}

impl Default for PanicHook {
    /// Writes the panic and the place the task was spawned at to standard error.
    fn default() -> Self {
        Self::new(|panic| note(format_args!("{panic}")))
    }
}

/// Writes a line to standard error. Not with `eprintln!`, which panics if that is closed, and this
/// runs in destructors.
pub(crate) fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "evenloop: {line}");
}

impl fmt::Debug for PanicHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicHook")
    }
}
