//! The loop in virtual time.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use evenloop::time::{Duration, Instant, interval, sleep, timeout};
use evenloop::{Budget, JoinSet, sim, spawn, spawn_in, yield_now};

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);

/// Returns what `f` panics with.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().expect("a text").to_string(),
    }
}

/// Sleeping takes no time, whatever the calendar says, and ends on the nanosecond.
#[test]
fn sleeps_jump() {
    let sim = sim::Runtime::new(1);
    sim.block_on(async {
        let start = Instant::now();
        sleep(Duration::from_secs(365 * 24 * 3600)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(365 * 24 * 3600));
        let nap = Duration::from_nanos(1);
        sleep(nap).await;
        assert_eq!(start.elapsed(), Duration::from_secs(365 * 24 * 3600) + nap);
        assert!(timeout(MS, std::future::pending::<()>()).await.is_err());
    });
    assert_eq!(sim.elapsed(), Duration::from_secs(365 * 24 * 3600) + MS + Duration::from_nanos(1));
}

/// Time stands still but for what handles say they cost.
#[test]
fn handles_cost_what_they_say() {
    let sim = sim::Runtime::new(1);
    sim.block_on(async {
        for _ in 0..1_000 {
            yield_now().await;
        }
    });
    assert_eq!(sim.elapsed(), Duration::ZERO);
    sim.block_on(async {
        sim::spend(3 * US);
        sim::burn(2 * US).await;
    });
    assert_eq!(sim.elapsed(), 5 * US);

    let sim = sim::Runtime::builder().handle_cost(US).build();
    sim.block_on(async { sim::spend(10 * US) });
    assert_eq!(sim.elapsed(), 11 * US);
}

/// The clock of the thread is the simulation's inside, and the system's outside.
#[test]
fn virtual_time_ends_with_the_simulation() {
    let outside = Instant::now();
    let sim = sim::Runtime::new(1);
    sim.run_for(Duration::from_secs(3600));
    assert!(outside.elapsed() < Duration::from_secs(3600));
    let beside = evenloop::block_on(async { Instant::now() });
    assert!(beside - outside < Duration::from_secs(3600));
    // It goes on where it was.
    sim.run_for(MS);
    assert_eq!(sim.elapsed(), Duration::from_secs(3600) + MS);
}

/// What a busy service does in a while, and the hash of it.
fn busy(seed: u64) -> (u64, Vec<u32>) {
    let sim = sim::Runtime::new(seed);
    let order = Rc::new(RefCell::new(Vec::new()));
    for who in 0..20_u32 {
        let order = order.clone();
        sim.spawn_in(u64::from(who % 4), async move {
            let mut ticks = interval(MS / 7 * (1 + who % 3));
            for _ in 0..50 {
                ticks.tick().await;
                sim::burn(US * who).await;
                order.borrow_mut().push(who);
            }
        });
    }
    sim.run_for(Duration::from_secs(1));
    (sim.trace_hash(), order.take())
}

/// The same seed is the same run, down to the last step.
#[test]
fn a_seed_decides_everything() {
    for seed in 0..8 {
        assert_eq!(busy(seed), busy(seed), "seed {seed}");
    }
}

/// A change in what happens is a change of the hash.
#[test]
fn the_hash_tells_runs_apart() {
    let hash = |naps: u32| {
        let sim = sim::Runtime::new(0);
        sim.block_on(async {
            for _ in 0..naps {
                sleep(US).await;
            }
        });
        sim.trace_hash()
    };
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// Who waits for what never comes is told so, and who else waits.
#[test]
fn a_standstill_is_reported() {
    let sim = sim::Runtime::new(1);
    let text = panic_of(|| {
        sim.block_on(async {
            sleep(MS).await;
            evenloop::spawn!(std::future::pending::<()>(), partition = "lost", name = "poor me");
            std::future::pending::<()>().await;
        });
    });
    assert!(text.contains("stuck at 1ms") && text.contains("poor me"), "{text}");
    assert!(text.contains("in lost") && text.contains("tests/sim.rs"), "{text}");
    // The simulation is as usable as before.
    sim.run_for(MS);
    assert_eq!(sim.elapsed(), 2 * MS);
}

/// A loop that runs on and on without time passing ends with a report, not with the test's limit.
#[test]
fn a_livelock_is_reported() {
    let sim = sim::Runtime::builder().step_limit(5_000).build();
    let text = panic_of(|| {
        sim.block_on(async {
            sleep(MS).await;
            spawn(async {
                loop {
                    yield_now().await;
                }
            });
            std::future::pending::<()>().await;
        });
    });
    assert!(text.contains("5000 handles ran at 1ms") && text.contains("tests/sim.rs"), "{text}");

    // As long as time passes, however slowly, it may go on for ever.
    let sim = sim::Runtime::builder().step_limit(5_000).handle_cost(US).build();
    spawn_forever(&sim);
    sim.run_for(20 * MS);
    assert!(sim.elapsed() >= 20 * MS);
}

fn spawn_forever(sim: &sim::Runtime) {
    sim.spawn(async {
        loop {
            yield_now().await;
        }
    });
}

/// A handle that goes on spending time and never lets go is found out, too.
#[test]
fn a_handle_without_end_is_reported() {
    let sim = sim::Runtime::new(1);
    let task = sim.spawn(async {
        loop {
            sim::spend(US);
        }
    });
    let error = sim.block_on(task).expect_err("it panicked");
    let text = error.to_string();
    assert!(text.contains("still runs"), "{text}");
}

/// What would bring real time in is refused with a sentence.
#[test]
fn real_time_is_kept_out() {
    let text = panic_of(|| {
        sim::Runtime::new(1).block_on(async {
            let _ = evenloop::spawn_blocking(|| ()).await;
        });
    });
    assert!(text.contains("no blocking threads"), "{text}");
    let text = panic_of(|| {
        sim::Runtime::new(1).block_on(async {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
            let _ = evenloop::net::UdpSocket::from_std(socket);
        });
    });
    assert!(text.contains("simulated sockets and nothing else"), "{text}");
    let text = panic_of(|| sim::spend(MS));
    assert!(text.contains("inside a simulation"), "{text}");
    let text = panic_of(|| evenloop::block_on(async { sim::burn(MS).await }));
    assert!(text.contains("inside a simulation"), "{text}");
}

/// A hundred bulk tasks of a millisecond a handle hold a health check up for one of them.
#[test]
fn the_scheduler_is_the_real_one() {
    let sim = sim::Runtime::new(3);
    let worst = Rc::new(Cell::new(Duration::ZERO));
    for _ in 0..100 {
        sim.spawn_in("bulk", async {
            loop {
                sim::burn(MS).await;
            }
        });
    }
    let seen = worst.clone();
    let health = sim.spawn_in("health", async move {
        for _ in 0..1_000 {
            let due = Instant::now() + 7_300 * US;
            sleep(7_300 * US).await;
            seen.set(seen.get().max(due.elapsed()));
        }
    });
    sim.block_on(health).expect("it ends");
    assert!(worst.get() <= MS, "{:?}", worst.get());
    assert!(worst.get() > MS / 2, "a handle is not cut short: {:?}", worst.get());
}

/// Who runs when is what it is on the real loop, where the clock has no say in it.
#[test]
fn the_order_is_that_of_the_real_loop() {
    let budget = Budget::handles(2);
    let real = evenloop::Runtime::builder().budget(budget).build().expect("a runtime");
    let sim = sim::Runtime::builder().budget(budget).build();
    assert_eq!(order(&real), order(&sim));
}

fn order(runtime: &evenloop::Runtime) -> String {
    let order = Rc::new(RefCell::new(String::new()));
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for name in ["a", "b", "c"] {
            for steps in 0..5 {
                let order = order.clone();
                let task = spawn_in(name, async move {
                    for _ in 0..steps {
                        order.borrow_mut().push_str(name);
                        yield_now().await;
                    }
                });
                set.spawn(async move { task.await.expect("it ran") });
            }
        }
        while set.join_next().await.is_some() {}
    });
    order.take()
}

/// A timer that was set by another clock would fire at any time, so it is refused.
#[test]
#[expect(clippy::async_yields_async, reason = "a timer that was made inside is taken outside")]
fn timers_of_other_clocks_are_refused() {
    let sim = sim::Runtime::new(1);
    let text = panic_of(|| sim.block_on(sleep(MS)));
    assert!(text.contains("inside the simulation"), "{text}");
    let ticks = interval(MS);
    let text = panic_of(|| {
        sim.block_on(async {
            let mut ticks = ticks;
            ticks.tick().await;
        });
    });
    assert!(text.contains("inside the simulation"), "{text}");
    let nap = sim.block_on(async { sleep(MS) });
    let text = panic_of(|| sim::Runtime::new(1).block_on(nap));
    assert!(text.contains("inside the simulation"), "{text}");
    let nap = sim.block_on(async { sleep(MS) });
    let text = panic_of(|| evenloop::block_on(nap));
    assert!(text.contains("inside the simulation"), "{text}");
}
