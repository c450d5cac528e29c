//! Starvation as it has happened elsewhere, on the clock of the simulation: what is promised is a
//! number.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::sim::{self, burn};
use evenloop::time::{Instant, sleep};
use evenloop::{Budget, Partition, block_on, spawn, spawn_in, yield_now};

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
/// The default budget's.
const QUANTUM: Duration = Duration::from_micros(100);

/// Two tasks that wake each other and nobody else, for ever; counts their polls.
fn ping_pong(partition: &Partition) -> Rc<Cell<u64>> {
    let polls = Rc::new(Cell::new(0));
    let slots: Rc<[RefCell<Option<Waker>>; 2]> = Rc::default();
    for own in [0, 1] {
        let (polls, slots) = (polls.clone(), slots.clone());
        drop(partition.spawn(poll_fn(move |cx| -> Poll<()> {
            polls.set(polls.get() + 1);
            *slots[own].borrow_mut() = Some(cx.waker().clone());
            if let Some(other) = &*slots[1 - own].borrow() {
                other.wake_by_ref();
            }
            Poll::Pending
        })));
    }
    polls
}

/// A pair that wakes each other has no way past the queue: a bystander beside it has its turn after
/// each of theirs, and one in another partition has its share.
#[test]
fn a_ping_pong_pair_starves_nobody() {
    let runtime = evenloop::Runtime::builder().budget(Budget::handles(8)).build().unwrap();
    runtime.block_on(async {
        let pair = Partition::named("pair");
        let polls = ping_pong(&pair);
        let (near, far) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_u64)));
        for (partition, count) in [(&pair, &near), (&Partition::named("other"), &far)] {
            let count = count.clone();
            drop(partition.spawn(async move {
                loop {
                    count.set(count.get() + 1);
                    yield_now().await;
                }
            }));
        }
        while near.get() < 10_000 {
            yield_now().await;
        }
        let (polls, near, far) = (polls.get(), near.get(), far.get());
        // One of the two is queued at a time, so a pass of the queue is one of them and it.
        assert!(polls.abs_diff(near) <= 2, "{polls} polls of the pair, {near} beside them");
        // Two turns of eight handles, and what they have begun.
        assert!(far.abs_diff(polls + near) <= 3 * 8, "{far} beside {}", polls + near);
    });
}

/// A task that yields for ever keeps neither an echo in its own partition from its bytes, nor one in
/// another: they wait for a harvest, and a few handles.
#[test]
fn a_yield_loop_starves_no_sockets() {
    for place in ["busy", "elsewhere"] {
        let runtime = sim::Runtime::builder().seed(17).handle_cost(US).build();
        let longest = runtime.block_on(async move {
            drop(spawn_in("busy", async {
                loop {
                    yield_now().await;
                }
            }));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            drop(spawn_in(place, async move {
                let (stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    stream.write_all(&byte).await.unwrap();
                }
            }));
            spawn_in("client", async move {
                let stream = TcpStream::connect(address).await.unwrap();
                let mut longest = Duration::ZERO;
                for n in 0..200 {
                    let sent = Instant::now();
                    stream.write_all(&[n]).await.unwrap();
                    let mut back = [0];
                    stream.read_exact(&mut back).await.unwrap();
                    assert_eq!(back, [n]);
                    longest = longest.max(sent.elapsed());
                    sleep(37 * US).await;
                }
                longest
            })
            .await
            .unwrap()
        });
        // There and back are two waits for a harvest and for a turn of the busy one, and the link.
        assert!(longest <= 4 * QUANTUM + 200 * US, "in {place}: {longest:?}");
    }
}

/// Keeps a partition busy with so many tasks, whose handles take so long.
fn hog(partition: &Partition, tasks: usize, handle: Duration) {
    for _ in 0..tasks {
        drop(partition.spawn(async move {
            loop {
                burn(handle).await;
            }
        }));
    }
}

/// Shares by weight, whatever the number of tasks and however long their handles, over any window:
/// off by two quanta and a handle each at most, however long the window.
#[test]
fn shares_are_exact_whatever_the_number_of_tasks() {
    for weights in [[1, 1, 1], [1, 2, 5]] {
        let runtime = sim::Runtime::builder().seed(5).trace_limit(0).build();
        runtime.block_on(async {
            let tasks = [(1, 70 * US), (10, 20 * US), (1_000, 9 * US)];
            let partitions: Vec<_> = (0..3)
                .map(|i| {
                    let partition = Partition::builder(&format!("{i}")).weight(weights[i]).build();
                    hog(&partition, tasks[i].0, tasks[i].1);
                    partition
                })
                .collect();
            // The first polls of all, and a round.
            sleep(50 * MS).await;
            for window in [MS, 10 * MS, 100 * MS, 1_000 * MS] {
                let before: Vec<_> = partitions.iter().map(Partition::metrics).collect();
                sleep(window).await;
                let served: Vec<_> = partitions
                    .iter()
                    .zip(&before)
                    .map(|(partition, before)| partition.metrics().since(before).running)
                    .collect();
                for i in 0..3 {
                    for j in 0..3 {
                        let (one, other) = (served[i] / weights[i], served[j] / weights[j]);
                        let bound = 2 * QUANTUM + tasks[i].1 / weights[i] + tasks[j].1 / weights[j];
                        // A look from the middle of a turn sees the handle that runs as well.
                        let bound = bound + 2 * MS / 1_000;
                        assert!(
                            one.abs_diff(other) <= bound,
                            "{weights:?} in {window:?}: {served:?}, {i} and {j}"
                        );
                    }
                }
            }
        });
    }
}

/// Ten seconds of sleep buy nothing: in the burst that follows, a partition is ahead of one that was
/// busy all the time by two quanta and a handle each at most, and so is one that never ran before.
#[test]
fn sleepers_and_newcomers_have_no_credit() {
    let runtime = sim::Runtime::builder().seed(6).trace_limit(0).build();
    runtime.block_on(async {
        let busy = Partition::named("busy");
        hog(&busy, 3, 30 * US);
        let sleeper = Partition::named("sleeper");
        sleeper
            .spawn(async {
                burn(10 * US).await;
                sleep(10_000 * MS).await;
            })
            .await
            .unwrap();
        let newcomer = Partition::named("newcomer");
        for late in [&sleeper, &newcomer] {
            let (before, busy_before) = (late.metrics(), busy.metrics());
            hog(late, 5, 30 * US);
            for _ in 0..200 {
                sleep(173 * US).await;
                let gained = late.metrics().since(&before).running;
                let had = busy.metrics().since(&busy_before).running;
                let ahead = gained.saturating_sub(had);
                assert!(ahead <= 2 * QUANTUM + 60 * US, "{} is {ahead:?} ahead", late.name());
            }
            // Nor is it behind: who comes late is served at once, and has a share of its own.
            let gained = late.metrics().since(&before).running;
            assert!(gained >= 200 * 173 * US / 4, "{} had {gained:?}", late.name());
        }
    });
}

/// A partition that wakes with some of its share left starts after the harvest and the handle that
/// runs then, however long the turns of the others are.
#[test]
fn a_woken_task_starts_within_the_bound() {
    // Turns of 2 ms. What it needs in a round of 10 ms is well within its own.
    let budget = Budget::new(64, 2 * MS);
    let runtime = sim::Runtime::builder().seed(8).budget(budget).trace_limit(0).build();
    let longest = runtime.block_on(async {
        for i in 0..5_u64 {
            hog(&Partition::builder(&format!("hog {i}")).build(), 5, 40 * US);
        }
        sleep(50 * MS).await;
        spawn_in("sparse", async {
            let mut longest = Duration::ZERO;
            for _ in 0..500 {
                let due = Instant::now() + 997 * US;
                sleep(997 * US).await;
                longest = longest.max(due.elapsed());
                burn(5 * US).await;
            }
            longest
        })
        .await
        .unwrap()
    });
    // The period of the harvest, which is 100 µs, and the handle that runs then: neither the rest of
    // the turn nor the turns of the others.
    assert!(longest <= 100 * US + 2 * 40 * US + 10 * US, "{longest:?}");
}

/// What is always ready gives way in the middle: tasks, timers and sockets beside it have theirs.
#[test]
fn what_is_always_ready_gives_way() {
    block_on(async {
        let steps = Rc::new(Cell::new(0_u64));
        let counted = steps.clone();
        let greedy = spawn(async move {
            loop {
                sleep(Duration::ZERO).await;
                counted.set(counted.get() + 1);
            }
        });
        for _ in 0..100 {
            spawn(async {}).await.unwrap();
        }
        sleep(MS).await;
        let (near, far) = evenloop::net::UnixStream::pair().unwrap();
        far.write_all(b"x").await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        assert!(steps.get() > 0 && !greedy.is_finished());
        greedy.abort();
    });
}
