//! Imports point down the list of layers in `docs/architecture.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Module name to layer, as the document has it.
fn layers() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut layers = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, layer, modules, _] = cells[..] else { continue };
        let Ok(layer) = layer.parse() else { continue };
        for module in modules.split(',') {
            layers.insert(module.trim().trim_matches('`').to_owned(), layer);
        }
    }
    layers
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

/// The top module a file belongs to: `src/net/tcp.rs` is in `net`.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// What the code of a line names after `crate::`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn imports_point_down() {
    let layers = layers();
    assert!(layers.len() >= 9, "the table of layers was not found: {layers:?}");
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut checked = 0;
    for path in files {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let layer = *layers
            .get(&module)
            .unwrap_or_else(|| panic!("`{module}` is in no layer of docs/architecture.md"));
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for name in imports(line) {
                // What the crate root re-exports is named by its path in tests and docs only.
                let Some(&below) = layers.get(name) else { continue };
                checked += 1;
                assert!(
                    below <= layer,
                    "{}:{}: `{module}` (layer {layer}) names `{name}` (layer {below})",
                    path.display(),
                    number + 1
                );
            }
        }
    }
    assert!(checked > 50, "only {checked} imports were found");
}

#[test]
fn every_layered_module_exists() {
    for module in layers().keys() {
        let file = root().join("src").join(format!("{module}.rs"));
        assert!(file.exists(), "docs/architecture.md lists `{module}`, which is not there");
    }
}

/// `sched` is pure: no clock, no threads, no IO, no unsafe code.
#[test]
fn sched_is_pure() {
    let mut files = vec![root().join("src/sched.rs")];
    sources(&root().join("src/sched"), &mut files);
    let impure =
        ["std::io", "std::net", "std::thread", "std::sync", "Instant", "SystemTime", "mio"];
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in impure {
                assert!(!code.contains(word), "{}:{}: {word}", path.display(), number + 1);
            }
        }
    }
    assert!(
        fs::read_to_string(root().join("src/sched.rs")).unwrap().contains("forbid(unsafe_code)")
    );
}

/// Files keep one subject: none outgrows 600 lines.
#[test]
fn files_stay_short() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    for path in files {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}
