use std::time::Duration;

use crate::sim::workload::{
    Counts, Workload, any, flood, floods, hog, micros, millis, nanos, tenant,
};
use crate::sim::{Link, Route, Runtime, check};

fn run(sim: &Runtime, load: &Workload) -> Counts {
    sim.block_on(async { load.spawn().await })
}

/// Every byte that clients send comes back to them, and every task ends.
#[test]
fn what_is_sent_comes_back() {
    let load = Workload::new()
        .with(tenant("echo").runs(flood(50, millis(2), 3_000, micros(20)).rounds(4).copies(2)))
        .with(tenant("bulk").runs(hog(micros(100)).rounds(300)));
    let sim = Runtime::new(1);
    let counts = run(&sim, &load);
    assert_eq!((counts.connected, counts.broken), (100, 0));
    assert_eq!((counts.sent, counts.garbled), (100 * 4 * 3_000, 0));
    assert_eq!((counts.received, counts.echoed), (counts.sent, counts.sent));
    assert_eq!(counts.tasks, counts.ended);
    let service = sim.trace().service("echo", ..);
    assert_eq!(service, 100 * 4 * micros(20), "a request costs what it costs");
}

/// So it is whatever the network does to segments, but for resets and cuts.
#[test]
fn any_flood_comes_back() {
    let loads = floods().and(any()).rounds(1..=6).crowd(1..=12);
    check(loads, |load, sim| {
        let slow = Link::new().latency_between(micros(10), millis(3)).bandwidth(2_000_000);
        sim.network().set_link(Route::All, slow.short_reads(0.3).short_writes(0.3));
        let counts = run(sim, &load);
        assert_eq!((counts.broken, counts.garbled), (0, 0), "{counts:?}");
        assert_eq!((counts.received, counts.echoed), (counts.sent, counts.sent));
        assert_eq!((counts.tasks, counts.wakes), (counts.ended, counts.heard));
    });
}

/// A network that fails in the middle breaks connections, which are counted; nobody waits for ever.
#[test]
fn a_broken_network_is_counted() {
    let load = Workload::new()
        .with(tenant("echo").runs(flood(20, millis(10), 100, micros(1)).rounds(1_000)));
    let sim = Runtime::new(1);
    let counts = sim.block_on(async {
        let running = load.spawn();
        crate::time::sleep(millis(5)).await;
        sim.network().reset_all(Route::All);
        running.await
    });
    assert!(counts.broken > 5 && counts.broken < 20, "{counts:?}");
    assert_eq!(counts.tasks, counts.ended);
    assert!(counts.received < counts.sent && counts.garbled == 0, "{counts:?}");
}

/// A client that sleeps not at all before it connects, and a flood of nobody, are no special cases.
#[test]
fn floods_may_be_small() {
    for clients in 0..2 {
        let load = Workload::new()
            .with(tenant("echo").runs(flood(clients, nanos(0), 1, nanos(0)).rounds(1)));
        let counts = run(&Runtime::new(1), &load);
        assert_eq!((counts.received, counts.ended), (clients.into(), counts.tasks));
    }
    assert_eq!(run(&Runtime::new(1), &Workload::new()), Counts::default());
    assert_eq!(Runtime::new(1).elapsed(), Duration::ZERO);
}
