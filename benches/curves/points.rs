//! What is measured at a point of a curve, in a process of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use evenloop::net::UnixDatagram;
use evenloop::time::{Duration, Sleep, sleep};
use evenloop::{Budget, Runtime, spawn, spawn_in};
use futures::poll;
use futures::task::AtomicWaker;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::metrics::Stopwatch;
use crate::usage::resident;

/// A drawing.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) lines: &'static [&'static str],
    /// What the cost is of.
    pub(crate) of: &'static str,
    most: usize,
}

pub(crate) const CURVES: [Curve; 4] = [
    Curve {
        name: "partitions",
        lines: &["default budget", "turns of one handle"],
        of: "a handle; a million tasks in so many partitions",
        most: 1_000_000,
    },
    Curve { name: "tasks", lines: &["one partition"], of: "a handle", most: 10_000_000 },
    Curve { name: "timers", lines: &["arm", "cancel"], of: "a timer", most: 10_000_000 },
    Curve { name: "fds", lines: &["wake by a descriptor"], of: "an event", most: 300_000 },
];

impl Curve {
    /// As far as it goes here.
    pub(crate) fn most(&self) -> usize {
        // A pair of sockets each, and some for the process.
        if self.name == "fds" { self.most.min((files_max() - 100) / 2) } else { self.most }
    }
}

/// Processor time of an operation, and how much the resident set grew for all that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) nanos: f64,
    pub(crate) bytes: f64,
}

pub(crate) fn measure(line: &str, count: usize) -> Point {
    match line {
        "default budget" => crowd(Budget::default(), 1_000_000, count),
        "turns of one handle" => crowd(Budget::handles(1), 1_000_000, count),
        "one partition" => crowd(Budget::default(), count, 1),
        "arm" => timers(count, true),
        "cancel" => timers(count, false),
        "wake by a descriptor" => descriptors(count),
        _ => panic!("no line {line:?}"),
    }
}

/// Wakes itself and pends, `left` times.
#[derive(Debug)]
struct Polls {
    left: usize,
}

impl Future for Polls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls `tasks` tasks in `partitions` partitions three times, or as often as makes a few million.
fn crowd(budget: Budget, tasks: usize, partitions: usize) -> Point {
    let each = (3_000_000 / tasks).max(3);
    let runtime = Runtime::builder().budget(budget).build().expect("a runtime");
    runtime.block_on(async move {
        let before = resident();
        let spawn = |i| spawn_in((i * partitions / tasks) as u64, Polls { left: each });
        let spawned: Vec<_> = (0..tasks).map(spawn).collect();
        let bytes = resident() - before;
        let watch = Stopwatch::start();
        for task in spawned {
            task.await.expect("the task ends");
        }
        Point { nanos: watch.stop(tasks * (each + 1))["cpu"], bytes }
    })
}

/// Arms `count` timers in no order, and drops them in another.
fn timers(count: usize, arm: bool) -> Point {
    /// Prime, so that multiples of it come by every number, in no order.
    const STEP: usize = 736_878_749;
    let hour = Duration::from_secs(3_600);
    // A few timers are armed and dropped again and again.
    let times = (200_000 / count).max(1);
    evenloop::block_on(async move {
        let mut timers: Vec<Option<Pin<Box<Sleep>>>> = Vec::with_capacity(count);
        let (mut armed, mut cancelled) = (0.0, 0.0);
        let before = resident();
        let mut bytes = 0.0;
        for _ in 0..times {
            let watch = Stopwatch::start();
            for i in 0..count {
                let mut timer =
                    Box::pin(sleep(hour + Duration::from_nanos((i * STEP % count) as u64 * 1_000)));
                assert!(poll!(timer.as_mut()).is_pending(), "an hour is not over");
                timers.push(Some(timer));
                // One poll may not arm as many as it likes.
                if i % 32 == 31 {
                    Polls { left: 1 }.await;
                }
            }
            armed += watch.stop(count * times)["cpu"];
            bytes = resident() - before;
            let watch = Stopwatch::start();
            for i in 0..count {
                drop(timers[(i * STEP + 7) % count].take());
            }
            cancelled += watch.stop(count * times)["cpu"];
            timers.clear();
        }
        Point { nanos: if arm { armed } else { cancelled }, bytes }
    })
}

/// Tasks that wait for a descriptor each; one of them becomes ready at a time, in no order.
fn descriptors(count: usize) -> Point {
    const STEP: usize = 7_368_787;
    let ops = 20_000;
    files_max();
    evenloop::block_on(async move {
        let (heard, waiter) = (Rc::new(Cell::new(0)), Rc::new(AtomicWaker::new()));
        let before = resident();
        let mut senders = Vec::new();
        for _ in 0..count {
            let (ours, theirs) = UnixDatagram::pair().expect("files for a pair");
            senders.push(ours);
            let (heard, waiter) = (heard.clone(), waiter.clone());
            drop(spawn(async move {
                let mut byte = [0];
                while theirs.recv(&mut byte).await.is_ok() {
                    heard.set(heard.get() + 1);
                    waiter.wake();
                }
            }));
        }
        // Every task waits.
        Polls { left: 2 }.await;
        let bytes = resident() - before;
        let watch = Stopwatch::start();
        for op in 0..ops {
            let mut sent = pin!(senders[op * STEP % count].send(&[7]));
            while poll!(sent.as_mut()).is_pending() {
                Polls { left: 1 }.await;
            }
            // Polling meanwhile, this task would keep the loop from its look at the kernel.
            poll_fn(|cx| {
                if heard.get() > op {
                    return Poll::Ready(());
                }
                waiter.register(cx.waker());
                Poll::Pending
            })
            .await;
        }
        Point { nanos: watch.stop(ops)["cpu"], bytes }
    })
}

/// Lifts the limit of open files as far as it goes and returns it.
fn files_max() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Those who may, may have more than the system starts with.
    let more = Some(maximum.unwrap_or(0).max(1 << 20));
    if setrlimit(Resource::Nofile, Rlimit { current: more, maximum: more }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
