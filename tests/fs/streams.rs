//! Streams: devices and pipes, traits of others, and the loop that goes on meanwhile.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use evenloop::fs::{self, File};
use evenloop::{Partition, spawn, spawn_in, yield_now};
use futures::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::{Dir, bytes, make_pipe, run};

/// A device without an end is read in any sizes.
#[test]
fn devices() {
    run(|| async {
        let mut zero = File::open("/dev/zero").await?;
        for len in [1, 4096, 1 << 17, (1 << 17) + 1, 1 << 21] {
            let mut buf = vec![1; len];
            zero.read_exact(&mut buf).await?;
            assert!(buf.iter().all(|byte| *byte == 0));
        }
        let mut null = File::create("/dev/null").await?;
        null.write_all(&bytes(3 << 20)).await?;
        null.flush().await?;
        assert_eq!(File::open("/dev/null").await?.read(&mut [0; 8]).await?, 0);
        Ok(())
    });
}

/// A disk without room is told by the next call, and once; then it may be tried again.
#[test]
#[cfg(target_os = "linux")]
fn a_failed_write_is_told_once() {
    run(|| async {
        let mut full = File::options().write(true).open("/dev/full").await?;
        for _ in 0..10 {
            assert!(full.write(b"does not fit").await? > 0);
            assert_eq!(full.flush().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
            full.flush().await?;
            full.write_all(b"neither").await?;
            assert_eq!(full.sync_all().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
            full.write_all(b"nor this").await?;
            assert_eq!(full.metadata().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        // Many times what may wait: the error comes before the end.
        let mut told = None;
        for _ in 0..100 {
            told = told.or(full.write_all(&bytes(1 << 18)).await.err());
        }
        assert_eq!(told.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
        Ok(())
    });
}

/// What many small writes took goes out in few calls, in order.
#[test]
fn small_writes_are_put_together() {
    run(|| async {
        let dir = Dir::new();
        let path = dir.join("file");
        let mut file = File::create(&path).await?;
        let mut expected = Vec::new();
        for n in 0..50_000_u32 {
            let line = format!("line {n}\n");
            file.write_all(line.as_bytes()).await?;
            expected.extend_from_slice(line.as_bytes());
        }
        file.flush().await?;
        assert!(std::fs::read(&path)? == expected);
        Ok(())
    });
}

/// The traits of `futures-io` and of `tokio` do what the methods do.
#[test]
fn traits_of_others() {
    run(|| async {
        let dir = Dir::new();
        let path = dir.join("file");
        let whole = bytes(300_000);

        let mut file = File::options().create(true).read(true).write(true).open(&path).await?;
        AsyncWriteExt::write_all(&mut file, &whole).await?;
        AsyncSeekExt::seek(&mut file, io::SeekFrom::Start(100)).await?;
        let mut read = Vec::new();
        AsyncReadExt::read_to_end(&mut file, &mut read).await?;
        assert!(read == whole[100..]);
        AsyncWriteExt::write_all(&mut file, b"more").await?;
        AsyncWriteExt::close(&mut file).await?;
        assert_eq!(std::fs::metadata(&path)?.len(), 300_004);

        let file = &mut file;
        assert_eq!(tokio::io::AsyncSeekExt::stream_position(file).await?, 300_004);
        tokio::io::AsyncSeekExt::seek(file, io::SeekFrom::End(-4)).await?;
        let mut end = String::new();
        tokio::io::AsyncReadExt::read_to_string(file, &mut end).await?;
        assert_eq!(end, "more");
        tokio::io::AsyncSeekExt::rewind(file).await?;
        tokio::io::AsyncWriteExt::write_all(file, b"first").await?;
        tokio::io::AsyncWriteExt::shutdown(file).await?;
        assert!(std::fs::read(&path)?.starts_with(b"first"));
        Ok(())
    });
}

/// While a file of 256 MiB is read, whole and as a stream, and one of 64 MiB written, the handles of
/// another partition go on: not one or two of them, but thousands.
#[test]
fn the_loop_goes_on_meanwhile() {
    run(|| async {
        const LEN: usize = 256 << 20;
        let dir = Dir::new();
        let path = dir.join("file");
        std::fs::File::create(&path)?.set_len(LEN as u64)?;
        let ticks = Rc::new(Cell::new(0_u64));
        let ticker = spawn_in("ticker", {
            let ticks = ticks.clone();
            async move {
                loop {
                    ticks.set(ticks.get() + 1);
                    yield_now().await;
                }
            }
        });
        let ticks_of = async |work: &str, before: u64| {
            let ran = ticks.get() - before;
            assert!(ran > 1_000, "{ran} handles ran meanwhile: {work}");
        };

        let before = ticks.get();
        assert_eq!(fs::read(&path).await?.len(), LEN);
        ticks_of("a whole file", before).await;

        for asks in [true, false] {
            let mut file = File::open(&path).await?;
            let clone = if asks { None } else { Some(file.try_clone().await?) };
            let (before, mut read) = (ticks.get(), 0);
            let mut buf = vec![1; 1 << 20];
            while read < LEN {
                read += file.read(&mut buf).await?;
            }
            ticks_of("a stream", before).await;
            drop(clone);
        }

        let before = ticks.get();
        let mut file = File::create(dir.join("other")).await?;
        let piece = bytes(1 << 20);
        for _ in 0..64 {
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        ticks_of("writes", before).await;
        ticker.abort();
        Ok(())
    });
}

/// An endless device that is always ready holds nobody up: others run after each few reads.
#[test]
fn an_endless_stream_yields() {
    run(|| async {
        let mut zero = File::open("/dev/zero").await?;
        let reader = spawn(async move {
            let mut buf = vec![1; 1 << 16];
            for _ in 0..20_000 {
                zero.read_exact(&mut buf).await.unwrap();
            }
        });
        let mut handles = 0;
        while !reader.is_finished() {
            handles += 1;
            yield_now().await;
        }
        assert!(handles > 200, "only {handles} handles ran beside it");
        Ok(())
    });
}

/// What the pool has done comes back to the partition of the task that waits, wherever the file was
/// opened: each of these reads has to wait, and each wait is a handle there.
#[test]
fn completions_come_to_the_partition_that_waits() {
    run(|| async {
        let dir = Dir::new();
        let path = dir.join("pipe");
        make_pipe(&path);
        let mut writes = std::fs::File::options().read(true).write(true).open(&path)?;
        let mut file = spawn_in("opens", File::open(path)).await.unwrap()?;
        let reads = Partition::named("reads");
        let waits = Rc::new(Cell::new(0));
        let reader = reads.spawn({
            let waits = waits.clone();
            async move {
                for n in 0..20 {
                    waits.set(n + 1);
                    file.read_exact(&mut [0]).await?;
                    assert_eq!(Partition::current().name(), "reads");
                }
                io::Result::Ok(())
            }
        });
        let before = reads.metrics().handles;
        for n in 0..20 {
            while waits.get() <= n {
                yield_now().await;
            }
            std::io::Write::write_all(&mut writes, b"x")?;
        }
        reader.await.unwrap()?;
        let ran = reads.metrics().handles - before;
        assert!(ran >= 20, "{ran} handles for twenty waits");
        Ok(())
    });
}
