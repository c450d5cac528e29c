//! Timers that are set and taken back, as limits mostly are.

use std::time::Duration;

use evenloop::time::{Instant, Sleep, sleep, timeout};
use evenloop::{Runtime, spawn_in, within, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// A partition whose timers were taken back is let go, whether its last handle, another partition's or
/// none did that, and although its next delivery alone takes its marker away.
#[test]
fn timers_that_were_taken_back_keep_no_partition() {
    let runtime = Runtime::new().unwrap();
    let alone = || assert_eq!(runtime.handle().partitions().len(), 1, "but for ROOT");
    runtime.block_on(async {
        spawn_in("timeouts", async {
            for _ in 0..100 {
                assert!(timeout(HOUR, yield_now()).await.is_ok());
            }
        })
        .await
        .unwrap();
        let nap = spawn_in("elsewhere", async { armed(sleep(HOUR)).await }).await.unwrap();
        assert_eq!(runtime.handle().partitions().len(), 2, "a timer keeps its partition");
        drop(nap);
        spawn_in("two", async {
            let (first, second) = (armed(sleep(HOUR)).await, armed(sleep(HOUR)).await);
            drop(first);
            drop(second);
            let (first, second) = (armed(sleep(HOUR)).await, armed(sleep(HOUR)).await);
            drop(second);
            yield_now().await;
            let second = armed(sleep(HOUR)).await;
            yield_now().await;
            drop(first);
            drop(second);
            // Its marker is there for the one before it at first.
            let limit = armed(sleep(HOUR)).await;
            yield_now().await;
            drop(limit);
        })
        .await
        .unwrap();
        // A handle of each boundary at which partitions are let go.
        yield_now().await;
        yield_now().await;
        alone();
    });
    let nap = runtime.block_on(async { within("main", armed(sleep(HOUR))).await });
    drop(nap);
    runtime.block_on(yield_now());
    alone();
}

/// A deadline that was far ahead when it was looked at, and has come while a handle held the thread,
/// is ready as soon as that handle lets go.
#[test]
fn a_far_deadline_may_come_while_the_thread_is_held() {
    evenloop::block_on(async {
        let time = Duration::from_millis(1_010);
        let start = Instant::now();
        let nap = sleep(time);
        std::thread::sleep(time);
        nap.await;
        assert!(start.elapsed() >= time);
    });
}

async fn armed(nap: Sleep) -> Sleep {
    let mut nap = nap;
    assert!(futures::poll!(&mut nap).is_pending(), "an hour is not over");
    nap
}
