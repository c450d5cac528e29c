//! The end of a runtime: what is dropped, in which order, and what is said about it.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use evenloop::time::sleep;
use evenloop::{
    Budget, Handle, Partition, Runtime, block_on, spawn, spawn_blocking, spawn_in, yield_now,
};

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The report names what was still pending: where it was spawned, in which partition, its name.
#[test]
fn the_report_names_what_was_pending() {
    let runtime = Runtime::new().unwrap();
    let line = line!() + 2;
    runtime.block_on(async {
        drop(spawn(pending::<()>()));
        drop(spawn_in("tenant", pending::<()>()));
        drop(evenloop::spawn!(sleep(Duration::MAX), partition = 7, name = "forever"));
        drop(spawn(async {}));
        yield_now().await;
    });
    let report = runtime.shutdown(Duration::from_secs(1));
    let pending = report.pending();
    assert_eq!(pending.len(), 3, "{report}");
    assert!(!report.is_clean());
    for (i, task) in pending.iter().enumerate() {
        assert!(task.location().file().ends_with("shutdown.rs"));
        assert_eq!(task.location().line(), line + i as u32);
    }
    assert_eq!(pending[0].partition(), "ROOT");
    assert_eq!(pending[1].partition(), "tenant");
    assert_eq!((pending[2].partition(), pending[2].name()), ("7", Some("forever")));
    let text = report.to_string();
    assert!(text.contains("3 tasks were pending") && text.contains("shutdown.rs"), "{text}");
}

/// A runtime with nothing left says so.
#[test]
fn a_clean_end_is_told() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { spawn(async {}).await.unwrap() });
    let report = runtime.shutdown(Duration::MAX);
    assert!(report.is_clean());
    assert_eq!(report.to_string(), "nothing was pending");
}

struct Note(&'static str, Rc<RefCell<Vec<String>>>);

impl Drop for Note {
    fn drop(&mut self) {
        let here = evenloop::Partition::current().name();
        self.1.borrow_mut().push(format!("{} in {here}", self.0));
    }
}

/// Tasks are dropped on the loop's thread, each in its own partition, in the order of spawning:
/// whichever partition they are in, whether they wait or are about to run, and although slots are
/// used again.
#[test]
fn tasks_are_dropped_in_order_and_in_place() {
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let runtime = Runtime::builder().budget(Budget::handles(1)).build().unwrap();
    let busy = [runtime.spawn(yield_now()), runtime.spawn(yield_now())];
    for (name, place) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let note = Note(name, log.clone());
        runtime.spawn_in(place, async move {
            let _note = note;
            pending::<()>().await;
        });
    }
    let note = Note("d", log.clone());
    runtime.spawn_in("y", async move {
        let _note = note;
        loop {
            yield_now().await;
        }
    });
    // The slots of these two are taken by those that follow.
    for task in busy {
        runtime.block_on(task).unwrap();
    }
    for name in ["e", "f"] {
        let note = Note(name, log.clone());
        runtime.spawn(async move {
            let _note = note;
            pending::<()>().await;
        });
    }
    drop(runtime);
    let expected = ["a in x", "b in y", "c in x", "d in y", "e in ROOT", "f in ROOT"];
    assert_eq!(*log.borrow(), expected);
}

/// A runtime may end inside a task of another one: what its tasks do then is about their own.
#[test]
fn ending_inside_another_runtime() {
    struct Spawns(mpsc::Sender<(bool, String)>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let refused = spawn(async {}).is_finished();
            self.0.send((refused, Partition::current().name())).unwrap();
        }
    }
    let (sender, dropped) = mpsc::channel();
    let inner = Runtime::new().unwrap();
    let spawns = Spawns(sender);
    inner.spawn_in("inner", async move {
        let _spawns = spawns;
        pending::<()>().await;
    });
    inner.block_on(yield_now());
    block_on(async move {
        spawn_in("outer", async move {
            drop(inner);
            assert_eq!(Partition::current().name(), "outer");
        })
        .await
        .unwrap();
    });
    assert_eq!(dropped.recv().unwrap(), (true, "inner".to_owned()));
}

/// What destructors do while the runtime goes is safe: spawning is refused, timers and wakes are
/// nothing.
#[test]
fn destructors_during_shutdown() {
    struct Busy;
    impl Drop for Busy {
        fn drop(&mut self) {
            let task = spawn(async { 1 });
            drop(sleep(Duration::from_secs(1)));
            let refused = Handle::current().spawn_in("new", async {});
            assert!(refused.is_finished() && task.is_finished());
        }
    }
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        drop(spawn(async {
            let _busy = Busy;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    assert_eq!(runtime.shutdown(Duration::ZERO).pending().len(), 1);
}

/// A task that panics when it is dropped by shutdown harms nobody else.
#[test]
fn panics_in_destructors_do_not_stop_shutdown() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("expected: the destructor panics");
        }
    }
    let (send, heard) = mpsc::channel();
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |panic| send.send(panic.message().map(str::to_owned)).unwrap())
        .build()
        .unwrap();
    let (done, dropped) = mpsc::channel::<()>();
    runtime.spawn(async {
        let _panics = Panics;
        pending::<()>().await;
    });
    runtime.spawn(async move {
        let _held = done;
        pending::<()>().await;
    });
    runtime.block_on(yield_now());
    drop(runtime);
    assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    assert_eq!(heard.try_iter().flatten().collect::<Vec<_>>(), ["expected: the destructor panics"]);
}

/// Shutdown waits for running blocking jobs, but not longer than it was told.
#[test]
fn blocking_jobs_at_the_end() {
    let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (started, is_running) = mpsc::channel::<()>();
    runtime.block_on(async {
        drop(spawn_blocking(move || {
            started.send(()).unwrap();
            let _ = wait.recv();
        }));
        drop(spawn_blocking(|| panic!("never started")));
    });
    is_running.recv().unwrap();
    let before = Instant::now();
    let report = runtime.shutdown(Duration::from_millis(30));
    assert!(before.elapsed() >= Duration::from_millis(30));
    assert_eq!((report.blocking_running(), report.blocking_dropped()), (1, 1));
    drop(go);

    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        drop(spawn_blocking(|| thread::sleep(Duration::from_millis(20))));
        spawn_blocking(|| ()).await.unwrap();
    });
    assert_eq!(runtime.shutdown(Duration::MAX).blocking_running(), 0);
}

/// Handles outlive the runtime: what they are asked is refused, not lost in silence.
#[test]
fn handles_after_the_end() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let pending_task = runtime.spawn(pending::<()>());
    drop(runtime);
    let refused = handle.spawn(async { 1 });
    evenloop::block_on(async {
        assert!(refused.await.unwrap_err().is_refused());
        assert!(pending_task.await.unwrap_err().is_cancelled());
    });
    let blocking = handle.spawn_blocking(|| 1);
    assert!(evenloop::block_on(blocking).unwrap_err().is_refused());
    assert!(handle.load() <= 1.0);
}

/// Timers held outside of any task are nothing after the end; waiting for one says so.
#[test]
fn timers_outlive_the_runtime() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    let runtime = Runtime::new().unwrap();
    let mut timers: Vec<_> = runtime.block_on(async {
        (0..1_000).map(|i| Box::pin(sleep(Duration::from_secs(i + 1)))).collect()
    });
    runtime.block_on(std::future::poll_fn(|cx| {
        for timer in &mut timers {
            assert!(timer.as_mut().poll(cx).is_pending());
        }
        Poll::Ready(())
    }));
    drop(runtime);
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        timers[0].as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }));
    assert!(waited.is_err(), "a wait that can never end");
    drop(timers);
}

/// Nobody waits for a blocking job in the background, nor with a limit of zero; with a limit that no
/// clock can tell everybody does.
#[test]
fn the_limits_of_shutdown() {
    type End = fn(Runtime);
    let impatient: [End; 3] = [
        Runtime::shutdown_background,
        |runtime| runtime.shutdown_timeout(Duration::ZERO),
        |runtime| assert_eq!(runtime.shutdown(Duration::ZERO).blocking_running(), 1),
    ];
    for end in impatient {
        let (go, wait) = mpsc::channel::<()>();
        let (out, done) = mpsc::channel();
        let runtime = with_job(move || {
            wait.recv().unwrap_err();
            out.send(()).unwrap();
        });
        end(runtime);
        assert_eq!(done.try_recv(), Err(mpsc::TryRecvError::Empty), "the job was waited for");
        drop(go);
        done.recv_timeout(PATIENCE).expect("the job runs on");
    }
    let patient: [End; 3] = [
        |runtime| runtime.shutdown_timeout(Duration::MAX),
        |runtime| assert!(runtime.shutdown(Duration::MAX).is_clean()),
        drop,
    ];
    for end in patient {
        let (out, done) = mpsc::channel();
        end(with_job(move || {
            thread::sleep(Duration::from_millis(30));
            out.send(()).unwrap();
        }));
        done.try_recv().expect("the job was waited for");
    }

    /// A runtime with a blocking job that has begun.
    fn with_job(job: impl FnOnce() + Send + 'static) -> Runtime {
        let runtime = Runtime::new().unwrap();
        let (begins, begun) = mpsc::channel();
        drop(runtime.handle().spawn_blocking(move || {
            begins.send(()).unwrap();
            job();
        }));
        begun.recv().unwrap();
        runtime
    }
}

/// A runtime may end inside another one without making its loop wait; what its tasks held is gone.
#[test]
fn ending_in_the_background_of_another() {
    let (go, wait) = mpsc::channel::<()>();
    block_on(async move {
        let inner = Runtime::new().unwrap();
        let held = Rc::new(());
        let holds = held.clone();
        drop(inner.spawn(async move {
            let _holds = holds;
            pending::<()>().await;
        }));
        drop(inner.handle().spawn_blocking(move || wait.recv().unwrap_or(())));
        inner.shutdown_background();
        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!(spawn(async { Partition::current().name() }).await.unwrap(), "ROOT");
    });
    drop(go);
}
