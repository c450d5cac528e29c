//! Where files cannot be had: without descriptors, outside a runtime, in a simulation.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use evenloop::fs::{self, File};
use evenloop::sim;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{Dir, bytes, in_child, run};

/// Without descriptors opening fails as it does in `std`, at once or by the pool; files that are open
/// go on, and afterwards all is well. In a process of its own, as the limit is everybody's.
#[test]
fn out_of_descriptors() {
    in_child("odd::out_of_descriptors", || run(without_descriptors));
}

async fn without_descriptors() -> io::Result<()> {
    let dir = Dir::new();
    let (path, other) = (dir.join("file"), dir.join("sub/other"));
    std::fs::create_dir(dir.join("sub"))?;
    for path in [&path, &other] {
        std::fs::write(path, bytes(100_000))?;
    }
    // One directory is known for its files, the other is not; and the pool has its threads.
    fs::read(&path).await?;
    let mut open = File::open(&path).await?;
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: Some(1024) })?;
    let expected = std::fs::read(&path).unwrap_err().raw_os_error();
    assert!(expected.is_some());
    for path in [&path, &other] {
        for _ in 0..3 {
            assert_eq!(fs::read(path).await.unwrap_err().raw_os_error(), expected);
            assert_eq!(File::open(path).await.unwrap_err().raw_os_error(), expected);
            assert_eq!(File::create(path).await.unwrap_err().raw_os_error(), expected);
            assert_eq!(fs::write(path, "").await.unwrap_err().raw_os_error(), expected);
        }
    }
    assert_eq!(fs::read_dir(&dir.0).await.unwrap_err().raw_os_error(), expected);
    assert!(open.try_clone().await.is_err());
    let mut all = Vec::new();
    open.read_to_end(&mut all).await?;
    assert!(all == bytes(100_000));
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1024) })?;
    assert!(fs::read(&path).await? == bytes(100_000));
    assert!(fs::read(&other).await? == bytes(100_000));
    Ok(())
}

/// Thousands of files that are read, opened, dropped and given up leave no descriptor behind.
#[test]
#[cfg(target_os = "linux")]
fn descriptors_are_given_back() {
    in_child("odd::descriptors_are_given_back", || {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = count();
        run(|| async {
            let dir = Dir::new();
            let (small, large) = (dir.join("small"), dir.join("large"));
            std::fs::write(&small, bytes(100))?;
            std::fs::write(&large, bytes(300_000))?;
            for n in 0..2_000_usize {
                for path in [&small, &large] {
                    let _ = futures::future::poll_immediate(fs::read(path)).await;
                    let _ = futures::future::poll_immediate(File::open(path)).await;
                    let mut file = File::open(path).await?;
                    let clone = if n % 2 == 0 { Some(file.try_clone().await?) } else { None };
                    let _ = futures::future::poll_immediate(file.read(&mut [0; 64])).await;
                    if n % 3 == 0 {
                        let mut file = File::options().write(true).open(path).await?;
                        file.write_all(b"x").await?;
                    }
                    drop(clone);
                }
            }
            Ok(())
        });
        assert_eq!(count(), before);
    });
}

fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it went well") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}

/// Everything here names itself outside of a runtime, and says where it should be.
#[test]
fn outside_a_runtime() {
    use futures::executor::block_on;
    let mut file = File::from_std(std::fs::File::open("/dev/null").unwrap());
    let said = [
        ("fs::read", panic_of(|| block_on(fs::read("x")))),
        ("fs::read_to_string", panic_of(|| block_on(fs::read_to_string("x")))),
        ("fs::write", panic_of(|| block_on(fs::write("x", "y")))),
        ("fs::rename", panic_of(|| block_on(fs::rename("x", "y")))),
        ("fs::metadata", panic_of(|| block_on(fs::metadata("x")))),
        ("fs::read_dir", panic_of(|| block_on(fs::read_dir("x")))),
        ("fs::File::open", panic_of(|| block_on(File::open("x")))),
        ("fs::File::create", panic_of(|| block_on(File::create("x")))),
        ("fs::OpenOptions::open", panic_of(|| block_on(File::options().open("x")))),
        ("fs::File", panic_of(|| block_on(file.write(b"x")))),
        ("fs::File", panic_of(|| block_on(file.sync_all()))),
    ];
    for (what, text) in said {
        assert!(text.contains(what), "{what}: {text}");
        assert!(text.contains("call it inside `evenloop::block_on`"), "{what}: {text}");
    }
}

/// A simulation has no files, and says so.
#[test]
fn in_a_simulation() {
    let mut file = File::from_std(std::fs::File::open("/dev/null").unwrap());
    let said = |f: &mut dyn FnMut(&sim::Runtime)| {
        let sim = sim::Runtime::new(1);
        panic_of(|| f(&sim))
    };
    let texts = [
        said(&mut |sim| drop(sim.block_on(fs::read("Cargo.toml")))),
        said(&mut |sim| drop(sim.block_on(fs::write("never written", "")))),
        said(&mut |sim| drop(sim.block_on(File::open("Cargo.toml")))),
        said(&mut |sim| drop(sim.block_on(fs::read_dir(".")))),
        said(&mut |sim| drop(sim.block_on(file.read(&mut [0; 8])))),
        said(&mut |sim| drop(sim.block_on(file.write(&[0; 8])))),
        said(&mut |sim| drop(sim.block_on(file.metadata()))),
    ];
    for text in texts {
        assert!(text.contains("fs::") && text.contains("no blocking threads"), "{text}");
    }
    assert!(!std::path::Path::new("never written").exists());
}
