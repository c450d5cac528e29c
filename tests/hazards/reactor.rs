//! The kernel's events: stale, hung up, crossed, and none at all.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Std;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use evenloop::net::{AsyncFd, Direction, TcpListener, TcpStream, UdpSocket};
use evenloop::time::sleep;
use evenloop::{Handle, block_on, spawn, spawn_in};

use crate::{HOUR, bounded, settle};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// Lets the kernel be asked, and its answers be delivered.
async fn harvest() {
    sleep(Duration::from_millis(2)).await;
    settle().await;
}

/// Events that come between a look at an fd and the word that it has nothing more are kept: with as
/// many of them as wrap eight bits, and one more or less.
#[test]
fn events_between_a_look_and_its_clear_are_kept() {
    bounded(|| {
        block_on(async {
            let handle = Handle::current();
            for events in [1, 255, 256, 257] {
                let (near, mut far) = Std::pair().unwrap();
                let near = AsyncFd::new(near).unwrap();
                far.write_all(b"x").unwrap();
                let look = near.readable().await.unwrap();
                for _ in 0..events {
                    // Each is an event of its own: the loop has asked in between.
                    let before = handle.metrics().events;
                    far.write_all(b"y").unwrap();
                    while handle.metrics().events == before {
                        sleep(Duration::from_micros(50)).await;
                    }
                }
                look.clear();
                let again = futures::poll!(pin!(near.readable()));
                assert!(again.is_ready(), "{events} events were cleared unseen");
            }
        });
    });
}

/// Events of one direction do not poll who waits for the other, nor keep it from clearing.
#[test]
fn write_events_leave_the_reader_alone() {
    bounded(|| {
        block_on(async {
            let (near, far) = Std::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let near = Rc::new(AsyncFd::new(near).unwrap());
            let polls = Rc::new(Cell::new(0));
            let (reads, counted) = (near.clone(), polls.clone());
            let reader = spawn(async move {
                let mut byte = [0];
                let read = reads.async_io(Direction::Read, |mut fd| fd.read(&mut byte));
                let mut read = pin!(read);
                poll_fn(|cx| {
                    counted.set(counted.get() + 1);
                    read.as_mut().poll(cx)
                })
                .await
                .unwrap()
            });
            settle().await;
            let mut sink = vec![0; 1 << 20];
            let mut crossings = 0;
            while crossings < 50 {
                // Full, then empty: one event that says so.
                while near.try_io(Direction::Write, |mut fd| fd.write(&[0; 4096])).is_ok() {}
                while (&far).read(&mut sink).is_ok() {}
                drop(near.writable().await.unwrap());
                crossings += 1;
            }
            harvest().await;
            assert_eq!(polls.get(), 1, "the reader has nothing to read");
            (&far).write_all(b"x").unwrap();
            assert_eq!(reader.await.unwrap(), 1);
            assert_eq!(polls.get(), 2);
        });
    });
}

/// What a reset leaves can be read, written, shut down and asked about: ordinary outcomes, and none
/// of them waits.
#[test]
fn a_reset_stream_answers_everything() {
    bounded(|| {
        block_on(async {
            for first in 0..3 {
                let (near, far) = pair().await;
                far.set_linger(Some(Duration::ZERO)).unwrap();
                drop(far);
                match first {
                    0 => assert!(near.read(&mut [0; 8]).await.is_err()),
                    1 => while near.write(b"x").await.is_ok() {},
                    _ => {}
                }
                for how in [Shutdown::Write, Shutdown::Both, Shutdown::Read] {
                    if let Err(error) = near.shutdown(how) {
                        assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
                    }
                }
                drop((near.peer_addr(), near.local_addr().unwrap(), near.take_error()));
                let read = near.read(&mut [0; 8]).await;
                assert!(!matches!(read, Ok(1..)));
                assert!(near.write_all(&[0; 64]).await.is_err());
                near.readable().await.unwrap();
                near.writable().await.unwrap();
            }
        });
    });
}

/// Hang-ups, errors and ends of streams that nobody reads, far timers and silent sockets: the loop
/// sleeps on all of them.
#[test]
fn what_nobody_reads_keeps_nobody_awake() {
    bounded(|| {
        block_on(async {
            let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
            for i in 0..20 {
                // Hung up, with and without unread bytes.
                let (near, mut far) = Std::pair().unwrap();
                if i % 2 == 0 {
                    far.write_all(b"unread").unwrap();
                }
                kept.push(Box::new(AsyncFd::new(near).unwrap()));
                drop(far);
                let (reads, writes) = rustix::pipe::pipe().unwrap();
                if i % 2 == 0 {
                    // Its writer sees an error for ever.
                    kept.push(Box::new(AsyncFd::one_way(writes, Direction::Write).unwrap()));
                } else {
                    kept.push(Box::new(AsyncFd::one_way(reads, Direction::Read).unwrap()));
                }
                // An answer to say that nobody is there, for an address that had a socket.
                let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(gone).await.unwrap();
                socket.send(b"anybody?").await.unwrap();
                kept.push(Box::new(socket));
                kept.push(Box::new(spawn_in(i, sleep(HOUR))));
            }
            // Half closed, and with a reader who waits for something else.
            let (near, far) = pair().await;
            far.shutdown(Shutdown::Write).unwrap();
            kept.push(Box::new((near, far)));
            harvest().await;
            let handle = Handle::current();
            let before = handle.metrics();
            sleep(Duration::from_millis(300)).await;
            let spent = handle.metrics().since(&before);
            assert!(spent.ticks < 100, "{} ticks with nothing to do", spent.ticks);
            assert!(spent.events < 100, "{} events of which nobody wants to know", spent.events);
        });
    });
}

/// A wait that was given up at any poll leaves nothing behind: the next one gets the event, however
/// many there were.
#[test]
fn waits_given_up_take_no_events_along() {
    bounded(|| {
        block_on(async {
            let (near, mut far) = Std::pair().unwrap();
            let near = AsyncFd::new(near).unwrap();
            for round in 0..200 {
                let mut waits: Vec<_> = (0..5).map(|_| Box::pin(near.readable())).collect();
                for wait in &mut waits {
                    assert!(futures::poll!(wait).is_pending(), "round {round}");
                }
                waits.truncate(round % 5);
                far.write_all(b"x").unwrap();
                if round % 2 == 0 {
                    // They go when they have been woken, and before they were polled for it.
                    harvest().await;
                }
                drop(waits);
                let mut byte = [0];
                let read = near.async_io(Direction::Read, |mut fd| fd.read(&mut byte));
                assert_eq!(read.await.unwrap(), 1);
                let more = near.try_io(Direction::Read, |mut fd| fd.read(&mut byte));
                assert!(more.is_err());
            }
            let mut polled = pin!(near.readable());
            assert!(matches!(futures::poll!(&mut polled), Poll::Pending));
        });
    });
}
