//! What `docs/isolation.md` says of shares, of sizes and of handles that are too long, in virtual
//! time.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use evenloop::time::{Instant, sleep, sleep_until};
use evenloop::{Handle, Partition, PartitionBuilder, sim, spawn_in};

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

/// Where connections are mixed, the work of each request goes into its partition: a light request
/// then waits for one handle, although its connection is one of a hundred that mostly ask for more.
#[test]
fn requests_are_kept_apart_by_their_work() {
    async fn serve(kind: &'static str, work: Duration) {
        spawn_in(kind, async move { sim::spend(work) }).await.expect("the work is done");
    }
    let late = simulate(async {
        for _ in 0..99 {
            spawn_in("connections", async {
                loop {
                    serve("bulk", MS).await;
                }
            });
        }
        let mixed = spawn_in("connections", async {
            let mut latest = Duration::ZERO;
            for _ in 0..20 {
                serve("bulk", MS).await;
                let asked = Instant::now();
                serve("health", Duration::ZERO).await;
                latest = latest.max(asked.elapsed());
            }
            latest
        });
        mixed.await.expect("it asks to the end")
    });
    // A handle of the bulk may run before the work, and another before the answer.
    assert!(late <= 2 * MS, "{late:?}");
}

/// A handle that is too long leaves its length in the gap between two harvests. Who waited for
/// the kernel or a timer was not starved, since nobody looked; it shows in the lateness of timers.
/// Who was queued was starved. And the one whose handle it was has it all as running time.
#[test]
fn a_long_handle_leaves_traces() {
    const LONG: Duration = Duration::from_millis(50);
    simulate(async {
        let [culprit, asleep, queued] = ["culprit", "asleep", "queued"].map(Partition::named);
        let sleeps = asleep.spawn(sleep(MS));
        sleep(US).await;
        let long = culprit.spawn(async { sim::spend(LONG) });
        let waits = queued.spawn(async {});
        for task in [sleeps, long, waits] {
            task.await.expect("it ends");
        }

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
