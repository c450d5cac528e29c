//! A partition that wakes with unspent allotment waits for the handle that runs, and for no
//! other: whether it is a socket that wakes it or another thread.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::Write;
use std::net::TcpStream as StdStream;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::net::TcpListener;
use evenloop::{Budget, Runtime};
use rustix::event::{PollFd, PollFlags, poll};

/// Handles the bulk queues before anybody wakes: enough to tell one of them from two.
const BULK: usize = 50;
/// The handle of the bulk that wakes the other partition: when the bulk, which was new, has used up
/// its express slice of 10 ms, and so may be preempted.
const WAKER: usize = 30;

/// Runs the bulk, one of whose handles calls `wake`, and `other` in a partition of its own until
/// it ends: no handle of the bulk may run between the one that woke it and its own.
async fn waits_for_one_handle(
    wake: impl FnOnce() + 'static,
    other: impl Future<Output = ()> + 'static,
) {
    let ran = Rc::new(Cell::new(0));
    let seen = ran.clone();
    let other = evenloop::spawn_in("other", async move {
        other.await;
        seen.get()
    });
    // The other one runs up to its wait and has nothing to do from there on.
    evenloop::time::sleep(Duration::from_millis(5)).await;

    let mut wake = Some(wake);
    for i in 0..BULK {
        let wake = if i == WAKER { wake.take() } else { None };
        let ran = ran.clone();
        drop(evenloop::spawn_in("bulk", async move {
            if let Some(wake) = wake {
                wake();
            }
            // Longer than what lies between two harvests.
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(500) {
                std::hint::spin_loop();
            }
            ran.set(ran.get() + 1);
        }));
    }
    let seen = other.await.expect("the other task ends");
    assert_eq!(seen, WAKER + 1, "handles of the bulk that ran before the one that was woken");
}

/// Bytes that come in while a handle runs are read before the next handle of the bulk.
#[test]
fn a_ready_socket_waits_for_one_handle() {
    // Long turns: on a machine that is busy with other things a delivery alone may take longer than
    // the express slice of a short one, and then the bulk would be right to go first.
    let budget = Budget::time(Duration::from_millis(40));
    let runtime = Runtime::builder().budget(budget).build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let mut peer = StdStream::connect(addr).expect("the listener's backlog has room");
        peer.set_nodelay(true).expect("TCP has no delay");
        let (stream, _) = listener.accept().await.expect("the peer is there");

        let arrived = stream.as_fd().try_clone_to_owned().expect("a descriptor is left");
        let wake = move || {
            peer.write_all(b"!").expect("the socket has room for a byte");
            // A busy kernel takes its time even on loopback.
            poll(&mut [PollFd::new(&arrived, PollFlags::IN)], None)
                .expect("a socket can be polled");
            // Kept open: the end of the stream is no byte.
            std::mem::forget(peer);
        };
        let other = async move {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).await.expect("the peer sends"), 1);
        };
        waits_for_one_handle(wake, other).await;
    });
}

/// A wake from another thread while a handle runs is heard before the next handle of the bulk.
#[test]
fn a_wake_from_another_thread_waits_for_one_handle() {
    evenloop::block_on(async {
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let kept = waker.clone();
        let other = poll_fn(move |cx| {
            if kept.borrow().is_some() {
                return Poll::Ready(());
            }
            *kept.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        let wake = move || {
            let waker = waker.borrow().clone().expect("the other task waits");
            thread::spawn(move || waker.wake()).join().expect("a wake does not panic");
        };
        waits_for_one_handle(wake, other).await;
    });
}
