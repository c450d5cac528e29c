//! What a simulation writes down of its loop, and whether that holds to the propositions.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use evenloop::sim::{self, Trace, What};
use evenloop::time::{sleep, timeout};
use evenloop::{Partition, spawn_in};
use futures::future::poll_immediate;

fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// The places of the events of a partition that `pick` picks.
fn places(trace: &Trace, partition: &str, pick: impl Fn(&What) -> bool) -> Vec<usize> {
    let events = trace.events();
    let of = events.filter(|event| event.partition == Some(partition) && pick(&event.what));
    of.map(|event| event.index).collect()
}

/// What a handle creates takes its place in line when that handle has been charged, in debt if
/// its maker is.
#[test]
fn an_heir_lines_up_when_its_maker_is_charged() {
    let sim = sim::Runtime::new(1);
    sim.block_on(async {
        spawn_in("rival", async {
            for _ in 0..10 {
                sim::burn(us(10)).await;
            }
        });
        let maker = spawn_in("maker", async {
            let heir = spawn_in("heir", async {});
            sim::spend(us(250));
            heir.await.unwrap();
        });
        maker.await.unwrap();
    });
    let trace = sim.trace();
    let created = places(&trace, "heir", |what| matches!(what, What::Created { .. }))[0];
    let woken = places(&trace, "heir", |what| *what == What::Wake)[0];
    let charged = places(&trace, "maker", |what| matches!(what, What::Ran | What::Done))[0];
    let roused = places(&trace, "heir", |what| matches!(what, What::Roused { .. }))[0];
    assert!(created < woken && woken < charged && charged < roused);
    let What::Roused { ahead, left } = trace.event(roused).what else { unreachable!() };
    // `maker` bears the price of the handle that made it, and `heir` that and its maker's.
    let settings = trace.settings();
    let spent = settings.price(Duration::ZERO) + 250_000;
    assert_eq!(u64::from(ahead), spent / settings.quantum());
    assert_eq!(left, settings.quantum() - spent % settings.quantum());
}

/// A delivery that finds nothing left is told as one that woke nobody.
#[test]
fn a_delivery_that_finds_nothing_is_told() {
    let sim = sim::Runtime::new(1);
    sim.block_on(async {
        let _busy = Partition::named("busy");
        let timer = Rc::new(RefCell::new(None));
        let shared = timer.clone();
        let arms = spawn_in("busy", async move {
            let mut timeout = Box::pin(timeout(us(50), pending::<()>()));
            poll_immediate(&mut timeout).await;
            shared.replace(Some(timeout));
            sim::spend(us(120));
        });
        // Queued ahead of the delivery, it drops the timer that is due by then.
        let drops = spawn_in("busy", async move { drop(timer.take()) });
        arms.await.unwrap();
        drops.await.unwrap();
    });
    let trace = sim.trace();
    let ready = places(&trace, "busy", |what| matches!(what, What::Ready { .. }));
    let delivered = places(&trace, "busy", |what| *what == What::Deliver { wakes: 0 });
    assert_eq!((ready.len(), delivered.len()), (1, 1), "{trace}");
    let runs = places(&trace, "busy", |what| *what == What::Run);
    let between = runs.iter().filter(|run| (ready[0]..delivered[0]).contains(run)).count();
    assert_eq!(between, 1);
}

/// A delivery takes the time its wakers take, and counts as a handle: however many partitions are
/// delivered to, one after the other, what becomes ready meanwhile is noticed within a harvest
/// period and one of them.
#[test]
fn deliveries_do_not_put_off_a_harvest() {
    struct Slow;
    impl Wake for Slow {
        fn wake(self: Arc<Self>) {
            sim::spend(us(80));
        }
    }
    let sim = sim::Runtime::new(1);
    sim.block_on(async {
        for number in 0..6_u64 {
            spawn_in(number, async {
                let mut nap = pin!(sleep(us(500)));
                let slow = Waker::from(Arc::new(Slow));
                // The task itself is never woken, so no handle comes between the deliveries.
                poll_fn(|_| nap.as_mut().poll(&mut Context::from_waker(&slow))).await;
            });
        }
        spawn_in("quick", sleep(us(501))).await.unwrap();
    });
    let trace = sim.trace();
    let noticed = places(&trace, "quick", |what| matches!(what, What::Ready { .. }))[0];
    let late = trace.event(noticed).at - us(501);
    assert!(late <= us(100 + 80), "{late:?} late");
}
