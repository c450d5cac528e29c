//! Files that are dropped, and runtimes that end, with something under way.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use evenloop::Runtime;
use evenloop::fs::{self, File};

use crate::{Dir, bounded, bytes, make_pipe};

/// What was written and not flushed is in the file when the runtime has ended, whether the file was
/// dropped before, in its task's end, or outlives the runtime; and also if no thread got to it.
#[test]
fn writes_outlive_their_file() {
    bounded(|| {
        for round in 0..60_u32 {
            let dir = Dir::new();
            let path = dir.join("file");
            let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
            let (go, wait) = mpsc::channel::<()>();
            let kept = runtime.block_on(async {
                let mut file = File::create(&path).await.unwrap();
                if round % 3 == 0 {
                    // The only thread is taken, so the writes wait in the queue of the pool.
                    drop(evenloop::spawn_blocking(move || wait.recv()));
                }
                for piece in bytes(900_000).chunks(1 + round as usize * 4_999) {
                    file.write_all(piece).await.unwrap();
                }
                match round / 3 % 3 {
                    0 => Some(file),
                    1 => {
                        drop(file);
                        None
                    }
                    _ => {
                        evenloop::spawn(async move {
                            std::future::pending::<()>().await;
                            drop(file);
                        });
                        evenloop::yield_now().await;
                        None
                    }
                }
            });
            if round % 2 == 0 {
                drop(go);
                drop(runtime);
                drop(kept);
            } else {
                // The job that was not begun is given up; who drops the file writes what is left.
                let report = runtime.shutdown(Duration::ZERO);
                drop(kept);
                drop(go);
                wait_for_jobs(report.blocking_running(), &path);
            }
            assert!(std::fs::read(&path).unwrap() == bytes(900_000), "round {round}");
        }
    });
}

/// Jobs that ran at the end of a runtime have their threads to themselves.
fn wait_for_jobs(_: usize, path: &std::path::Path) {
    for _ in 0..10_000 {
        if std::fs::metadata(path).unwrap().len() == 900_000 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A runtime ends with reads of every kind under way: none hangs, none is taken for the end of the
/// file, and the files are as usable in the next runtime.
#[test]
fn shutdown_with_reads_under_way() {
    bounded(|| {
        for round in 0..40_u64 {
            let dir = Dir::new();
            let path = dir.join("file");
            std::fs::write(&path, bytes(3 << 20)).unwrap();
            let runtime = Runtime::builder().blocking_threads(2).build().unwrap();
            let (send, receive) = mpsc::channel();
            runtime.block_on(async {
                for n in 0..20 {
                    let (path, send) = (path.clone(), send.clone());
                    evenloop::spawn(async move {
                        let mut file = File::open(&path).await?;
                        let _clone = file.try_clone().await?;
                        let mut all = Vec::new();
                        let read = file.read_to_end(&mut all).await;
                        let whole = fs::read(&path).await;
                        send.send((n, read.is_ok() && all.len() == 3 << 20, whole.is_ok()))
                            .unwrap();
                        io::Result::Ok(())
                    });
                }
                for _ in 0..round * 20 {
                    evenloop::yield_now().await;
                }
            });
            drop(runtime);
            drop(send);
            for (_, stream, whole) in receive {
                assert!(stream && whole, "a read that ended has read all");
            }
            // Descriptors that are left would be seen by `tests/footprint.rs`; here, that it works.
            let next = Runtime::new().unwrap();
            assert!(next.block_on(fs::read(&path)).unwrap() == bytes(3 << 20));
        }
    });
}

/// A file outlives its runtime: what it was asked for there fails or is done, and in the next runtime
/// it goes on, with nothing lost.
#[test]
fn files_move_between_runtimes() {
    bounded(|| {
        let dir = Dir::new();
        let path = dir.join("file");
        std::fs::write(&path, bytes(1 << 20)).unwrap();
        let mut all = Vec::new();
        let first = Runtime::new().unwrap();
        let mut file = first.block_on(async {
            let file = File::open(&path).await?;
            let _clone = file.try_clone().await?;
            io::Result::Ok(file)
        });
        drop(first);
        let file = file.as_mut().unwrap();
        for n in 0..30 {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let mut buf = vec![0; 1 + n * 3_001];
                // The job of the runtime before may have been given up, which is told once.
                let read = match file.read(&mut buf).await {
                    Ok(read) => read,
                    Err(_) => file.read(&mut buf).await.unwrap(),
                };
                all.extend_from_slice(&buf[..read]);
                // One that is given up as the runtime ends.
                let _ = futures::future::poll_immediate(file.read(&mut buf)).await.map(|read| {
                    all.extend_from_slice(&buf[..read.unwrap()]);
                });
            });
            drop(runtime);
        }
        let last = Runtime::new().unwrap();
        last.block_on(async {
            let mut rest = Vec::new();
            let read = file.read_to_end(&mut rest).await;
            // The job of the runtime before may have been given up, which is told once.
            if read.is_err() {
                file.read_to_end(&mut rest).await.unwrap();
            }
            all.extend_from_slice(&rest);
        });
        assert!(all == bytes(1 << 20));
    });
}

/// A read of a pipe that nothing comes from is given up with its runtime, and a shutdown that does
/// not wait leaves it its thread.
#[test]
fn shutdown_does_not_wait_for_a_silent_pipe() {
    bounded(|| {
        let dir = Dir::new();
        let pipe = dir.join("pipe");
        make_pipe(&pipe);
        let keep = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let mut file = File::open(&pipe).await.unwrap();
            let mut buf = [0; 8];
            assert!(futures::future::poll_immediate(file.read(&mut buf)).await.is_none());
        });
        runtime.shutdown_background();
        drop(keep);
    });
}
