//! Storms of panics: everybody else's results are exact.

use std::cell::Cell;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenloop::{Handle, Runtime, spawn_in, yield_now};

use crate::rig::{alone, figure, pick};

/// Panics when it is dropped, if it is to.
struct Bomb(Cell<bool>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0.get() {
            panic!("dropped");
        }
    }
}

/// One task in ten panics as it is polled and one in ten as it is dropped, in eight partitions. The
/// others tell the right results, every end is counted once, and the loop lives.
#[test]
fn a_storm_of_panics() {
    alone("panics::a_storm_of_panics", || {
        panic::set_hook(Box::new(|_| {}));
        let tasks = pick(20_000, 100_000_usize);
        let unheard = Arc::new(AtomicUsize::new(0));
        let count = unheard.clone();
        let runtime = Runtime::builder()
            .on_unhandled_panic(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
            .build()
            .unwrap();
        let (mut well, mut ill, mut detached) = (0, 0, 0);
        runtime.block_on(async {
            let mut handles = Vec::new();
            for i in 0..tasks {
                let task = spawn_in((i % 8) as u64, async move {
                    let bomb = Bomb(Cell::new(false));
                    yield_now().await;
                    match i % 10 {
                        3 => panic!("polled"),
                        7 => bomb.0.set(true),
                        _ => {}
                    }
                    yield_now().await;
                    drop(bomb);
                    i * 3
                });
                let panics = i % 10 == 3 || i % 10 == 7;
                // One in seven is heard by nobody but the hook.
                if i % 7 == 0 {
                    detached += usize::from(panics);
                    drop(task);
                } else {
                    handles.push((i, panics, task));
                }
            }
            for (i, panics, task) in handles {
                match task.await {
                    Ok(value) => {
                        assert!(!panics && value == i * 3, "task {i} told {value}");
                        well += 1;
                    }
                    Err(error) => {
                        assert!(panics && error.is_panic(), "task {i}: {error}");
                        ill += 1;
                    }
                }
            }
            while Handle::current().partitions().iter().any(|it| it.metrics().tasks > 0) {
                yield_now().await;
            }
        });
        assert_eq!(unheard.load(Ordering::Relaxed), detached);
        assert_eq!(well + ill + tasks.div_ceil(7), tasks);
        // The loop is as good as new.
        assert_eq!(runtime.block_on(async { spawn_in("after", async { 5 }).await.unwrap() }), 5);
        figure("10 panic storm", format_args!("{tasks} tasks: {well} exact, {ill} panics heard"));
        figure("10 panic storm", format_args!("{detached} panics told to the hook"));
    });
}
