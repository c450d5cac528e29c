//! Every public name used in the ways that come to mind first; most of this is that it compiles.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenloop::{
    AbortHandle, Budget, Builder, Close, Handle, IntoPartition, JoinError, JoinHandle, JoinSet,
    Partition, Runtime, ShutdownReport, Spawn, TaskId, block_on, spawn, spawn_blocking, spawn_in,
    spawn_isolated, yield_now,
};

async fn here() -> String {
    Partition::current().name()
}

/// Whatever looks like a name is one.
#[test]
fn partitions_are_named_by_strings_numbers_and_themselves() {
    block_on(async {
        let owned = String::from("bulk");
        let bulk = Partition::named(&owned);
        let by_name: [JoinHandle<String>; 8] = [
            spawn_in("bulk", here()),
            spawn_in(&owned, here()),
            spawn_in(owned.clone(), here()),
            spawn_in(Cow::Borrowed("bulk"), here()),
            spawn_in(Box::<str>::from("bulk"), here()),
            spawn_in(Arc::<str>::from("bulk"), here()),
            spawn_in(&bulk, here()),
            spawn_in(bulk.clone(), here()),
        ];
        for task in by_name {
            assert_eq!(task.await.unwrap(), "bulk");
        }
        for (name, text) in ["one", "two"].iter().zip(["one", "two"]) {
            assert_eq!(spawn_in(name, here()).await.unwrap(), text);
        }
        fn any(name: impl IntoPartition) -> JoinHandle<String> {
            evenloop::spawn_in(name, here())
        }
        assert_eq!(any("generic").await.unwrap(), "generic");
    });
}

/// A number needs no suffix, and is the same partition whatever its type.
#[test]
fn numbers_of_all_types_are_the_same_partition() {
    block_on(async {
        let seven = evenloop::PartitionBuilder::numbered(7).build();
        let here = || async { Partition::current() };
        let by_number = [
            spawn_in(7, here()),
            spawn_in(7_u8, here()),
            spawn_in(7_i32, here()),
            spawn_in(7_u32, here()),
            spawn_in(7_u64, here()),
            spawn_in(7_i64, here()),
            spawn_in(7_usize, here()),
        ];
        for task in by_number {
            assert_eq!(task.await.unwrap(), seven);
        }
        assert_ne!(spawn_in("7", here()).await.unwrap(), seven, "a name is no number");
        let minus_one = spawn_in(-1, here()).await.unwrap();
        assert_eq!(minus_one.name(), "-1");
        assert_ne!(spawn_in(u64::MAX, here()).await.unwrap(), minus_one);
    });
}

/// The keywords of `spawn!` may be left out and come in any order.
#[test]
fn keywords_in_any_order() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        use evenloop::spawn;
        let bulk = Partition::named("bulk");
        assert_eq!(spawn!(here()).await.unwrap(), "ROOT");
        assert_eq!(spawn!(here(),).await.unwrap(), "ROOT");
        assert_eq!(spawn!(here(), partition = "bulk").await.unwrap(), "bulk");
        assert_eq!(spawn!(here(), partition = &bulk).await.unwrap(), "bulk");
        assert_eq!(spawn!(here(), partition = 17, weight = 4).await.unwrap(), "17");
        assert_eq!(spawn!(here(), weight = 3, partition = "bulk").await.unwrap(), "bulk");
        assert_eq!(bulk.weight(), 3);
        assert_eq!(spawn!(here(), name = "n", weight = 2, partition = "p",).await.unwrap(), "p");
        assert_eq!(spawn!(here(), name = String::from("n")).await.unwrap(), "ROOT");
        assert_eq!(spawn!(here(), name = "n", partition = "p").await.unwrap(), "p");
        let own = spawn!(async { Partition::current().weight() }, weight = 5, name = "n");
        assert_eq!(own.await.unwrap(), 5);
        let local = Rc::new(1);
        assert_eq!(spawn!(async move { *local }, partition = "p").await.unwrap(), 1);
        assert_eq!(Spawn::new().partition("p").name("n").spawn(here()).await.unwrap(), "p");
        spawn!(pending::<()>(), name = "left over", partition = "late");
    });
    let report: ShutdownReport = runtime.shutdown(Duration::from_secs(1));
    let [left] = report.pending() else { panic!("{report}") };
    assert_eq!((left.name(), left.partition()), (Some("left over"), "late"));
    assert_eq!(left.location().file(), file!());
}

/// Futures and outputs need not be `Send`, on the loop's own thread.
#[test]
fn nothing_need_be_send_on_the_loop() {
    let runtime = Builder::default().budget(Budget::default()).build().unwrap();
    let count = Rc::new(Cell::new(0));
    let add = || {
        let count = count.clone();
        async move {
            yield_now().await;
            count.set(count.get() + 1);
            count
        }
    };
    let early = [runtime.spawn(add()), runtime.spawn_in("early", add())];
    let by_ref = runtime.block_on(async {
        let mut set: JoinSet<Rc<Cell<i32>>> = JoinSet::new();
        let _: AbortHandle = set.spawn(add());
        set.spawn_in("set", add());
        while let Some(outcome) = set.join_next().await {
            outcome.unwrap();
        }
        for task in [spawn(add()), spawn_in("x", add()), spawn_isolated(add())] {
            task.await.unwrap();
        }
        Partition::builder("y").weight(2).group("g").build().spawn(add()).await.unwrap();
        for task in early {
            task.await.unwrap();
        }
        &count
    });
    assert_eq!(by_ref.get(), 8, "block_on takes futures that borrow");
}

/// A handle, and all that it gives, is for any thread.
#[test]
fn handles_are_for_any_thread() {
    fn travels<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let runtime = Runtime::new().unwrap();
    let handle: Handle = travels(runtime.handle());
    let other = std::thread::spawn({
        let handle = handle.clone();
        move || {
            let task = travels(handle.spawn(async { 1 }));
            let named = handle.spawn_in("remote", here());
            let _: TaskId = task.id();
            let abort = travels(handle.spawn(pending::<()>()).abort_handle());
            abort.abort();
            (task, named, handle.spawn_blocking(|| 2))
        }
    });
    let (task, named, blocking) = other.join().unwrap();
    runtime.block_on(async {
        assert_eq!(task.await.unwrap(), 1);
        assert_eq!(named.await.unwrap(), "remote");
        assert_eq!(blocking.await.unwrap(), 2);
        assert_eq!(spawn_blocking(|| 3).await.unwrap(), 3);
        let gone: JoinError = {
            let task = spawn(pending::<()>());
            task.abort();
            task.await.unwrap_err()
        };
        assert!(gone.is_cancelled() && !gone.is_panic());
        let partition = travels(Partition::named("p"));
        partition.close(Close::Cancel);
        assert!(partition.spawn(async {}).await.unwrap_err().is_refused());
        assert_eq!(Handle::current().partitions()[0], Partition::root());
        let load = handle.load();
        assert!((0.0..=1.0).contains(&load) && handle.metrics().handles > 0);
    });
}

/// Sleeps and intervals are used as those of tokio.
#[test]
fn timers_by_the_names_of_tokio() {
    use evenloop::time::{
        Instant, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout, timeout_at,
    };
    const MS: Duration = Duration::from_millis(1);
    block_on(async {
        sleep(MS).await;
        sleep_until(Instant::now() + MS).await;
        let mut nap = pin!(sleep(60_000 * MS));
        nap.as_mut().reset(Instant::now());
        nap.as_mut().await;
        assert!(nap.is_elapsed() && nap.deadline() <= Instant::now());
        let _: Result<(), evenloop::time::Elapsed> = timeout(MS, pending()).await;
        assert!(timeout_at(Instant::now(), pending::<()>()).await.is_err());
        let mut ticks = interval_at(Instant::now() + MS, MS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
        ticks.reset();
        assert_eq!(
            (ticks.period(), interval(MS).missed_tick_behavior()),
            (MS, MissedTickBehavior::Burst)
        );
        fn is_future<F: Future + Send + Sync + Unpin>(_: &F) {}
        is_future(&sleep(MS));
    });
}
