//! Tasks that are taken over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evenloop::time::sleep;
use evenloop::{
    Budget, Partition, Runtime, block_on, spawn, spawn_blocking, spawn_in, switch_to, within,
    yield_now,
};
use futures::channel::oneshot;

use crate::{census, exists, here, settle, traced};

/// A task that is queued goes to the tail of the new queue at once; those that stay keep their
/// order.
#[test]
fn what_is_queued_is_taken_along() {
    let runtime = Runtime::builder().budget(Budget::handles(1)).build().unwrap();
    runtime.block_on(async {
        let order: Rc<RefCell<Vec<(usize, String)>>> = Rc::default();
        let children: Vec<_> = (0..100)
            .map(|i| {
                let order = order.clone();
                spawn_in("crowd", async move {
                    order.borrow_mut().push((i, here()));
                    spawn(async { here() }).await.unwrap()
                })
            })
            .collect();
        let adopter = spawn_in("adopter", async move {
            let mut children = children;
            let child = children.remove(60);
            child.adopt();
            child.adopt();
            assert!(census().contains(&("adopter".into(), 2)), "itself and the child, once");
            // Its own child inherits, too.
            (child.await.unwrap(), children)
        });
        let (born, children) = adopter.await.unwrap();
        assert_eq!(born, "adopter");
        let before = order.borrow().iter().position(|(i, _)| *i == 60).unwrap();
        assert!(before < 10, "{before} ran first");
        for child in children {
            assert_eq!(child.await.unwrap(), "crowd");
        }
        let stayed: Vec<_> =
            order.borrow().iter().filter(|(_, at)| at == "crowd").map(|(i, _)| *i).collect();
        assert_eq!(stayed, (0..100).filter(|i| *i != 60).collect::<Vec<_>>());
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// A task that waits comes along with what it waits for: nothing of its old partition is left.
#[test]
fn what_waits_is_taken_along() {
    block_on(async {
        let (send, receive) = oneshot::channel();
        let (socket, peer) = evenloop::net::UnixStream::pair().unwrap();
        let child = spawn_in("child", async move {
            let mut byte = [0];
            let timer = sleep(Duration::from_secs(60));
            let reading = async {
                socket.read_exact(&mut byte).await.unwrap();
                here()
            };
            futures::pin_mut!(timer, reading);
            let read = futures::future::select(timer, reading).await;
            assert!(matches!(read, futures::future::Either::Right(_)));
            receive.await.unwrap();
            here()
        });
        settle().await;
        assert!(exists("child"));
        let adopter = spawn_in("adopter", async move {
            child.adopt();
            settle().await;
            assert!(!exists("child"), "its timer and its socket are the adopter's");
            assert_eq!(census(), [("ROOT".into(), 0), ("adopter".into(), 2)]);
            peer.write_all(b"x").await.unwrap();
            settle().await;
            send.send(()).unwrap();
            child.await.unwrap()
        });
        assert_eq!(adopter.await.unwrap(), "adopter");
    });
}

/// Woken by another thread, or spawned by one and not there yet: it arrives in the new partition.
#[test]
fn what_is_on_its_way_arrives_there() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        let child = std::thread::spawn(move || handle.spawn_in("asked for", async { here() }));
        // Without giving the loop a chance to take it in.
        let child = child.join().unwrap();
        let adopter = spawn_in("adopter", async move {
            child.adopt();
            child.await.unwrap()
        });
        let (send, receive) = oneshot::channel::<()>();
        let woken = spawn_in("child", async move {
            receive.await.unwrap();
            here()
        });
        // The first of the two has not run: it waits in the way in, and the second is there now.
        assert!(["adopter", "asked for"].contains(&adopter.await.unwrap().as_str()));
        settle().await;
        let waker = std::thread::spawn(move || send.send(()).unwrap());
        waker.join().unwrap();
        woken.adopt();
        assert_eq!(woken.await.unwrap(), "ROOT");
        assert!(
            !exists("child") || census().iter().all(|(name, tasks)| name != "child" || *tasks == 0)
        );
    });
}

/// A spawn that is still on its way in when it is adopted.
#[test]
fn a_spawn_that_has_not_arrived_is_adopted() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        switch_to("adopter").await;
        let child = std::thread::spawn(move || handle.spawn_in("asked for", async { here() }));
        let child = child.join().unwrap();
        child.adopt();
        assert_eq!(child.await.unwrap(), "adopter");
        assert!(!exists("asked for"));
    });
    // By a partition that is gone when it arrives: then it goes where it was to go.
    let handle = runtime.handle();
    runtime.block_on(async {
        let (spawned, child) = std::sync::mpsc::channel();
        std::thread::spawn(move || spawned.send(handle.spawn_in("asked for", async { here() })));
        let child = child.recv().unwrap();
        within("brief", async { child.adopt() }).await;
        let place = child.await.unwrap();
        assert!(place == "brief" || place == "asked for", "{place}");
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// Away for a `within`, it stays there and comes back to its new partition.
#[test]
fn who_is_away_comes_back_to_the_adopter() {
    block_on(async {
        let (send, receive) = oneshot::channel::<()>();
        let child = spawn_in("child", async {
            let away = within("away", async {
                receive.await.unwrap();
                here()
            });
            (away.await, here())
        });
        settle().await;
        let adopter = spawn_in("adopter", async move {
            child.adopt();
            settle().await;
            assert!(!exists("child"));
            assert_eq!(census()[1..], [("adopter".into(), 1), ("away".into(), 1)]);
            send.send(()).unwrap();
            child.await.unwrap()
        });
        assert_eq!(adopter.await.unwrap(), ("away".into(), "adopter".into()));

        // Away with the adopter itself: there it lives now.
        let (send, receive) = oneshot::channel::<()>();
        let child = spawn_in("child", async {
            let ((), places) = traced(within("adopter", async { receive.await.unwrap() })).await;
            (places, here())
        });
        settle().await;
        let adopter = spawn_in("adopter", async move {
            child.adopt();
            send.send(()).unwrap();
            child.await.unwrap()
        });
        let (places, last) = adopter.await.unwrap();
        assert_eq!((places.first().unwrap().as_str(), last.as_str()), ("child", "adopter"));
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// What has ended, has been aborted, is blocking, or is in the same partition, is left as it is.
#[test]
fn what_cannot_be_taken_over_is_left() {
    block_on(async {
        let ended = spawn_in("child", async { 1 });
        let same = spawn(async { here() });
        let blocking = spawn_blocking(|| 3);
        let aborted = spawn_in("child", std::future::pending::<()>());
        settle().await;
        aborted.abort();
        let adopter = spawn_in("adopter", async move {
            ended.adopt();
            blocking.adopt();
            aborted.adopt();
            assert!(aborted.await.unwrap_err().is_cancelled());
            ended.await.unwrap() + blocking.await.unwrap()
        });
        same.adopt();
        assert_eq!((adopter.await.unwrap(), same.await.unwrap()), (4, "ROOT".into()));
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// A task that holds its own handle stays where it is going.
#[test]
fn nobody_adopts_itself() {
    block_on(async {
        let own = Rc::new(RefCell::new(None::<evenloop::JoinHandle<String>>));
        let (held, (send, receive)) = (own.clone(), oneshot::channel::<()>());
        let task = spawn_in("child", async move {
            receive.await.unwrap();
            let adopt = async { held.borrow().as_ref().unwrap().adopt() };
            futures::future::join(switch_to("other"), adopt).await;
            let place = here();
            held.borrow_mut().take();
            place
        });
        *own.borrow_mut() = Some(task);
        send.send(()).unwrap();
        settle().await;
        assert!(own.borrow().is_none());
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// Adopted from a queue of its own, the partition has nothing to do any more, and its group
/// neither.
#[test]
fn a_partition_that_lost_its_last_handle_is_idle() {
    let runtime = Runtime::builder().budget(Budget::handles(2)).build().unwrap();
    runtime.block_on(async {
        for group in [false, true] {
            let ran = Rc::new(Cell::new(0));
            let mut places = Vec::new();
            for i in 0..20u64 {
                let builder = Partition::builder(&format!("child {i}"));
                let child = if group { builder.group("children") } else { builder }.build();
                let count = ran.clone();
                let task = child.spawn(async move { count.set(count.get() + 1) });
                task.adopt();
                assert_eq!((child.metrics().queued, child.metrics().tasks), (0, 0));
                places.push((child, task));
            }
            for (child, task) in places {
                task.await.unwrap();
                assert_eq!(child.metrics().handles, 0);
                assert_eq!(child.spawn(async { 5 }).await.unwrap(), 5);
            }
            assert_eq!(ran.get(), 20);
            yield_now().await;
        }
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}
