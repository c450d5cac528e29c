//! Work that blocks: where it runs, how many at once, and how it ends.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use evenloop::{JoinSet, Runtime, spawn_blocking, yield_now};

/// Blocking jobs run elsewhere, give their output, report panics, and can be stopped in the queue.
#[test]
fn blocking_jobs() {
    let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let here = thread::current().id();
        let there = spawn_blocking(|| thread::current().id()).await.unwrap();
        assert_ne!(here, there);

        assert!(spawn_blocking(|| panic!("expected: a job panics")).await.unwrap_err().is_panic());

        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = spawn_blocking(move || wait.recv().unwrap());
        let queued = spawn_blocking(|| 1);
        let kept = spawn_blocking(|| 2);
        queued.abort();
        assert!(queued.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(kept.await.unwrap(), 2);
    });
}

/// More jobs than threads wait in the queue, and the loop goes on meanwhile.
#[test]
fn a_full_pool_never_blocks_the_loop() {
    let runtime = Runtime::builder().blocking_threads(2).build().unwrap();
    runtime.block_on(async {
        let (closed, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut jobs = JoinSet::new();
        for i in 0..100 {
            let gate = gate.clone();
            jobs.spawn(async move {
                spawn_blocking(move || {
                    assert!(gate.lock().unwrap().recv().is_err(), "until it is dropped");
                    i
                })
                .await
                .unwrap()
            });
        }
        for _ in 0..1_000 {
            yield_now().await;
        }
        drop(closed);
        let mut sum = 0;
        while let Some(done) = jobs.join_next().await {
            sum += done.unwrap();
        }
        assert_eq!(sum, 4950);
    });
}
