//! Panics: of tasks, destructors, wakers, the main future. Each stays where it belongs.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use evenloop::{Runtime, spawn, yield_now};

/// Notes its drop.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn quiet() -> Runtime {
    Runtime::builder().on_unhandled_panic(drop).build().unwrap()
}

/// Dropping a handle never panics, not even over an output whose destructor does.
#[test]
fn dropping_a_handle_never_panics() {
    let runtime = quiet();
    runtime.block_on(async {
        let task = spawn(async { OnDrop(|| panic!("expected: the output's destructor panics")) });
        while !task.is_finished() {
            yield_now().await;
        }
        drop(task);

        // Detached first, finished later.
        drop(spawn(async { OnDrop(|| panic!("expected: the output's destructor panics")) }));
        yield_now().await;
        yield_now().await;
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    });
}

/// A panic reaches the handle with its payload; nobody else is harmed.
#[test]
fn panics_reach_the_handle() {
    let runtime = quiet();
    runtime.block_on(async {
        let bystander = spawn(async {
            yield_now().await;
            5
        });
        let three = std::hint::black_box(3);
        let error = spawn(async move { panic!("expected {three}") }).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().contains("expected 3"));
        assert_eq!(error.into_panic().downcast_ref::<String>().unwrap(), "expected 3");
        assert_eq!(bystander.await.unwrap(), 5);
    });
}

/// A panic nobody hears goes to the hook, once, with the place the task was spawned at.
#[test]
fn unheard_panics_reach_the_hook() {
    let heard: Arc<Mutex<Vec<(String, u32)>>> = Arc::default();
    let notes = heard.clone();
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |panic| {
            let line = panic.location().unwrap().line();
            notes.lock().unwrap().push((panic.message().unwrap().to_owned(), line));
        })
        .build()
        .unwrap();
    let here = runtime.block_on(async {
        drop(spawn(async { panic!("expected: detached") }));
        let here = line!() - 1;
        let held = spawn(async { panic!("expected: held, never awaited") });
        yield_now().await;
        yield_now().await;
        assert_eq!(
            heard.lock().unwrap().len(),
            1,
            "a panic that may still be heard is not reported"
        );
        drop(held);
        // One that is heard is not reported.
        let _ = spawn(async { panic!("expected: heard") }).await;
        here
    });
    let expected =
        [("expected: detached".into(), here), ("expected: held, never awaited".into(), here + 2)];
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// A panic in the future of `block_on` comes out of it; the runtime goes on with its tasks.
#[test]
fn main_panics_leave_the_runtime_usable() {
    let runtime = Runtime::new().unwrap();
    let task = runtime.spawn(async {
        for _ in 0..5 {
            yield_now().await;
        }
        9
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { panic!("expected: the main future panics") })
    }));
    assert!(panicked.is_err());
    assert_eq!(runtime.block_on(task).unwrap(), 9);
}

struct PanickyWaker;

impl Wake for PanickyWaker {
    fn wake(self: Arc<Self>) {
        panic!("expected: the waker panics");
    }
}

/// Panics only when it is dropped.
struct FragileWaker;

impl Wake for FragileWaker {
    fn wake(self: Arc<Self>) {}
}

impl Drop for FragileWaker {
    fn drop(&mut self) {
        panic!("expected: the waker's destructor panics");
    }
}

/// A waker that panics harms neither the loop nor the task that called it.
#[test]
fn panicking_wakers_are_contained() {
    let runtime = quiet();
    for waker in [Waker::from(Arc::new(PanickyWaker)), Waker::from(Arc::new(FragileWaker))] {
        runtime.block_on(async {
            let mut task = spawn(async {
                yield_now().await;
                3
            });
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
            // Its destructor runs with the last wake, and panics too.
            drop(waker);
            while !task.is_finished() {
                yield_now().await;
            }
            assert_eq!(task.await.unwrap(), 3);
        });
    }
}
