//! Time that a test stops: code that waits is tested in none, to the nanosecond.

// Without the feature there is nothing to test.
#![cfg(feature = "test-util")]
// Sleeps are handed from task to task, as they are.
#![allow(clippy::async_yields_async)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use evenloop::time::{
    self, Duration, Instant, MissedTickBehavior, advance, interval, sleep, sleep_until, timeout,
};
use evenloop::{
    Budget, Clock, Partition, Runtime, block_on, spawn, spawn_blocking, spawn_in, yield_now,
};

#[path = "time_paused/around.rs"]
mod around;
#[path = "time_paused/newest.rs"]
mod newest;

/// Longer than any test takes, and far shorter than what the tests sleep for.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a test in a runtime whose time stands still, on a thread of its own, and fails if it does
/// not come to an end.
fn paused<T, F>(test: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    bounded(move || {
        let runtime = Runtime::builder().start_paused(true).build().unwrap();
        runtime.block_on(async { test().await })
    })
}

fn bounded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    let thread = thread::spawn(move || drop(done.send(test())));
    match outcome.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("a test that ends sends its outcome or panics"),
        },
    }
}

/// A log of who was there when, since its beginning.
#[derive(Clone)]
struct Log {
    start: Instant,
    lines: Rc<RefCell<Vec<(Duration, String)>>>,
}

impl Log {
    fn new() -> Self {
        Self { start: Instant::now(), lines: Rc::default() }
    }

    fn note(&self, who: impl ToString) {
        self.lines.borrow_mut().push((self.start.elapsed(), who.to_string()));
    }

    fn take(&self) -> Vec<(Duration, String)> {
        self.lines.take()
    }
}

/// Time stands still while code runs, however long it takes, and passes in no time when nothing is
/// left to do.
#[test]
fn sleeps_take_no_time() {
    let real = std::time::Instant::now();
    paused(|| async {
        let start = Instant::now();
        thread::sleep(ms(5));
        yield_now().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(24 * HOUR).await;
        assert_eq!(start.elapsed(), 24 * HOUR);
        sleep_until(start + 25 * HOUR).await;
        sleep(Duration::from_nanos(1)).await;
        assert_eq!(start.elapsed(), 25 * HOUR + Duration::from_nanos(1));
        assert!(timeout(secs(7), pending::<()>()).await.is_err());
        assert_eq!(timeout(secs(7), async { 7 }).await, Ok(7));
        assert_eq!(start.elapsed(), 25 * HOUR + secs(7) + Duration::from_nanos(1));
    });
    assert!(real.elapsed() < PATIENCE);
}

/// Timers fire in the order of their deadlines, each at its own, and so does one that was set by
/// one that fired on the way.
#[test]
fn timers_fire_in_order_each_at_its_own_time() {
    let log = paused(|| async {
        let log = Log::new();
        for n in [3, 1, 4, 1, 5, 9, 2, 6] {
            let log = log.clone();
            drop(spawn(async move {
                sleep(secs(n)).await;
                log.note(n);
                // Due before the next one of the others.
                sleep(ms(500)).await;
                log.note(format!("{n} and a half"));
            }));
        }
        advance(secs(5)).await;
        log.note("advanced");
        advance(Duration::ZERO).await;
        sleep(secs(5)).await;
        log.note("slept");
        log.take()
    });
    let times: Vec<u64> = log.iter().map(|(at, _)| at.as_millis() as u64).collect();
    let expected = [
        1_000, 1_000, 1_500, 1_500, 2_000, 2_500, 3_000, 3_500, 4_000, 4_500, 5_000, 5_000, 5_500,
        6_000, 6_500, 9_000, 9_500, 10_000,
    ];
    assert_eq!(times, expected, "{log:?}");
    let who: Vec<&str> = log.iter().map(|(_, who)| who.as_str()).collect();
    assert_eq!(who[..4], ["1", "1", "1 and a half", "1 and a half"]);
    assert_eq!(who[10..12], ["5", "advanced"], "who is due at the end of an advance runs first");
    assert_eq!(who[17], "slept");
}

/// An `advance` sees everything that happens on the way, however deep, and ends where it should.
#[test]
fn an_advance_sees_what_is_set_on_its_way() {
    paused(|| async {
        let start = Instant::now();
        let count = Rc::new(Cell::new(0));
        let counts = count.clone();
        drop(spawn(async move {
            loop {
                let counted = counts.clone();
                let child = spawn(async move {
                    sleep(ms(10)).await;
                    counted.set(counted.get() + 1);
                });
                child.await.unwrap();
            }
        }));
        advance(secs(1)).await;
        assert_eq!((count.get(), start.elapsed()), (100, secs(1)));
        advance(ms(5)).await;
        assert_eq!((count.get(), start.elapsed()), (100, ms(1_005)));
        advance(ms(5)).await;
        assert_eq!(count.get(), 101);
    });
}

/// Advances at the same time overlap; one that is dropped moves the clock no more.
#[test]
fn advances_overlap_and_end() {
    paused(|| async {
        let start = Instant::now();
        let long = spawn(async move {
            advance(secs(3)).await;
            start.elapsed()
        });
        let short = spawn(async move {
            advance(secs(2)).await;
            start.elapsed()
        });
        assert_eq!(short.await.unwrap(), secs(2));
        assert_eq!(long.await.unwrap(), secs(3));
        // A blocking job is under way, so that nothing but the advance moves the clock.
        let (go, wait) = mpsc::channel::<()>();
        let job = spawn_blocking(move || wait.recv().unwrap_or(()));
        let mut dropped = Box::pin(advance(HOUR));
        poll_fn(|cx| {
            assert!(dropped.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(dropped);
        let nap = spawn(sleep(secs(1)));
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(start.elapsed(), secs(3));
        drop(go);
        job.await.unwrap();
        nap.await.unwrap();
        assert_eq!(start.elapsed(), secs(4));
    });
}

/// A task that never rests keeps time from passing by itself, but not from being moved; and timers
/// still fire at their own times.
#[test]
fn an_advance_does_not_wait_for_rest_for_ever() {
    let log = paused(|| async {
        let spins = spawn_in("spins", async {
            loop {
                yield_now().await;
            }
        });
        let log = Log::new();
        for n in 1..=5 {
            let log = log.clone();
            drop(spawn(async move {
                sleep(secs(n)).await;
                log.note(n);
            }));
        }
        for _ in 0..1_000 {
            yield_now().await;
        }
        assert_eq!(log.start.elapsed(), Duration::ZERO);
        advance(secs(3)).await;
        log.note("advanced");
        spins.abort();
        log.take()
    });
    let times: Vec<u64> = log.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times, [1, 2, 3, 3], "{log:?}");
}

/// Paused time goes on from where it stood, and may be paused again.
#[test]
fn time_goes_on_again() {
    bounded(|| {
        block_on(async {
            let (start, real) = (Instant::now(), std::time::Instant::now());
            sleep(ms(5)).await;
            time::pause();
            let stopped = start.elapsed();
            let set_before = spawn(sleep(HOUR + ms(2)));
            thread::sleep(ms(5));
            assert_eq!(start.elapsed(), stopped);
            advance(HOUR).await;
            assert_eq!(start.elapsed(), stopped + HOUR);
            time::resume();
            // In real time from here on.
            let waits = std::time::Instant::now();
            set_before.await.unwrap();
            assert!(start.elapsed() >= stopped + HOUR + ms(2));
            sleep(ms(5)).await;
            assert!(waits.elapsed() >= ms(5));
            time::pause();
            let stopped = start.elapsed();
            sleep(HOUR).await;
            assert_eq!(start.elapsed(), stopped + HOUR);
            time::resume();
            assert!(real.elapsed() < PATIENCE);
        });
    });
}

/// An `advance` under way when time goes on is over.
#[test]
fn resuming_ends_an_advance() {
    bounded(|| {
        let runtime = Runtime::builder().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            drop(spawn(async {
                sleep(secs(1)).await;
                time::resume();
            }));
            advance(HOUR).await;
            assert!((secs(1)..secs(61)).contains(&start.elapsed()));
        });
    });
}

/// Intervals tick on their beat, and never miss a tick for the machine's sake.
#[test]
fn intervals_are_exact() {
    paused(|| async {
        let start = Instant::now();
        let mut ticks = interval(ms(10));
        for n in 0..100 {
            assert_eq!(ticks.tick().await - start, n * ms(10));
            assert_eq!(start.elapsed(), n * ms(10));
        }
        for behavior in
            [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip]
        {
            let start = Instant::now();
            let mut ticks = interval(ms(10));
            ticks.set_missed_tick_behavior(behavior);
            ticks.tick().await;
            advance(ms(25)).await;
            assert_eq!(ticks.tick().await - start, ms(10));
            ticks.tick().await;
            ticks.tick().await;
            let expected = match behavior {
                MissedTickBehavior::Burst => ms(30),
                MissedTickBehavior::Delay => ms(45),
                MissedTickBehavior::Skip => ms(40),
            };
            assert_eq!(start.elapsed(), expected, "{behavior:?}");
        }
    });
}

/// Partitions have their timers fire at their own times as well, each in its own turn.
#[test]
fn timers_of_all_partitions_keep_the_order() {
    let log = paused(|| async {
        let log = Log::new();
        let tasks: Vec<_> = (0..300_u64)
            .map(|n| {
                let log = log.clone();
                spawn_in(n % 7, async move {
                    // A permutation of the milliseconds.
                    let due = ms(n * 97 % 300);
                    sleep(due).await;
                    assert_eq!(log.start.elapsed(), due);
                    assert_eq!(Partition::current().name(), (n % 7).to_string());
                    log.note(n);
                })
            })
            .collect();
        advance(ms(150)).await;
        assert_eq!(log.lines.borrow().len(), 151);
        for task in tasks {
            task.await.unwrap();
        }
        log.take()
    });
    assert!(log.is_sorted_by_key(|(at, _)| *at));
}

/// With a budget of handles the order is that of a runtime whose time goes by itself, handle by
/// handle: partitions take turns, and their queues are first in, first out.
#[test]
fn the_order_is_the_same_while_time_stands_still() {
    let order = |paused| {
        bounded(move || {
            let builder = Runtime::builder().budget(Budget::handles(3)).start_paused(paused);
            let order: Rc<RefCell<String>> = Rc::default();
            builder.build().unwrap().block_on(async {
                let mut tasks = Vec::new();
                for name in ["a", "b", "c", "b"] {
                    let order = order.clone();
                    tasks.push(spawn_in(name, async move {
                        for _ in 0..20 {
                            order.borrow_mut().push_str(name);
                            yield_now().await;
                        }
                    }));
                }
                for task in tasks {
                    task.await.unwrap();
                }
            });
            order.take()
        })
    };
    let paused = order(true);
    assert_eq!(paused.len(), 80);
    assert!(paused.contains("aaabbbccc"), "three handles each: {paused}");
    assert_eq!(paused, order(false));
}

/// Paused time changes no share: what handles take is measured in real time. A partition whose
/// handles are long gets no more of the thread than one whose handles are short, whichever clock
/// measures them.
#[test]
fn shares_are_kept_while_time_stands_still() {
    for clock in [Clock::Fastest, Clock::Monotonic] {
        bounded(move || assert_shares(clock));
    }

    fn assert_shares(clock: Clock) {
        let builder = Runtime::builder().budget(Budget::time(ms(1))).start_paused(true);
        let runtime = builder.clock(clock).build().unwrap();
        let handle = runtime.handle();
        runtime.block_on(async {
            let busy = |name, handle| {
                spawn_in(name, async move {
                    loop {
                        let start = std::time::Instant::now();
                        while start.elapsed() < handle {
                            std::hint::spin_loop();
                        }
                        yield_now().await;
                    }
                })
            };
            let tasks = [busy("long", ms(2)), busy("short", Duration::from_micros(20))];
            let served = |name: &str| {
                let all = handle.partitions();
                let partition = all.iter().find(|partition| partition.name() == name).unwrap();
                partition.metrics().running.as_secs_f64()
            };
            // Whom the system takes the thread from in the middle of a handle pays for that, up to
            // a limit. So one quiet moment has to do; handle by handle there would be none.
            let patience = std::time::Instant::now() + PATIENCE / 2;
            loop {
                let before = (served("long"), served("short"));
                spawn_blocking(|| thread::sleep(ms(100))).await.unwrap();
                let (long, short) = (served("long") - before.0, served("short") - before.1);
                if long < 3.0 * short && short < 3.0 * long {
                    break;
                }
                assert!(std::time::Instant::now() < patience, "{long} s to {short} s");
            }
            for task in tasks {
                task.abort();
            }
        });
    }
}

/// A wait for the end of time never ends, and does not keep others from going on.
#[test]
fn the_end_of_time() {
    paused(|| async {
        let start = Instant::now();
        let far = start.checked_add(Duration::from_secs(600 * 365 * 24 * 3_600)).unwrap();
        let never = spawn(sleep_until(far));
        let (go, gone) = mpsc::channel::<()>();
        let other = thread::spawn(move || gone.recv().is_err());
        sleep(secs(1)).await;
        advance(HOUR).await;
        assert_eq!(start.elapsed(), HOUR + secs(1));
        assert!(!never.is_finished());
        never.abort();
        assert!(never.await.unwrap_err().is_cancelled());
        drop(go);
        assert!(other.join().unwrap());
        // Whoever asks for all of it gets to the end.
        advance(Duration::MAX).await;
        assert!(start.elapsed() > Duration::from_secs(500 * 365 * 24 * 3_600));
    });
}
