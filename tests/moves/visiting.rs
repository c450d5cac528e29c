//! One future at a time moves, and the task comes back.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use evenloop::time::sleep;
use evenloop::{Partition, Runtime, block_on, spawn, spawn_in, switch_to, within, yield_now};
use futures::future::{join, join_all, join3, select};

use crate::{census, exists, here, settle, steps, traced};

/// Every poll happens in the place, whatever is outside of it does not, and the way costs a handle
/// there and one back.
#[test]
fn each_poll_happens_in_the_place() {
    block_on(async {
        let inner = RefCell::new(Vec::new());
        let (output, places) = traced(within("place", async {
            steps(3, &inner).await;
            sleep(Duration::from_millis(1)).await;
            (here(), spawn(async { here() }).await.unwrap())
        }))
        .await;
        assert_eq!(output, ("place".into(), "place".into()));
        assert_eq!(*inner.borrow(), ["place"; 3]);
        assert!(places.len() >= 6, "{places:?}");
        assert_eq!((&*places[0], places.last().map(String::as_str)), ("ROOT", Some("ROOT")));
        assert!(places[1..places.len() - 1].iter().all(|place| place == "place"), "{places:?}");
        assert_eq!(here(), "ROOT");
        let ((), places) = traced(within("place", async {})).await;
        assert_eq!(places, ["ROOT", "place", "ROOT"]);
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// In the place already, it is as if it were not there; and a loop of such does not hold the loop.
#[test]
fn in_the_same_place_nobody_waits() {
    block_on(async {
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        spawn_in("place", async move {
            loop {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        let task = spawn_in("place", async move {
            let (output, places) = traced(within("place", async { 7 })).await;
            assert_eq!((output, places.len()), (7, 1));
            for _ in 0..10_000 {
                within("place", async {}).await;
            }
            ran.get()
        });
        assert!(task.await.unwrap() > 10, "others ran in between");
    });
}

/// Nested ones go from place to place and come back one by one.
#[test]
fn nested_places_come_back_one_by_one() {
    block_on(async {
        let places = RefCell::new(Vec::new());
        let note = || places.borrow_mut().push(here());
        within("a", async {
            note();
            within("b", async {
                note();
                yield_now().await;
                within("c", async {
                    note();
                    sleep(Duration::from_millis(1)).await;
                    note();
                })
                .await;
                note();
                // Back to one that is on the way.
                within("a", async { note() }).await;
                note();
            })
            .await;
            note();
        })
        .await;
        note();
        assert_eq!(*places.borrow(), ["a", "b", "c", "c", "b", "a", "b", "a", "ROOT"]);
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// A switch inside holds until the `within` ends; one outside of it, beside it, is where that then
/// leads.
#[test]
fn switches_inside_and_beside() {
    block_on(async {
        let inside = async {
            let before = switch_to("b").await;
            assert_eq!(before.name(), "a");
            yield_now().await;
            assert_eq!(here(), "b");
            within("c", async { assert_eq!(here(), "c") }).await;
            assert_eq!(here(), "b");
        };
        within("a", inside).await;
        assert_eq!(here(), "ROOT");
        let task = spawn(async {
            let moved = Cell::new(false);
            let visit = within("visited", async {
                while !moved.get() {
                    sleep(Duration::from_millis(1)).await;
                }
                here()
            });
            let beside = async {
                sleep(Duration::from_millis(1)).await;
                switch_to("home").await;
                moved.set(true);
                here()
            };
            (join(visit, beside).await, here())
        });
        let (both, after) = task.await.unwrap();
        assert_eq!(both, ("visited".into(), "home".into()));
        assert_eq!(after, "home");
    });
}

/// A visit inside of another is dropped while a neighbour takes the task to that very place: what
/// is left of the outer one is in its own place again.
#[test]
fn a_place_is_left_when_its_visit_was_dropped() {
    block_on(async {
        let (drop_it, dropped) = futures::channel::oneshot::channel::<()>();
        let (call, called) = futures::channel::oneshot::channel::<()>();
        let outer = within("a", async {
            select(pin!(within("b", pending::<()>())), dropped).await;
            for _ in 0..20 {
                yield_now().await;
                assert_eq!(here(), "a");
            }
        });
        let elsewhere = within("c", async {
            sleep(Duration::from_millis(1)).await;
            drop((drop_it, call));
            pending::<()>().await;
        });
        let neighbour = async {
            let _ = called.await;
            within("b", pending::<()>()).await;
        };
        select(pin!(outer), pin!(join(elsewhere, neighbour))).await;
    });
}

/// As many as want to be elsewhere, in a collection that polls only who was woken.
#[test]
fn crowds_of_visits_take_turns() {
    block_on(async {
        for count in [2, 29, 100] {
            let visits = (0..count).map(|i| {
                within(i % 7, async move {
                    for _ in 0..3 {
                        assert_eq!(here(), (i % 7).to_string());
                        yield_now().await;
                    }
                })
            });
            let ((), places) = traced(async { drop(join_all(visits).await) }).await;
            assert_eq!(
                (here(), places.len() < 10 * count),
                ("ROOT".into(), true),
                "{}",
                places.len()
            );
        }
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// One that is kept, and not polled any more after it asked to be taken to its place, does not hold
/// up the others for long.
#[test]
fn who_is_not_polled_holds_nobody_up() {
    block_on(async {
        let mut kept = pin!(within("kept", async {}));
        let mut asked = pin!(within("asked", pending::<()>()));
        assert!(futures::poll!(kept.as_mut()).is_pending());
        assert!(futures::poll!(asked.as_mut()).is_pending());
        let ((), places) = traced(within("place", async { assert_eq!(here(), "place") })).await;
        assert!(places.len() < 500, "{}", places.len());
        kept.await;
    });
}

/// Of several that are always ready each is polled in its place and nowhere else, all get on, and
/// the task is back in the end.
#[test]
fn several_take_turns() {
    block_on(async {
        let places: Vec<RefCell<Vec<String>>> = (0..5).map(|_| RefCell::default()).collect();
        let order = RefCell::new(Vec::new());
        let visits = places.iter().enumerate().map(|(i, places)| {
            let order = &order;
            within(i, async move {
                for _ in 0..50 {
                    order.borrow_mut().push(i);
                    steps(2, places).await;
                }
            })
        });
        let ((), all) = traced(async { drop(join_all(visits).await) }).await;
        for (i, places) in places.iter().enumerate() {
            assert_eq!(*places.borrow(), vec![i.to_string(); 100]);
        }
        assert_eq!((here(), all.last().unwrap().as_str()), ("ROOT".into(), "ROOT"));
        // Nobody gets far ahead of the others.
        let order = order.borrow();
        for end in 1..order.len() {
            let counts: Vec<_> =
                (0..5).map(|i| order[..end].iter().filter(|&&j| j == i).count()).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 2, "{counts:?}");
        }
    });
}

/// While one waits and nobody wakes it, the task is not fetched to its place for nothing.
#[test]
fn only_who_is_woken_is_polled() {
    block_on(async {
        let polls = Cell::new(0);
        let idle = within("idle", async {
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                Poll::<()>::Pending
            })
            .await;
        });
        let busy = RefCell::new(Vec::new());
        let working = within("busy", steps(100, &busy));
        let (_, places) = traced(select(pin!(idle), pin!(working))).await;
        assert_eq!(polls.get(), 1);
        assert_eq!(*busy.borrow(), ["busy"; 100]);
        assert!(places.len() < 110, "{} polls for 100", places.len());
    });
}

/// Beside a `within`, other branches may be polled elsewhere than at home; afterwards they are at
/// home again.
#[test]
fn bare_branches_come_along_and_return() {
    block_on(async {
        let bare = async {
            let mut places = Vec::new();
            for _ in 0..20 {
                places.push(here());
                yield_now().await;
            }
            places
        };
        let visit = within("place", async { yield_now().await });
        let ((), places) = spawn(join(visit, bare)).await.unwrap();
        assert!(places.iter().any(|place| place == "place"));
        assert!(places[10..].iter().all(|place| place == "ROOT"), "{places:?}");
    });
}

/// Dropped on the way or in the middle, it takes the task back with the next handle.
#[test]
fn a_dropped_visit_ends() {
    block_on(async {
        let task = spawn(async {
            // Never polled, polled once and dropped before it got there, and dropped while there.
            drop(within("never", pending::<()>()));
            select(pin!(within("a", pending::<()>())), pin!(async {})).await;
            assert_eq!(here(), "ROOT");
            yield_now().await;
            assert_eq!(here(), "ROOT");
            {
                let mut visit = pin!(within("b", pending::<()>()));
                select(&mut visit, pin!(yield_now())).await;
                assert_eq!(here(), "b");
            }
            assert_eq!(here(), "b", "the handle that drops it goes on");
            yield_now().await;
            let back = here();
            // Nested: back to the outermost.
            {
                let inner = within("e", pending::<()>());
                let nested = within("d", join(inner, pending::<()>()));
                let mut nested = pin!(nested);
                select(&mut nested, pin!(sleep(Duration::from_millis(2)))).await;
                assert!(here() == "d" || here() == "e");
            }
            yield_now().await;
            (back, here())
        });
        assert_eq!(task.await.unwrap(), ("ROOT".into(), "ROOT".into()));
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// While a task is away, its partition counts it out, and yet is kept for it to come back to.
#[test]
fn the_place_to_come_back_to_is_kept() {
    block_on(async {
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        let task = spawn_in("home", async {
            within("away", receive).await.unwrap();
            here()
        });
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0), ("away".into(), 1), ("home".into(), 0)]);
        send.send(()).unwrap();
        assert_eq!(task.await.unwrap(), "home");
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);

        // So is the place of an outer one that switched, while an inner one is elsewhere.
        within("a", async {
            switch_to("kept").await;
            within("c", settle()).await;
            assert_eq!(here(), "kept");
        })
        .await;
    });
}

/// The future of `block_on` visits, and may be done while it does.
#[test]
fn the_main_future_visits() {
    let runtime = Runtime::new().unwrap();
    let output = runtime.block_on(within("main", async {
        sleep(Duration::from_millis(1)).await;
        assert_eq!(here(), "main");
        within("deeper", async { here() }).await
    }));
    assert_eq!(output, "deeper");
    runtime.block_on(async {
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
        let mut visit = pin!(within("left", pending::<()>()));
        select(&mut visit, pin!(yield_now())).await;
        assert_eq!(here(), "left");
        // Done in there: `visit` is dropped at the end.
    });
    runtime.block_on(async {
        assert_eq!(here(), "ROOT");
        settle().await;
        assert!(!exists("left"));
    });
}

/// Begun by one task and ended by another, it brings the other one there and back.
#[test]
fn a_visit_may_change_tasks() {
    block_on(async {
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        let mut visit = Box::pin(within("place", async {
            receive.await.unwrap();
            here()
        }));
        let first = spawn(async move {
            poll_fn(|cx| {
                assert!(visit.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            yield_now().await;
            (here(), visit)
        });
        let (place, visit) = first.await.unwrap();
        assert_eq!(place, "place");
        let second = spawn_in("second", async move { (visit.await, here()) });
        settle().await;
        send.send(()).unwrap();
        assert_eq!(second.await.unwrap(), ("place".into(), "second".into()));
        settle().await;
        assert_eq!(census(), [("ROOT".into(), 0)]);
    });
}

/// Three kinds of moves in one task at a time.
#[test]
fn all_kinds_beside_each_other() {
    block_on(async {
        let a = RefCell::new(Vec::new());
        let b = RefCell::new(Vec::new());
        let switching = async {
            for i in 0..30 {
                switch_to(i % 4).await;
                yield_now().await;
            }
            switch_to("end").await;
        };
        let task = spawn(async move {
            join3(within("a", within("b", steps(50, &b))), within("a", steps(50, &a)), switching)
                .await;
            settle().await;
            assert_eq!(
                (a.into_inner(), b.into_inner()),
                (vec!["a".into(); 50], vec!["b".into(); 50])
            );
            (here(), Partition::current().metrics().tasks)
        });
        assert_eq!(task.await.unwrap(), ("end".to_string(), 1));
    });
}
