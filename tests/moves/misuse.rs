//! Moves where none can be made: a panic with a sentence that says what to do.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use evenloop::{Partition, Runtime, block_on, spawn_in, switch_to, within};

fn text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap()
}

fn poll_once(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

/// Outside a runtime nobody runs.
#[test]
fn outside_a_runtime() {
    let text_of = |what: &str, text: String| {
        assert!(text.contains(what) && text.contains("needs a running evenloop"), "{text}");
    };
    text_of("evenloop::switch_to", text(|| poll_once(switch_to("p"))));
    text_of("evenloop::within", text(|| poll_once(within("p", async {}))));
    // Made here, and polled there.
    let visit = within("p", async { Partition::current().name() });
    assert_eq!(block_on(visit), "p");
}

/// Begun on the loop, a move cannot go on elsewhere.
#[test]
fn on_another_thread() {
    block_on(async {
        let mut visit = Box::pin(within("p", std::future::pending::<()>()));
        poll_fn(|cx| {
            assert!(visit.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let text = std::thread::spawn(move || text(|| poll_once(visit))).join().unwrap();
        assert!(text.contains("evenloop::within needs a running evenloop"), "{text}");
    });
    let task = Runtime::new().unwrap().spawn(async {});
    let text = text(|| task.adopt());
    assert!(text.contains("JoinHandle::adopt"), "{text}");
}

/// In a waker no task runs that could move.
#[test]
fn in_a_waker() {
    struct Moves(Mutex<Vec<String>>);
    impl Wake for Moves {
        fn wake(self: Arc<Self>) {
            let mut texts = self.0.lock().unwrap();
            texts.push(text(|| poll_once(switch_to("p"))));
            texts.push(text(|| poll_once(within("p", async {}))));
        }
    }
    block_on(async {
        let moves = Arc::new(Moves(Mutex::default()));
        let waker = Waker::from(moves.clone());
        let mut timer = pin!(evenloop::time::sleep(std::time::Duration::from_millis(1)));
        assert!(timer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        evenloop::time::sleep(std::time::Duration::from_millis(5)).await;
        let texts = moves.0.lock().unwrap();
        assert_eq!(texts.len(), 2);
        assert!(texts.iter().all(|text| text.contains("in a task")), "{texts:?}");
    });
}

/// A partition of another runtime, one that is gone, and a future that was done.
#[test]
fn to_nowhere() {
    let other = Runtime::new().unwrap();
    let foreign = other.block_on(async { Partition::named("foreign") });
    block_on(async {
        assert!(text(|| poll_once(switch_to(&foreign))).contains("belongs to another runtime"));
        assert!(text(|| poll_once(within(&foreign, async {}))).contains("belongs to another"));

        spawn_in("gone", async {}).await.unwrap();
        let views = evenloop::Handle::current().partitions();
        let view = views.iter().find(|partition| partition.name() == "gone").cloned();
        crate::settle().await;
        if let Some(view) = view {
            assert!(text(|| poll_once(switch_to(&view))).contains("closed or gone"));
        }

        let mut done = pin!(within("p", async {}));
        done.as_mut().await;
        assert!(text(|| poll_once(done)).contains("after it was done"));
    });
}
