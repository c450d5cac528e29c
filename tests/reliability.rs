//! `docs/reliability.md` names the tests that show what it says: they are there, no row is without
//! one, and no public future is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("docs/reliability.md")).unwrap()
}

/// The cells of each row of the tables, without the heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| line.starts_with("|---");
    let mut rows = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let is_head = lines.get(number + 1).is_some_and(|next| is_rule(next));
        if line.starts_with('|') && !is_rule(line) && !is_head {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(str::trim).collect());
        }
    }
    rows
}

/// What stands between backquotes.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The tests that a text names.
fn tests_in(text: &str) -> Vec<&str> {
    code(text).into_iter().filter(|code| code.contains("::") && !code.contains('(')).collect()
}

/// The file that a test named `a::b::test` is in, if there is one: `tests/a/b.rs`, or for a unit
/// test the module itself.
fn file_of(test: &str) -> Option<(PathBuf, &str)> {
    let (module, name) = test.rsplit_once("::")?;
    let path = |module: &str| {
        let path = module.replace("::", "/");
        let path = if path.starts_with("src/") { path } else { format!("tests/{path}") };
        root().join(path + ".rs")
    };
    let inline = module.strip_suffix("::tests").unwrap_or(module);
    [path(module), path(inline)].into_iter().find(|path| path.exists()).map(|path| (path, name))
}

/// Whether a test of that name is in the file, and is run.
fn has_test(path: &Path, name: &str) -> bool {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begin = format!("fn {name}(");
    lines.iter().enumerate().any(|(number, line)| {
        let above = lines[..number].iter().rev().take_while(|line| line.starts_with("#["));
        let attributes: Vec<_> = above.collect();
        line.starts_with(&begin)
            && attributes.contains(&&"#[test]")
            && !attributes.iter().any(|attribute| attribute.starts_with("#[ignore"))
    })
}

#[test]
fn every_named_test_is_there() {
    let text = document();
    let tests: BTreeSet<_> = tests_in(&text).into_iter().filter(|code| !is_a_type(code)).collect();
    assert!(tests.len() > 80, "only {} tests were found", tests.len());
    let missing: Vec<_> = tests
        .into_iter()
        .filter(|test| !file_of(test).is_some_and(|(path, name)| has_test(&path, name)))
        .collect();
    assert!(missing.is_empty(), "docs/reliability.md names what is not there: {missing:#?}");
}

/// Types of the simulation are named by their paths as well.
fn is_a_type(code: &str) -> bool {
    code.rsplit("::").next().is_some_and(|last| last.starts_with(char::is_uppercase))
}

/// Each row has a test, or a sentence on why there is nothing to be shown.
#[test]
fn every_row_is_shown_by_something() {
    let text = document();
    // What follows is a report of tools, not of tests.
    let text = text.split("### Sanitizers").next().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for row in rows(text) {
        let [id, .., shown] = row[..] else { panic!("a row without cells: {row:?}") };
        let is_excused = shown.starts_with("Does not apply: ");
        let scripts = code(shown).into_iter().filter(|code| code.starts_with(".ci/"));
        let mut scripts = scripts.filter_map(|code| code.split(' ').next());
        let is_shown = !tests_in(shown).is_empty() || scripts.any(|it| root().join(it).exists());
        assert!(is_shown || is_excused, "{id}: {shown:?}");
        assert!(seen.insert(row[..row.len() - 1].join("|")), "{id} is there twice");
    }
    let ids: BTreeSet<_> = rows(text).into_iter().map(|row| row[0].to_owned()).collect();
    let hazards = [
        ('W', 7),
        ('T', 8),
        ('S', 7),
        ('R', 10),
        ('C', 6),
        ('F', 4),
        ('Q', 2),
        ('X', 3),
        ('G', 13),
    ];
    for (letter, last) in hazards {
        for number in 1..=last {
            assert!(ids.contains(&format!("{letter}{number}")), "{letter}{number} is missing");
        }
    }
    for number in 1..=40 {
        assert!(ids.contains(&number.to_string()), "bug {number} is missing");
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of the public functions that are futures, and of the public types.
fn public_futures() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    files.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
    let texts: Vec<_> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut futures = BTreeSet::new();
    for text in &texts {
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                futures.insert(word(rest));
            }
            let Some((before, rest)) = line.split_once("Future for ") else { continue };
            let name = word(rest);
            let public = format!("pub struct {name}");
            let is_public = texts.iter().any(|text| {
                text.lines().any(|line| {
                    let rest = line.trim().strip_prefix(&public);
                    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
                })
            });
            if before.starts_with("impl") && is_public {
                futures.insert(name);
            }
        }
    }
    futures
}

#[test]
fn every_public_future_is_in_the_table() {
    let text = document();
    let (_, section) = text.split_once("\n## Cancel safety").expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = rows(section);
    let listed: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| code(row[0]))
        .map(|code| code.rsplit("::").next().unwrap_or(code))
        .collect();
    let futures = public_futures();
    assert!(futures.len() > 30, "only {} futures were found: {futures:?}", futures.len());
    let missing: Vec<_> = futures.iter().filter(|name| !listed.contains(&***name)).collect();
    assert!(missing.is_empty(), "whose cancel safety is not told: {missing:?}");
}

/// What finds the tests tells those that are there from those that are not.
#[test]
fn what_is_not_there_is_not_found() {
    let found = |test| file_of(test).is_some_and(|(path, name)| has_test(&path, name));
    assert!(found("reliability::what_is_not_there_is_not_found"));
    assert!(found("src::runtime::timers::relay::tests::a_relay_that_was_given_up_is_silent"));
    assert!(!found("reliability::what_was_never_there"));
    assert!(!found("reliability::found"));
    assert!(!found("reliability::document"), "it is no test");
    assert!(!found("nowhere::at_all"));
}
