//! Whole files.

use std::io;
use std::path::PathBuf;

use evenloop::fs;
use futures::StreamExt;

use crate::{Dir, bytes, make_pipe, run};

/// Sizes around those at which a file is read another way.
const SIZES: [usize; 12] = [
    0,
    1,
    4095,
    4096,
    4097,
    (1 << 16) - 1,
    1 << 16,
    (1 << 16) + 1,
    1 << 17,
    (1 << 22) - 1,
    1 << 22,
    (1 << 22) + 4097,
];

/// What was written is read, whatever the size; first by the pool, then from memory.
#[test]
fn files_of_all_sizes() {
    run(|| async {
        let dir = Dir::new();
        for len in SIZES {
            let path = dir.join(format!("{len}"));
            fs::write(&path, bytes(len)).await?;
            assert_eq!(std::fs::read(&path)?, bytes(len));
            for _ in 0..3 {
                assert!(fs::read(&path).await? == bytes(len), "{len}");
            }
            fs::write(&path, "shorter").await?;
            assert_eq!(fs::read_to_string(&path).await?, "shorter");
        }
        io::Result::Ok(())
    });
}

/// Ten thousand small files, one after the other and many at a time, each with its own contents.
#[test]
fn ten_thousand_small_files() {
    run(|| async {
        let dir = Dir::new();
        let files: Vec<PathBuf> = (0..10_000).map(|n| dir.join(format!("{n}"))).collect();
        let contents = |n: usize| format!("file {n} ").repeat(1 + n % 200).into_bytes();
        let all = || futures::stream::iter(files.iter().enumerate());
        let writes = all().map(|(n, path)| fs::write(path, contents(n))).buffer_unordered(100);
        assert!(writes.all(async |written| written.is_ok()).await);
        for (n, path) in files.iter().enumerate() {
            assert!(fs::read(path).await? == contents(n), "{n}");
        }
        let reads = all().map(async |(n, path)| fs::read(path).await.map(|read| (n, read)));
        let read: Vec<_> = reads.buffer_unordered(1_000).collect().await;
        assert_eq!(read.len(), files.len());
        for read in read {
            let (n, read) = read?;
            assert!(read == contents(n), "{n}");
        }
        io::Result::Ok(())
    });
}

/// Files that the kernel makes up, whose length it does not say.
#[test]
#[cfg(target_os = "linux")]
fn files_without_a_length() {
    run(|| async {
        for _ in 0..3 {
            let status = fs::read_to_string("/proc/self/status").await?;
            assert!(status.lines().count() > 10, "{status}");
            assert_eq!(fs::read("/dev/null").await?, b"");
        }
        io::Result::Ok(())
    });
}

/// A named pipe is read until its writers are gone, also where files were read at once before: a
/// writer may come long after the reader.
#[test]
fn named_pipes() {
    run(|| async {
        let dir = Dir::new();
        let (pipe, path) = (dir.join("pipe"), dir.join("file"));
        make_pipe(&pipe);
        for round in 0..10_u32 {
            // So that the directory is known for its files.
            fs::write(&path, "a neighbour").await?;
            fs::read(&path).await?;
            let write = {
                let pipe = pipe.clone();
                move || std::fs::write(pipe, bytes(100_000 * round as usize % 300_000))
            };
            let read = evenloop::spawn(fs::read(pipe.clone()));
            if round % 2 == 0 {
                evenloop::time::sleep(evenloop::time::Duration::from_millis(5)).await;
            }
            let writes = evenloop::spawn_blocking(write);
            assert!(read.await.unwrap()? == bytes(100_000 * round as usize % 300_000));
            writes.await.unwrap()?;
        }
        io::Result::Ok(())
    });
}

/// Symbolic links are followed, also those into another file system, and broken ones are told.
#[test]
fn links() {
    run(|| async {
        let dir = Dir::new();
        let (file, link) = (dir.join("file"), dir.join("link"));
        fs::write(&file, "behind a link").await?;
        fs::symlink(&file, &link).await?;
        for _ in 0..3 {
            assert_eq!(fs::read(&file).await?, b"behind a link");
            assert_eq!(fs::read(&link).await?, b"behind a link");
        }
        assert_eq!(fs::read_link(&link).await?, file);
        fs::remove_file(&file).await?;
        assert_eq!(fs::read(&link).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        io::Result::Ok(())
    });
}

/// A file that is replaced, grows, shrinks or goes away is read as it is.
#[test]
fn what_changes_is_read_as_it_is() {
    run(|| async {
        let dir = Dir::new();
        let (path, other) = (dir.join("file"), dir.join("other"));
        for len in (0..200_000).step_by(9_973) {
            std::fs::write(&path, bytes(len))?;
            assert!(fs::read(&path).await? == bytes(len));
            std::fs::write(&other, bytes(len / 2))?;
            std::fs::rename(&other, &path)?;
            assert!(fs::read(&path).await? == bytes(len / 2));
            std::fs::remove_file(&path)?;
            assert_eq!(fs::read(&path).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        io::Result::Ok(())
    });
}

/// What is no UTF-8 is no string, in the words of `std`.
#[test]
fn strings_are_checked() {
    run(|| async {
        let dir = Dir::new();
        let path = dir.join("file");
        fs::write(&path, [0x80, 0xff]).await?;
        let error = fs::read_to_string(&path).await.unwrap_err();
        let expected = std::fs::read_to_string(&path).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (expected.kind(), expected.to_string()));
        io::Result::Ok(())
    });
}
