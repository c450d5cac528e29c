//! Partitions in the running loop: whose is what, who runs when, and until when they exist.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::time::sleep;
use evenloop::{
    Budget, Close, Handle, Partition, PartitionBuilder, Runtime, block_on, spawn, spawn_in,
    spawn_isolated, yield_now,
};

fn counted(handles: u32) -> Runtime {
    Runtime::builder().budget(Budget::handles(handles)).build().unwrap()
}

fn here() -> String {
    Partition::current().name()
}

/// Everything created in a scope inherits its partition: children at any depth, from the first
/// poll on, and from destructors.
#[test]
fn scopes_are_inherited() {
    struct SpawnsOnDrop(Rc<RefCell<Vec<String>>>);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            let names = self.0.clone();
            drop(spawn(async move { names.borrow_mut().push(here()) }));
        }
    }

    let names: Rc<RefCell<Vec<String>>> = Rc::default();
    block_on(async {
        assert_eq!(here(), "ROOT");
        let notes = names.clone();
        spawn_in("a", async move {
            notes.borrow_mut().push(here());
            let _guard = SpawnsOnDrop(notes.clone());
            let deep = spawn(async { spawn(async { here() }).await.unwrap() });
            let deep = deep.await.unwrap();
            notes.borrow_mut().push(deep);
            // A waker called from elsewhere does not move the task.
            sleep(Duration::from_millis(1)).await;
            notes.borrow_mut().push(here());
        })
        .await
        .unwrap();
        for _ in 0..4 {
            yield_now().await;
        }
        assert_eq!(here(), "ROOT");
    });
    assert_eq!(*names.borrow(), ["a", "a", "a", "a"]);
}

/// A future polled for the first time by a spawn in "a" creates things in "a" even if the future
/// itself was made elsewhere.
#[test]
fn the_first_poll_runs_in_the_target() {
    block_on(async {
        let future = async { here() };
        assert_eq!(spawn_in("target", future).await.unwrap(), "target");
        assert_eq!(Partition::named("target").spawn(async { here() }).await.unwrap(), "target");
        assert_eq!(evenloop::spawn!(async { here() }, partition = "t").await.unwrap(), "t");
        assert_eq!(evenloop::spawn!(async { here() }).await.unwrap(), "ROOT");
        assert!(evenloop::spawn!(async { here() }, weight = 3).await.unwrap().starts_with('#'));
        assert!(spawn_isolated(async { here() }).await.unwrap().starts_with('#'));
        assert_eq!(spawn_in(7, async { here() }).await.unwrap(), "7");
    });
}

/// Waking a task queues it in its own partition, whoever wakes it.
#[test]
fn wakes_go_to_the_woken_tasks_partition() {
    let runtime = counted(1);
    runtime.block_on(async {
        let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
        let waker = slot.clone();
        let task = spawn_in("sleeper", async move {
            let mut first = true;
            poll_fn(|cx| {
                *waker.borrow_mut() = Some(cx.waker().clone());
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            here()
        });
        yield_now().await;
        spawn_in("waker", async move { slot.borrow().as_ref().unwrap().wake_by_ref() })
            .await
            .unwrap();
        assert_eq!(task.await.unwrap(), "sleeper");
    });
}

/// With a budget of `b` handles, busy partitions run exactly `b` handles each in turn.
#[test]
fn equal_budgets_take_equal_turns() {
    for budget in [1, 3, 8] {
        let runtime = counted(budget);
        let order: Rc<RefCell<Vec<usize>>> = Rc::default();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..3)
                .map(|i| {
                    let order = order.clone();
                    spawn_in(i as u64, async move {
                        for _ in 0..60 {
                            order.borrow_mut().push(i);
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let order = order.borrow();
        // The partitions are newborn and start one by one; then the rounds are regular.
        for round in order[..150].chunks(3 * budget as usize).skip(1).take(5) {
            for i in 0..3 {
                let served = round.iter().filter(|&&j| j == i).count();
                assert_eq!(served, budget as usize, "budget {budget}: {order:?}");
            }
        }
    }
}

/// Weights share the handles, however many tasks each side has.
#[test]
fn weights_share_whatever_the_number_of_tasks() {
    let runtime = counted(4);
    let (few, many) = (Rc::new(Cell::new(0u32)), Rc::new(Cell::new(0u32)));
    runtime.block_on(async {
        let loops = |partition: &Partition, count: &Rc<Cell<u32>>| {
            let count = count.clone();
            drop(partition.spawn(async move {
                loop {
                    count.set(count.get() + 1);
                    yield_now().await;
                }
            }));
        };
        let light = Partition::builder("one task").weight(3).build();
        loops(&light, &few);
        let crowd = Partition::named("many tasks");
        for _ in 0..500 {
            loops(&crowd, &many);
        }
        for _ in 0..1_000 {
            yield_now().await;
        }
        let ratio = f64::from(few.get()) / f64::from(many.get());
        assert!((2.9..3.1).contains(&ratio), "{} {}", few.get(), many.get());

        light.set_weight(1);
        let (a, b) = (few.get(), many.get());
        for _ in 0..1_000 {
            yield_now().await;
        }
        let ratio = f64::from(few.get() - a) / f64::from(many.get() - b);
        assert!((0.95..1.05).contains(&ratio), "after the change of weight: {ratio}");
    });
}

/// A flood of partitions in one group holds one share together.
#[test]
fn groups_hold_one_share() {
    let runtime = counted(1);
    let (health, flood) = (Rc::new(Cell::new(0u32)), Rc::new(Cell::new(0u32)));
    runtime.block_on(async {
        let spin = |count: &Rc<Cell<u32>>| {
            let count = count.clone();
            async move {
                loop {
                    count.set(count.get() + 1);
                    yield_now().await;
                }
            }
        };
        for i in 0..200 {
            let member = PartitionBuilder::numbered(i).group("connections").build();
            assert_eq!(member.group(), Some("connections"));
            member.spawn(spin(&flood));
        }
        spawn_in("health", spin(&health));
        for _ in 0..2_000 {
            yield_now().await;
        }
    });
    let share = f64::from(health.get()) / f64::from(flood.get());
    assert!((0.95..1.05).contains(&share), "{share}");
}

/// Somebody who wakes rarely runs at the next handle boundary, not after everybody's turn.
#[test]
fn a_sparse_partition_preempts_at_a_handle_boundary() {
    let runtime = counted(64);
    runtime.block_on(async {
        let ran = Rc::new(Cell::new(0u64));
        for i in 0..50u64 {
            let ran = ran.clone();
            spawn_in(i, async move {
                loop {
                    ran.set(ran.get() + 1);
                    yield_now().await;
                }
            });
        }
        let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
        let (seen, parked, count) = (Rc::new(Cell::new(0u64)), slot.clone(), ran.clone());
        let answered = seen.clone();
        spawn_in("health", async move {
            loop {
                let mut armed = false;
                poll_fn(|cx| {
                    *parked.borrow_mut() = Some(cx.waker().clone());
                    if std::mem::replace(&mut armed, true) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                answered.set(count.get());
            }
        });
        while slot.borrow().is_none() {
            yield_now().await;
        }
        for _ in 0..20 {
            for _ in 0..7 {
                yield_now().await;
            }
            let before = ran.get();
            let waker = slot.borrow().clone().unwrap();
            waker.wake();
            yield_now().await;
            let waited = seen.get() - before;
            assert!(waited <= 1, "{waited} foreign handles ran first");
        }
    });
}

/// What the process takes of the machine's memory, in KiB; 0 where that is not told.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// A million cycles of create, spawn and drop leave nothing behind, and memory stays flat.
#[test]
fn partitions_are_freed() {
    // Counted, not timed: the order does not depend on what else the machine does.
    let runtime = counted(64);
    let handle = runtime.handle();
    runtime.block_on(async {
        let mut settled = 0;
        for i in 0..1_000_000u64 {
            match i % 4 {
                0 => drop(spawn_in(i, async {})),
                1 => drop(spawn_isolated(async {})),
                2 => drop(Partition::anonymous()),
                // A share that suffices for what we ask of the group while we have our turn.
                _ => {
                    let member = PartitionBuilder::numbered(i).group("g").group_weight(32);
                    drop(member.build().spawn(async {}));
                }
            }
            if i % 64 == 0 {
                yield_now().await;
                // Those the newborn gate held back wait until our own turn is spent.
                assert!(handle.partitions().len() <= 64 * 64 + 1, "partitions pile up");
            }
            if i == 100_000 {
                settled = resident();
            }
        }
        let grown = resident().saturating_sub(settled);
        assert!(grown < 16 * 1024, "{grown} KiB more after the last 900,000 cycles");
        // The last ones still have to get their turns.
        for _ in 0..64 * 64 {
            yield_now().await;
        }
        let left: Vec<_> = handle.partitions().iter().map(Partition::name).collect();
        assert_eq!(left, ["ROOT"]);
    });
}

/// A partition lives while a task, a timer, a handle refers to it; then its name is free.
#[test]
fn partitions_live_while_referred_to() {
    block_on(async {
        let names =
            || Handle::current().partitions().iter().map(Partition::name).collect::<Vec<_>>();
        let held = Partition::named("held");
        let again = held.clone();
        drop(held);
        yield_now().await;
        assert_eq!(names(), ["ROOT", "held"]);
        drop(again);
        yield_now().await;
        assert_eq!(names(), ["ROOT"]);

        let task = spawn_in("task", pending::<()>());
        yield_now().await;
        assert_eq!(names(), ["ROOT", "task"]);
        task.abort();
        let _ = task.await;
        yield_now().await;
        assert_eq!(names(), ["ROOT"]);

        // Only a timer refers to it: armed in the partition, then carried away.
        let (send, receive) = futures::channel::oneshot::channel();
        spawn_in("timer", async move {
            let mut timer = Box::pin(sleep(Duration::from_secs(60)));
            poll_fn(|cx| {
                assert!(timer.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(send.send(timer).is_ok());
        });
        let timer: Pin<Box<_>> = receive.await.unwrap();
        yield_now().await;
        assert_eq!(names(), ["ROOT", "timer"]);
        drop(timer);
        yield_now().await;
        yield_now().await;
        assert_eq!(names(), ["ROOT"]);
    });
}

/// A handle may be dropped on another thread, and outlive the runtime.
#[test]
fn handles_are_released_from_anywhere() {
    let runtime = Runtime::new().unwrap();
    let (one, two) = runtime.block_on(async { (Partition::named("one"), Partition::named("two")) });
    thread::spawn(move || drop(one)).join().unwrap();
    runtime.block_on(async {
        yield_now().await;
        yield_now().await;
        let left: Vec<_> = Handle::current().partitions().iter().map(Partition::name).collect();
        assert_eq!(left, ["ROOT", "two"]);
    });
    drop(runtime);
    assert_eq!(two.name(), "two");
    two.set_weight(3);
    two.close(Close::Cancel);
    drop(two);
}

/// A closed partition refuses new tasks from outside, runs its own out, and then is gone.
#[test]
fn closing_drains() {
    block_on(async {
        let partition = Partition::named("closing");
        let own = partition.spawn(async {
            yield_now().await;
            yield_now().await;
            // From inside it may still spawn what it needs to finish.
            spawn(async { 1 }).await.unwrap() + 1
        });
        yield_now().await;
        partition.close(Close::Drain);
        assert!(partition.is_closed());
        for refused in [partition.spawn(async { 0 }), spawn_in("closing", async { 0 })] {
            let error = refused.await.unwrap_err();
            assert!(error.is_refused() && error.is_cancelled());
            assert!(error.to_string().contains("closed"), "{error}");
        }
        assert_eq!(own.await.unwrap(), 2);
        drop(partition);
        yield_now().await;
        // The name is free for another partition, which is open.
        assert_eq!(spawn_in("closing", async { 3 }).await.unwrap(), 3);
    });
}

/// Closing with `Cancel` aborts every task in it and nobody else.
#[test]
fn closing_cancels() {
    block_on(async {
        let inside: Vec<_> = (0..5).map(|_| spawn_in("closing", pending::<()>())).collect();
        let outside = spawn_in("other", async {
            yield_now().await;
            4
        });
        yield_now().await;
        Partition::named("closing").close(Close::Cancel);
        for task in inside {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert_eq!(outside.await.unwrap(), 4);
    });
}

/// A partition of one runtime is of no use in another.
#[test]
#[should_panic(expected = "belongs to another runtime")]
fn partitions_do_not_change_runtimes() {
    let (one, two) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let partition = one.block_on(async { Partition::named("mine") });
    drop(two.spawn_in(&partition, async {}));
}

/// A weight of zero is refused with a sentence, in every place one can be given.
#[test]
fn zero_weights_are_refused() {
    fn refused(f: impl FnOnce()) {
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
        assert!(text.unwrap().contains("weight"));
    }
    block_on(async {
        refused(|| drop(Partition::builder("x").weight(0)));
        refused(|| drop(Partition::builder("x").group_weight(0)));
        refused(|| Partition::named("x").set_weight(0));
        refused(|| drop(evenloop::spawn!(async {}, partition = "x", weight = 0)));
    });
}

/// Timers belong to the partition of the task that waits for them last, wherever they were made.
#[test]
fn timers_follow_their_waiter() {
    block_on(async {
        let mut timer = Box::pin(sleep(Duration::from_millis(5)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(timer.as_mut().poll(&mut cx).is_pending());
        let woken = spawn_in("waiter", async move {
            timer.await;
            here()
        });
        assert_eq!(woken.await.unwrap(), "waiter");
    });
}

/// A partition's counters tell what it did, and add up.
#[test]
fn metrics_add_up() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let partition = Partition::named("measured");
        partition
            .spawn(async {
                for _ in 0..99 {
                    yield_now().await;
                }
            })
            .await
            .unwrap();
        let metrics = partition.metrics();
        assert_eq!(metrics.handles, 100);
        assert_eq!(metrics.running + metrics.starved + metrics.waiting, metrics.wall());
        assert!(metrics.running > Duration::ZERO && metrics.turns >= 1);
        let load = partition.load();
        assert!((0.0..=1.0).contains(&load), "{load}");
    });
    assert!(runtime.handle().metrics().handles >= 100);
}

/// What a partition's timers cost when they fire is its own time, not that of whoever runs next.
#[test]
fn deliveries_are_paid_by_who_gets_them() {
    struct Slow(Mutex<Option<Waker>>);
    impl Wake for Slow {
        fn wake(self: Arc<Self>) {
            let start = Instant::now();
            while start.elapsed() < COST {}
            // Somebody who preempts the turn at once.
            self.0.lock().unwrap().take().unwrap().wake();
        }
    }
    const COST: Duration = Duration::from_millis(30);
    block_on(async {
        let slow = Arc::new(Slow(Mutex::new(None)));
        // A timer elsewhere, so that time counts though nobody competes.
        drop(spawn(sleep(Duration::MAX)));
        let partition = Partition::named("slow");
        let ready = partition.spawn({
            let waker = Waker::from(slow.clone());
            let slow = slow.clone();
            async move {
                let mut nap = Box::pin(sleep(Duration::from_millis(1)));
                assert!(nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                // Busy, so that its turn goes on after the delivery.
                while slow.0.lock().unwrap().is_some() {
                    yield_now().await;
                }
            }
        });
        let mut waits = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waits, true) {
                return Poll::Ready(());
            }
            *slow.0.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let running = partition.metrics().running;
        assert!(running >= COST, "{running:?}");
        ready.await.unwrap();
    });
}
