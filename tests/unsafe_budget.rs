//! Unsafe code is where `docs/architecture.md` says it is, and there is as much of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Blocks and `impl`s.
type Budget = (usize, usize);

/// The table of the document, by file.
fn budgets() -> BTreeMap<PathBuf, Budget> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, section) = text.split_once("## Unsafe code").expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut budgets = BTreeMap::new();
    for line in section.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, file, blocks, impls, _, _] = cells[..] else { continue };
        let (Ok(blocks), Ok(impls)) = (blocks.parse(), impls.parse()) else { continue };
        let (_, path) = file.split_once("](../").expect("a link to the file");
        let old = budgets.insert(root().join(path.trim_end_matches(')')), (blocks, impls));
        assert!(old.is_none(), "{file} has two budgets");
    }
    budgets
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

/// A line without its comment. Strings with slashes or `unsafe` in them count as code, so a budget
/// is too small for them rather than too large.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Counts what is unsafe in a source, and insists that each has its proof right above.
fn count(name: &str, source: &str) -> Budget {
    let (mut blocks, mut impls) = (0, 0);
    let lines: Vec<&str> = source.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let words: Vec<&str> = code(line)
            .split(|c: char| !c.is_alphanumeric() && !"_{".contains(c))
            .filter(|word| !word.is_empty())
            .collect();
        for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "unsafe") {
            match words.get(at + 1) {
                Some(&"impl") => impls += 1,
                // It does nothing by being declared: what it does is in blocks of its own.
                Some(&"fn") => continue,
                Some(next) if next.starts_with('{') => blocks += 1,
                what => panic!("{name}:{}: unsafe {what:?} has no column", number + 1),
            }
            assert!(is_proved(&lines[..number]), "{name}:{}: there is no proof", number + 1);
        }
    }
    (blocks, impls)
}

/// Whether the comment that ends here begins with `SAFETY`; attributes and the beginning of the
/// statement may come between.
fn is_proved(before: &[&str]) -> bool {
    let mut lines = before.iter().rev().map(|line| line.trim());
    let comment = lines.by_ref().take(4).find(|line| line.starts_with("//"));
    let Some(mut comment) = comment else { return false };
    while comment.starts_with("//") {
        if comment.starts_with("// SAFETY: ") {
            return true;
        }
        comment = lines.next().unwrap_or_default();
    }
    false
}

#[test]
fn unsafe_code_keeps_its_budget() {
    let mut files = vec![];
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 100, "the sources were not found");
    let spent: BTreeMap<PathBuf, Budget> = files
        .into_iter()
        .map(|path| {
            let budget = count(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
            (path, budget)
        })
        .filter(|(_, budget)| *budget != (0, 0))
        .collect();
    assert_eq!(spent, budgets(), "left is what there is, right what docs/architecture.md allows");
}

/// Nothing is allowed where nothing is done.
#[test]
fn files_that_allow_unsafe_code_have_some() {
    let mut files = vec![];
    sources(&root().join("src"), &mut files);
    files.retain(|path| fs::read_to_string(path).unwrap().contains("allow(unsafe_code"));
    files.sort();
    assert_eq!(files, budgets().into_keys().collect::<Vec<_>>());
}

/// The count sees what there is, and no more than that.
#[test]
fn counting() {
    let proof = "// SAFETY: it is.\n";
    assert_eq!(count("x", "// unsafe { }\n#[allow(unsafe_code)]\nlet is_unsafe = 1;"), (0, 0));
    assert_eq!(count("x", &format!("{proof}let x = unsafe {{ y }};")), (1, 0));
    assert_eq!(
        count("x", &format!("{proof}#[allow(unsafe_code)]\nunsafe impl A for B {{}}")),
        (0, 1)
    );
    let twice = format!("{proof}f(unsafe {{ a }}, unsafe {{ b }});");
    assert_eq!(count("x", &twice), (2, 0));
    let unproved = std::panic::catch_unwind(|| count("x", "// It is safe.\nunsafe { y }"));
    assert!(unproved.is_err());
}
