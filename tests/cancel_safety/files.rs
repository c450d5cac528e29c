//! Files. A named pipe, or a pool whose only thread is taken, says when a wait has to be given up.

use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};

use evenloop::fs::{self, File};
use evenloop::time::{Duration, sleep};
use evenloop::{Runtime, spawn_blocking};

use crate::{PATIENCE, Place, give_up, give_up_after, run};

/// Runs a test on a pool of one thread.
fn run_on_one_thread<F: Future<Output = io::Result<()>>>(
    test: impl FnOnce() -> F + Send + 'static,
) {
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
        send.send(runtime.block_on(test())).unwrap();
    });
    ended.recv_timeout(PATIENCE).expect("it ends, and does not panic").unwrap();
}

/// Takes the only thread of the pool until what this returns is dropped.
async fn take_the_thread() -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let (began, begin) = mpsc::channel();
    drop(spawn_blocking(move || {
        began.send(()).unwrap();
        let _ = wait.recv();
    }));
    while begin.try_recv().is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    go
}

/// A pipe in the file system, and its writing end.
fn pipe(place: &Path) -> io::Result<(File, std::fs::File)> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, place, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Both ways, so that neither end waits for the other to be opened.
    let writes = std::fs::File::options().read(true).write(true).open(place)?;
    Ok((File::from_std(std::fs::File::open(place)?), writes))
}

/// Drops a wait that pends again after `step` has woken it: it has done a step, and not the last.
async fn give_up_after_a_step<F: Future>(step: impl FnOnce() -> io::Result<()>, wait: F) {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut wait = pin!(wait);
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    step().unwrap();
    while !woken.0.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(wait.as_mut().poll(&mut cx).is_pending());
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Every byte comes once and in order, although each read is given up before and after it came.
#[test]
fn reads_of_a_pipe() {
    run(|| async {
        let place = Place::new("file-pipe");
        let (mut reads, mut writes) = pipe(&place.0)?;
        let sent = bytes(40_000);
        let (mut got, mut buf) = (Vec::new(), vec![0; 700]);
        for (n, piece) in sent.chunks(1_000).enumerate() {
            give_up(reads.read(&mut buf[..n + 1])).await;
            give_up(reads.read(&mut buf)).await;
            writes.write_all(piece)?;
            if n % 2 == 0 {
                // The read of whoever was there before ends.
                sleep(Duration::from_millis(2)).await;
            }
            while got.len() < (n + 1) * 1_000 {
                if let Some(read) = give_up_after(got.len() % 3, reads.read(&mut buf)).await {
                    got.extend_from_slice(&buf[..read?]);
                }
            }
        }
        assert!(got == sent);
        drop(writes);
        assert_eq!(reads.read(&mut buf).await?, 0);
        Ok(())
    });
}

/// A file that is read ahead, and read at places, with most reads given up.
#[test]
fn reads_of_a_file() {
    run(|| async {
        let place = Place::new("file-reads");
        let whole = bytes(3 << 20);
        std::fs::write(&place.0, &whole)?;
        let mut file = File::open(&place.0).await?;
        let clone = file.try_clone().await?;
        let (mut got, mut given_up) = (Vec::new(), 0);
        while got.len() < whole.len() {
            let mut buf = vec![0; 1 + got.len() * 31 % 400_000];
            match give_up_after(got.len() % 2, file.read(&mut buf)).await {
                Some(read) => got.extend_from_slice(&buf[..read?]),
                None => given_up += 1,
            }
            let at = got.len() / 2;
            if let Some(read) = give_up_after(1, clone.read_at(&mut buf, at as u64)).await {
                assert!(whole[at..].starts_with(&buf[..read?]));
            }
            let len = 1_000.min(whole.len() - at);
            if let Some(read) =
                give_up_after(1, clone.read_exact_at(&mut buf[..1], at as u64)).await
            {
                read?;
                assert_eq!(buf[0], whole[at], "of {len}");
            }
        }
        assert!(got == whole);
        assert!(given_up > 0, "no read had to wait");
        Ok(())
    });
}

/// A write that is given up has taken nothing, and what was taken is written, whatever else is given
/// up: waits for it, and changes that come after it.
#[test]
fn writes_and_waits_for_them() {
    run_on_one_thread(|| async {
        let place = Place::new("file-writes");
        let mut file = File::options().create(true).read(true).write(true).open(&place.0).await?;
        let whole = bytes(6 << 20);
        let mut taken = 0;
        for _ in 0..3 {
            let go = take_the_thread().await;
            // Until there is no room.
            while let Some(written) = give_up_after(1, file.write(&whole[taken..])).await {
                taken += written?;
            }
            assert!(taken < whole.len(), "all of it was taken, and nothing written");
            give_up(file.write(&whole[taken..])).await;
            give_up(file.flush()).await;
            give_up(file.sync_all()).await;
            give_up(file.sync_data()).await;
            give_up(file.metadata()).await;
            give_up(file.stream_position()).await;
            give_up(file.rewind()).await;
            give_up(file.set_len(0)).await;
            give_up(file.write_at(b"nowhere", 0)).await;
            give_up(async { file.try_clone().await.map(drop) }).await;
            drop(go);
            assert_eq!(file.stream_position().await?, taken as u64);
            assert!(std::fs::read(&place.0)? == whole[..taken]);
        }
        // Once what comes before is written they are done, for nobody.
        let go = take_the_thread().await;
        give_up(file.write_at(b"here", 0)).await;
        give_up(file.set_len(4)).await;
        give_up(file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o640))).await;
        drop(go);
        file.sync_all().await?;
        assert_eq!(std::fs::read(&place.0)?, b"here");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&place.0)?);
        assert_eq!(mode & 0o777, 0o640);
        let go = take_the_thread().await;
        file.rewind().await?;
        file.write_all(b"there").await?;
        give_up(file.into_std()).await;
        drop(go);
        spawn_blocking(|| ()).await.unwrap();
        assert_eq!(std::fs::read(&place.0)?, b"there");
        Ok(())
    });
}

/// What has several steps says how far it got, or that it does not.
#[test]
fn transfers_in_steps() {
    run(|| async {
        let place = Place::new("file-steps");
        let (mut reads, mut writes) = pipe(&place.0)?;
        let mut all = vec![1];
        give_up_after_a_step(|| writes.write_all(b"12"), reads.read_to_end(&mut all)).await;
        assert_eq!(all, b"\x0112", "what was read is in the vector");
        let mut exact = [0; 4];
        give_up_after_a_step(|| writes.write_all(b"34"), reads.read_exact(&mut exact)).await;
        assert_eq!(&exact, b"34\0\0", "and gone");
        let mut text = String::new();
        give_up_after_a_step(|| writes.write_all(b"56"), reads.read_to_string(&mut text)).await;
        assert_eq!(text, "", "and gone");
        writes.write_all(b"7")?;
        assert_eq!(reads.read(&mut exact).await?, 1);
        assert_eq!(exact[0], b'7');

        let (mut file, whole) = (File::create(&place.0.with_extension("w")).await?, bytes(9 << 20));
        let _removed = Place(place.0.with_extension("w"));
        if give_up_after(0, file.write_all(&whole)).await.is_none() {
            file.flush().await?;
            let written = std::fs::read(&_removed.0)?;
            assert!(whole.starts_with(&written), "a part, from the beginning");
        }
        Ok(())
    });
}

/// What only looks is taken back if it has not begun, and can be asked again.
#[test]
fn whole_files_and_directories() {
    run_on_one_thread(|| async {
        let place = Place::new("file-whole");
        std::fs::write(&place.0, bytes(300_000))?;
        let dir = std::env::temp_dir();
        for _ in 0..3 {
            let go = take_the_thread().await;
            give_up(fs::read(&place.0)).await;
            give_up(fs::read_to_string(&place.0)).await;
            give_up(fs::metadata(&place.0)).await;
            give_up(fs::try_exists(&place.0)).await;
            give_up(async { fs::read_dir(&dir).await.map(drop) }).await;
            // None of these is in the queue of the pool any more.
            let next = spawn_blocking(|| ());
            drop(go);
            next.await.unwrap();
            assert!(fs::read(&place.0).await? == bytes(300_000));
        }
        let many = Place(place.0.with_extension("many"));
        std::fs::create_dir(&many.0)?;
        for n in 0..600 {
            std::fs::write(many.0.join(n.to_string()), "")?;
        }
        let (mut entries, mut count) = (fs::read_dir(&many.0).await?, 0);
        loop {
            let go = take_the_thread().await;
            match give_up_after(2, entries.next_entry()).await {
                Some(Ok(Some(_))) => count += 1,
                Some(ended) => break assert!(ended?.is_none()),
                None => {}
            }
            drop(go);
        }
        std::fs::remove_dir_all(&many.0)?;
        assert_eq!(count, 600);
        Ok(())
    });
}

/// What changes something is done once it was polled, and not before.
#[test]
fn changes_are_made() {
    run_on_one_thread(|| async {
        let (place, other) = (Place::new("file-changes"), Place::new("file-changed"));
        let go = take_the_thread().await;
        drop(fs::write(&place.0, "never polled"));
        give_up(fs::write(&place.0, "written")).await;
        give_up(fs::copy(&place.0, &other.0)).await;
        give_up(fs::remove_file(&place.0)).await;
        give_up(fs::rename(&other.0, &place.0)).await;
        give_up(fs::OpenOptions::new().write(true).create(true).open(&other.0)).await;
        drop(go);
        spawn_blocking(|| ()).await.unwrap();
        assert_eq!(std::fs::read(&place.0)?, b"written");
        assert_eq!(std::fs::read(&other.0)?, b"");
        Ok(())
    });
}
