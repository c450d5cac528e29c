//! The whole task moves.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use evenloop::time::sleep;
use evenloop::{
    Budget, JoinSet, Partition, Runtime, block_on, sim, spawn, spawn_in, switch_to, yield_now,
};
use futures::FutureExt;
use futures::future::{join, join3, select};

use crate::{census, exists, here, settle, traced};

/// Whatever names the place, the task is there afterwards, and told where it was.
#[test]
fn a_task_moves_by_any_name() {
    block_on(async {
        let task = spawn(async {
            assert_eq!(switch_to("name").await, Partition::root());
            assert_eq!(here(), "name");
            let before = switch_to(7).await;
            assert_eq!((before.name(), here()), ("name".into(), "7".into()));
            let anonymous = Partition::anonymous();
            assert_eq!(switch_to(&anonymous).await.name(), "7");
            assert_eq!(Partition::current(), anonymous);
            switch_to(before).await;
            here()
        });
        assert_eq!(task.await.unwrap(), "name");
    });
}

/// What is spawned after a move is the new partition's, and so is what it spawns.
#[test]
fn what_is_spawned_after_a_move_inherits_the_new_partition() {
    block_on(async {
        let task = spawn_in("old", async {
            let early = spawn(async { here() });
            switch_to("new").await;
            let late = spawn(async { spawn(async { here() }).await.unwrap() });
            (early.await.unwrap(), late.await.unwrap())
        });
        assert_eq!(task.await.unwrap(), ("old".into(), "new".into()));
    });
}

/// A move to where the task is already takes no handle, and yet does not hold the loop for ever.
#[test]
fn a_move_to_the_same_place_does_not_yield() {
    block_on(async {
        let other = Rc::new(Cell::new(0));
        let count = other.clone();
        spawn_in("here", async move {
            loop {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        let task = spawn_in("here", async move {
            let (before, places) = traced(switch_to("here")).await;
            assert_eq!((before.name(), places.len()), ("here".into(), 1));
            let ran = other.get();
            for _ in 0..10_000 {
                switch_to("here").await;
            }
            other.get() - ran
        });
        assert!(task.await.unwrap() > 10, "others ran in between");
    });
}

/// A task counts where it is, and a partition that it leaves alone is freed.
#[test]
fn counts_move_along() {
    block_on(async {
        let task = spawn_in("a", async {
            assert_eq!(census(), [("ROOT".into(), 0), ("a".into(), 1)]);
            switch_to("b").await;
            settle().await;
            census()
        });
        assert_eq!(task.await.unwrap(), [("ROOT".into(), 0), ("b".into(), 1)]);
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// A move takes one handle: the next, in the new queue, behind those that are there.
#[test]
fn a_move_joins_the_tail_of_the_new_queue() {
    let runtime = Runtime::builder().budget(Budget::handles(64)).build().unwrap();
    runtime.block_on(async {
        let order: Rc<RefCell<Vec<usize>>> = Rc::default();
        let new = Partition::named("new");
        let mover = spawn_in("old", {
            let (order, new) = (order.clone(), new.clone());
            async move {
                for i in 0..3 {
                    let order = order.clone();
                    new.spawn(async move { order.borrow_mut().push(i) });
                }
                let ((), places) = traced(async {
                    switch_to(&new).await;
                })
                .await;
                order.borrow_mut().push(3);
                places
            }
        });
        assert_eq!(mover.await.unwrap(), ["old", "new"]);
        assert_eq!(*order.borrow(), [0, 1, 2, 3]);
    });
}

/// The future of `block_on` moves like a task, keeps the partition it is in alive, and is back in
/// ROOT the next time, also after a panic.
#[test]
fn the_main_future_moves() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        switch_to("main").await;
        assert_eq!(here(), "main");
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0), ("main".into(), 0)]);
        assert_eq!(spawn(async { here() }).await.unwrap(), "main");
        sleep(Duration::from_millis(1)).await;
        assert_eq!(here(), "main");
    });
    runtime.block_on(async {
        assert_eq!(here(), "ROOT");
        settle().await;
        assert!(!exists("main"));
        switch_to("other").await;
        assert_eq!(switch_to(Partition::root()).await.name(), "other");
        settle().await;
        assert!(!exists("other"));
    });
    let panics = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            switch_to("panics").await;
            panic!("in a place of its own");
        })
    });
    std::panic::catch_unwind(panics).unwrap_err();
    runtime.block_on(async {
        assert_eq!(here(), "ROOT");
        settle().await;
        assert!(!exists("panics"));
    });
}

/// Woken before it asks for a move, or after, within the same handle: there is one handle, and it
/// is in the new place.
#[test]
fn a_wake_in_the_handle_that_moves_is_no_second_handle() {
    async fn woken_and_moved() -> Vec<String> {
        let wake = async {
            let mut polls = 0;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                polls += 1;
                if polls == 4 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        let early = join(wake, switch_to("new"));
        traced(early).await.1
    }
    block_on(async {
        assert_eq!(woken_and_moved().await, ["ROOT", "new", "new", "new"]);
        switch_to(Partition::root()).await;
        let task = spawn(woken_and_moved());
        assert_eq!(task.await.unwrap(), ["ROOT", "new", "new", "new"]);
        // Nothing is left over in a queue: the partition, which main is not in, goes.
        settle().await;
        assert!(!exists("new"));
    });
}

/// A branch that switches takes the other branches along.
#[test]
fn a_branch_takes_the_whole_task_along() {
    block_on(async {
        let watching = async {
            let mut places = vec![here()];
            yield_now().await;
            places.push(here());
            places
        };
        let task = spawn(join(switch_to("moved"), watching));
        assert_eq!(task.await.unwrap().1, ["ROOT", "moved"]);
    });
}

/// A `switch_to` that was polled has moved the task, though nobody waits for it any more; one that
/// was not polled has done nothing.
#[test]
fn a_dropped_switch_has_moved_the_task_if_it_was_polled() {
    block_on(async {
        let task = spawn(async {
            drop(switch_to("never"));
            select(pin!(switch_to("moved")), pin!(async {})).await;
            let handle = here();
            yield_now().await;
            let next = here();
            // A waker that does nothing: the task has a handle in the new place all the same.
            assert!(switch_to("again").now_or_never().is_none());
            settle().await;
            (handle, next, here(), switch_to("again").now_or_never().map(|p| p.name()))
        });
        let (handle, next, last, same) = task.await.unwrap();
        assert_eq!((handle.as_str(), next.as_str()), ("ROOT", "moved"));
        assert_eq!((last.as_str(), same.as_deref()), ("again", Some("again")));
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// Of branches that switch to different places in one handle, the last decides for all.
#[test]
fn of_branches_that_disagree_the_last_decides() {
    block_on(async {
        let arrive = |name: &'static str| async move {
            switch_to(name).await;
            here()
        };
        let task = spawn(async move {
            let arrived = join3(arrive("a"), arrive("b"), arrive("c")).await;
            settle().await;
            (arrived, here())
        });
        assert_eq!(task.await.unwrap(), (("c".into(), "c".into(), "c".into()), "c".into()));
        // Also if that is where the task is already.
        let task = spawn_in("a", async move {
            let arrived = join(arrive("b"), arrive("a")).await;
            settle().await;
            (arrived, here())
        });
        assert_eq!(task.await.unwrap(), (("a".into(), "a".into()), "a".into()));
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// Polled beside each other in a collection that polls only who was woken, all of them go on.
#[test]
fn futures_of_a_collection_move_the_task() {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;
    block_on(async {
        for crowd in [2, 50] {
            let moves: FuturesUnordered<_> = (0..crowd).map(|i| switch_to(i % 5)).collect();
            let task = spawn(async move {
                moves.collect::<Vec<_>>().await;
                let last = here();
                settle().await;
                (last, here())
            });
            let (last, later) = task.await.unwrap();
            assert!(last != "ROOT" && last == later);
        }
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// In a set of tasks each goes its way.
#[test]
fn members_of_a_set_move() {
    block_on(async {
        let mut set = JoinSet::new();
        for i in 0..10 {
            set.spawn(async move {
                switch_to(i % 3).await;
                here()
            });
        }
        let mut places = set.join_all().await;
        places.sort();
        assert_eq!(places, ["0", "0", "0", "0", "1", "1", "1", "2", "2", "2"]);
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// The handle that asks is paid for where it began, and what follows in the new place.
#[test]
fn each_partition_pays_for_its_handles() {
    const MS: Duration = Duration::from_millis(1);
    sim::Runtime::new(1).block_on(async {
        // Somebody else, so that time is measured.
        let rival = spawn_in("rival", async {
            for _ in 0..100 {
                sim::burn(MS).await;
            }
        });
        let (old, new) = (Partition::named("old"), Partition::named("new"));
        let there = new.clone();
        let task = old.spawn(async move {
            sim::spend(3 * MS);
            let mut switch = pin!(switch_to(&there));
            poll_fn(|cx| {
                let polled = switch.as_mut().poll(cx);
                sim::spend(2 * MS);
                polled.map(drop)
            })
            .await;
            sim::spend(7 * MS);
        });
        task.await.unwrap();
        assert_eq!(old.metrics().running, 5 * MS);
        assert_eq!(new.metrics().running, 9 * MS);
        assert_eq!((old.metrics().handles, new.metrics().handles), (1, 1));
        rival.abort();
    });
}

/// Tasks that other threads wake while they move lose no wake, and run to their end.
#[test]
fn wakes_from_other_threads_find_a_task_that_moves() {
    use futures::StreamExt;
    use futures::channel::mpsc;
    let runtime = Runtime::new().unwrap();
    let (tasks, senders): (Vec<_>, Vec<_>) = (0..4u64)
        .map(|i| {
            let (sender, mut receiver) = mpsc::unbounded::<u64>();
            let task = runtime.spawn(async move {
                let mut sum = 0;
                while let Some(n) = receiver.next().await {
                    sum += n;
                    switch_to((n + i) % 7).await;
                }
                sum
            });
            (task, sender)
        })
        .unzip();
    let sending = std::thread::spawn(move || {
        for n in 0..5_000 {
            for sender in &senders {
                sender.unbounded_send(n).unwrap();
            }
        }
    });
    runtime.block_on(async {
        for task in tasks {
            assert_eq!(task.await.unwrap(), (0..5_000).sum::<u64>());
        }
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
    sending.join().unwrap();
}
