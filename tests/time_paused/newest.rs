//! The timer that a loop has set last, which it keeps apart while nothing else happens to its timers.

use evenloop::time::{Sleep, timeout_at};

use super::*;

async fn armed(nap: Sleep) -> Sleep {
    let mut nap = nap;
    assert!(futures::poll!(&mut nap).is_pending(), "its time is not over");
    nap
}

/// A sleep goes on when the task that has polled it first has ended: it wakes who polls it next, and
/// while nobody does it holds nothing up.
#[test]
fn a_sleep_outlives_the_task_that_set_it() {
    paused(|| async {
        let start = Instant::now();
        let beside = armed(sleep(3 * HOUR)).await;
        let nap = spawn(async { armed(sleep(HOUR)).await }).await.unwrap();
        nap.await;
        assert_eq!(start.elapsed(), HOUR);

        let nap = spawn(async { armed(sleep(HOUR)).await }).await.unwrap();
        beside.await;
        assert_eq!(start.elapsed(), 3 * HOUR);
        assert!(nap.is_elapsed());
        nap.await;
    });
}

/// A limit is kept that was set while its partition's marker was there for another reason only: one
/// that lingers, or another timer that goes.
#[test]
fn a_limit_is_kept_without_other_timers() {
    paused(|| async {
        let start = Instant::now();
        spawn_in("lingering", async {
            assert!(timeout(HOUR, async {}).await.is_ok());
            drop(armed(sleep(HOUR)).await);
            assert!(timeout(HOUR, pending::<()>()).await.is_err());
        })
        .await
        .unwrap();
        assert_eq!(start.elapsed(), HOUR);
        spawn_in("another", async move {
            let other = armed(sleep(HOUR)).await;
            let mut limit = armed(sleep(HOUR)).await;
            drop(other);
            (&mut limit).await;
            let other = armed(sleep(HOUR)).await;
            limit.reset(start + 3 * HOUR);
            let limit = armed(limit).await;
            yield_now().await;
            drop(other);
            limit.await;
        })
        .await
        .unwrap();
        assert_eq!(start.elapsed(), 3 * HOUR);
    });
}

/// Limits of a moment fire in the order they were set, whosever waker each was polled with: that of
/// its task, or one that stands in front of it.
#[test]
fn limits_of_one_moment_keep_their_order() {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;

    paused(|| async {
        let deadline = Instant::now() + HOUR;
        let order = Rc::new(RefCell::new(Vec::new()));
        let limit = |number: u32| {
            let order = order.clone();
            async move {
                assert!(timeout_at(deadline, pending::<()>()).await.is_err());
                order.borrow_mut().push(number);
            }
        };
        let mut tasks = Vec::new();
        for number in 0..20 {
            let limit = limit(number);
            tasks.push(spawn(async move {
                if number % 3 == 0 {
                    FuturesUnordered::from_iter([limit]).collect::<()>().await;
                } else {
                    limit.await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert!(order.borrow().iter().copied().eq(0..20));
    });
}
