//! Bytes to programs, and programs to what they have to do: a panic is a finding.
#![cfg(target_os = "linux")]

use std::sync::Once;

#[path = "../../models"]
mod models {
    pub(crate) mod deadlines;
    pub(crate) mod program;
    pub(crate) mod registrations;
    pub(crate) mod requests;
    pub(crate) mod tasks;
    pub(crate) mod timers;
}

macro_rules! targets {
    ($($model:ident)*) => {$(
        /// Runs the program that `bytes` are.
        pub fn $model(bytes: &[u8]) {
            ignore_broken_pipes();
            models::$model::run(&models::$model::decode(bytes));
        }
    )*};
}

targets! { deadlines registrations requests tasks timers }

/// What the start of a Rust program does, which a fuzzer has not.
fn ignore_broken_pipes() {
    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
    }
    const SIGPIPE: i32 = 13;
    const SIG_IGN: usize = 1;
    static ONCE: Once = Once::new();
    // SAFETY: it is the C library's, and to ignore a signal runs no code of ours.
    ONCE.call_once(|| unsafe {
        signal(SIGPIPE, SIG_IGN);
    });
}
