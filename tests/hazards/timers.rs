//! Timers: any duration, any moment of giving up, and any uptime.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use evenloop::time::{
    Instant, Sleep, interval, interval_at, sleep, sleep_until, timeout, timeout_at,
};
use evenloop::{Handle, block_on, sim, spawn_in, yield_now};

use crate::{Count, HOUR, bounded, settle};

/// Durations at which others have overflowed: the ends of their types, of 64 bits of nanoseconds,
/// microseconds and milliseconds, and just beside them.
fn edges() -> Vec<Duration> {
    let nano = Duration::from_nanos(1);
    let ends = [
        Duration::MAX,
        Duration::MAX / 2,
        Duration::MAX / 10,
        Duration::from_nanos(u64::MAX),
        Duration::from_nanos(i64::MAX as u64),
        Duration::from_micros(u64::MAX),
        Duration::from_millis(u64::MAX),
        Duration::from_millis(i64::MAX as u64),
        Duration::from_secs(u64::MAX),
        Duration::from_secs(i64::MAX as u64),
        Duration::from_secs(u64::from(u32::MAX)),
        Duration::from_millis(u64::from(u32::MAX)),
        Duration::from_millis(1 << 36),
        Duration::from_secs(86_400 * 365 * 30),
    ];
    let beside = |&end: &Duration| [end.saturating_sub(nano), end, end.saturating_add(nano)];
    ends.iter().flat_map(beside).collect()
}

/// The instant that far from now, or the last one there is.
fn far(from: Instant, duration: Duration) -> Instant {
    let shorter = std::iter::successors(Some(duration), |duration| Some(*duration / 2));
    shorter.into_iter().find_map(|duration| from.checked_add(duration)).expect("zero can be added")
}

/// Any duration is a duration: nothing overflows, nothing fires at once, and a timer that was set
/// so far away is as good as any when it is set again.
#[test]
fn every_duration_is_taken() {
    bounded(|| {
        let mut cx = Context::from_waker(Waker::noop());
        block_on(async {
            for long in edges() {
                let mut nap = sleep(long);
                assert!(Pin::new(&mut nap).poll(&mut cx).is_pending(), "{long:?}");
                for again in edges() {
                    nap.reset(far(nap.deadline(), again));
                    assert!(Pin::new(&mut nap).poll(&mut cx).is_pending(), "{long:?} {again:?}");
                }
                nap.reset(Instant::now());
                nap.await;

                assert_eq!(timeout(long, yield_now()).await, Ok(()), "{long:?}");
                assert_eq!(timeout_at(far(Instant::now(), long), async { 1 }).await, Ok(1));
                assert!(
                    futures::poll!(std::pin::pin!(timeout(long, pending::<()>()))).is_pending()
                );

                let mut rare = interval(long);
                rare.tick().await;
                assert!(rare.poll_tick(&mut cx).is_pending(), "{long:?}");
                rare.reset();
                rare.reset_after(long);
                assert!(rare.poll_tick(&mut cx).is_pending(), "{long:?}");
                rare.reset_immediately();
                rare.tick().await;
                let mut late = interval_at(far(Instant::now(), long), long);
                assert!(late.poll_tick(&mut cx).is_pending(), "{long:?}");
                late.reset_at(Instant::now());
                late.tick().await;
                assert!(late.poll_tick(&mut cx).is_pending(), "{long:?}");
            }
            // Short ones come all the same, behind all of these.
            let kept: Vec<_> = edges().into_iter().map(|long| Box::pin(sleep(long))).collect();
            for mut nap in kept {
                assert!(nap.as_mut().poll(&mut cx).is_pending());
                sleep(Duration::from_micros(10)).await;
            }
        });
    });
}

/// An earlier timer ends the sleep that a later one has put the loop into, whichever thread sets it.
#[test]
fn an_earlier_timer_interrupts_a_longer_sleep() {
    bounded(|| {
        block_on(async {
            let mut hour = spawn_in("hour", sleep(HOUR));
            settle().await;
            // Set by tasks that come from another thread while the loop sleeps.
            let handle = Handle::current();
            let (end, over) = futures::channel::oneshot::channel();
            let other = thread::spawn(move || {
                for i in 0..300 {
                    let nap = Duration::from_micros(i * 13 % 1_500);
                    futures::executor::block_on(handle.spawn(async move {
                        let started = Instant::now();
                        sleep(nap).await;
                        assert!(started.elapsed() >= nap);
                    }))
                    .unwrap();
                }
                end.send(()).unwrap();
            });
            over.await.unwrap();
            other.join().unwrap();
            // Set by a thread that has no loop, for this one.
            let naps: Vec<_> = (0..300).map(|_| sleep(HOUR)).collect();
            let (end, over) = futures::channel::oneshot::channel();
            let other = thread::spawn(move || {
                for (i, mut nap) in (0..).zip(naps) {
                    let (started, wanted) = (Instant::now(), Duration::from_micros(i * 11 % 900));
                    nap.reset(started + wanted);
                    futures::executor::block_on(nap);
                    assert!(started.elapsed() >= wanted);
                }
                end.send(()).unwrap();
            });
            over.await.unwrap();
            other.join().unwrap();
            assert!(futures::poll!(&mut hour).is_pending());
            hour.abort();
        });
    });
}

fn arm(nap: &mut Sleep, count: &Count) {
    let waker = count.waker();
    assert!(Pin::new(nap).poll(&mut Context::from_waker(&waker)).is_pending());
}

/// A timer that is dropped wakes nobody, unless it has fired: before its time, when it is due and
/// not delivered, at its delivery, and after it.
#[test]
fn a_dropped_timer_wakes_nobody() {
    bounded(|| {
        block_on(async {
            let woken = Count::default();
            let mut nap = sleep(HOUR);
            arm(&mut nap, &woken);
            drop(nap);

            // Long enough to be armed in time, and past when the loop looks again.
            let mut nap = sleep(Duration::from_millis(200));
            arm(&mut nap, &woken);
            let deadline = nap.deadline();
            while Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            drop(nap);
            sleep(Duration::from_millis(2)).await;
            settle().await;
            assert_eq!(woken.get(), 0);

            // Two are due at once, and the wake of either drops both.
            struct DropsBoth(Arc<Mutex<Vec<Sleep>>>, Count);
            impl Wake for DropsBoth {
                fn wake(self: Arc<Self>) {
                    let both = std::mem::take(&mut *self.0.lock().unwrap());
                    drop(both);
                    self.1.add();
                }
            }
            let both: Arc<Mutex<Vec<Sleep>>> = Arc::default();
            let waker = Waker::from(Arc::new(DropsBoth(both.clone(), woken.clone())));
            let mut naps = vec![sleep(HOUR), sleep(HOUR)];
            for nap in &mut naps {
                assert!(Pin::new(&mut *nap).poll(&mut Context::from_waker(&waker)).is_pending());
            }
            let now = Instant::now();
            naps.iter_mut().for_each(|nap| nap.reset(now));
            *both.lock().unwrap() = naps;
            drop(waker);
            while Arc::strong_count(&both) > 1 {
                sleep(Duration::from_millis(1)).await;
            }
            assert!((1..=2).contains(&woken.get()), "{}", woken.get());

            let before = woken.get();
            let mut nap = sleep(HOUR);
            arm(&mut nap, &woken);
            nap.reset(Instant::now());
            while woken.get() == before {
                yield_now().await;
            }
            drop(nap);
            settle().await;
            assert_eq!(woken.get(), before + 1);
        });
    });
}

/// After days, years and a century of uptime timers are as exact as in the first minute: in order,
/// never early, and late by a harvest at most.
#[test]
fn any_uptime_is_as_good() {
    const DAY: Duration = Duration::from_secs(86_400);
    const US: Duration = Duration::from_micros(1);
    let uptimes = [
        Duration::ZERO,
        // 64 slots to the power of 6, in milliseconds; 32 bits of milliseconds; of seconds.
        Duration::from_millis((1 << 36) / 64),
        12 * DAY,
        Duration::from_millis(1 << 32),
        50 * DAY,
        3_650 * DAY,
        Duration::from_secs(1 << 32),
        300 * 365 * DAY,
    ];
    let runtime = sim::Runtime::new(11);
    runtime.block_on(async {
        let began = Instant::now();
        for uptime in uptimes {
            // Armed before the edge is passed, and after.
            for start in [began + uptime.saturating_sub(500 * US), began + uptime] {
                sleep_until(start).await;
                let order: Arc<[Mutex<Vec<u32>>; 3]> = Arc::default();
                let tasks: Vec<_> = (0..200)
                    .map(|i| {
                        let (rank, order) = (i * 67 % 200, order.clone());
                        spawn_in(u64::from(i % 3), async move {
                            let due = start + rank * 10 * US;
                            let late = due.max(Instant::now());
                            sleep_until(due).await;
                            order[i as usize % 3].lock().unwrap().push(rank);
                            (Instant::now() >= due, late.elapsed())
                        })
                    })
                    .collect();
                for task in tasks {
                    let (in_time, late) = task.await.unwrap();
                    assert!(in_time, "early at {uptime:?}");
                    assert!(late <= 100 * US, "{late:?} late at {uptime:?}");
                }
                for order in &*order {
                    let order = order.lock().unwrap();
                    assert!(order.is_sorted(), "out of order at {uptime:?}: {order:?}");
                }
            }
        }
    });
    assert!(runtime.elapsed() >= 300 * 365 * DAY);
}
