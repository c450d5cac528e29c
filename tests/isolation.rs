//! What `docs/isolation.md` says of shares, of sizes and of handles that are too long, in virtual
//! time.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use evenloop::time::{Instant, sleep, sleep_until};
use evenloop::{Handle, Partition, PartitionBuilder, sim, spawn_in, within};

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);

/// Runs a simulation. Nothing in these tests is left to chance, so one seed is as good as another.
fn simulate<R>(test: impl Future<Output = R>) -> R {
    sim::Runtime::new(1).block_on(test)
}

/// Computes for ever, in handles of one length, and counts the time.
async fn busy(handle: Duration, had: Rc<Cell<Duration>>) {
    loop {
        had.set(had.get() + handle);
        sim::burn(handle).await;
    }
}

/// Asks for `demand` of each millisecond, for a second, and returns how late it was at worst.
async fn ask_for(demand: Duration) -> Duration {
    let begin = Instant::now();
    let mut latest = Duration::ZERO;
    for i in 1..=1000 {
        let due = begin + i * MS;
        sleep_until(due).await;
        latest = latest.max(due.elapsed());
        sim::spend(demand);
    }
    latest
}

/// Beside one busy partition the share is one half. Who asks for less waits for the handle that
/// runs and no longer; who asks for more is late by many of them.
#[test]
fn demand_within_the_share_is_served_at_once() {
    let late = |demand| {
        simulate(async move {
            spawn_in("bulk", busy(50 * US, Rc::default()));
            spawn_in("health", ask_for(demand)).await.expect("it asks to the end")
        })
    };
    assert!(late(100 * US) <= 50 * US);
    assert!(late(400 * US) <= 50 * US);
    assert!(late(600 * US) > 100 * 50 * US);
}

/// A weight makes room for a larger demand: three shares of four are enough for what one of two
/// was not.
#[test]
fn a_weight_makes_room_for_a_larger_demand() {
    let late = simulate(async {
        spawn_in("bulk", busy(50 * US, Rc::default()));
        let health = Partition::builder("health").weight(3).build();
        health.spawn(ask_for(600 * US)).await.expect("it asks to the end")
    });
    assert!(late <= 50 * US, "{late:?}");
}

/// Runs two tenants for a second, the first with ten connections and the second with one, each in
/// the partition that `of` makes for its tenant. Returns the share of the first.
fn share_of_ten_beside_one(of: impl Fn(&str) -> Partition) -> f64 {
    simulate(async {
        let (many, one) = (Rc::default(), Rc::default());
        for _ in 0..10 {
            of("many").spawn(busy(50 * US, Rc::clone(&many)));
        }
        of("one").spawn(busy(50 * US, Rc::clone(&one)));
        sleep(1000 * MS).await;
        many.get().as_secs_f64() / (many.get() + one.get()).as_secs_f64()
    })
}

/// With a partition for each connection, connections are shares: who opens ten has ten. A
/// partition for each tenant, or a group around his connections, makes it one.
#[test]
fn tenants_are_shares_if_the_partitions_are_theirs() {
    let by_connection = share_of_ten_beside_one(|_| Partition::anonymous());
    let by_tenant = share_of_ten_beside_one(Partition::named);
    let by_group =
        share_of_ten_beside_one(|tenant| PartitionBuilder::anonymous().group(tenant).build());
    assert!((by_connection - 10.0 / 11.0).abs() < 0.01, "{by_connection}");
    assert!((by_tenant - 0.5).abs() < 0.01, "{by_tenant}");
    assert!((by_group - 0.5).abs() < 0.01, "{by_group}");
}

/// Runs a hundred connections that mostly ask for a millisecond of work, one request after the
/// other; `work` does that of a request in the partition of its kind. Returns how long a light
/// request on one of them waited at worst.
fn light_among_bulk<F>(work: impl Fn(&'static str, Duration) -> F + Copy + 'static) -> Duration
where
    F: Future<Output = ()>,
{
    simulate(async move {
        for _ in 0..99 {
            spawn_in("connections", async move {
                loop {
                    work("bulk", MS).await;
                }
            });
        }
        let mixed = spawn_in("connections", async move {
            let mut latest = Duration::ZERO;
            for _ in 0..20 {
                work("bulk", MS).await;
                let asked = Instant::now();
                work("health", Duration::ZERO).await;
                latest = latest.max(asked.elapsed());
            }
            latest
        });
        mixed.await.expect("it asks to the end")
    })
}

/// Where connections are mixed, the work of each request goes into its partition, by a move of the
/// connection's task or as a task of its own. A light request then waits for two handles, one
/// before its work and one before the answer, whatever the other connections ask for.
#[test]
fn requests_are_kept_apart_by_their_work() {
    let moved = light_among_bulk(|kind, time| within(kind, async move { sim::spend(time) }));
    assert!(moved <= 2 * MS, "{moved:?}");
    let spawned = light_among_bulk(async |kind, time| {
        spawn_in(kind, async move { sim::spend(time) }).await.expect("the work is done");
    });
    assert!(spawned <= 2 * MS, "{spawned:?}");
    // And this is what it saves.
    let together = light_among_bulk(|_, time| within("bulk", async move { sim::spend(time) }));
    assert!(together >= 99 * MS, "{together:?}");
}

/// A handle that is too long leaves its length in the gap between two harvests. Who waited for
/// the kernel or a timer was not starved, since nobody looked; it shows in the lateness of timers.
/// Who was queued was starved. And the one whose handle it was has it all as running time, which
/// grows while it runs, as the loop's busy time does: only the harvests do not.
#[test]
fn a_long_handle_leaves_traces() {
    const LONG: Duration = Duration::from_millis(50);
    simulate(async {
        let [culprit, asleep, queued] = ["culprit", "asleep", "queued"].map(Partition::named);
        let sleeps = asleep.spawn(sleep(MS));
        sleep(US).await;
        let long = culprit.spawn(async {
            let read = || (Handle::current().metrics(), Partition::current().metrics());
            let before = read();
            sim::spend(LONG);
            let now = read();
            (now.0.since(&before.0), now.1.since(&before.1))
        });
        let waits = queued.spawn(async {});
        for task in [sleeps, waits] {
            task.await.expect("it ends");
        }
        let (of_loop, of_culprit) = long.await.expect("it ends");
        assert_eq!((of_loop.busy, of_loop.harvests), (LONG, 0));
        assert_eq!(of_culprit.running, LONG);

        let of_loop = Handle::current().metrics();
        assert!(of_loop.harvest_gap.quantile(1.0) >= Some(LONG));
        let asleep = asleep.metrics();
        assert_eq!(asleep.starved, Duration::ZERO);
        assert!(asleep.timer_lateness.quantile(1.0) >= Some(LONG - MS));
        assert_eq!(queued.metrics().starved, LONG);
        let culprit = culprit.metrics();
        assert_eq!((culprit.running, culprit.handles), (LONG, 1));
        assert!(culprit.forgiven > 0, "it is over the limit of debts");
    });
}

/// A due timer of an idle partition waits for the handle that runs, not for the next harvest.
#[test]
fn a_due_timer_waits_for_the_handle_that_runs() {
    const HANDLE: Duration = Duration::from_micros(10);
    let latest = sim::Runtime::new(1).block_on(async {
        for _ in 0..100 {
            drop(spawn_in("bulk", async {
                loop {
                    sim::burn(HANDLE).await;
                }
            }));
        }
        let health = spawn_in("health", async {
            let mut latest = Duration::ZERO;
            for tick in 1..=200 {
                // At any moment within a handle.
                let at = Instant::now() + Duration::from_nanos(10_000_000 + 97 * tick);
                sleep_until(at).await;
                latest = latest.max(Instant::now() - at);
            }
            latest
        });
        health.await.expect("the health check does not panic")
    });
    assert!(latest > Duration::ZERO && latest <= HANDLE, "{latest:?} late");
}
