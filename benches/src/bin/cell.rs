//! One runtime at one work.

use std::process::ExitCode;

fn main() -> ExitCode {
    evenloop_benches::child::main()
}
