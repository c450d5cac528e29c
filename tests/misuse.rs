//! Bad input: each gets a typed error, or a panic with a sentence that says what to do, and
//! afterwards the runtime is as usable as before.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use evenloop::time::sleep;
use evenloop::{
    Budget, Close, Handle, JoinSet, Partition, PartitionBuilder, Runtime, Spawn, block_on, spawn,
    spawn_blocking, spawn_in, spawn_isolated, yield_now,
};

/// What the panic of `f` says.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it went well") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}

/// Each call that needs a loop names itself, and says where it should be.
#[test]
fn outside_a_runtime() {
    let partition = block_on(async { Partition::named("left over") });
    let said = [
        ("evenloop::spawn ", panic_of(|| spawn(async {}))),
        ("evenloop::spawn_in", panic_of(|| spawn_in("x", async {}))),
        ("evenloop::spawn_isolated", panic_of(|| spawn_isolated(async {}))),
        ("evenloop::spawn_blocking", panic_of(|| spawn_blocking(|| ()))),
        ("Spawn::spawn", panic_of(|| evenloop::spawn!(async {}))),
        ("Spawn::partition", panic_of(|| evenloop::spawn!(async {}, partition = "x"))),
        ("Spawn::spawn", panic_of(|| Spawn::new().weight(2).spawn(async {}))),
        ("evenloop::spawn ", panic_of(|| JoinSet::new().spawn(async {}))),
        ("Handle::current", panic_of(Handle::current)),
        ("Partition::current", panic_of(Partition::current)),
        ("Partition::root", panic_of(Partition::root)),
        ("Partition::spawn", panic_of(|| partition.spawn(async {}))),
        ("a Partition", panic_of(|| Partition::named("x"))),
        ("a Partition", panic_of(Partition::anonymous)),
        ("a Partition", panic_of(|| Partition::builder("x").build())),
        ("a Partition", panic_of(|| PartitionBuilder::numbered(1).build())),
    ];
    for (what, text) in said {
        assert!(text.contains(what), "{what}: {text}");
        assert!(text.contains("call it inside `evenloop::block_on`"), "{what}: {text}");
    }
}

/// A partition of another runtime is told apart, here and from other threads.
#[test]
fn partitions_of_another_runtime() {
    let other = Runtime::new().unwrap();
    let foreign = other.block_on(async { Partition::named("foreign") });
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let far = std::thread::scope(|scope| {
        let spawning = scope.spawn(|| panic_of(|| handle.spawn_in(&foreign, async {})));
        spawning.join().unwrap()
    });
    assert!(far.contains("\"foreign\" belongs to another runtime"), "{far}");
    runtime.block_on(async {
        let near = panic_of(|| spawn_in(&foreign, async {}));
        assert!(near.contains("\"foreign\" belongs to another runtime"), "{near}");
        assert_eq!(spawn_in("foreign", async { 1 }).await.unwrap(), 1, "the name is free here");
    });
}

/// What is spawned into a closed partition comes back as a refusal, by every way to spawn.
#[test]
fn closed_partitions() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        for how in [Close::Drain, Close::Cancel] {
            let closed = Partition::named("closed");
            closed.close(how);
            closed.close(how);
            let remote = handle.clone();
            let target = closed.clone();
            let far = spawn_blocking(move || {
                [remote.spawn_in("closed", async {}), remote.spawn_in(&target, async {})]
            });
            let [by_name, by_partition] = far.await.unwrap();
            let refused = [
                spawn_in("closed", async {}),
                spawn_in(&closed, async {}),
                closed.spawn(async {}),
                evenloop::spawn!(async {}, partition = "closed"),
                handle.spawn_in(&closed, async {}),
                by_name,
                by_partition,
            ];
            for task in refused {
                let error = task.await.unwrap_err();
                assert!(error.is_refused() && error.is_cancelled());
                assert!(error.to_string().contains("its partition is closed"), "{error}");
            }
            assert!(Partition::named("closed").is_closed(), "the same, while it is referred to");
            drop(closed);
            yield_now().await;
            yield_now().await;
            assert!(!Partition::named("closed").is_closed(), "another one by the same name");
        }
    });
}

/// ROOT can be closed as well: what comes from outside is refused, what runs there goes on.
#[test]
fn a_closed_root() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let answer = runtime.block_on(async {
        Partition::root().close(Close::Drain);
        let remote = handle.clone();
        let far = spawn_blocking(move || remote.spawn(async {})).await.unwrap();
        assert!(far.await.unwrap_err().is_refused());
        let elsewhere = spawn_in("open", async { spawn_in(Partition::root(), async {}).await });
        assert!(elsewhere.await.unwrap().unwrap_err().is_refused());
        spawn(async { 1 }).await.unwrap()
    });
    assert_eq!(answer, 1);
    let late = runtime.spawn(async {});
    assert!(runtime.block_on(late).unwrap_err().is_refused());
}

/// So does what is spawned into a partition that is gone, of which only a view is left.
#[test]
fn partitions_that_are_gone() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        let partition = Partition::named("short-lived");
        let view = handle.partitions().into_iter().find(|view| *view == partition).unwrap();
        drop(partition);
        yield_now().await;
        yield_now().await;
        assert_eq!(handle.partitions(), [Partition::root()]);
        assert!(spawn_in(&view, async {}).await.unwrap_err().is_refused());
        let (remote, target) = (handle.clone(), view.clone());
        let far = spawn_blocking(move || remote.spawn_in(&target, async {}));
        assert!(far.await.unwrap().await.unwrap_err().is_refused());
        // Nothing to be changed, and nothing that breaks.
        view.set_weight(3);
        view.close(Close::Cancel);
        assert_eq!((view.name(), view.metrics().tasks), ("short-lived".to_owned(), 0));
        assert!((0.0..=1.0).contains(&view.load()));
    });
}

/// However small or large a budget or a weight: everybody gets their turns.
#[test]
fn absurd_budgets_and_weights() {
    let budgets = [
        Budget::handles(1),
        Budget::handles(u32::MAX),
        Budget::time(Duration::from_nanos(1)),
        Budget::time(Duration::MAX),
        Budget::new(1, Duration::MAX),
        Budget::new(u32::MAX, Duration::from_nanos(1)),
        Budget::new(u32::MAX, Duration::MAX),
        Budget::new(7, Duration::from_nanos(u64::MAX)),
    ];
    for budget in budgets {
        let runtime = Runtime::builder().budget(budget).build().unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> = [1, 7, u32::MAX]
                .into_iter()
                .map(|weight| {
                    let partition = Partition::builder(&format!("weighs {weight}"))
                        .weight(weight)
                        .group("all")
                        .group_weight(weight)
                        .build();
                    partition.spawn(async {
                        for _ in 0..100 {
                            yield_now().await;
                        }
                        Partition::current().set_weight(u32::MAX);
                        sleep(Duration::from_micros(50)).await;
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

/// A limit no clock can tell is no limit.
#[test]
fn absurd_patience() {
    let runtime = Runtime::new().unwrap();
    runtime.spawn(pending::<()>());
    runtime.block_on(async { drop(spawn_blocking(|| ())) });
    assert_eq!(runtime.shutdown(Duration::MAX).pending().len(), 1);
    assert!(Runtime::new().unwrap().shutdown(Duration::ZERO).is_clean());
}

/// A zero is refused by name where it would mean that nothing ever runs.
#[test]
fn zeros() {
    let said = [
        panic_of(|| Budget::handles(0)),
        panic_of(|| Budget::time(Duration::ZERO)),
        panic_of(|| Budget::new(0, Duration::from_micros(1))),
        panic_of(|| Budget::new(1, Duration::ZERO)),
        panic_of(|| Partition::builder("x").weight(0)),
        panic_of(|| Partition::builder("x").group_weight(0)),
        panic_of(|| block_on(async { Partition::current().set_weight(0) })),
        panic_of(|| block_on(async { drop(evenloop::spawn!(async {}, weight = 0)) })),
        panic_of(|| Runtime::builder().blocking_threads(0)),
    ];
    for text in said {
        assert!(text.contains("would never run"), "{text}");
    }
}
