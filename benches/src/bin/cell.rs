//! One runtime at one work.

use std::process::ExitCode;

use evenloop_benches::weigh::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    evenloop_benches::child::main()
}
