//! Wakers in the hands of other threads, while tasks come and go and while the runtime ends.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use evenloop::net::UnixStream;
use evenloop::time::{sleep, timeout};
use evenloop::{JoinHandle, Runtime, block_on, spawn, spawn_in, yield_now};

use crate::rig::{Dice, LIMIT, MS, bounded, bounded_by, figure, pick, rounds};

/// Wakers, to be used by whoever finds them.
#[derive(Default)]
struct Board(Vec<Mutex<Option<Waker>>>);

impl Board {
    fn new(places: usize) -> Arc<Self> {
        Arc::new(Self((0..places).map(|_| Mutex::default()).collect()))
    }

    fn put(&self, place: usize, waker: &Waker) {
        *self.0[place].lock().unwrap() = Some(waker.clone());
    }

    /// Wakes, clones, drops or keeps what is at a place; returns whether it woke somebody.
    fn play(&self, dice: &mut Dice, kept: &mut Vec<Waker>) -> bool {
        let place = dice.below(self.0.len() as u64) as usize;
        let waker = self.0[place].lock().unwrap().clone();
        let Some(waker) = waker else { return false };
        match dice.below(5) {
            0 => waker.wake(),
            1 => waker.wake_by_ref(),
            2 => {
                let twin = waker.clone();
                drop(waker);
                twin.wake();
            }
            3 => {
                kept.push(waker);
                kept.swap_remove(0).wake();
            }
            _ => return false,
        }
        true
    }
}

/// Eight threads wake at random while tasks are spawned, aborted and end: every task ends as it
/// should, whatever came in between.
#[test]
fn wakes_from_eight_threads() {
    const THREADS: usize = 8;
    const PLACES: usize = 64;
    let wakes = pick(80_000, 1_000_000) / THREADS;
    bounded(|| {
        let board = Board::new(PLACES);
        let over = Arc::new(AtomicUsize::new(0));
        // How many aborts the threads have asked for, so that there are not more of them when the
        // threads are slow.
        let asked = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (board, over, asked) = (board.clone(), over.clone(), asked.clone());
                thread::spawn(move || {
                    let (mut dice, mut kept) =
                        (Dice::new(seed as u64), vec![Waker::noop().clone()]);
                    let mut done = 0;
                    while done < wakes {
                        let woke = board.play(&mut dice, &mut kept);
                        done += usize::from(woke);
                        if !woke || done % 64 == 0 {
                            thread::yield_now();
                        }
                        if woke && done % 1_000 == 0 {
                            asked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    over.fetch_add(1, Ordering::Release);
                })
            })
            .collect();
        let (mut ended, mut aborted, mut aborts, mut polls) = (0, 0, 0, 0);
        block_on(async {
            let mut dice = Dice::new(99);
            let task = |place: usize| {
                let board = board.clone();
                spawn_in((place % 5) as u64, async move {
                    let mut left = 20;
                    let polls = poll_fn(|cx| {
                        board.put(place, cx.waker());
                        left -= 1;
                        if left == 0 { Poll::Ready(20) } else { Poll::Pending }
                    });
                    polls.await
                })
            };
            let mut tasks: Vec<JoinHandle<usize>> = (0..PLACES).map(task).collect();
            while over.load(Ordering::Acquire) < THREADS {
                yield_now().await;
                let victim = if asked.load(Ordering::Relaxed) > aborts {
                    aborts += 1;
                    dice.below(PLACES as u64) as usize
                } else {
                    PLACES
                };
                for (place, slot) in tasks.iter_mut().enumerate() {
                    let abort = place == victim;
                    if abort {
                        slot.abort();
                    }
                    if slot.is_finished() || abort {
                        match std::mem::replace(slot, task(place)).await {
                            Ok(count) => (ended, polls) = (ended + 1, polls + count),
                            Err(error) => {
                                assert!(error.is_cancelled());
                                aborted += 1;
                            }
                        }
                    }
                }
            }
            // Nobody is left to wake them but us.
            for (place, task) in tasks.into_iter().enumerate() {
                while !task.is_finished() {
                    let waker = board.0[place].lock().unwrap().clone();
                    waker.expect("it was polled").wake();
                    yield_now().await;
                }
                task.await.unwrap();
                ended += 1;
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let wakes = wakes * THREADS;
        figure("11 wakers", format_args!("{wakes} wakes, {ended} tasks ended, {aborted} aborted"));
        assert!(ended >= PLACES && aborted > 0, "{ended} ended, {aborted} aborted");
        assert_eq!(polls % 20, 0);
    });
}

/// What another thread does while the runtime ends.
type Act = Box<dyn FnOnce() + Send>;

/// Counts its ends.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Spawns a task that gives its waker away and waits for ever.
fn waiting(runtime: &Runtime, ends: &Arc<AtomicUsize>) -> (JoinHandle<()>, mpsc::Receiver<Waker>) {
    let (give, wakers) = mpsc::channel();
    let ends = Ends(ends.clone());
    let task = runtime.spawn_in("race", async move {
        let _ends = ends;
        poll_fn(|cx| {
            let _ = give.send(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    });
    (task, wakers)
}

/// Runs the loop until the task has given its waker away.
fn first_poll(runtime: &Runtime, wakers: &mpsc::Receiver<Waker>) -> Waker {
    loop {
        runtime.block_on(yield_now());
        if let Ok(waker) = wakers.try_recv() {
            return waker;
        }
    }
}

/// Gives the runtime something that another thread then uses, by the number of the round.
fn prepare(round: usize, runtime: &Runtime, ends: &Arc<AtomicUsize>) -> Act {
    let (task, wakers) = waiting(runtime, ends);
    match round % 8 {
        0 => {
            let waker = first_poll(runtime, &wakers);
            Box::new(move || {
                waker.wake_by_ref();
                waker.wake();
                drop(task);
            })
        }
        1 => {
            let waker = first_poll(runtime, &wakers);
            drop(task);
            Box::new(move || drop(waker))
        }
        2 => Box::new(move || task.abort()),
        3 => {
            let handle = runtime.handle();
            Box::new(move || {
                drop(task);
                drop(handle.spawn_in("late", async {}));
                drop(handle.spawn_blocking(|| {}));
            })
        }
        4 => {
            // The waker is that of a timer and of a timeout.
            let mut nap = Box::pin(sleep_on(runtime, Duration::from_secs(60)));
            runtime.block_on(poll_fn(|cx| {
                assert!(nap.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            }));
            Box::new(move || {
                drop(nap);
                drop(task);
            })
        }
        5 => {
            let (near, far) = runtime.block_on(async {
                let (near, far) = UnixStream::pair().unwrap();
                let waits = timeout(Duration::ZERO, near.read(&mut [0])).await;
                assert!(waits.is_err());
                (near, far)
            });
            Box::new(move || {
                drop(near);
                drop(far);
                drop(task);
            })
        }
        6 => Box::new(move || {
            // Awaited elsewhere, as the runtime ends.
            assert!(futures_lite::future::block_on(task).unwrap_err().is_cancelled());
        }),
        _ => {
            // Woken as the loop runs, not as it ends.
            let handle = runtime.handle();
            let act = Box::new(move || {
                for _ in 0..20 {
                    drop(handle.spawn(async {}));
                }
                drop(task);
            });
            runtime.block_on(async { spawn(async {}).await.unwrap() });
            act
        }
    }
}

/// Makes a sleep on `runtime` that may be polled and dropped elsewhere.
#[expect(clippy::async_yields_async, reason = "the sleep is to be handed on, not waited for")]
fn sleep_on(runtime: &Runtime, time: Duration) -> evenloop::time::Sleep {
    runtime.block_on(async { sleep(time) })
}

/// Wakes, aborts, spawns and drops race the end of the runtime: no report of a sanitizer, every
/// future dropped once, nothing left.
#[test]
fn wakes_race_the_end() {
    let rounds = rounds(pick(2_000, 100_000));
    // A sanitizer on a busy machine takes some milliseconds a round.
    bounded_by(LIMIT + 20 * MS * rounds as u32, || {
        let ends = Arc::new(AtomicUsize::new(0));
        // One thread for all rounds: to start one takes longer than a runtime lives.
        let (give, acts) = mpsc::channel::<Act>();
        let (done, finished) = mpsc::channel();
        let other = thread::spawn(move || {
            for act in acts {
                act();
                done.send(()).unwrap();
            }
        });
        let mut dice = Dice::new(1);
        for round in 0..rounds {
            let runtime = Runtime::new().unwrap();
            let act = prepare(round, &runtime, &ends);
            give.send(act).unwrap();
            // The other thread needs some microseconds to wake up.
            for _ in 0..dice.below(400) * 10 {
                std::hint::spin_loop();
            }
            drop(runtime);
            finished.recv_timeout(60_000 * MS).expect("who races the end is not held up by it");
        }
        drop(give);
        other.join().unwrap();
        assert_eq!(ends.load(Ordering::Relaxed), rounds, "every future is dropped once");
        figure("12 wake against the end", format_args!("{rounds} rounds, as many futures dropped"));
    });
}
