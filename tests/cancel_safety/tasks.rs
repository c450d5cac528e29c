//! Tasks, sets, timers, moves, and what a simulation adds.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use evenloop::net::{TcpListener, TcpStream, UnixDatagram};
use evenloop::time::{Duration, Instant, interval, sleep, timeout};
use evenloop::{
    Handle, JoinHandle, JoinSet, Partition, poll_proceed, sim, spawn, spawn_blocking, spawn_in,
    switch_to, within, yield_now,
};
use futures::future::{Either, select};
use futures::{FutureExt, select_biased};

use crate::{HOUR, deliver, give_up, give_up_after, run};

/// A join that was given up is tried again, and the output is there: before, while and after the
/// task ended.
#[test]
fn join_handles() {
    run(|| async {
        for yields in 0..6 {
            let mut task = spawn(async move {
                for _ in 0..3 {
                    yield_now().await;
                }
                yields
            });
            let output = match give_up_after(yields, &mut task).await {
                Some(output) => output,
                None => task.await,
            };
            assert_eq!(output.unwrap(), yields);
        }
        let (go, gone) = mpsc::channel::<()>();
        let mut job = spawn_blocking(move || gone.recv().is_err());
        give_up(&mut job).await;
        drop(go);
        assert!(job.await.unwrap());
        Ok(())
    });
}

/// Every outcome of a set is returned once, although each wait for it competes with another branch.
#[test]
fn join_next() {
    run(|| async {
        let mut set = JoinSet::new();
        for n in 0..60_u32 {
            set.spawn(async move {
                for _ in 0..3 * n {
                    yield_now().await;
                }
                n
            });
        }
        let (mut got, mut lost) = (Vec::new(), 0);
        while !set.is_empty() {
            select_biased! {
                outcome = set.join_next().fuse() => got.extend(outcome.map(Result::unwrap)),
                () = yield_now().fuse() => lost += 1,
            }
        }
        assert!(lost > 0, "no wait was ever given up");
        got.sort_unstable();
        assert!(got.into_iter().eq(0..60));
        Ok(())
    });
}

/// A shutdown of a set that is given up has aborted the tasks, and keeps those that are to end; a
/// `join_all` takes its tasks along.
#[test]
fn shutdown_and_join_all_of_sets() {
    run(|| async {
        let mut set = JoinSet::new();
        (0..5).for_each(|_| drop(set.spawn(pending::<u32>())));
        yield_now().await;
        assert!(futures::poll!(pin!(set.shutdown())).is_pending());
        assert_eq!(set.len(), 5);
        while let Some(outcome) = set.join_next().await {
            assert!(outcome.unwrap_err().is_cancelled());
        }

        let dropped = Rc::new(());
        let mut set = JoinSet::new();
        let held = dropped.clone();
        set.spawn(async move {
            pending::<()>().await;
            drop(held);
        });
        set.spawn(async {});
        give_up(set.join_all()).await;
        deliver().await;
        assert_eq!(Rc::strong_count(&dropped), 1, "the others are aborted");
        Ok(())
    });
}

/// A sleep keeps its deadline over any number of waits.
#[test]
fn sleeps() {
    run(|| async {
        let started = Instant::now();
        let mut nap = sleep(Duration::from_millis(20));
        let mut given_up = 0;
        while give_up_after(1, &mut nap).await.is_none() {
            given_up += 1;
        }
        assert!(started.elapsed() >= Duration::from_millis(20));
        assert!(given_up > 0 && nap.is_elapsed());
        Ok(())
    });
}

/// A timeout that is given up drops what it limits; one that is waited for by reference goes on.
#[test]
fn timeouts() {
    run(|| async {
        let (near, far) = UnixDatagram::pair()?;
        let mut buf = [0; 4];
        give_up(timeout(HOUR, near.recv(&mut buf))).await;
        assert!(timeout(Duration::from_millis(1), near.recv(&mut buf)).await.is_err());
        far.send(b"kept").await?;
        deliver().await;
        assert_eq!(timeout(HOUR, near.recv(&mut buf)).await.unwrap()?, 4);

        let mut limited = pin!(timeout(HOUR, async {
            deliver().await;
            7
        }));
        let mut output = None;
        while output.is_none() {
            output = give_up_after(1, &mut limited).await;
        }
        assert_eq!(output, Some(Ok(7)));
        Ok(())
    });
}

/// No tick is lost between waits that are given up: each comes, and for its own beat.
#[test]
fn ticks() {
    run(|| async {
        let period = Duration::from_millis(3);
        let mut ticks = interval(period);
        let first = ticks.tick().await;
        for n in 1..10 {
            let tick = loop {
                if let Some(tick) = give_up_after(1, ticks.tick()).await {
                    break tick;
                }
            };
            assert_eq!(tick, first + n * period);
        }
        Ok(())
    });
}

/// A yield that is given up has let others run, or not; nobody else misses a wake.
#[test]
fn yields() {
    run(|| async {
        let steps = Rc::new(Cell::new(0));
        let counted = steps.clone();
        let other = spawn(async move {
            for _ in 0..100 {
                yield_now().await;
                counted.set(counted.get() + 1);
            }
        });
        for _ in 0..50 {
            assert!(yield_now().now_or_never().is_none());
            match select(pin!(yield_now()), pin!(yield_now())).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
        other.await.unwrap();
        assert_eq!(steps.get(), 100);
        Ok(())
    });
}

/// The right to go on that was not used is given back; one that waits for it is woken all the same.
#[test]
fn permission_to_proceed() {
    run(|| async {
        for _ in 0..100_000 {
            // Dropped unused, in one handle.
            let progress = poll_fn(poll_proceed).now_or_never();
            assert!(progress.is_some(), "a right that is given back is not used up");
        }
        let mut made = 0;
        while made < 10_000 {
            match give_up_after(0, poll_fn(poll_proceed)).await {
                Some(progress) => {
                    progress.made();
                    made += 1;
                }
                None => yield_now().await,
            }
        }
        Ok(())
    });
}

fn here() -> String {
    Partition::current().name()
}

/// A move that was polled happens; one that was not does not. A visit that is given up drops its
/// future and ends.
#[test]
fn moves() {
    run(|| async {
        spawn(async {
            drop(switch_to("elsewhere"));
            yield_now().await;
            assert_eq!(here(), "ROOT");
            assert!(futures::poll!(pin!(switch_to("elsewhere"))).is_pending());
            yield_now().await;
            assert_eq!(here(), "elsewhere");
            switch_to("home").await;

            let held = Rc::new(());
            let inside = held.clone();
            let mut visit = Box::pin(within("away", async move {
                let _held = inside;
                pending::<()>().await;
            }));
            while here() != "away" {
                assert!(futures::poll!(&mut visit).is_pending());
                yield_now().await;
            }
            drop(visit);
            assert_eq!(Rc::strong_count(&held), 1);
            yield_now().await;
            assert_eq!(here(), "home");
            // And one that loses against another branch, again and again.
            for _ in 0..20 {
                let visit = within("away", yield_now());
                let _ = give_up_after(3, visit).await;
                yield_now().await;
                yield_now().await;
                assert_eq!(here(), "home");
            }
        })
        .await
        .unwrap();
        Ok(())
    });
}

/// What a simulation adds: the time of a `burn` is spent at its first poll; sockets and timers in it
/// are those of the loop.
#[test]
fn simulations() {
    let runtime = sim::Runtime::new(3);
    runtime.block_on(async {
        let started = Instant::now();
        drop(sim::burn(HOUR));
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert!(futures::poll!(pin!(sim::burn(HOUR))).is_pending());
        assert_eq!(started.elapsed(), HOUR);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut given_up = 0;
        let mut patient = |wait: bool| given_up += u32::from(!wait);
        patient(timeout(Duration::from_micros(1), listener.accept()).await.is_ok());
        let near = TcpStream::connect(address).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        let writer = spawn_in("writer", async move {
            for n in 0..200_u8 {
                near.write_all(&[n]).await.unwrap();
                sleep(Duration::from_micros(u64::from(n) * 3)).await;
            }
        });
        while got.len() < 200 {
            let mut byte = [0; 7];
            let read = timeout(Duration::from_micros(40), far.read(&mut byte)).await;
            patient(read.is_ok());
            if let Ok(read) = read {
                got.extend_from_slice(&byte[..read.unwrap()]);
            }
        }
        writer.await.unwrap();
        assert!(got.into_iter().eq(0..200), "bytes were lost or doubled");
        assert!(given_up > 20, "{given_up} waits were given up");
    });
}

/// A workload that was started goes on when who waits for its end gives up.
#[test]
fn workloads() {
    use evenloop::sim::workload::{Workload, hog, micros, tenant};
    let runtime = sim::Runtime::new(4);
    runtime.block_on(async {
        let load = Workload::new().with(tenant("bulk").runs(hog(micros(20)).rounds(50).copies(4)));
        let mut running = load.spawn();
        let mut given_up = 0;
        while give_up_after(1, &mut running).await.is_none() {
            given_up += 1;
            sleep(Duration::from_micros(100)).await;
        }
        assert!(given_up > 0 && runtime.elapsed() >= 200 * Duration::from_micros(20));
    });
}

/// Handles that are waited for on other threads are given up there.
#[test]
fn on_other_threads() {
    run(|| async {
        let (end, over) = futures::channel::oneshot::channel::<()>();
        let mut task: JoinHandle<u32> = spawn(async {
            let _ = over.await;
            7
        });
        let mut nap = sleep(HOUR);
        let (near, far) = UnixDatagram::pair()?;
        let handle = Handle::current();
        let thread = thread::spawn(move || {
            let mut buf = [0; 4];
            for _ in 0..50 {
                let waits = poll_fn(|cx| {
                    assert!(task.poll_unpin(cx).is_pending());
                    assert!(nap.poll_unpin(cx).is_pending());
                    assert!(pin!(near.recv(&mut buf)).poll(cx).is_pending());
                    Poll::Ready(())
                });
                futures::executor::block_on(waits);
            }
            drop(end);
            drop(handle.spawn(async move { far.send(b"once").await }));
            assert_eq!(futures::executor::block_on(task).unwrap(), 7);
            assert_eq!(futures::executor::block_on(near.recv(&mut buf)).unwrap(), 4);
            drop(nap);
        });
        while !thread.is_finished() {
            deliver().await;
        }
        thread.join().unwrap();
        Ok(())
    });
}
