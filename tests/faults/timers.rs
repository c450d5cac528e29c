//! A hundred thousand timers, and a million: set anew and dropped at random, never early.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use evenloop::time::{Instant, Sleep, sleep, sleep_until, timeout};
use evenloop::{block_on, sim, spawn_in};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::rig::{Dice, MS, alone, bounded, figure, pick, quantile, resident};

/// Sleeps by number; none where one has fired or was dropped.
struct Many(Vec<Option<Pin<Box<Sleep>>>>);

/// What became of the sleeps: when each was due, and when it fired.
type Fired = Rc<RefCell<Vec<(Duration, Duration, usize)>>>;

/// Sleeps until `due`, which another task may have moved, and notes the time.
async fn one(at: usize, board: Rc<RefCell<Many>>, begin: Instant, fired: Fired) {
    poll_fn(|cx: &mut Context<'_>| {
        let mut many = board.borrow_mut();
        let Some(sleep) = &mut many.0[at] else { return Poll::Ready(()) };
        let due = sleep.deadline();
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        many.0[at] = None;
        fired.borrow_mut().push((due - begin, begin.elapsed(), at));
        Poll::Ready(())
    })
    .await;
}

/// Timers that are set anew and dropped at random fire when and in the order in which a sorted map
/// of them says, on a clock moved by hand.
#[test]
fn timers_fire_as_a_sorted_map_says() {
    let count = pick(20_000, 100_000_u64);
    let sim = sim::Runtime::new(3);
    let (fired, model) = sim.block_on(async {
        let begin = Instant::now();
        let fired = Fired::default();
        let board = Rc::new(RefCell::new(Many(Vec::new())));
        // By deadline, then number: when each is to fire.
        let mut model = BTreeMap::new();
        let mut due = Vec::new();
        let mut dice = Dice::new(11);
        let mut tasks = Vec::new();
        for at in 0..count {
            // Whole microseconds, so that many fall on the same one.
            let end = Duration::from_micros(1_000 + dice.below(count / 4));
            due.push(Some(end));
            model.insert((end, at), ());
            board.borrow_mut().0.push(Some(Box::pin(sleep_until(begin + end))));
            tasks.push(spawn_in(at % 7, one(at as usize, board.clone(), begin, fired.clone())));
        }
        // While they fire, a third of those left is set anew or dropped.
        for _ in 0..100 {
            sleep(Duration::from_micros(count / 400)).await;
            let now = begin.elapsed();
            for _ in 0..count / 300 {
                let at = dice.below(count);
                let mut many = board.borrow_mut();
                // One that is due and whose turn has not come is left alone: both would be right.
                let (Some(sleep), Some(old)) = (&mut many.0[at as usize], due[at as usize]) else {
                    continue;
                };
                if old <= now {
                    continue;
                }
                model.remove(&(old, at));
                if dice.below(2) == 0 {
                    let end = now + Duration::from_micros(1 + dice.below(count / 4));
                    sleep.as_mut().reset(begin + end);
                    due[at as usize] = Some(end);
                    model.insert((end, at), ());
                } else {
                    many.0[at as usize] = None;
                    due[at as usize] = None;
                    tasks[at as usize].abort();
                }
            }
        }
        for task in tasks {
            let _ = task.await;
        }
        (fired.take(), model)
    });
    let late = fired.iter().filter(|(due, at, _)| due != at).count();
    assert_eq!(late, 0, "no time passes between the moment it is due and the poll");
    let mut by_number: Vec<_> = fired.iter().map(|&(due, _, at)| (due, at as u64)).collect();
    let in_order = by_number.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    assert!(in_order, "deadline by deadline");
    by_number.sort();
    let expected: Vec<_> = model.into_keys().collect();
    assert!(by_number == expected, "{} fired of {}", by_number.len(), expected.len());
    let fired = by_number.len();
    figure(
        "6 timers",
        format_args!("{count} set, {fired} fired as the map says, the others dropped"),
    );
}

/// On an idle loop timers are never early, and late by little.
#[test]
fn timers_of_an_idle_loop() {
    bounded(|| {
        let count = pick(500, 4_000);
        let mut late = block_on(async {
            let mut dice = Dice::new(1);
            let mut tasks = Vec::new();
            let begin = Instant::now() + 20 * MS;
            for i in 0..count {
                let due = begin + Duration::from_micros(dice.below(pick(1_000_000, 8_000_000)));
                tasks.push(spawn_in(i % 3, async move {
                    sleep_until(due).await;
                    Instant::now().checked_duration_since(due).expect("a timer was early")
                }));
            }
            let mut late = Vec::new();
            for task in tasks {
                late.push(task.await.unwrap());
            }
            late
        });
        late.sort();
        let (half, most) = (quantile(&late, 0.5), quantile(&late, 0.99));
        figure(
            "6 timers",
            format_args!("idle loop, {count} timers: late {half:?} p50, {most:?} p99"),
        );
        assert!(half < 20 * MS, "{half:?}");
    });
}

/// A crowd of timers that are due within a second all fire, none of them early; what one takes in
/// memory is stated.
#[test]
fn a_crowd_of_timers() {
    alone("timers::a_crowd_of_timers", || {
        let count = pick(100_000, 1_000_000_usize);
        block_on(async {
            let mut dice = Dice::new(2);
            let begin = Instant::now() + pick(2_000, 10_000) * MS;
            // In one task, so that what is measured are timers and not tasks.
            let mut sleeps = FuturesUnordered::new();
            for _ in 0..count {
                let due = begin + Duration::from_micros(dice.below(1_000_000));
                sleeps.push(async move {
                    sleep_until(due).await;
                    Instant::now().checked_duration_since(due).expect("a timer was early")
                });
            }
            let before = resident();
            let first = timeout(Duration::ZERO, sleeps.next()).await;
            assert!(first.is_err(), "none is due yet");
            let each = resident().saturating_sub(before) as usize / count;
            let in_time = Instant::now() < begin;
            let mut late: Vec<_> = sleeps.collect().await;
            assert_eq!(late.len(), count);
            late.sort();
            let (half, most) = (quantile(&late, 0.5), quantile(&late, 0.99));
            figure("6 timers", format_args!("{count} timers: {each} bytes each once they are set"));
            let how = if in_time { "set in time" } else { "set too late" };
            figure(
                "6 timers",
                format_args!("due within 1 s: late {half:?} p50, {most:?} p99, {how}"),
            );
        });
    });
}
