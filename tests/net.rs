//! Sockets over the real kernel, on the loopback interface.

#![cfg(unix)]

#[path = "net/accepting.rs"]
mod accepting;
#[path = "net/acceptor.rs"]
mod acceptor;
#[path = "net/crowds.rs"]
mod crowds;
#[path = "net/fds.rs"]
mod fds;
#[path = "net/loops.rs"]
mod loops;
#[path = "net/messages.rs"]
mod messages;
#[path = "net/names.rs"]
mod names;
#[path = "net/partitions.rs"]
mod partitions;
#[path = "net/streams.rs"]
mod streams;

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};

/// No test may take this long, on however slow a machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `test`, and ends the whole process if it hangs: a red test is worth more than a stuck one.
fn bounded<R>(test: impl FnOnce() -> R) -> R {
    let (over, ended) = mpsc::channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    let result = test();
    drop(over);
    watchdog.join().unwrap();
    result
}

/// Runs a future on a loop of its own, bounded in time.
fn run<F: Future<Output = io::Result<()>>>(test: F) {
    bounded(|| evenloop::block_on(test)).unwrap();
}

/// Makes two ends of a connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, peer) = listener.accept().await?;
    assert_eq!(near.local_addr()?, peer);
    Ok((near, far))
}

/// Lets every other runnable task have a few goes.
async fn settle() {
    for _ in 0..10 {
        evenloop::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs `test` in a process of its own, which runs the test called `name` and nothing else.
fn in_child(name: &str, test: impl FnOnce()) {
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
