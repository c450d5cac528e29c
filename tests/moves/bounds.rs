//! How long a task that was taken over has to wait, in virtual time.

use std::time::Duration;

use evenloop::time::Instant;
use evenloop::{sim, spawn_in, switch_to, within, yield_now};
use proptest::prelude::*;

const US: Duration = Duration::from_micros(1);

/// How somebody of another partition gets hold of the result of a task of a crowded one.
#[derive(Clone, Copy, Debug)]
enum Way {
    Awaits,
    Adopts,
}

/// Returns how long who waits for a task of `polls` handles has to wait, beside a crowd whose
/// handles take `cost` each; and what the crowd has run meanwhile.
fn waited(seed: u64, crowd: usize, cost: Duration, polls: usize, way: Way) -> (Duration, u64) {
    let runtime = sim::Runtime::builder().seed(seed).handle_cost(US / 10).build();
    runtime.block_on(async {
        let crowded = evenloop::Partition::named("crowd");
        for _ in 0..crowd {
            drop(crowded.spawn(async move {
                loop {
                    sim::burn(cost).await;
                }
            }));
        }
        let child = crowded.spawn(async move {
            for _ in 1..polls {
                yield_now().await;
            }
        });
        let waits = spawn_in("waits", async move {
            let (start, before) = (Instant::now(), crowded.metrics().handles);
            if let Way::Adopts = way {
                child.adopt();
            }
            child.await.unwrap();
            (start.elapsed(), crowded.metrics().handles - before)
        });
        waits.await.unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// An adopted task waits as if it had always been the adopter's: for the handle that runs, not
    /// for the crowd it was queued behind. Without that it would.
    #[test]
    fn an_adopted_task_obeys_the_bounds_of_its_adopter(
        seed in any::<u64>(),
        crowd in 10..300usize,
        cost in 20..200u32,
        // What one express slice has room for: with more it is busy, and waits as the busy do.
        polls in 1..12usize,
    ) {
        let cost = cost * US;
        let (wait, _) = waited(seed, crowd, cost, polls, Way::Adopts);
        prop_assert!(wait <= 2 * cost + 10 * US, "{wait:?} for {polls} polls beside {cost:?}");
        let (wait, handles) = waited(seed, crowd, cost, polls, Way::Awaits);
        prop_assert!(handles >= crowd as u64 - 1, "{wait:?} and {handles} handles");
    }

    /// A task that moves into a partition with unspent allotment waits for one foreign handle on
    /// the way there and for one on the way back, whatever it left behind.
    #[test]
    fn a_move_waits_for_one_handle(
        seed in any::<u64>(),
        crowd in 1..100usize,
        cost in 20..200u32,
        visit in any::<bool>(),
    ) {
        let cost = cost * US;
        let runtime = sim::Runtime::builder().seed(seed).handle_cost(US / 10).build();
        let longest = runtime.block_on(async {
            for _ in 0..crowd {
                drop(spawn_in("crowd", async move {
                    loop {
                        sim::burn(cost).await;
                    }
                }));
            }
            let mover = spawn_in("home", async move {
                let mut longest = Duration::ZERO;
                for _ in 0..20 {
                    // Its allotment is a fresh one.
                    evenloop::time::sleep(100 * cost).await;
                    let start = Instant::now();
                    if visit {
                        within("calm", async {}).await;
                    } else {
                        let home = switch_to("calm").await;
                        switch_to(home).await;
                    }
                    longest = longest.max(start.elapsed());
                }
                longest
            });
            mover.await.unwrap()
        });
        prop_assert!(longest <= 2 * cost + 10 * US, "{longest:?} beside {cost:?}");
    }
}
