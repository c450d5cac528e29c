//! A process that is stopped for seconds and goes on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use evenloop::time::{Instant, MissedTickBehavior, interval, sleep_until};
use evenloop::{block_on, spawn_in, yield_now};

use crate::rig::{MS, Other, bounded, figure, is_other, pick, tell};

const PERIOD: Duration = Duration::from_millis(10);

/// Ticks until `end`; returns when each was due.
async fn ticks(rule: MissedTickBehavior, begin: Instant, end: Duration) -> Vec<Duration> {
    let mut every = interval(PERIOD);
    every.set_missed_tick_behavior(rule);
    let mut seen = Vec::new();
    while begin.elapsed() < end {
        let due = every.tick().await;
        assert!(due.checked_duration_since(Instant::now()).is_none(), "a tick was early");
        seen.push(due - begin);
    }
    seen
}

/// Computes for ever in short handles, and notes the time had.
async fn busy(had: Rc<Cell<Duration>>) {
    loop {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(20) {
            std::hint::spin_loop();
        }
        // A stop falls into some handle, whose time is not its work.
        had.set(had.get() + begin.elapsed().min(MS));
        yield_now().await;
    }
}

/// The longest pause in `times`: the stop.
fn gap(times: &[Duration]) -> (usize, Duration) {
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    pauses.enumerate().max_by_key(|&(_, pause)| pause).expect("there were ticks")
}

fn is_stopped(stop: Duration) {
    let length = stop + 1_500 * MS;
    block_on(async {
        let begin = Instant::now();
        let mut sleeps = Vec::new();
        let fired = Rc::new(RefCell::new(Vec::new()));
        for i in 0..1_000_u32 {
            let due = length * i / 1_000;
            let fired = fired.clone();
            sleeps.push(spawn_in("sleeps", async move {
                sleep_until(begin + due).await;
                assert!(begin.elapsed() >= due, "a timer was early");
                fired.borrow_mut().push(i);
            }));
        }
        let rules =
            [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip];
        let each = rules.map(|rule| spawn_in("ticks", ticks(rule, begin, length)));
        // Idle until the stop is over, then busy together, so that whatever the stop gave to one or
        // took from it would show.
        let had: [Rc<Cell<Duration>>; 2] = Default::default();
        for (i, had) in had.iter().enumerate() {
            spawn_in(i as u64, busy(had.clone()));
        }
        tell("ready", 1);
        for sleep in sleeps {
            sleep.await.unwrap();
        }
        let mut fired = fired.take();
        let order = fired.windows(2).filter(|pair| pair[0] > pair[1]).count();
        fired.sort_unstable();
        assert!(fired.iter().copied().eq(0..1_000), "each fires once");
        let [burst, delay, skip] = each;
        let (burst, delay, skip) =
            (burst.await.unwrap(), delay.await.unwrap(), skip.await.unwrap());
        let due = (length.as_millis() / PERIOD.as_millis()) as usize;
        assert!(burst.len().abs_diff(due) <= 5, "burst makes up: {} of {due}", burst.len());
        let (at, pause) = gap(&delay);
        assert!(pause >= stop * 3 / 4, "it was stopped: {pause:?}");
        let lost = (pause.as_millis() / PERIOD.as_millis()) as usize;
        assert!(delay.len() <= due - lost + 5, "delay makes up nothing: {}", delay.len());
        for pair in delay[at + 1..].windows(2) {
            assert!(pair[1] - pair[0] >= PERIOD, "delay keeps its distance: {pair:?}");
        }
        assert!(skip.len() <= due - lost + 5, "skip makes up nothing: {}", skip.len());
        let shares = had.each_ref().map(|it| it.get());
        tell(
            "figures",
            format_args!(
                "stopped {pause:?}: 1000 of 1000 timers, {order} out of order; ticks of {due}: burst {}, \
             delay {}, skip {}; two busy partitions had {shares:?}",
                burst.len(),
                delay.len(),
                skip.len(),
            ),
        );
        let (less, more) = (shares[0].min(shares[1]), shares[0].max(shares[1]));
        assert!(more - less <= more / 4, "neither profits: {shares:?}");
    });
}

/// A process that is stopped for seconds fires each timer once when it goes on, keeps to the rules
/// of its intervals, and shares as before.
#[test]
fn stopped_and_continued() {
    const NAME: &str = "stops::stopped_and_continued";
    let stop = pick(1_000, 5_000) * MS;
    if is_other(NAME) {
        return bounded(|| is_stopped(stop));
    }
    bounded(|| {
        let mut other = Other::start(NAME);
        assert_eq!(other.number("ready"), 1);
        thread::sleep(300 * MS);
        other.stop();
        thread::sleep(stop);
        other.go_on();
        figure("8 stopped", other.hear("figures"));
        other.ends_well();
    });
}
