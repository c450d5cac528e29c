//! Sockets and timers belong to who waits for them, in virtual time, where a delay is a number.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::{Instant, Sleep, sleep, sleep_until};
use evenloop::{Handle, Partition, sim, spawn_in, switch_to};
use proptest::prelude::*;

const US: Duration = Duration::from_micros(1);

fn names() -> Vec<String> {
    Handle::current().partitions().iter().map(Partition::name).collect()
}

/// Keeps a partition busy with so many tasks, whose handles take 10 µs each.
fn crowd(name: &'static str, tasks: usize) {
    for _ in 0..tasks {
        drop(spawn_in(name, async {
            loop {
                sim::burn(10 * US).await;
            }
        }));
    }
}

/// Polls a timer in the partition of the caller, in vain.
fn arm(timer: &mut Pin<Box<Sleep>>) {
    assert!(timer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// A timer that is polled in another partition fires in that one's turns, whether it is still
    /// to come then, due, or marked for delivery to a partition with a hundred handles before that.
    #[test]
    fn a_timer_moves_whenever_it_is_polled(seed in any::<u64>(), polled_at in 1..400u32) {
        let runtime = sim::Runtime::builder().seed(seed).handle_cost(US / 10).build();
        let late = runtime.block_on(async {
            let due = Instant::now() + 200 * US;
            let mut timer = Box::pin(sleep_until(due));
            let armed = spawn_in("crowd", async move {
                arm(&mut timer);
                (timer, ())
            });
            let (mut timer, ()) = armed.await.unwrap();
            crowd("crowd", 100);
            let waits = spawn_in("waits", async move {
                sleep_until(due - 200 * US + polled_at * US).await;
                let due = due.max(Instant::now());
                poll_fn(|cx| timer.as_mut().poll(cx)).await;
                due.elapsed()
            });
            waits.await.unwrap()
        });
        prop_assert!(late <= 130 * US, "{late:?} late: a harvest and a handle or two are allowed");
    }
}

/// The two directions of one stream, waited for by tasks of two partitions: each is delivered in
/// its own, so that a crowd beside the writer delays the writer alone; nothing is lost, and nothing
/// is left of either partition.
#[test]
fn two_partitions_share_a_stream() {
    const BYTES: usize = 400_000;
    let runtime = sim::Runtime::new(3);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        crowd("writes", 50);
        // Both directions begin as the crowd's.
        let near = spawn_in("writes", async move { listener.accept().await.unwrap().0 });
        let (read, write) = near.await.unwrap().into_split();
        let isolated = Partition::builder("reads").isolated_io(true).build();
        let reader = isolated.spawn(async move {
            let mut latest = Duration::ZERO;
            let mut got = 0;
            let mut sent = [0; 8];
            while got < 200 {
                read.read_exact(&mut sent).await.unwrap();
                got += 1;
                let sent = Duration::from_nanos(u64::from_le_bytes(sent));
                latest = latest.max(since_start() - sent);
            }
            latest
        });
        let writer = spawn_in("writes", async move {
            write.write_all(&vec![7; BYTES]).await.unwrap();
        });
        let (far_read, far_write) = far.into_split();
        let pings = spawn_in("far", async move {
            for _ in 0..200 {
                let now = u64::try_from(since_start().as_nanos()).unwrap();
                far_write.write_all(&now.to_le_bytes()).await.unwrap();
                sleep(300 * US).await;
            }
        });
        let sink = spawn_in("far", async move {
            let mut got = 0;
            let mut buf = vec![0; 10_000];
            while let Ok(len @ 1..) = far_read.read(&mut buf).await {
                assert!(buf[..len].iter().all(|byte| *byte == 7));
                got += len;
            }
            got
        });
        let latest = reader.await.unwrap();
        // A crowd of 50 handles of 10 µs is no part of it.
        assert!(latest < 350 * US, "{latest:?}");
        writer.await.unwrap();
        pings.await.unwrap();
        drop(isolated);
        assert_eq!(sink.await.unwrap(), BYTES);
        sleep(US).await;
        assert_eq!(names(), ["ROOT", "writes"]);
    });
}

fn since_start() -> Duration {
    thread_local!(static START: std::cell::OnceCell<Instant> = const { std::cell::OnceCell::new() });
    START.with(|start| start.get_or_init(Instant::now).elapsed())
}

/// A task that moves takes along what it waits for, with what was unread: bytes that come after the
/// move are delivered in the new partition, past the crowd in the old one.
#[test]
fn a_stream_moves_with_its_task() {
    let runtime = sim::Runtime::new(5);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        crowd("crowd", 100);
        let echo = spawn_in("crowd", async move {
            let (near, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            near.read_exact(&mut byte).await.unwrap();
            near.write_all(&byte).await.unwrap();
            // What was sent meanwhile is unread, and no news.
            sleep(2_000 * US).await;
            switch_to("calm").await;
            while near.read_exact(&mut byte).await.is_ok() {
                near.write_all(&byte).await.unwrap();
            }
        });
        let mut waits = Vec::new();
        for n in 0..20u8 {
            if n == 1 {
                far.write_all(&[200]).await.unwrap();
                sleep(20_000 * US).await;
                far.read_exact(&mut [0]).await.unwrap();
            }
            let start = Instant::now();
            far.write_all(&[n]).await.unwrap();
            let mut byte = [0];
            far.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [n]);
            waits.push(start.elapsed());
        }
        let longest = waits[1..].iter().max().unwrap();
        assert!(waits[0] > 900 * US, "in the crowd it waits: {waits:?}");
        assert!(*longest < 350 * US, "in calm it does not: {waits:?}");
        drop(far);
        echo.await.unwrap();
        sleep(US).await;
        assert!(!names().contains(&"calm".to_owned()));
    });
}

/// Dropped or polled in vain, a socket leaves nothing behind in any partition it has been in.
#[test]
fn wanderers_leave_nothing_behind() {
    let runtime = sim::Runtime::new(7);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let wanderer = spawn_in(0, async move {
            for place in 1..50u64 {
                let mut buf = [0];
                let mut timer = Box::pin(sleep(1_000_000 * US));
                arm(&mut timer);
                poll_fn(|cx| {
                    assert!(std::pin::pin!(near.read(&mut buf)).poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                switch_to(place).await;
                let _ = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                sleep(US).await;
                let own = place.to_string();
                // The socket's last reader was in the place before.
                assert!(names().len() <= 4, "{:?} in {own}", names());
            }
            drop(near);
        });
        wanderer.await.unwrap();
        drop((far, listener));
        sleep(US).await;
        assert_eq!(names(), ["ROOT"]);
    });
}
