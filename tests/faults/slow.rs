//! A task that blocks the thread: it is reported, and nobody profits from it or goes on suffering.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::instrument::LoadInstrument;
use evenloop::time::sleep;
use evenloop::{Partition, Runtime, sim, spawn_in, yield_now};

use crate::rig::{MS, bounded, figure};

const STALL: Duration = Duration::from_millis(200);
const US: Duration = Duration::from_micros(1);

/// What three busy partitions get in each of the `windows` after one of them has blocked the thread,
/// on a clock moved by hand.
fn shares_after_a_stall(windows: usize, window: Duration) -> Vec<[Duration; 3]> {
    let sim = sim::Runtime::new(1);
    let had: [Rc<Cell<Duration>>; 3] = Default::default();
    let stall = Rc::new(Cell::new(false));
    for (i, mine) in had.iter().enumerate() {
        let (mine, stall) = (mine.clone(), stall.clone());
        sim.spawn_in(i as u64, async move {
            loop {
                if i == 0 && stall.take() {
                    sim::spend(STALL);
                    yield_now().await;
                }
                sim::burn(20 * US).await;
                mine.set(mine.get() + 20 * US);
            }
        });
    }
    sim.run_for(50 * MS);
    stall.set(true);
    // The stall is over when time has jumped.
    let before = sim.elapsed();
    while sim.elapsed() < before + STALL {
        sim.run_for(20 * US);
    }
    (0..windows)
        .map(|_| {
            let begin = had.each_ref().map(|it| it.get());
            sim.run_for(window);
            std::array::from_fn(|i| had[i].get() - begin[i])
        })
        .collect()
}

/// Who blocked sits out 64 rounds and no more; the others share these evenly; from then on each has
/// a third. Nobody is paid back what nobody took from it.
#[test]
fn shares_recover_from_a_stall() {
    // 64 rounds of two partitions with a quantum of 100 µs each: 12.8 ms.
    let windows = shares_after_a_stall(6, 6 * MS);
    let near = |had: Duration, due: Duration| had.abs_diff(due) <= 300 * US;
    for had in &windows[..2] {
        assert!(near(had[0], Duration::ZERO), "who blocked pays: {windows:?}");
        assert!(near(had[1], 3 * MS) && near(had[2], 3 * MS), "the others share: {windows:?}");
    }
    for had in &windows[3..] {
        let each_a_third = had.iter().all(|&had| near(had, 2 * MS));
        assert!(each_a_third, "the shares are those before: {windows:?}");
    }
    figure("19 slow task", format_args!("virtual time, six windows of 6 ms: {windows:?}"));
}

/// Computes for ever in short handles; counts the time.
async fn busy(had: Rc<Cell<Duration>>) {
    loop {
        let begin = Instant::now();
        while begin.elapsed() < 20 * US {
            std::hint::spin_loop();
        }
        had.set(had.get() + begin.elapsed());
        yield_now().await;
    }
}

/// While a task blocks the thread for 200 ms other threads can tell: its partition runs, everybody
/// else starves. Afterwards the other two share as before.
#[test]
fn a_stall_is_reported() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let handle = runtime.handle();
        let (stalls, stalled) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let watcher = thread::spawn(move || {
            let seen = |name: &str| {
                let partitions = handle.partitions();
                partitions.iter().find(|it| it.name() == name).expect("it is there").metrics()
            };
            stalled.recv().unwrap();
            let before = (seen("slow"), seen("busy 0"));
            thread::sleep(STALL / 2);
            let during = (seen("slow"), seen("busy 0"));
            // Taken during the stall, or it shows nothing.
            let in_time = !ended.load(Ordering::SeqCst);
            (before, during, in_time)
        });
        let had: [Rc<Cell<Duration>>; 2] = Default::default();
        let (shares, forgiven): ([Duration; 2], _) = runtime.block_on(async {
            let slow = Partition::named("slow");
            for (i, had) in had.iter().enumerate() {
                spawn_in(format!("busy {i}"), busy(had.clone()));
            }
            spawn_in("slow", async move {
                sleep(50 * MS).await;
                stalls.send(()).unwrap();
                // Blocks as a system call does that was thought to be quick.
                thread::sleep(STALL);
                over.store(true, Ordering::SeqCst);
            })
            .await
            .unwrap();
            let begin = had.each_ref().map(|it| it.get());
            sleep(200 * MS).await;
            let forgiven = slow.metrics().forgiven;
            (std::array::from_fn(|i| had[i].get() - begin[i]), forgiven)
        });
        let (before, during, in_time) = watcher.join().unwrap();
        let (ran, starved) = (during.0.since(&before.0).running, during.1.since(&before.1).starved);
        let what =
            format_args!("seen running {ran:?}, another starved {starved:?}, while it blocks");
        figure("19 slow task", what);
        figure(
            "19 slow task",
            format_args!("200 ms afterwards: {shares:?}, forgiven {forgiven} ns"),
        );
        if in_time {
            assert!(ran >= 80 * MS, "the stall in progress is counted: {ran:?}");
            assert!(starved >= 80 * MS, "and so is who starves: {starved:?}");
        }
        assert!(forgiven > 100_000_000, "what is beyond 64 rounds is forgiven and counted");
        let (less, more) = (shares[0].min(shares[1]), shares[0].max(shares[1]));
        assert!(more - less < more / 2, "the others share evenly: {shares:?}");
    });
}

/// On a loop that was idle the load rises while a task blocks it, for its own reckoning and for an
/// instrument's.
#[test]
fn the_load_rises_during_a_stall() {
    bounded(|| {
        let runtime = Runtime::new().unwrap();
        let load = LoadInstrument::new();
        runtime.add_instrument(load.clone());
        let handle = runtime.handle();
        let (begins, begun) = mpsc::channel();
        let watcher = thread::spawn(move || {
            begun.recv().unwrap();
            let before = (handle.load(), load.load());
            thread::sleep(STALL / 2);
            (before, (handle.load(), load.load()))
        });
        runtime.block_on(async {
            sleep(300 * MS).await;
            begins.send(()).unwrap();
            thread::sleep(STALL);
        });
        let (before, during) = watcher.join().unwrap();
        let what = format_args!(
            "load {:.2} rises to {:.2}, an instrument's {:.2} to {:.2}, while it blocks",
            before.0, during.0, before.1, during.1
        );
        figure("19 slow task", what);
        assert!(during.0 > before.0 && during.1 > before.1, "the load rises");
    });
}
