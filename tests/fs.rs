//! Files: what is read and written is what `std` would, nothing is lost, and the loop goes on.

#![cfg(unix)]

#[path = "fs/ends.rs"]
mod ends;
#[path = "fs/model.rs"]
mod model;
#[path = "fs/odd.rs"]
mod odd;
#[path = "fs/paths.rs"]
mod paths;
#[path = "fs/streams.rs"]
mod streams;
#[path = "fs/whole.rs"]
mod whole;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use evenloop::block_on;

/// Longer than any test takes, and shorter than anybody waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `f` on a thread of its own, and fails if it does not end.
fn bounded<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(send.send(f())));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end in sight"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("a test that ends sends its outcome or panics"),
        },
    }
}

/// Runs `test` in a process of its own, which runs the test called `name` and nothing else.
fn in_child(name: &str, test: impl FnOnce() + Send + 'static) {
    const CHILD: &str = "EVENLOOP_TEST_CHILD";
    if std::env::var_os(CHILD).is_some_and(|child| child == name) {
        return bounded(test);
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}

/// Runs a test on a loop of its own.
fn run<F: Future<Output = io::Result<()>>>(test: impl FnOnce() -> F + Send + 'static) {
    bounded(move || block_on(test())).unwrap();
}

/// A directory of a test's own, removed when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("evenloop-fs-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes of which no two places near each other have the same.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Makes a named pipe.
fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}
