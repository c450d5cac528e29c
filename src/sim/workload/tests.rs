use std::time::Duration;

use super::*;

/// The text of an expression and its value say the same.
macro_rules! is_its_own_text {
    ($($load:expr),* $(,)?) => {$(
        // Where lines break and digits are parted is a matter of taste.
        let bare = |text: &str| text.replace(|c: char| c.is_whitespace() || c == '_', "");
        for shown in [format!("{:?}", $load), format!("{:#?}", $load)] {
            assert_eq!(bare(&shown), bare(stringify!($load)));
        }
    )*};
}

/// What `Debug` prints is the Rust that makes the same workload.
#[test]
fn a_workload_can_be_pasted_back() {
    is_its_own_text!(
        Workload::new(),
        Workload::new().with(tenant("a b \"c\"").weight(3).group("g").isolated()).seed(0xbeef),
        Workload::new()
            .with(tenant("a").runs(hog(micros(20))).runs(hog(micros(20)..=millis(5)).rounds(7)))
            .with(tenant("b").runs(sleeper(millis(1), nanos(1_001)).burst(3).rounds(2).copies(9))),
        Workload::new().with(tenant("a").runs(bursts(secs(2), 10, nanos(0)).rounds(1))),
        Workload::new().with(tenant("a").runs(churn(3, micros(1)).group("young").copies(0))),
        Workload::new().with(tenant("a").runs(mass_wake(100, millis(7), micros(1)))),
        Workload::new().with(tenant("a").runs(timers(100_000, secs(1), micros(1)).rounds(1))),
        Workload::new().with(tenant("a").runs(tree(2, 10, micros(1)).rounds(1))),
        Workload::new().with(tenant("a").runs(ping_pong("b", micros(1)).rounds(1))),
        Workload::new().with(tenant("a").runs(fan_in(["b", "c"], micros(1)).rounds(1))),
        Workload::new().with(tenant("a").runs(flood(10, millis(5), 4_096, micros(9)).rounds(2))),
        Workload::new().with(tenant("a").runs(nursery(9, micros(1))).runs(fickle(millis(1)))),
        Workload::new().with(tenant("a").runs(deadlines(millis(3), nanos(7)).rounds(1).copies(2))),
        Workload::new().with(tenant("a").runs(closing(2, micros(1))).runs(remote(4, nanos(0)))),
        Workload::new().with(tenant("a").runs(dominoes(5, micros(1)..=micros(3)).rounds(2))),
    );
}

/// `{:#?}` has a line for each tenant.
#[test]
fn a_long_workload_has_a_line_a_tenant() {
    let load = Workload::new().with(tenant("a")).with(tenant("b")).seed(1);
    let text =
        "Workload::new()\n    .with(tenant(\"a\"))\n    .with(tenant(\"b\"))\n    .seed(0x1)";
    assert_eq!(format!("{load:#?}"), text);
}

/// Steps of the first task of `load` until it ends its handle, with the time they took.
fn handle(role: &mut Role, random: &mut fastrand::Rng, now: &mut Duration) -> Vec<Then> {
    let mut steps = Vec::new();
    loop {
        let step = role.behaviour.step(*now, random);
        *now += step.cost;
        let goes_on = matches!(step.then, Then::Wake(_) | Then::Spawn(_));
        steps.push(step.then);
        if !goes_on {
            return steps;
        }
    }
}

/// A sleeper wakes at the multiples of its period, however long its handles are, and skips those
/// it missed.
#[test]
fn a_sleeper_keeps_to_its_period() {
    let load = Workload::new().with(tenant("a").runs(sleeper(millis(10), millis(4)).burst(3)));
    let mut role = load.cast().remove(0);
    let (mut random, mut now) = (role.random(), Duration::ZERO);
    assert_eq!(handle(&mut role, &mut random, &mut now), [Then::Sleep(millis(10))]);
    now = millis(10);
    for _ in 0..2 {
        assert_eq!(handle(&mut role, &mut random, &mut now), [Then::Yield]);
    }
    // Woken at 10 ms and done at 22 ms, it has missed 20 ms.
    assert_eq!(handle(&mut role, &mut random, &mut now), [Then::Sleep(millis(8))]);
    assert_eq!(now, millis(22));
}

/// One event wakes all who wait for it, each once.
#[test]
fn an_event_wakes_each_waiter_once() {
    let load = Workload::new().with(tenant("a").runs(mass_wake(3, millis(1), micros(1)).rounds(1)));
    let mut cast = load.cast();
    let mut bell = cast.pop().unwrap();
    assert_eq!(cast.len(), 3);
    let (mut random, mut now) = (bell.random(), Duration::ZERO);
    assert_eq!(handle(&mut bell, &mut random, &mut now), [Then::Sleep(millis(1))]);
    let mut steps: Vec<_> = (0..3).map(|number| Then::Wake(Who::Task(number))).collect();
    steps.push(Then::Done);
    assert_eq!(handle(&mut bell, &mut random, &mut now), steps);
}

/// What an actor draws stays the same when other tenants and actors come and go.
#[test]
fn draws_do_not_depend_on_others() {
    let drawn = |load: &Workload, name: &str| {
        let place = load.partitions().iter().position(|one| one.name() == name).unwrap();
        let mut role = load.cast().into_iter().find(|role| role.partition == place).unwrap();
        let mut random = role.random();
        role.behaviour.step(Duration::ZERO, &mut random).cost
    };
    let hogs = || hog(nanos(0)..=secs(1));
    let alone = Workload::new().with(tenant("b").runs(hogs()));
    let crowd = Workload::new()
        .with(tenant("a").runs(hogs()).runs(tree(2, 2, micros(1))))
        .with(tenant("b").runs(hogs()).runs(hogs()));
    assert_eq!(drawn(&alone, "b"), drawn(&crowd, "b"));
    assert_ne!(drawn(&crowd, "a"), drawn(&crowd, "b"));
    assert_ne!(drawn(&alone, "b"), drawn(&alone.clone().seed(1), "b"));
}

/// Actors may name partitions that no tenant has; each name is one partition.
#[test]
fn a_name_is_one_partition() {
    let load = Workload::new()
        .with(tenant("a").weight(2).runs(ping_pong("c", micros(1))))
        .with(tenant("a").weight(9).runs(fan_in(["b", "c"], micros(1))))
        .with(tenant("b").weight(5));
    let known: Vec<_> =
        load.partitions().iter().map(|one| (one.name().to_owned(), one.share())).collect();
    assert_eq!(known, [("a".to_owned(), 2), ("b".to_owned(), 5), ("c".to_owned(), 1)]);
    let homes: Vec<_> = load.cast().iter().map(|role| role.partition).collect();
    assert_eq!(homes, [2, 0, 0, 1, 2]);
}

/// Bad input is refused at the door, with a sentence.
#[test]
fn bad_input_is_refused() {
    let refused = |make: fn()| {
        let panic = std::panic::catch_unwind(make).expect_err("it is refused");
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
    };
    let cases: [(fn(), &str); 10] = [
        (|| drop(tenant("a").weight(0)), "at least one"),
        (|| drop(hog(micros(1)).rounds(0)), "leave it out"),
        (|| drop(hog(micros(1)).burst(2)), "only a sleeper has a burst; this is hog(micros(1))"),
        (|| drop(hog(micros(1)).group("g")), "only the partitions of a churn"),
        (|| drop(hog(micros(2)..=micros(1))), "name the least first"),
        (|| drop(sleeper(nanos(0), micros(1))), "a hog"),
        (|| drop(churn(0, micros(1))), "give it a handle"),
        (|| drop(timers(1, nanos(0), micros(1))), "give them a spread"),
        (|| drop(fan_in(Vec::<String>::new(), micros(1))), "from nobody"),
        (|| drop(flood(1, nanos(0), 0, micros(1))), "at least a byte"),
    ];
    for (make, expected) in cases {
        let text = refused(make);
        assert!(text.contains(expected), "{text}");
    }
}

/// Whatever upsets a runtime comes to its end, each actor finds what it should, and nothing is left.
#[test]
fn upheavals_end_and_leave_nothing() {
    let load = |actor: Actor| Workload::new().with(tenant("a").runs(actor.rounds(4).copies(2)));
    let actors = [
        nursery(9, micros(3)),
        deadlines(micros(70), micros(20)),
        closing(5, micros(30)),
        fickle(micros(90)),
        dominoes(7, micros(2)),
        remote(3, micros(5)),
    ];
    for actor in actors {
        assert!(actor.kind().needs_runtime() && load(actor.clone()).totals().is_none());
        let sim = crate::sim::Runtime::builder()
            .on_unhandled_panic(|panic| panic!("an actor is not content: {panic}"))
            .build();
        let load = load(actor);
        let counts = sim.block_on(async { load.spawn().await });
        assert_eq!((counts.tasks, counts.ended), (2, 2), "{load:?}");
        sim.run_for(millis(1));
        assert!(sim.holdings().is_empty(), "{load:?} leaves {:?}", sim.holdings());
    }
}

/// What a waker takes while the loop delivers is the price of a delivery.
#[test]
fn dominoes_fall_in_the_delivery() {
    let load = Workload::new().with(tenant("a").runs(dominoes(5, micros(7)).rounds(1)));
    let sim = crate::sim::Runtime::new(1);
    sim.block_on(async { load.spawn().await });
    let trace = sim.trace();
    let delivery =
        trace.events().find(|event| event.what == crate::sim::What::Deliver { wakes: 5 });
    let delivery = delivery.expect("five sleep to the same moment");
    let spawned: Vec<_> = trace
        .events()
        .skip(delivery.index)
        .take_while(|event| !matches!(event.what, crate::sim::What::Run))
        .collect();
    let end = spawned.last().expect("it wakes").at;
    assert_eq!(end - delivery.at, micros(5 * 7));
}
