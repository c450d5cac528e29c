use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Running), Just(State::Starved), Just(State::Waiting)]
}

/// Stretches from nanoseconds to minutes.
fn stretch() -> impl Strategy<Value = u64> {
    (0_u32..37).prop_flat_map(|log2| (1_u64 << log2)..(2 << log2))
}

fn history() -> impl Strategy<Value = Vec<(State, u64)>> {
    prop::collection::vec((state(), stretch()), 0..60)
}

/// The definition, summed piece by piece: each stretch with work weighs `2^-age`.
fn load_by_definition(history: &[(State, u64)]) -> f64 {
    let (mut age, mut busy, mut all) = (0.0, 0.0, 0.0);
    for (state, nanos) in history.iter().rev() {
        let seconds = *nanos as f64 / SECOND as f64;
        let weight = f64::exp2(-age) - f64::exp2(-age - seconds);
        age += seconds;
        all += weight;
        if *state != State::Waiting {
            busy += weight;
        }
    }
    busy / all
}

/// Lives through `history`; returns the meter and the end.
fn live(born: u64, history: &[(State, u64)]) -> (Meter, u64) {
    let meter = Meter::new(State::Waiting, born);
    let mut now = born;
    for (state, nanos) in history {
        meter.enter(*state, now);
        now += nanos;
    }
    (meter, now)
}

/// A clock that goes on for centuries, as that of a simulation may, stops the sums and breaks
/// nothing.
#[test]
fn a_meter_stops_after_146_years() {
    for born in [0, LAST_NS - SECOND, u64::MAX - SECOND] {
        let meter = Meter::new(State::Waiting, born);
        for now in [LAST_NS, LAST_NS + 1, u64::MAX - 1, u64::MAX] {
            for state in [State::Running, State::Starved, State::Waiting] {
                meter.enter(state, now);
                let lived = Duration::from_nanos(LAST_NS.saturating_sub(born));
                let times = meter.times(now);
                assert_eq!(times.running + times.starved + times.waiting, lived);
                assert_eq!((times.running, times.starved), (Duration::ZERO, Duration::ZERO));
                assert!((0.0..=1.0).contains(&meter.load(u64::MAX)));
            }
        }
    }
}

proptest! {
    /// Whatever the sequence, each state's sum is right, and together they are the wall time.
    #[test]
    fn states_add_up_to_wall_time(born in 0..SECOND, history in history(), later in stretch()) {
        let (meter, end) = live(born, &history);
        let last = history.last().map_or(State::Waiting, |(state, _)| *state);
        let times = meter.times(end + later);

        let sum = |wanted| {
            let past = history.iter().filter(|(state, _)| *state == wanted).map(|(_, n)| n);
            let now = if last == wanted { later } else { 0 };
            Duration::from_nanos(past.sum::<u64>() + now)
        };
        prop_assert_eq!(times.running, sum(State::Running));
        prop_assert_eq!(times.starved, sum(State::Starved));
        prop_assert_eq!(times.waiting, sum(State::Waiting));
        let wall = times.running + times.starved + times.waiting;
        prop_assert_eq!(wall, Duration::from_nanos(end + later - born));
    }

    /// Folding now and then differs from the definition by no more than 10 ms / 1.44 s.
    #[test]
    fn load_is_the_weighted_share_of_time_with_work(history in history()) {
        prop_assume!(!history.is_empty());
        let (meter, end) = live(0, &history);
        let load = meter.load(end);
        prop_assert!((0.0..=1.0).contains(&load));
        let exact = load_by_definition(&history);
        prop_assert!((load - exact).abs() < 0.007, "{} is not {}", load, exact);
    }

    /// A loop busy for a fixed share of each period reads that share, give or take one period.
    #[test]
    fn load_converges_to_the_busy_share(percent in 0_u64..=100, period in 10_000_u64..20_000_000) {
        let busy = period * percent / 100;
        let meter = Meter::new(State::Waiting, 0);
        let mut now = 0;
        while now < 12 * SECOND {
            meter.enter(State::Running, now);
            meter.enter(State::Waiting, now + busy);
            now += period;
        }
        let error = meter.load(now) - percent as f64 / 100.0;
        prop_assert!(error.abs() < 0.01, "off by {}", error);
    }

    /// During a stall nobody writes, and what a reader sees still rises.
    #[test]
    fn load_rises_while_a_state_with_work_lasts(history in history(), starved: bool) {
        let (meter, end) = live(0, &history);
        let stall = if starved { State::Starved } else { State::Running };
        meter.enter(State::Waiting, end);
        meter.enter(stall, end + SECOND);
        let mut before = meter.load(end + SECOND);
        for later in 1..10 {
            let load = meter.load(end + SECOND + later * SECOND / 2);
            prop_assert!(load > before);
            before = load;
        }
        prop_assert!(before > 0.9);
    }
}

/// The short way to the weight and the exact one agree.
#[test]
fn short_stretches_are_weighed_well() {
    for nanos in (0..400_000_000).step_by(999_983) {
        let exact = 1.0 - f64::exp2(-(nanos as f64) / SECOND as f64);
        assert!((weight_of(nanos) - exact).abs() < 1e-7, "{nanos} ns");
    }
}

/// A loop that was always busy reads 1 from its first nanosecond on.
#[test]
fn load_has_no_cold_start() {
    let meter = Meter::new(State::Running, 5);
    for later in [0, 1, 1000, SECOND / 100, SECOND, 3600 * SECOND] {
        let load = meter.load(5 + later);
        assert!((load - 1.0).abs() < 1e-9, "{load} after {later} ns");
    }
}

/// A long rest counts in full, however rarely anything is folded.
#[test]
fn load_forgets_during_a_long_rest() {
    let meter = Meter::new(State::Running, 0);
    meter.enter(State::Waiting, 60 * SECOND);
    assert!(meter.load(61 * SECOND) > 0.49 && meter.load(61 * SECOND) < 0.51);
    assert!(meter.load(160 * SECOND) < 1e-9);
    meter.enter(State::Running, 160 * SECOND);
    let second_later = meter.load(161 * SECOND);
    assert!(second_later > 0.49 && second_later < 0.51, "{second_later}");
}

/// A clock that steps back neither panics nor counts time twice.
#[test]
fn a_clock_that_steps_back_stands_still() {
    let meter = Meter::new(State::Running, SECOND);
    meter.enter(State::Waiting, 3 * SECOND);
    meter.enter(State::Running, 2 * SECOND);
    let times = meter.times(2 * SECOND);
    assert_eq!(times.running, Duration::from_secs(2));
    assert_eq!(times.waiting, Duration::ZERO);
}

/// The writer alternates states so that running never leads starved by more than one step; a
/// reader that mixed words of two writes would see another lead, or sums beyond the wall time.
#[test]
fn readers_never_see_torn_sums() {
    const STEP: u64 = 1 << 20;
    let meter = Arc::new(Meter::new(State::Running, 0));
    let done = Arc::new(AtomicBool::new(false));
    let reader = thread::spawn({
        let (meter, done) = (Arc::clone(&meter), Arc::clone(&done));
        move || {
            let mut reads = 0_u64;
            while !done.load(Ordering::Acquire) {
                let words = meter.sequence.read(|| meter.load_words());
                let lead = words.running - words.starved;
                let expected = if words.state == State::Running { 0 } else { STEP };
                assert_eq!(lead, expected, "torn: {words:?}");
                assert_eq!(words.running + words.starved, words.since);
                assert!(words.folded_at <= words.since);
                assert_eq!(words.folded_busy, words.folded_at);
                reads += 1;
            }
            reads
        }
    });
    for step in 1..2_000_000_u64 {
        let state = if step % 2 == 0 { State::Running } else { State::Starved };
        meter.enter(state, step * STEP);
    }
    done.store(true, Ordering::Release);
    assert!(reader.join().unwrap() > 0);
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// The events of a loop that works a quarter of the time read as a quarter, and so for every
/// clone; a look at the kernel that may not sleep is work.
#[test]
fn the_instrument_counts_sleep_only() {
    let load = LoadInstrument::new();
    let mut on_loop = load.clone();
    // Ahead of this machine's clock, so that no real time enters.
    let start = 1 << 50;
    let timeout = None;
    on_loop.loop_start(&LoopStart { at: at(start) });
    for tick in 0..20_000 {
        let began = start + tick * 1_000_000;
        on_loop.tick_start(&TickStart { at: at(began) });
        let look = Some(Duration::ZERO);
        on_loop.io_start(&IoStart { at: at(began), timeout: look });
        let looked = began + 125_000;
        on_loop.io_end(&IoEnd { started: at(began), at: at(looked), timeout: look, events: 1 });
        on_loop.tick_end(&TickEnd { started: at(began), at: at(began + 250_000), handles: 3 });
        on_loop.io_start(&IoStart { at: at(began + 250_000), timeout });
        let woke = began + 1_000_000;
        on_loop.io_end(&IoEnd { started: at(began + 250_000), at: at(woke), timeout, events: 0 });
    }
    assert!((load.load() - 0.25).abs() < 0.01, "{load:?}");

    on_loop.loop_stop(&LoopStop { at: at(start + 20 * SECOND) });
    on_loop.loop_start(&LoopStart { at: at(start + 60 * SECOND) });
    assert!(load.load() < 0.01, "{load:?}");
}
