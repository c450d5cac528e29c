//! Watching real loops: hooks in order, counters that add up, load that rises during a stall.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evenloop::instrument::{
    Events, Instrument, IoEnd, IoStart, LoadInstrument, LoopStart, LoopStop, TickEnd, TickStart,
};
use evenloop::sched::Timestamp;
use evenloop::time::sleep;
use evenloop::{Handle, Partition, Runtime, block_on, spawn, spawn_in, yield_now};

/// Longer than any test takes, and shorter than anybody waits for.
const PATIENCE: Duration = Duration::from_secs(60);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Writes down the events it hears.
#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Vec<(&'static str, Timestamp)>>>);

impl Recorder {
    fn note(&self, event: &'static str, at: Timestamp) {
        self.0.borrow_mut().push((event, at));
    }
}

impl Instrument for Recorder {
    fn loop_start(&mut self, event: &LoopStart) {
        self.note("loop start", event.at);
    }

    fn tick_start(&mut self, event: &TickStart) {
        self.note("tick start", event.at);
    }

    fn io_start(&mut self, event: &IoStart) {
        self.note("io start", event.at);
    }

    fn io_end(&mut self, event: &IoEnd) {
        assert!(event.started <= event.at);
        self.note("io end", event.at);
    }

    fn tick_end(&mut self, event: &TickEnd) {
        assert!(event.started <= event.at);
        self.note("tick end", event.at);
    }

    fn loop_stop(&mut self, event: &LoopStop) {
        self.note("loop stop", event.at);
    }
}

/// Calls a closure when a tick starts.
struct OnTick<F>(F);

impl<F: FnMut()> Instrument for OnTick<F> {
    fn interests(&self) -> Events {
        Events::TICK
    }

    fn tick_start(&mut self, _: &TickStart) {
        (self.0)();
    }
}

/// A loop starts and stops once for each `block_on`; in between lie whole ticks, with whole looks
/// at the kernel inside, and time goes forward.
#[test]
fn events_are_nested_and_in_order() {
    let runtime = Runtime::new().unwrap();
    let recorder = Recorder::default();
    let id = runtime.add_instrument(recorder.clone());
    for _ in 0..2 {
        runtime.block_on(async {
            sleep(ms(2)).await;
            yield_now().await;
        });
    }

    let events = recorder.0.take();
    let mut open = Vec::new();
    let mut slept = 0;
    for (event, _) in &events {
        let (what, end) = event.rsplit_once(' ').unwrap();
        let inside = match what {
            "loop" => None,
            "tick" => Some("loop"),
            _ => Some("tick"),
        };
        if matches!(end, "start") {
            assert_eq!(open.last().copied(), inside, "{event} in {events:?}");
            open.push(what);
        } else {
            assert_eq!(open.pop(), Some(what), "{event} in {events:?}");
        }
        slept += usize::from(*event == "io end");
    }
    assert!(open.is_empty() && slept >= 2, "{events:?}");
    assert_eq!(events.iter().filter(|(event, _)| *event == "loop start").count(), 2);
    assert!(events.is_sorted_by_key(|(_, at)| *at), "{events:?}");

    assert!(runtime.remove_instrument(id).is_some());
    runtime.block_on(yield_now());
    assert!(recorder.0.borrow().is_empty());
}

/// The handles of all ticks are the handles that ran.
#[test]
fn ticks_count_every_handle() {
    #[derive(Clone, Default)]
    struct Handles(Rc<RefCell<u64>>);
    impl Instrument for Handles {
        fn tick_end(&mut self, event: &TickEnd) {
            *self.0.borrow_mut() += event.handles;
        }
    }

    let runtime = Runtime::new().unwrap();
    let handles = Handles::default();
    runtime.add_instrument(handles.clone());
    runtime.block_on(async {
        for _ in 0..9 {
            yield_now().await;
        }
        spawn_in("other", yield_now()).await.unwrap();
    });
    // Ten polls and two of the other task; then one when that has ended.
    assert_eq!(*handles.0.borrow(), 13);
    assert_eq!(runtime.handle().metrics().handles, 13);
}

/// An instrument is added from another thread to a loop that runs, and taken off again.
#[test]
fn instruments_come_and_go_from_any_thread() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let (ticked, ticks) = mpsc::channel();
    let other = thread::spawn(move || {
        let id = handle.add_instrument(OnTick(move || {
            let _ = ticked.send(());
        }));
        ticks.recv_timeout(PATIENCE).expect("it hears of a tick");
        handle.remove_instrument(id);
        // Dropped, so that the channel ends.
        while ticks.recv_timeout(PATIENCE).is_ok() {}
    });
    runtime.block_on(async {
        while !other.is_finished() {
            sleep(ms(1)).await;
        }
    });
    other.join().unwrap();
}

/// An instrument that panics is counted and gone; the loop and the other instruments go on.
#[test]
fn a_broken_instrument_does_not_stop_the_loop() {
    let runtime = Runtime::new().unwrap();
    let recorder = Recorder::default();
    let broken = runtime.add_instrument(OnTick(|| panic!("as planned")));
    runtime.add_instrument(recorder.clone());
    let sum = runtime.block_on(async { spawn(async { 1 }).await.unwrap() + 1 });
    assert_eq!(sum, 2);
    assert_eq!(runtime.handle().metrics().instrument_panics, 1);
    assert!(runtime.remove_instrument(broken).is_none());
    assert!(!recorder.0.borrow().is_empty());
}

/// A hook may spawn a task, and the loop runs it.
#[test]
fn a_hook_may_spawn() {
    let runtime = Runtime::new().unwrap();
    let (ran, tasks) = mpsc::channel();
    let mut once = Some(ran);
    runtime.add_instrument(OnTick(move || {
        if let Some(ran) = once.take() {
            spawn_in("hooked", async move { ran.send(Partition::current().name()).unwrap() });
        }
    }));
    runtime.block_on(async {
        for _ in 0..10 {
            sleep(ms(1)).await;
        }
    });
    assert_eq!(tasks.try_recv().unwrap(), "hooked");
}

/// Handles, turns and tasks are exact, and the three states are the whole of time.
#[test]
fn partitions_account_for_their_time() {
    block_on(async {
        let partition = Partition::named("counted");
        let before = partition.metrics();
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                partition.spawn(async {
                    for _ in 0..10 {
                        yield_now().await;
                    }
                })
            })
            .collect();
        assert_eq!((partition.metrics().tasks, partition.metrics().queued), (3, 3));
        for task in tasks {
            task.await.unwrap();
        }
        // Lets its turn end.
        sleep(ms(1)).await;
        let metrics = partition.metrics().since(&before);
        assert_eq!((metrics.handles, metrics.tasks, metrics.queued), (33, 0, 0));
        assert!(metrics.turns >= 1 && metrics.turns <= 33);
        assert!(metrics.running > Duration::ZERO && metrics.waiting >= ms(1));
        assert_eq!(metrics.wall(), metrics.running + metrics.starved + metrics.waiting);
        assert!(metrics.load() > 0.0 && metrics.load() < 1.0);
    });
}

/// With a thousand tasks queued, a handle waits about as long as a thousand handles take.
#[test]
fn queue_delay_follows_from_the_queue() {
    const TASKS: u32 = 1000;
    block_on(async {
        let partition = Partition::named("crowd");
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                partition.spawn(async {
                    for _ in 0..50 {
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        sleep(ms(1)).await;
        let metrics = partition.metrics();
        let queued = metrics.queue_time.as_secs_f64();
        let busy = (metrics.running + metrics.starved).as_secs_f64();
        let mean_len = queued / busy;
        assert!((500.0..=1000.0).contains(&mean_len), "{mean_len}: {metrics:?}");
        assert!(metrics.mean_delay().unwrap() > metrics.running / TASKS / 51);
    });
}

/// Timers that fired are counted with their lateness, in their partition and in the loop.
#[test]
fn late_timers_are_counted() {
    block_on(async {
        let partition = Partition::named("timed");
        for _ in 0..5 {
            partition.spawn(sleep(ms(1))).await.unwrap();
        }
        assert_eq!(partition.metrics().timer_lateness.count(), 5);
        let metrics = Handle::current().metrics();
        assert_eq!(metrics.timer_lateness.count(), 5);
        assert!(metrics.ticks > 0 && metrics.harvests >= 5 && metrics.harvest_gap.count() > 0);
    });
}

/// While one handle holds the loop, another thread sees the load rise, by every way there is.
#[test]
fn load_rises_during_a_stall() {
    let runtime = Runtime::new().unwrap();
    let load = LoadInstrument::new();
    runtime.add_instrument(load.clone());
    let handle = runtime.handle();
    runtime.block_on(sleep(ms(300)));
    runtime.block_on(async move {
        // Asleep for the most part, so that there is room to rise.
        sleep(ms(300)).await;
        let partition = Partition::current();
        let (released, stall) = mpsc::channel();
        let watcher = thread::spawn(move || {
            let read = || [handle.load(), load.load(), partition.load()];
            let before = read();
            while read().iter().zip(before).any(|(now, before)| *now < before + 0.2) {
                thread::sleep(ms(1));
            }
            released.send(()).unwrap();
            before
        });
        stall.recv_timeout(PATIENCE).expect("the load rises while this handle runs");
        let before = watcher.join().unwrap();
        assert!(before.iter().all(|load| *load < 0.8), "{before:?}");
    });
}

/// While one handle holds the loop, another thread sees who runs, who waits for a turn and who
/// has nothing to do, and finds every partition there is.
#[test]
fn counters_go_on_during_a_stall() {
    block_on(async {
        let (stalled, victim) = (Partition::current(), Partition::named("victim"));
        let idle = Partition::named("idle");
        let waiting = victim.spawn(async {});
        let handle = Handle::current();
        let (released, stall) = mpsc::channel();
        let watcher = thread::spawn({
            let all = [stalled.clone(), victim, idle];
            move || {
                let read = || {
                    let [stalled, victim, idle] = all.each_ref().map(Partition::metrics);
                    [handle.metrics().busy, stalled.running, victim.starved, idle.waiting]
                };
                let before = read();
                while read().iter().zip(before).any(|(now, before)| *now < before + ms(20)) {
                    thread::sleep(ms(1));
                }
                assert_eq!(all[1].metrics().queued, 1);
                assert_eq!(handle.partitions(), all);
                released.send(()).unwrap();
            }
        });
        stall.recv_timeout(PATIENCE).expect("the counters go on while this handle runs");
        watcher.join().unwrap();
        waiting.await.unwrap();
    });
}

/// The loop's own load and the instrument's are the same measure.
#[test]
fn the_load_instrument_agrees_with_the_loop() {
    let runtime = Runtime::new().unwrap();
    let load = LoadInstrument::new();
    runtime.add_instrument(load.clone());
    runtime.block_on(async {
        for _ in 0..40 {
            sleep(ms(2)).await;
            // Work.
            let mut sum = 0_u64;
            for n in 0..200_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(n));
            }
        }
        let (own, instrument) = (Handle::current().load(), load.load());
        assert!(own > 0.0 && own <= 1.0);
        assert!((own - instrument).abs() < 0.1, "{own} {instrument}");
    });
}

/// Who sleeps until bytes come was waiting all that time, and not starved.
#[test]
fn sleeping_for_a_socket_is_waiting() {
    const ASLEEP: Duration = Duration::from_millis(200);
    let waited = block_on(async {
        let socket = evenloop::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap();
        let partition = Partition::named("sleeper");
        let sleeper = partition.spawn(async move {
            let sender = thread::spawn(move || {
                thread::sleep(ASLEEP);
                std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"!", to).unwrap();
            });
            socket.recv(&mut [0]).await.unwrap();
            sender.join().unwrap();
        });
        sleeper.await.unwrap();
        partition.metrics().waiting
    });
    assert!(waited >= ASLEEP / 2, "{waited:?}");
}

/// Nobody runs while the loop does not, not even who had its turn when it stopped.
#[test]
fn a_stopped_loop_runs_nobody() {
    const STOPPED: Duration = Duration::from_millis(100);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        // What it leaves queued keeps its turn from ending.
        drop(spawn(yield_now()));
    });
    let root = || runtime.handle().partitions()[0].metrics();
    let before = root();
    thread::sleep(STOPPED);
    let after = root();
    let rested = after.starved + after.waiting - before.starved - before.waiting;
    assert!(rested >= STOPPED, "{rested:?}");
}
