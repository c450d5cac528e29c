//! Panics, aborts, closed partitions and shutdown, in the middle of a move.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use evenloop::{
    Close, JoinHandle, Partition, Runtime, block_on, spawn, spawn_in, switch_to, within, yield_now,
};
use futures::FutureExt;
use futures::future::select;

use crate::{census, exists, here, settle};

/// Notes where it is dropped.
struct Mark(Rc<RefCell<Vec<String>>>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.borrow_mut().push(here());
    }
}

const EMPTY: [(&str, u64); 1] = [("ROOT", 0)];

async fn assert_empty() {
    settle().await;
    let census = census();
    let census: Vec<_> = census.iter().map(|(name, tasks)| (name.as_str(), *tasks)).collect();
    assert_eq!(census, EMPTY);
}

/// A panic in a place ends the task there, and the counts with it.
#[test]
fn panics_end_the_task_where_it_is() {
    block_on(async {
        let marks = Rc::new(RefCell::new(Vec::new()));
        let mark = Mark(marks.clone());
        let task = spawn_in("home", async move {
            let _mark = mark;
            within("a", within("b", async { panic!("inside") })).await
        });
        let error: evenloop::JoinError = task.await.map(|(): ()| ()).unwrap_err();
        assert!(error.is_panic());
        assert_eq!(*marks.borrow(), ["b"]);
        let task = spawn_in("home", async {
            switch_to("c").await;
            panic!("after a switch")
        });
        assert!(task.await.map(|(): ()| ()).unwrap_err().is_panic());
        // In the very handle that asked for the move.
        let task = spawn_in("home", async {
            let mut switch = pin!(switch_to("d"));
            poll_fn(|cx| -> Poll<()> {
                assert!(switch.as_mut().poll(cx).is_pending());
                panic!("on the way")
            })
            .await;
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_empty().await;
    });
}

/// A panic that is caught inside the task ends the visit it came through, and no other.
#[test]
fn a_caught_panic_ends_the_visit() {
    block_on(async {
        within("outer", async {
            let visit = within("inner", async {
                yield_now().await;
                panic!("caught")
            });
            let caught = AssertUnwindSafe(visit).catch_unwind().await;
            assert!(caught.map(|(): ()| ()).is_err());
            yield_now().await;
            assert_eq!(here(), "outer");
            within("inner", async { assert_eq!(here(), "inner") }).await;
            assert_eq!(here(), "outer");
        })
        .await;
        assert_eq!(here(), "ROOT");
    });
}

/// An aborted task is dropped in the partition it is in, wherever it belongs.
#[test]
fn an_aborted_task_is_dropped_where_it_is() {
    block_on(async {
        for nested in [false, true] {
            let marks = Rc::new(RefCell::new(Vec::new()));
            let (early, late) = (Mark(marks.clone()), Mark(marks.clone()));
            let task = spawn_in("home", async move {
                let _early = early;
                let wait = async move {
                    let _late = late;
                    pending::<()>().await;
                };
                if nested {
                    within("a", within("away", wait)).await
                } else {
                    within("away", wait).await
                }
            });
            settle().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(*marks.borrow(), ["away", "away"]);
            assert_empty().await;
        }
    });
}

/// Aborted between the handle that asks for a move and the next: it is in the new partition.
#[test]
fn aborted_on_the_way() {
    block_on(async {
        let marks = Rc::new(RefCell::new(Vec::new()));
        let mark = Mark(marks.clone());
        let (send, receive) = futures::channel::oneshot::channel();
        let task = spawn_in("old", async move {
            let _mark = mark;
            let mut switch = pin!(switch_to("new"));
            let abort: evenloop::AbortHandle = receive.await.unwrap();
            poll_fn(|cx| {
                let polled = switch.as_mut().poll(cx);
                abort.abort();
                polled
            })
            .await;
            unreachable!("it was aborted");
        });
        send.send(task.abort_handle()).unwrap();
        let end: Result<(), _> = task.await;
        assert!(end.unwrap_err().is_cancelled());
        assert_eq!(*marks.borrow(), ["new"]);
        assert_empty().await;
    });
}

/// `Cancel` aborts who is in the partition, who visits it, who is on the way to it, and who belongs
/// to it and is away; nobody else, and not the future of `block_on`.
#[test]
fn cancelling_a_partition_takes_all_its_tasks() {
    fn waits(home: &'static str, place: Option<&'static str>) -> JoinHandle<()> {
        spawn_in(home, async move {
            match place {
                Some(place) => within(place, pending()).await,
                None => pending().await,
            }
        })
    }
    block_on(async {
        let closing = Partition::named("closing");
        let theirs = [
            waits("closing", None),
            waits("other", Some("closing")),
            waits("closing", Some("other")),
            spawn(async {
                switch_to("closing").await;
                pending().await
            }),
        ];
        let others = [waits("other", None), waits("third", Some("other"))];
        settle().await;
        let late = spawn(async { drop(switch_to("closing").await) });
        // It asks for the move, and `closing` is closed before it gets there.
        yield_now().await;
        switch_to(&closing).await;
        closing.close(Close::Cancel);
        for task in theirs {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        let _ = late.await;
        settle().await;
        assert_eq!(here(), "closing");
        switch_to(Partition::root()).await;
        for task in others {
            assert!(!task.is_finished());
            task.abort();
            let _ = task.await;
        }
        drop(closing);
        assert_empty().await;
    });
}

/// A closed partition drains with who was in it or on the way, and takes back who was away.
#[test]
fn draining_partitions_keep_what_they_took_in() {
    block_on(async {
        let draining = Partition::named("draining");
        let away = draining.spawn(async {
            within("away", settle()).await;
            assert_eq!(here(), "draining");
            // From outside of it, it may not come again: that would be a task like any other.
            spawn(async { 1 }).await.unwrap()
        });
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        let coming = spawn({
            let draining = draining.clone();
            async move {
                let mut switch = pin!(switch_to(&draining));
                poll_fn(|cx| {
                    assert!(switch.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                draining.close(Close::Drain);
                switch.await;
                receive.await.unwrap();
                here()
            }
        });
        settle().await;
        assert!(draining.is_closed());
        send.send(()).unwrap();
        assert_eq!(coming.await.unwrap(), "draining");
        assert_eq!(away.await.unwrap(), 1);
        drop(draining);
        assert_empty().await;
    });
}

/// Asked for when it is closed, a move is a panic with a sentence, and the task stays where it was.
#[test]
fn a_closed_partition_takes_nobody_in() {
    block_on(async {
        let closed = Partition::named("closed");
        closed.close(Close::Drain);
        for visit in [false, true] {
            let closed = closed.clone();
            let task = spawn_in("home", async move {
                let entering = AssertUnwindSafe(async {
                    if visit {
                        within(&closed, async {}).await
                    } else {
                        drop(switch_to(&closed).await)
                    }
                });
                let payload = entering.catch_unwind().await.unwrap_err();
                let text = payload.downcast_ref::<String>().unwrap();
                assert!(text.contains("closed or gone"), "{text}");
                yield_now().await;
                here()
            });
            assert_eq!(task.await.unwrap(), "home");
        }
        // From inside it is no move.
        let (inside, receive) = futures::channel::oneshot::channel::<()>();
        let fresh = Partition::named("fresh");
        let task = fresh.spawn(async {
            receive.await.unwrap();
            switch_to("fresh").await;
            within("fresh", async { here() }).await
        });
        fresh.close(Close::Drain);
        inside.send(()).unwrap();
        assert_eq!(task.await.unwrap(), "fresh");
        drop((closed, fresh));
        assert_empty().await;
    });
}

/// Shutdown drops tasks in the middle of moves and visits, and names where they were.
#[test]
fn shutdown_in_the_middle() {
    let runtime = Runtime::new().unwrap();
    let marks = Rc::new(RefCell::new(Vec::new()));
    for place in ["a", "b"] {
        let mark = Mark(marks.clone());
        drop(runtime.spawn_in("home", async move {
            let _mark = mark;
            within(place, async {
                let mut never = pin!(pending::<()>());
                // Always ready, so that it moves now and then until the end.
                loop {
                    select(&mut never, pin!(within("home", async {}))).await;
                }
            })
            .await;
        }));
    }
    let mark = Mark(marks.clone());
    drop(runtime.spawn(async move {
        let _mark = mark;
        within("waits", pending::<()>()).await;
    }));
    runtime.block_on(async {
        for _ in 0..100 {
            yield_now().await;
        }
    });
    let report = runtime.shutdown(Duration::from_secs(1));
    assert_eq!(report.pending().len(), 3);
    let waits = report.pending().iter().find(|task| task.partition() == "waits");
    assert!(waits.is_some(), "{report}");
    assert_eq!(marks.borrow().len(), 3);
    assert!(marks.borrow().contains(&"waits".to_owned()));
}

/// What a task leaves behind in a place by a timer or a socket keeps that place, as ever.
#[test]
fn what_waits_elsewhere_keeps_its_partition() {
    block_on(async {
        let (mut timer, _) = (Box::pin(evenloop::time::sleep(Duration::from_secs(60))), ());
        within("armed", async {
            assert!(futures::poll!(timer.as_mut()).is_pending());
        })
        .await;
        settle().await;
        assert!(exists("armed"));
        // Waited for here, it is ROOT's.
        assert!(futures::poll!(timer.as_mut()).is_pending());
        settle().await;
        assert!(!exists("armed"));
    });
}
