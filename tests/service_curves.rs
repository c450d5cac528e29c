//! The drawings in `docs/` are what the command draws now.

#[path = "../examples/service_curves.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod service_curves;

use std::fs;
use std::path::Path;

/// A drawing says what the runtime does, and not what it once did.
#[test]
fn the_drawings_are_what_the_command_draws() {
    for (file, drawn) in service_curves::drawings() {
        let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(kept == drawn, "{file} is another: cargo run --release --example service_curves");
    }
}
