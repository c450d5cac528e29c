//! Sleeps, timeouts and intervals on the kernel's clock: never early, in order, from any thread.
//!
//! How late a timer may be is not tested here, as a busy machine decides that.

// Sleeps are handed from task to task, as they are.
#![allow(clippy::async_yields_async)]

#[path = "time/taken_back.rs"]
mod taken_back;

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use evenloop::time::{
    Duration, Instant, Interval, MissedTickBehavior, Sleep, Timeout, interval, interval_at, sleep,
    sleep_until, timeout, timeout_at,
};
use evenloop::{Handle, Runtime, block_on, spawn, spawn_in, yield_now};

/// Longer than any test takes, and shorter than anybody waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a test on a thread of its own and fails if it does not come to an end.
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

/// The text of the panic that `f` ends in.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).map(drop).expect_err("it should panic");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap()
}

/// Counts its wakes.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whoever holds one may move it to any thread.
#[test]
fn timers_travel() {
    fn travels<T: Send + Sync + Unpin + 'static>() {}
    travels::<Sleep>();
    travels::<Interval>();
    travels::<Timeout<Sleep>>();
}

/// Many sleeps at once, none early, whatever the fraction of a millisecond.
#[test]
fn no_sleep_is_early() {
    bounded(|| {
        block_on(async {
            let tasks: Vec<_> = (0..300_u64)
                .map(|i| {
                    let wanted = Duration::from_micros(i * 37);
                    spawn_in(i % 7, async move {
                        let started = Instant::now();
                        let mut nap = sleep(wanted);
                        (&mut nap).await;
                        assert!(started.elapsed() >= wanted, "{wanted:?}");
                        assert!(nap.is_elapsed());
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

/// Deadlines decide the order, however they were armed; equal ones fire as they were armed.
#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    bounded(|| {
        block_on(async {
            // The machine may take longer to arm them than we give it; then there is no order.
            for lead in [50, 400, 3200] {
                let base = Instant::now() + ms(lead);
                let (sender, order) = mpsc::channel();
                let tasks: Vec<_> = (0..60_u64)
                    .map(|i| {
                        let (sender, rank) = (sender.clone(), i * 7 % 20);
                        spawn(async move {
                            sleep_until(base + Duration::from_micros(rank)).await;
                            sender.send((rank, i)).unwrap();
                        })
                    })
                    .collect();
                yield_now().await;
                if Instant::now() >= base {
                    continue;
                }
                for task in tasks {
                    task.await.unwrap();
                }
                let order: Vec<_> = order.try_iter().collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(order, sorted);
                return;
            }
            panic!("60 timers cannot be armed within three seconds");
        });
    });
}

/// Zero, the past and the end of time are all durations.
#[test]
fn absurd_durations_are_durations() {
    bounded(|| {
        block_on(async {
            let mut cx = Context::from_waker(Waker::noop());
            let past = Instant::now();
            for mut due in [sleep(Duration::ZERO), sleep_until(past)] {
                assert!(Pin::new(&mut due).poll(&mut cx).is_ready(), "at the first poll");
                assert!(Pin::new(&mut due).poll(&mut cx).is_ready(), "and from then on");
            }
            let mut never = sleep(Duration::MAX);
            assert!(Pin::new(&mut never).poll(&mut cx).is_pending());
            assert!(never.deadline() > Instant::now() + 1000 * HOUR && !never.is_elapsed());

            assert_eq!(timeout(Duration::MAX, async { 1 }).await, Ok(1));
            assert_eq!(timeout(Duration::ZERO, async { 2 }).await, Ok(2), "the future is first");
            assert!(timeout_at(past, pending::<()>()).await.is_err());

            let mut rare = interval(Duration::MAX);
            rare.tick().await;
            assert!(timeout(ms(1), rare.tick()).await.is_err());
            sleep(Duration::from_nanos(1)).await;
        });
    });
}

/// A deadline may be moved either way, before, while and after somebody waits for it.
#[test]
fn a_sleep_can_be_reset() {
    bounded(|| {
        block_on(async {
            let started = Instant::now();
            let mut nap = sleep(ms(1));
            assert!(poll_once(&mut nap).await.is_pending() || nap.is_elapsed());
            nap.reset(started + ms(30));
            (&mut nap).await;
            assert!(started.elapsed() >= ms(30), "later");

            let mut nap = sleep(HOUR);
            assert!(poll_once(&mut nap).await.is_pending());
            nap.reset(Instant::now() + ms(1));
            (&mut nap).await;

            nap.reset(Instant::now() + HOUR);
            assert!(poll_once(&mut nap).await.is_pending(), "used again");
        });
    });
}

/// A task that waits is woken at the new deadline, though it was not polled in between.
#[test]
fn a_reset_wakes_who_waits() {
    bounded(|| {
        block_on(async {
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let mut nap = sleep(HOUR);
            assert!(Pin::new(&mut nap).poll(&mut Context::from_waker(&waker)).is_pending());
            nap.reset(Instant::now());
            while wakes.0.load(Ordering::SeqCst) == 0 {
                yield_now().await;
            }
            assert!(poll_once(&mut nap).await.is_ready());
        });
    });
}

/// The last task to poll a sleep to `Pending` is the one that is woken.
#[test]
fn the_last_to_wait_is_woken() {
    bounded(|| {
        block_on(async {
            let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
            let mut nap = sleep(ms(20));
            for wakes in [&first, &second] {
                let waker = Waker::from(wakes.clone());
                let poll = Pin::new(&mut nap).poll(&mut Context::from_waker(&waker));
                assert!(poll.is_pending() || nap.is_elapsed());
            }
            let armed = !nap.is_elapsed();
            while armed && second.0.load(Ordering::SeqCst) == 0 {
                sleep(ms(1)).await;
            }
            assert_eq!(first.0.load(Ordering::SeqCst), 0);
        });
    });
}

/// A timer keeps the partition of whoever waits for it, and lets go of it when it is dropped or
/// waited for elsewhere.
#[test]
fn a_timer_belongs_to_who_waits_for_it() {
    bounded(|| {
        block_on(async {
            let mut nap = spawn_in("first", async {
                let mut nap = sleep(HOUR);
                assert!(poll_once(&mut nap).await.is_pending());
                nap
            })
            .await
            .unwrap();
            assert_eq!(names().await, ["ROOT", "first"], "the timer is there");

            let mut nap = spawn_in("second", async move {
                assert!(poll_once(&mut nap).await.is_pending());
                nap
            })
            .await
            .unwrap();
            assert_eq!(names().await, ["ROOT", "second"], "it has moved");

            assert!(poll_once(&mut nap).await.is_pending());
            assert_eq!(names().await, ["ROOT"]);
            drop(nap);

            let nap = spawn_in("third", async {
                let mut nap = sleep(HOUR);
                assert!(poll_once(&mut nap).await.is_pending());
                nap
            });
            let nap = nap.await.unwrap();
            thread::spawn(move || drop(nap)).join().unwrap();
            assert_eq!(names().await, ["ROOT"], "dropped on another thread");
        });
    });
}

/// The names of the partitions there are, once what nobody uses has been freed.
async fn names() -> Vec<String> {
    yield_now().await;
    yield_now().await;
    Handle::current().partitions().iter().map(|partition| partition.name()).collect()
}

/// A partition whose tasks never rest still gets its timers.
#[test]
fn a_busy_partition_gets_its_timers() {
    bounded(|| {
        block_on(async {
            let busy = spawn_in("busy", async {
                loop {
                    yield_now().await;
                }
            });
            for _ in 0..5 {
                spawn_in("busy", sleep(ms(1))).await.unwrap();
                sleep(ms(1)).await;
            }
            busy.abort();
        });
    });
}

/// A future that always uses up its operations is told all the same that its time is over.
#[test]
fn a_timeout_ends_a_greedy_future() {
    bounded(|| {
        let greedy = poll_fn(|cx| -> Poll<()> {
            loop {
                match evenloop::poll_proceed(cx) {
                    Poll::Ready(progress) => progress.made(),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        block_on(async {
            assert!(timeout(ms(5), greedy).await.is_err());
        });
    });
}

/// A sleep that is always ready does not hold the loop.
#[test]
fn ready_sleeps_let_others_run() {
    bounded(|| {
        block_on(async {
            let other = spawn(async {});
            while !other.is_finished() {
                sleep(Duration::ZERO).await;
            }
        });
    });
}

/// Ticks are meant for whole periods after the first, late or not.
#[test]
fn an_interval_stays_on_the_beat() {
    bounded(|| {
        block_on(async {
            let start = Instant::now();
            let mut ticks = interval_at(start, ms(2));
            for n in 0..5_u32 {
                assert_eq!(ticks.tick().await, start + n * ms(2));
            }

            let mut ticks = interval_at(start, ms(10));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks.tick().await;
            thread::sleep(ms(37));
            let (late, next) = (ticks.tick().await - start, ticks.tick().await - start);
            assert!(next - late >= ms(30), "what was missed is left out: {late:?} {next:?}");
            for tick in [late, next] {
                assert_eq!(tick.as_nanos() % ms(10).as_nanos(), 0, "off the beat: {tick:?}");
            }

            let mut ticks = interval(HOUR);
            ticks.tick().await;
            ticks.reset_immediately();
            ticks.tick().await;
            ticks.reset_after(ms(1));
            ticks.tick().await;
        });
    });
}

/// What cannot be is refused with a sentence that says what to do.
#[test]
fn panics_say_what_to_do() {
    let text = panic_of(|| block_on(async { interval(Duration::ZERO) }));
    assert!(text.contains("give it a period"), "{text}");
    let astray = sleep(HOUR);
    let text = panic_of(|| futures::executor::block_on(astray));
    assert!(text.contains("evenloop::time::sleep needs a running evenloop"), "{text}");
    let text = panic_of(|| futures::executor::block_on(timeout(HOUR, pending::<()>())));
    assert!(text.contains("evenloop::time::timeout needs a running evenloop"), "{text}");
}

/// What is made before the loop runs belongs to the loop that polls it.
#[test]
fn timers_are_made_anywhere() {
    bounded(|| {
        let started = Instant::now();
        block_on(sleep(ms(2)));
        assert!(started.elapsed() >= ms(2));
        assert!(block_on(timeout(ms(1), pending::<()>())).is_err());
        let mut ticks = interval(ms(1));
        ticks.reset();
        block_on(ticks.tick());
        // Bound by its first poll, it can be awaited elsewhere, as long as its loop runs.
        let mut nap = sleep(ms(20));
        block_on(async {
            let _ = poll_once(&mut nap).await;
            let other = evenloop::spawn_blocking(move || futures::executor::block_on(nap));
            other.await.unwrap();
        });
    });
}

/// A sleep made on the loop is awaited on a thread that knows no loop, and moves back.
#[test]
fn a_sleep_is_polled_on_any_thread() {
    bounded(|| {
        block_on(async {
            let started = Instant::now();
            let mut nap = sleep(ms(30));
            let _ = poll_once(&mut nap).await;
            // Armed here, it is cancelled there and waits through a relay.
            let (awaited, nap) = evenloop::spawn_blocking(move || {
                futures::executor::block_on(&mut nap);
                let awaited = started.elapsed();
                nap.reset(Instant::now() + HOUR);
                assert!(futures::executor::block_on(poll_once(&mut nap)).is_pending());
                (awaited, nap)
            })
            .await
            .unwrap();
            assert!(awaited >= ms(30));

            // Armed there, and waited for here.
            let mut nap = nap;
            let started = Instant::now();
            assert!(poll_once(&mut nap).await.is_pending());
            nap.reset(started + ms(5));
            nap.await;
            assert!(started.elapsed() >= ms(5));
        });
    });
}

/// A reset elsewhere wakes whoever waits, on the loop and off it.
#[test]
fn a_sleep_is_reset_on_any_thread() {
    bounded(|| {
        block_on(async {
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            // On the loop: polled here, reset there.
            let mut nap = sleep(HOUR);
            assert!(Pin::new(&mut nap).poll(&mut Context::from_waker(&waker)).is_pending());
            let nap = evenloop::spawn_blocking(move || {
                nap.reset(Instant::now());
                nap
            });
            let mut nap = nap.await.unwrap();
            while wakes.0.load(Ordering::SeqCst) == 0 {
                sleep(ms(1)).await;
            }
            assert!(poll_once(&mut nap).await.is_ready());

            // Off the loop: polled and reset there.
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            nap.reset(Instant::now() + HOUR);
            let nap = evenloop::spawn_blocking(move || {
                assert!(Pin::new(&mut nap).poll(&mut Context::from_waker(&waker)).is_pending());
                nap.reset(Instant::now());
                nap
            });
            let nap = nap.await.unwrap();
            while wakes.0.load(Ordering::SeqCst) == 0 {
                sleep(ms(1)).await;
            }
            assert!(nap.is_elapsed());
        });
    });
}

/// Threads that poll, change wakers, reset and drop at the very moment timers fire lose no wake.
#[test]
fn no_wake_is_lost_between_threads() {
    bounded(|| {
        block_on(async {
            let threads: Vec<_> = (0..4_u64)
                .map(|seed| {
                    let naps: Vec<_> = (0..150).map(|_| sleep(HOUR)).collect();
                    evenloop::spawn_blocking(move || {
                        for (i, mut nap) in (seed..).zip(naps) {
                            let wanted = Duration::from_micros(i * 97 % 400);
                            let started = Instant::now();
                            if i % 3 == 0 {
                                let mut cx = Context::from_waker(Waker::noop());
                                let _ = Pin::new(&mut nap).poll(&mut cx);
                            }
                            nap.reset(started + wanted);
                            while i % 5 == 0 && started.elapsed() < wanted {
                                let mut cx = Context::from_waker(Waker::noop());
                                let _ = Pin::new(&mut nap).poll(&mut cx);
                            }
                            if i % 7 != 0 {
                                futures::executor::block_on(nap);
                                assert!(started.elapsed() >= wanted);
                            }
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.await.unwrap();
            }
            assert_eq!(names().await, ["ROOT"]);
        });
    });
}

/// A sleep awaited on another loop goes by that one, also when its own is gone.
#[test]
fn a_sleep_moves_to_another_loop() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let mut nap = runtime.block_on(async {
            let mut nap = sleep(HOUR);
            assert!(poll_once(&mut nap).await.is_pending());
            nap
        });
        let nap = thread::spawn(move || {
            block_on(async {
                nap.reset(Instant::now() + ms(2));
                (&mut nap).await;
                nap.reset(Instant::now() + HOUR);
                nap
            })
        });
        let mut nap = nap.join().unwrap();
        drop(runtime);
        nap.reset(Instant::now() + ms(2));
        block_on(nap);
    });
}

/// Whoever waits elsewhere for a loop that shuts down is told so, and does not wait for ever.
#[test]
fn a_sleep_does_not_outlive_its_loop_in_silence() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let nap = runtime.block_on(async { sleep(HOUR) });
        let (polled, begun) = mpsc::channel();
        let waiter = thread::spawn(move || {
            let mut nap = nap;
            panic_of(|| {
                futures::executor::block_on(poll_fn(|cx| {
                    let poll = Pin::new(&mut nap).poll(cx);
                    let _ = polled.send(());
                    poll
                }));
            })
        });
        begun.recv().unwrap();
        // The relay is armed when this runs, or finds the loop closed; both must end the wait.
        runtime.block_on(yield_now());
        drop(runtime);
        let text = waiter.join().unwrap();
        assert!(text.contains("had shut down"), "{text}");
    });
}

async fn poll_once(nap: &mut Sleep) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *nap).poll(cx))).await
}
