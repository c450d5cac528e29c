//! A storm of signals, each of which interrupts the system call it finds.

// A handler without `SA_RESTART`, and a signal to one thread, are for `libc` alone.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use evenloop::time::sleep;
use evenloop::{Handle, block_on, spawn, spawn_blocking, spawn_in};

use crate::rig::{MS, alone, figure, pick, quantile};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Sends the calling thread a signal every millisecond while `body` runs.
fn storm<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: the handler does nothing but add to an atomic; the structure is whole, and lives until
    // the call is over.
    let me = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, null_mut()), 0);
        libc::pthread_self()
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(MS);
                // SAFETY: that thread is in this function until this one has ended.
                assert_eq!(unsafe { libc::pthread_kill(me, libc::SIGUSR1) }, 0);
            }
        });
        let result = body();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// Sends and receives in every way there is, until told otherwise.
async fn traffic(trips: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = spawn(async move {
        for _ in 0..trips {
            let (stream, _) = listener.accept().await?;
            let mut buf = vec![0; 100_000];
            stream.read_exact(&mut buf).await?;
            stream.write_all(&buf).await?;
        }
        std::io::Result::Ok(())
    });
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    let (left, right) = UnixStream::pair()?;
    for i in 0..trips {
        let stream = TcpStream::connect(address).await?;
        let bytes = vec![i as u8; 100_000];
        stream.write_all(&bytes).await?;
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back).await?;
        assert!(back == bytes);
        one.send_to(b"datagram", other.local_addr()?).await?;
        assert_eq!(other.recv_from(&mut [0; 16]).await?.0, 8);
        left.write_all(b"unix").await?;
        right.read_exact(&mut [0; 4]).await?;
        assert_eq!(spawn_blocking(|| 7).await.unwrap(), 7);
        sleep(MS).await;
    }
    server.await.unwrap()
}

/// Under a thousand signals a second sleeps end on time, harvests stay few, and no error reaches
/// anybody.
#[test]
fn a_storm_of_signals() {
    alone("signals::a_storm_of_signals", || {
        let (late, harvests) = storm(|| {
            block_on(async {
                let traffic = spawn_in("traffic", traffic(pick(50, 1_000)));
                let mut late = Vec::new();
                for _ in 0..pick(20, 100) {
                    let begin = Instant::now();
                    sleep(50 * MS).await;
                    late.push(begin.elapsed().checked_sub(50 * MS).expect("a sleep was early"));
                }
                traffic.await.unwrap().expect("no error reaches anybody");
                let before = Handle::current().metrics().harvests;
                sleep(500 * MS).await;
                late.sort();
                (late, Handle::current().metrics().harvests - before)
            })
        });
        let signals = SIGNALS.load(Ordering::Relaxed);
        let (half, worst) = (quantile(&late, 0.5), late[late.len() - 1]);
        figure("9 signal storm", format_args!("{signals} signals, {harvests} harvests in 500 ms"));
        figure(
            "9 signal storm",
            format_args!("sleeps of 50ms late {half:?} p50, {worst:?} at worst"),
        );
        assert!(signals > 200, "this was no storm: {signals}");
        // One for each signal that ended a wait, and a few.
        assert!(harvests > 50, "the signals went elsewhere: {harvests} harvests");
        assert!(harvests < 1_500, "interrupted waits spin: {harvests}");
        assert!(half < Duration::from_millis(10), "{half:?}");
    });
}

/// Without signals all of it goes through as well. strace runs this one, and says of any of its
/// system calls that it was interrupted.
#[test]
fn traffic_goes_through() {
    alone("signals::traffic_goes_through", || {
        block_on(traffic(50)).expect("no error reaches anybody");
    });
}
