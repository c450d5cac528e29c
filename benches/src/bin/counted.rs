//! One runtime at one work, to be run by valgrind, which counts instructions and takes fifty times
//! as long. The clock goes fifty times more slowly here, for all runtimes alike, or those that look
//! at the time now and then would do so fifty times as often as they do in earnest.
//!
//! What goes by the processor's counter is measured against this clock and thereby slow as well.

use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};

/// How much longer valgrind takes.
const SLOW: i64 = 50;
const SECOND: i64 = 1_000_000_000;

/// When each clock was read first.
static FIRST: [AtomicI64; 16] = [const { AtomicI64::new(0) }; 16];

/// Stands in for the function of libc: the time since its first call passes slowly.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the arguments are those of the system call, and are handed on as they came.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let first = usize::try_from(clock).ok().and_then(|clock| FIRST.get(clock));
    if let (0, Some(first)) = (result, first) {
        // SAFETY: the system call has succeeded, so it has written there.
        let time = unsafe { &mut *time };
        let now = time.tv_sec * SECOND + time.tv_nsec;
        let _ = first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let begun = first.load(Ordering::Relaxed);
        let told = begun + (now - begun) / SLOW;
        (time.tv_sec, time.tv_nsec) = (told / SECOND, told % SECOND);
    }
    result as libc::c_int
}

fn main() -> ExitCode {
    evenloop_benches::child::main()
}
