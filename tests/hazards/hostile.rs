//! Wakers that re-enter the loop: no lock and no borrow of the loop may be held when a waker is
//! cloned, called or dropped, whatever it was left with.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use evenloop::time::sleep;
use evenloop::{Handle, JoinSet, Runtime};

use crate::meddler::Meddler;
use crate::subjects::{KINDS, Subject, Waits, subjects};
use crate::{bounded, settle};

/// Polls with one waker, with another in its place, and with that one again. Returns whether it
/// pends all the time: on a busy machine a timer may be due before.
fn poll_thrice(waits: &mut Waits, meddlers: &[Arc<Meddler>; 2]) -> bool {
    [&meddlers[0], &meddlers[1], &meddlers[1]].into_iter().all(|meddler| {
        let waker = meddler.waker();
        waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
    })
}

async fn meddlers() -> [Arc<Meddler>; 2] {
    let other = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    [Meddler::new(other.clone()), Meddler::new(other)]
}

/// What happens to a wait with a hostile waker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Fired,
    /// Fired, and its own waker drops it when it is called.
    DroppedByItsWaker,
    Dropped,
    DroppedElsewhere,
    /// Polled, fired and dropped on a thread without a loop.
    FiredElsewhere,
    RuntimeGone,
}

/// Waits for one subject of each kind in turn, all with the same end.
fn meddle_with_all(ends: Ends) {
    for kind in 0..KINDS {
        let mut leads = [20, 200, 2_000, 20_000].map(Duration::from_millis).into_iter();
        assert!(leads.any(|lead| meddle_with(kind, ends, lead)), "{kind} does not wait");
    }
}

/// Returns `false` if the wait was over before it began.
fn meddle_with(kind: usize, ends: Ends, lead: Duration) -> bool {
    let runtime = Runtime::new().unwrap();
    let outcome = runtime.block_on(async {
        let mut all = subjects(lead).await;
        assert_eq!(all.len(), KINDS);
        let Subject { name, mut waits, fire, touch, _alive } = all.swap_remove(kind);
        drop(all);
        let case = format!("{name}, {ends:?}");
        if name == "accept" && ends == Ends::FiredElsewhere {
            // An accepted stream needs a loop to belong to, and says so.
            return Ok(None);
        }
        let meddlers = meddlers().await;
        for meddler in &meddlers {
            *meddler.touch.lock().unwrap() = touch.clone();
        }
        drop(touch);
        let mut left = None;
        // The others see to it that the task waits.
        settle().await;
        if ends != Ends::FiredElsewhere && !poll_thrice(&mut waits, &meddlers) {
            return Err(meddlers);
        }
        match ends {
            Ends::Fired => {
                fire();
                wait_for(&meddlers).await;
                waits.await;
            }
            Ends::DroppedByItsWaker => {
                *meddlers[1].last_straw.lock().unwrap() = Some(Box::new(move || drop(waits)));
                fire();
                wait_for(&meddlers).await;
            }
            Ends::Dropped => drop(waits),
            Ends::DroppedElsewhere => ended(thread::spawn(move || drop(waits))).await,
            Ends::FiredElsewhere => {
                let hostile = meddlers.clone();
                let (polled, begun) = futures::channel::oneshot::channel();
                let waiter = thread::spawn(move || {
                    let waiting = poll_thrice(&mut waits, &hostile);
                    polled.send(waiting).unwrap();
                    if !waiting {
                        return;
                    }
                    while !hostile[1].woken() {
                        thread::sleep(Duration::from_millis(1));
                    }
                    futures::executor::block_on(waits);
                });
                let waiting = begun.await.unwrap();
                fire();
                ended(waiter).await;
                if !waiting {
                    return Err(meddlers);
                }
            }
            Ends::RuntimeGone => left = Some((waits, _alive)),
        }
        settle().await;
        if ends != Ends::RuntimeGone {
            meddlers.iter().for_each(|meddler| meddler.rest());
            settle().await;
        }
        Ok(Some((case, meddlers, left)))
    });
    drop(runtime);
    let (case, meddlers, mut left) = match outcome {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return true,
        Err(meddlers) => {
            meddlers.iter().for_each(|meddler| meddler.rest());
            return false;
        }
    };
    left.take();
    for meddler in &meddlers {
        meddler.rest();
        meddler.assert_unhurt(&case);
        assert!(meddler.clones.load(Ordering::SeqCst) > 0, "{case}: it was never cloned");
        assert!(meddler.drops.load(Ordering::SeqCst) > 0, "{case}: it was never dropped");
    }
    let fired = matches!(ends, Ends::Fired | Ends::DroppedByItsWaker | Ends::FiredElsewhere);
    assert!(meddlers[1].woken() || !fired, "{case}: it was never called");
    // What a meddler itself waits for is over with the runtime, too.
    let replaced = !meddlers[0].woken() || ends == Ends::RuntimeGone;
    assert!(replaced, "{case}: the one before was called");
    true
}

/// Waits for a thread while the loop goes on.
async fn ended(thread: thread::JoinHandle<()>) {
    while !thread.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap();
}

async fn wait_for(meddlers: &[Arc<Meddler>; 2]) {
    while !meddlers[1].woken() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A wait that comes to its end calls a waker which re-enters the loop.
#[test]
fn hostile_wakers_may_be_woken() {
    bounded(|| meddle_with_all(Ends::Fired));
}

/// The waker may drop the very thing that calls it.
#[test]
fn hostile_wakers_may_drop_what_calls_them() {
    bounded(|| meddle_with_all(Ends::DroppedByItsWaker));
}

/// A wait that is given up drops such a waker, on the loop and on another thread.
#[test]
fn hostile_wakers_may_be_dropped() {
    bounded(|| {
        meddle_with_all(Ends::Dropped);
        meddle_with_all(Ends::DroppedElsewhere);
    });
}

/// The same where the waits are polled on a thread that runs no loop.
#[test]
fn hostile_wakers_may_wait_on_other_threads() {
    bounded(|| meddle_with_all(Ends::FiredElsewhere));
}

/// The end of the runtime wakes or drops such wakers.
#[test]
fn hostile_wakers_may_outlive_the_runtime() {
    bounded(|| meddle_with_all(Ends::RuntimeGone));
}

/// A member of a set may end while the set takes a waker, or lets go of one: the two do not wait
/// for each other.
#[test]
fn members_may_end_while_a_waker_is_cloned() {
    bounded(|| {
        let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let [meddler, _] = meddlers().await;
            let mut set = JoinSet::new();
            let (go, gone) = mpsc::channel::<()>();
            set.spawn_blocking(move || assert!(gone.recv().is_err()));
            set.spawn(std::future::pending());
            let (go, handle) = (Mutex::new(Some(go)), Handle::current());
            *meddler.touch.lock().unwrap() = Some(Arc::new(move || {
                drop(go.lock().unwrap().take());
                // The one thread there is does this when it has told of the job before.
                let next = handle.spawn_blocking(|| ());
                while !next.is_finished() {
                    thread::yield_now();
                }
            }));
            for waker in [Waker::noop().clone(), meddler.waker(), Waker::noop().clone()] {
                let polled = set.poll_join_next(&mut Context::from_waker(&waker));
                if let Poll::Ready(joined) = polled {
                    joined.unwrap().unwrap();
                }
            }
            assert_eq!(set.len(), 1, "one has ended");
            drop(set);
            settle().await;
            meddler.rest();
            meddler.assert_unhurt("join set");
        });
    });
}
