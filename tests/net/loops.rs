//! Sockets on other threads, on other loops, and after their loop.

use std::io;
use std::sync::Arc;
use std::thread;

use evenloop::net::{
    AsyncFd, OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, UdpSocket, UnixDatagram,
    UnixListener, UnixStream,
};
use evenloop::{Runtime, spawn, spawn_blocking};

use crate::{bounded, pair, run, settle};

/// Everything a user holds may go to any thread.
#[test]
fn all_is_send_and_sync() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug>() {}
    check::<TcpListener>();
    check::<TcpStream>();
    check::<OwnedReadHalf>();
    check::<OwnedWriteHalf>();
    check::<OwnedReadHalf<UnixStream>>();
    check::<UdpSocket>();
    check::<UnixListener>();
    check::<UnixStream>();
    check::<UnixDatagram>();
    check::<AsyncFd<std::net::TcpStream>>();

    fn is_send<T: Send>(_: T) {}
    fn futures(stream: &'static TcpStream, listener: &'static TcpListener) {
        is_send(stream.read(&mut []));
        is_send(stream.write_all(&[]));
        is_send(stream.readable());
        is_send(listener.accept());
        is_send(TcpStream::connect("127.0.0.1:1"));
    }
    let _ = futures;
}

/// Another thread reads and writes while the loop serves the other end.
#[test]
fn used_on_another_thread() {
    run(async {
        let (near, far) = pair().await?;
        let echo = spawn(async move {
            let mut buf = [0; 1000];
            loop {
                match far.read(&mut buf).await? {
                    0 => return io::Result::Ok(()),
                    read => far.write_all(&buf[..read]).await?,
                }
            }
        });
        spawn_blocking(move || {
            futures::executor::block_on(async {
                let mut got = [0; 100];
                for i in 0..500_u32 {
                    let sent = [i as u8; 100];
                    near.write_all(&sent).await?;
                    near.read_exact(&mut got).await?;
                    assert_eq!(got, sent);
                }
                io::Result::Ok(())
            })
        })
        .await
        .unwrap()?;
        echo.await.unwrap()
    });
}

/// Dropped elsewhere, a socket is closed at once: its peer sees the end.
#[test]
fn dropped_on_another_thread() {
    run(async {
        for _ in 0..100 {
            let (near, far) = pair().await?;
            let dropper = thread::spawn(move || drop(near));
            assert_eq!(far.read(&mut [0; 8]).await?, 0);
            dropper.join().unwrap();
        }
        Ok(())
    });
}

/// A socket of one loop serves a task of another loop.
#[test]
fn used_by_another_loop() {
    run(async {
        let (near, far) = pair().await?;
        let other = thread::spawn(move || {
            evenloop::block_on(async move {
                let mut got = [0; 3];
                for _ in 0..200 {
                    near.read_exact(&mut got).await?;
                    near.write_all(&got).await?;
                }
                io::Result::Ok(())
            })
        });
        let mut got = [0; 3];
        for _ in 0..200 {
            far.write_all(b"abc").await?;
            far.read_exact(&mut got).await?;
        }
        other.join().unwrap()
    });
}

fn is_gone<T: std::fmt::Debug>(result: io::Result<T>) {
    assert!(result.unwrap_err().to_string().contains("has shut down"));
}

/// A socket that outlives its runtime fails every operation, wakes who waited, and hangs nobody.
#[test]
fn outliving_the_runtime() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let (near, far) = runtime.block_on(pair()).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (near, listener) = (Arc::new(near), Arc::new(listener));
        let reader = thread::spawn({
            let near = near.clone();
            move || futures::executor::block_on(near.read(&mut [0; 8]))
        });
        let readable = thread::spawn({
            let near = near.clone();
            move || futures::executor::block_on(near.readable())
        });
        let acceptor = thread::spawn({
            let listener = listener.clone();
            move || futures::executor::block_on(listener.accept())
        });
        // Let the loop run while they come to wait; sooner or later makes no difference.
        runtime.block_on(settle());
        drop(runtime);
        is_gone(reader.join().unwrap());
        is_gone(readable.join().unwrap());
        is_gone(acceptor.join().unwrap());
        futures::executor::block_on(async {
            is_gone(near.read(&mut [0; 8]).await);
            is_gone(near.write(b"x").await);
            is_gone(near.try_read(&mut [0; 8]));
            is_gone(near.peek(&mut [0; 8]).await);
        });
        drop((near, listener));
        // A later loop is none the worse, also where numbers are used again.
        evenloop::block_on(async {
            let (a, b) = pair().await.unwrap();
            a.write_all(b"x").await.unwrap();
            assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 1);
            is_gone(far.read(&mut [0; 8]).await);
            drop(far);
        });
    });
}

/// One waker that panics at shutdown takes nobody else's wake away.
#[test]
fn panicking_waker_at_shutdown() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of somebody else's");
        }
    }
    bounded(|| {
        let runtime = Runtime::builder().on_unhandled_panic(|_| ()).build().unwrap();
        let pairs = runtime.block_on(async {
            let mut pairs = Vec::new();
            for _ in 0..40 {
                pairs.push(pair().await.unwrap());
            }
            pairs
        });
        let waker = std::task::Waker::from(Arc::new(Panics));
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(pairs[7].0.poll_read_ready(&mut cx).is_pending());
        let readers: Vec<_> = pairs
            .into_iter()
            .map(|(near, far)| {
                let reader = move || futures::executor::block_on(near.read(&mut [0; 8]));
                (thread::spawn(reader), far)
            })
            .collect();
        drop(runtime);
        for (reader, far) in readers {
            is_gone(reader.join().unwrap());
            drop(far);
        }
    });
}

/// A socket lives on between two calls of `block_on`, and events in between are not lost.
#[test]
fn between_two_runs() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let (near, far) = runtime.block_on(pair()).unwrap();
        let reader = runtime.spawn(async move {
            let mut got = [0; 5];
            near.read_exact(&mut got).await.map(|()| got)
        });
        runtime.block_on(settle());
        assert_eq!(far.try_write(b"later").unwrap(), 5);
        assert_eq!(&runtime.block_on(reader).unwrap().unwrap(), b"later");
    });
}

/// Outside a runtime there is a panic that says what to do.
#[test]
fn outside_a_runtime() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let panic = std::panic::catch_unwind(|| TcpListener::from_std(listener)).unwrap_err();
    let message = panic.downcast_ref::<String>().expect("a text");
    assert!(message.contains("TcpListener") && message.contains("block_on"), "{message}");
}
