//! Functions of paths do what those of `std` do, and fail in the same words.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use evenloop::fs::{self, DirBuilder, File, OpenOptions};
use futures::StreamExt;

use crate::{Dir, run};

/// One after the other, each seen by `std`.
#[test]
fn every_function_does_its_work() {
    run(|| async {
        let dir = Dir::new();
        let (a, b, deep) = (dir.join("a"), dir.join("b"), dir.join("x/y/z"));
        fs::create_dir_all(&deep).await?;
        assert!(deep.is_dir());
        fs::create_dir(deep.join("w")).await?;
        fs::remove_dir(deep.join("w")).await?;
        assert!(!deep.join("w").exists());
        DirBuilder::new().mode(0o700).create(dir.join("private")).await?;
        assert_eq!(dir.join("private").metadata()?.mode() & 0o777, 0o700);
        DirBuilder::new().recursive(true).create(&deep).await?;

        fs::write(&a, "contents").await?;
        assert_eq!(fs::copy(&a, &b).await?, 8);
        assert_eq!(std::fs::read(&b)?, b"contents");
        fs::rename(&b, deep.join("b")).await?;
        assert!(!b.exists() && deep.join("b").exists());
        fs::hard_link(&a, &b).await?;
        assert_eq!(fs::metadata(&a).await?.ino(), std::fs::metadata(&b)?.ino());
        assert_eq!(fs::metadata(&a).await?.len(), 8);
        fs::symlink("a", dir.join("link")).await?;
        assert!(fs::symlink_metadata(dir.join("link")).await?.is_symlink());
        assert!(fs::metadata(dir.join("link")).await?.is_file());
        assert_eq!(fs::read_link(dir.join("link")).await?, Path::new("a"));
        assert_eq!(fs::canonicalize(dir.join("link")).await?, std::fs::canonicalize(&a)?);
        fs::set_permissions(&a, PermissionsExt::from_mode(0o400)).await?;
        assert_eq!(std::fs::metadata(&a)?.mode() & 0o777, 0o400);

        assert!(fs::try_exists(&a).await?);
        fs::remove_file(&a).await?;
        assert!(!fs::try_exists(&a).await? && !a.exists());
        assert!(!fs::try_exists(dir.join("link")).await?, "it leads nowhere");
        fs::remove_dir_all(dir.join("x")).await?;
        assert!(!dir.join("x").exists());
        io::Result::Ok(())
    });
}

/// Each way to open a file does what it does in `std`.
#[test]
fn options_open_as_they_do_in_std() {
    run(|| async {
        let (ours, theirs) = (Dir::new(), Dir::new());
        for bits in 0..1_u32 << 6 {
            let on = |bit: u32| bits & 1 << bit != 0;
            for exists in [false, true] {
                let (mine, other) = (ours.join("file"), theirs.join("file"));
                for path in [&mine, &other] {
                    let _ = std::fs::remove_file(path);
                    if exists {
                        std::fs::write(path, "was there")?;
                    }
                }
                let mut options = std::fs::OpenOptions::new();
                options.read(on(0)).write(on(1)).append(on(2));
                options.truncate(on(3)).create(on(4)).create_new(on(5));
                let opened = OpenOptions::from(options.clone()).open(&mine).await;
                let expected = options.open(&other);
                assert_eq!(kind(&opened), kind(&expected), "{options:?}, {exists}");
                assert_eq!(std::fs::read(&mine).ok(), std::fs::read(&other).ok(), "{options:?}");
            }
        }
        io::Result::Ok(())
    });
}

fn kind<T>(result: &io::Result<T>) -> Option<io::ErrorKind> {
    result.as_ref().err().map(io::Error::kind)
}

/// Asserts that both fail alike, first when the pool does it and then perhaps at once.
async fn alike<T, U, F>(what: &str, ours: impl Fn() -> F, std: io::Result<U>)
where
    F: Future<Output = io::Result<T>>,
{
    let expected = std.err().unwrap_or_else(|| panic!("{what}: `std` can do it"));
    for _ in 0..3 {
        let error = ours().await.err().unwrap_or_else(|| panic!("{what}: it was done"));
        assert_eq!(error.kind(), expected.kind(), "{what}");
        assert_eq!(error.raw_os_error(), expected.raw_os_error(), "{what}");
    }
}

/// What is missing, in the way, of the wrong kind or impossible is told in the words of `std`.
#[test]
fn errors_are_those_of_std() {
    run(|| async {
        let dir = Dir::new();
        let (file, full, missing) = (dir.join("file"), dir.join("full"), dir.join("missing"));
        std::fs::write(&file, "a file")?;
        std::fs::create_dir_all(full.join("inside"))?;
        // The directory is known for its files from now on.
        fs::read(&file).await?;
        let below = file.join("below");
        let too_long = dir.join("x".repeat(300));
        let all = [&*missing, &below, Path::new("nul\0"), Path::new(""), &too_long];
        for path in all {
            let what = format!("{path:?}");
            alike(&what, || fs::read(path), std::fs::read(path)).await;
            alike(&what, || File::open(path), std::fs::File::open(path)).await;
            alike(&what, || fs::metadata(path), std::fs::metadata(path)).await;
            alike(&what, || fs::symlink_metadata(path), std::fs::symlink_metadata(path)).await;
            alike(&what, || fs::canonicalize(path), std::fs::canonicalize(path)).await;
            alike(&what, || fs::read_link(path), std::fs::read_link(path)).await;
            alike(&what, || fs::read_dir(path), std::fs::read_dir(path)).await;
            alike(&what, || fs::remove_file(path), std::fs::remove_file(path)).await;
            alike(&what, || fs::remove_dir(path), std::fs::remove_dir(path)).await;
            alike(&what, || fs::remove_dir_all(path), std::fs::remove_dir_all(path)).await;
            alike(&what, || fs::rename(path, &full), std::fs::rename(path, &full)).await;
            alike(&what, || fs::copy(path, &full), std::fs::copy(path, &full)).await;
            alike(&what, || fs::hard_link(path, &full), std::fs::hard_link(path, &full)).await;
        }
        for path in [&full, &below] {
            let what = format!("{path:?}");
            alike(&what, || fs::read(path), std::fs::read(path)).await;
            alike(&what, || fs::write(path, "x"), std::fs::write(path, "x")).await;
            alike(&what, || File::create(path), std::fs::File::create(path)).await;
            alike(&what, || File::create_new(path), std::fs::File::create_new(path)).await;
            alike(&what, || fs::create_dir(path), std::fs::create_dir(path)).await;
            alike(&what, || fs::remove_file(path), std::fs::remove_file(path)).await;
            alike(&what, || fs::remove_dir(path), std::fs::remove_dir(path)).await;
        }
        let link = || std::os::unix::fs::symlink("x", &full);
        alike("symlink", || fs::symlink("x", &full), link()).await;
        alike("mkdir", || fs::create_dir_all(&below), std::fs::create_dir_all(&below)).await;

        // A file that is open may be of the wrong kind for what is asked of it.
        let (reads, writes) =
            (File::open(&file).await?, File::options().write(true).open(&file).await?);
        let theirs = std::fs::File::open(&file)?;
        alike("set_len", || reads.set_len(1), theirs.set_len(1)).await;
        assert_eq!(writes.read_at(&mut [0], 0).await.unwrap_err().raw_os_error(), Some(9));
        let mut writes = writes;
        assert_eq!(writes.read(&mut [0]).await.unwrap_err().raw_os_error(), Some(9));
        let mut reads = reads;
        reads.write_all(b"taken").await?;
        assert_eq!(reads.flush().await.unwrap_err().raw_os_error(), Some(9), "and told later");
        reads.flush().await?;
        io::Result::Ok(())
    });
}

/// Directories of any size are listed, by either way to ask; what is known of an entry is true.
#[test]
fn directories_are_listed() {
    run(|| async {
        let dir = Dir::new();
        for len in [0, 1, 255, 256, 257, 1_000] {
            let path = dir.join(format!("{len}"));
            std::fs::create_dir(&path)?;
            let names: BTreeSet<_> = (0..len).map(|n| format!("{n:04}")).collect();
            for name in &names {
                std::fs::write(path.join(name), name.repeat(3))?;
            }
            let mut listed = BTreeSet::new();
            let mut entries = fs::read_dir(&path).await?;
            while let Some(entry) = entries.next_entry().await? {
                let name = entry.file_name().into_string().unwrap();
                assert_eq!(entry.path(), path.join(&name));
                if listed.len() < 10 {
                    assert!(entry.file_type().await?.is_file());
                    assert_eq!(entry.metadata().await?.len(), 12);
                    assert_eq!(entry.ino(), entry.metadata().await?.ino());
                }
                assert!(listed.insert(name));
            }
            assert_eq!(listed, names);
            assert!(entries.next_entry().await?.is_none(), "the end stays the end");
            let streamed: Vec<_> = fs::read_dir(&path).await?.collect().await;
            assert_eq!(streamed.len(), len);
            assert!(streamed.iter().all(Result::is_ok));
        }
        io::Result::Ok(())
    });
}
