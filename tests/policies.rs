//! The comparison in `docs/fairness.md` is what the command prints.

#[path = "../examples/policies/main.rs"]
#[expect(dead_code, reason = "an example has a main function")]
mod policies;

use std::fs;

/// The documented table is the one that `cargo run --features sim --example policies` prints.
#[test]
fn the_documented_table_is_what_the_command_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fairness.md");
    let text = fs::read_to_string(path).expect("the document is there");
    let table = policies::table();
    let header = table.lines().next().expect("a table has a header");
    let documented = text.lines().skip_while(|line| *line != header);
    let documented: Vec<_> = documented.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(documented, table.lines().collect::<Vec<_>>(), "in docs/fairness.md");
}
