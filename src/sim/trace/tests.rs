use std::io::{self, Write};
use std::panic::Location;
use std::time::Duration;

use proptest::prelude::*;

use super::script::{Script, timed};
use super::*;
use crate::Budget;
use crate::sched::Weight;
use crate::trace::Why;

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// a runs 0..10, b 10..30, a 30..40, nobody 40..50, b 50..60.
fn two() -> Trace {
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.wake(a, 1).wake(b, 2).wake(a, 3);
    script.run(a, 1, 10).run(b, 2, 20).run(a, 3, 10).pass(10);
    script.wake(b, 2).run(b, 2, 10);
    script.trace()
}

#[test]
fn service_is_what_fell_into_the_window() {
    let trace = two();
    assert_eq!(trace.service("a", ..), ns(20));
    assert_eq!(trace.service("b", ..), ns(30));
    assert_eq!(trace.service("a", ns(5)..ns(35)), ns(10));
    assert_eq!(trace.service("b", ns(5)..ns(15)), ns(5));
    assert_eq!(trace.service("b", ns(31)..ns(49)), ns(0));
    assert_eq!(trace.service("b", ns(55)..), ns(5));
    assert_eq!(trace.handles("a", ..), 2);
    assert_eq!(trace.handles("a", ns(1)..), 1);
    assert_eq!(trace.busy_time(..), ns(50));
    assert_eq!(trace.idle_time(..), ns(10));
    assert_eq!(trace.busy_time(ns(35)..ns(52)), ns(7));
    assert_eq!(trace.runnable("a", ..), ns(40));
    assert_eq!(trace.runnable("b", ns(20)..ns(55)), ns(15));
    let shares = trace.shares(ns(0)..ns(30));
    let got: Vec<(&str, Duration, usize)> =
        shares.iter().map(|share| (share.name, share.service, share.handles)).collect();
    assert_eq!(got, [("b", ns(20), 1), ("a", ns(10), 2)]);
}

#[test]
fn waits_are_from_wake_to_run() {
    let trace = two();
    assert_eq!(trace.waits("a", ..).as_slice(), [ns(0), ns(30)]);
    assert_eq!(trace.waits("b", ..).as_slice(), [ns(0), ns(10)]);
    assert_eq!(trace.waits("b", ns(40)..).max(), ns(0));
    assert!(trace.waits("a", ns(41)..).is_empty());
    assert_eq!(trace.waits("a", ns(41)..).max(), ns(0));
}

#[test]
fn quantiles_are_of_the_sorted_waits() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    for wait in [30, 10, 40, 20] {
        script.wake(a, 1).pass(wait).run(a, 1, 0);
    }
    let waits = script.trace().waits("a", ..);
    assert_eq!(waits.len(), 4);
    let quantiles = [0.0, 0.25, 0.5, 0.51, 0.99, 1.0].map(|q| waits.quantile(q).as_nanos());
    assert_eq!(quantiles, [10, 10, 20, 30, 40, 40]);
    assert_eq!(waits.mean(), ns(25));
}

#[test]
fn starvation_is_the_longest_time_runnable_and_not_served() {
    let trace = two();
    let starved = trace.starvation("a", ..).unwrap();
    assert_eq!((starved.from, starved.to, starved.duration()), (ns(10), ns(30), ns(20)));
    assert_eq!(trace.starvation("b", ..).unwrap().duration(), ns(10));
    assert_eq!(trace.starvation("b", ns(4)..).unwrap().duration(), ns(6));
    assert_eq!(trace.starvation("b", ns(10)..ns(30)), None);

    // One that is never served waits to the end.
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.pass(5).wake(b, 2).wake(a, 1).run(a, 1, 70);
    let starved = script.trace().starvation("b", ..).unwrap();
    assert_eq!((starved.from, starved.to), (ns(5), ns(75)));
}

/// A name that comes again stands for all that bore it.
#[test]
fn a_name_stands_for_all_that_bear_it() {
    let mut script = Script::new(timed(100));
    let first = script.partition("churn", 1);
    script.wake(first, 1).run(first, 1, 10).tell(first, 0, What::Freed);
    let second = script.partition("churn", 1);
    script.wake(second, 1).run(second, 1, 5);
    let trace = script.trace();
    assert_eq!(trace.names().collect::<Vec<_>>(), ["churn"]);
    assert_eq!(trace.service("churn", ..), ns(15));
    assert_eq!(trace.handles("churn", ns(1)..), 1);
    let numbers: Vec<Option<u32>> = trace.events().map(|event| event.partition_number).collect();
    assert_eq!(numbers.first(), Some(&Some(0)));
    assert_eq!(numbers.last(), Some(&Some(1)));
}

/// With turns told, a partition is runnable until its turn ends idle, whatever it is roused by.
#[test]
fn a_partition_is_runnable_until_its_turn_ends_idle() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    script.tell(a, 0, What::Roused { ahead: 0, left: 100 }).pass(7);
    script.turn(a, true).tell(a, 0, What::Deliver { wakes: 1 }).wake(a, 1).run(a, 1, 10);
    script.pass(3).end(a, Why::Idle).pass(50);
    script.tell_loop(What::Sleep { until: None });
    assert_eq!(script.trace().runnable("a", ..), ns(20));
}

/// Who is starved falls behind by its share of what is served, and catches up when served alone.
#[test]
fn lag_is_measured_against_the_share_of_those_that_are_runnable() {
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 3), script.partition("b", 1));
    script.wake(a, 1).wake(b, 2);
    // b is owed a quarter of 80, then gets 20 of 20, of which 5 are its due.
    script.run_again(a, 1, 80).run_again(b, 2, 20).run_again(a, 1, 20);
    let trace = script.trace();
    let lag = trace.lag("b", ..);
    assert!((lag.worst - 20.0).abs() < 1e-9, "{lag:?}");
    assert_eq!(lag.at, ns(80));
    assert!((lag.last - 10.0).abs() < 1e-9, "{lag:?}");
    assert!((trace.lag("a", ..).last + 10.0).abs() < 1e-9);
    // From 80 on b is ahead: it got 20 of 40.
    let lag = trace.lag("b", ns(80)..);
    assert!((lag.last + 10.0).abs() < 1e-9 && lag.worst == 0.0, "{lag:?}");
}

/// A partition that is idle is owed nothing.
#[test]
fn the_idle_do_not_fall_behind() {
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.wake(a, 1).run_again(a, 1, 1_000).wake(b, 2).run_again(a, 1, 60).run(b, 2, 10);
    let lag = script.trace().lag("b", ..);
    assert!((lag.worst - 30.0).abs() < 1e-9, "{lag:?}");
}

/// The members of a group share what the group is due, and the group has one share.
#[test]
fn a_group_is_due_one_share_and_splits_it() {
    let mut script = Script::new(timed(100));
    let group = script.group("tenants", 1);
    let a = script.partition("a", 1);
    let x = script.partition_in("x", 1, Some(group));
    let y = script.partition_in("y", 3, Some(group));
    script.wake(a, 1).wake(x, 2).wake(y, 3).run_again(a, 1, 80);
    let trace = script.trace();
    // Of 80 the group is due 40, x a quarter of that.
    assert!((trace.lag("x", ..).last - 10.0).abs() < 1e-9, "{:?}", trace.lag("x", ..));
    assert!((trace.lag("y", ..).last - 30.0).abs() < 1e-9);
    // Another weight of the group counts from there on: of 40 more it is due 30.
    script.recorder().reweigh_group(80, group, Weight::of(3));
    script.run_again(a, 1, 40);
    let lag = script.trace().lag("x", ..).last;
    assert!((lag - 17.5).abs() < 1e-9, "{lag}");
    // And another weight of a member: of 120 more the group is due 90, x a half of it.
    script.tell(x, 0, What::Weight(3)).run_again(a, 1, 120);
    let lag = script.trace().lag("x", ..).last;
    assert!((lag - 62.5).abs() < 1e-9, "{lag}");
}

#[test]
fn jain_is_one_for_equal_shares_and_less_for_others() {
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 3));
    let sleeper = script.partition("sleeper", 1);
    script.wake(a, 1).wake(b, 2).run_again(a, 1, 10).run_again(b, 2, 30);
    let fair = script.trace();
    assert!((fair.jain(..) - 1.0).abs() < 1e-9);
    // The sleeper was not runnable throughout, so it does not count.
    script.wake(sleeper, 3).run(sleeper, 3, 5);
    assert!((script.trace().jain(..) - 1.0).abs() < 1e-9);
    // All for one of two: a half.
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("a", 1), script.partition("b", 1));
    script.wake(a, 1).wake(b, 2).run_again(a, 1, 100);
    assert!((script.trace().jain(..) - 0.5).abs() < 1e-9);
    assert!((script.trace().jain_among(&["b", "a"], ..) - 0.5).abs() < 1e-9);
    assert_eq!(script.trace().jain_among(&["a"], ..), 1.0);
}

#[test]
#[should_panic(expected = "no partition is called `helth`; there are `a`, `b`")]
fn an_unknown_name_is_refused_with_the_known() {
    let _ = two().service("helth", ..);
}

#[test]
#[should_panic(expected = "`t19` and 80 others")]
fn of_many_known_names_some_are_told() {
    let mut script = Script::new(timed(100));
    for n in 0..100 {
        script.partition(&format!("t{n}"), 1);
    }
    let _ = script.trace().waits("x", ..);
}

#[test]
#[should_panic(expected = "a window cannot end before it begins")]
fn a_reversed_window_is_refused() {
    let _ = two().busy_time(ns(9)..ns(3));
}

#[test]
#[should_panic(expected = "there is no event 99: the trace has 14 events")]
fn an_event_beyond_the_end_is_refused() {
    let _ = two().event(99);
}

/// An empty trace answers all questions.
#[test]
fn an_empty_trace_is_a_trace() {
    let trace = Script::new(timed(100)).trace();
    assert!(trace.is_empty() && trace.shares(..).is_empty() && trace.jain(..) == 1.0);
    assert_eq!(trace.busy_time(..) + trace.idle_time(..), ns(0));
    assert!(trace.to_svg(..).ends_with("</svg>\n"), "{}", trace.to_svg(..));
    assert_eq!(trace.to_csv().lines().count(), 1);
    assert!(trace.to_string().contains("trace 0x"));
}

#[test]
fn the_table_has_a_line_for_each_partition() {
    let mut script = Script::new(timed(100));
    let group = script.group("tenants", 1);
    let (a, b) = (script.partition("a", 3), script.partition_in("b\n", 1, Some(group)));
    script.wake(a, 1).wake(b, 2).run_again(a, 1, 60).run_again(b, 2, 20);
    let trace = script.trace();
    let expected = "\
partition  weight  group    handles  service  share  wait p50   p99   max  starved   lag
a               3                 1     60ns  75.0%       0ns   0ns   0ns     20ns   0ns
b\\n             1  tenants        1     20ns  25.0%      60ns  60ns  60ns     60ns  15ns
";
    assert_eq!(trace.to_table(..), expected);
    let last = format!("trace {:#018x}: {} events in 80ns", trace.hash(), trace.len());
    assert_eq!(trace.to_string(), format!("{expected}{last}"));
}

#[test]
fn a_long_table_is_cut() {
    let mut script = Script::new(timed(100));
    for n in 0..45 {
        script.partition(&format!("t{n}"), 1);
    }
    let table = script.trace().to_table(..);
    assert_eq!(table.lines().count(), 42);
    assert!(table.ends_with("… and 5 others\n"));
}

/// A small reader of comma-separated values, by the letter of RFC 4180.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(!quoted && row.is_empty() && field.is_empty(), "the last line ends");
    rows
}

proptest! {
    /// Whatever partitions and tasks are called, a reader gets the names back.
    #[test]
    fn csv_is_read_back(name in "[a,\"\r\n;é]{1,8}", task in "[b,\"\r\n]{0,8}") {
        let mut script = Script::new(timed(100));
        let a = script.partition(&name, 2);
        script.recorder().describe_task(7, Some(&task), Location::caller());
        script.wake(a, 7).run(a, 7, 5);
        let rows = read_csv(&script.trace().to_csv());
        prop_assert_eq!(rows.len(), 5);
        prop_assert!(rows.iter().all(|row| row.len() == 9));
        prop_assert_eq!(rows[0].join(","), "event,at_ns,partition,partition_number,task,task_name,\
            spawned_at,what,detail");
        prop_assert!(rows[1..].iter().all(|row| row[2] == name && row[3] == "0"));
        prop_assert!(rows[2..].iter().all(|row| row[5] == task && row[6].contains("tests.rs")));
        let whats: Vec<&str> = rows.iter().map(|row| &*row[7]).collect();
        prop_assert_eq!(whats, ["what", "created", "wake", "run", "ran"]);
        prop_assert_eq!(&rows[1][8], "weight=2");
        prop_assert_eq!((&*rows[4][0], &*rows[4][1]), ("3", "5"));
    }
}

/// An output that is full.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_output_is_an_error() {
    let error = two().write_csv(Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let error = two().write_svg(Full, ..).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

/// The texts of a drawing, with what stands for letters of XML put back.
fn texts(svg: &str) -> Vec<String> {
    let texts = svg.split("<text").skip(1).map(|text| {
        let text = text.split_once('>').unwrap().1.split("</text>").next().unwrap();
        text.trim().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    });
    texts.collect()
}

#[test]
fn a_drawing_has_a_curve_and_a_name_for_each_that_was_served() {
    let mut script = Script::new(timed(100));
    let (a, b) = (script.partition("<a> & co", 1), script.partition("b", 1));
    let never = script.partition("never", 1);
    script.wake(a, 1).wake(b, 2).wake(never, 3);
    script.run(a, 1, 2_000_000).run(b, 2, 1_000_000);
    let svg = script.trace().to_svg(..);
    let texts = texts(&svg);
    for expected in ["Service received, by partition", "time (ms)", "service (ms)", "b", "<a> & co"]
    {
        assert!(texts.iter().any(|text| text == expected), "{expected} is not among {texts:?}");
    }
    assert!(!texts.iter().any(|text| text == "never"));
    // A curve, and a mark in the legend, for each.
    assert_eq!(svg.matches("stroke=\"#0072B2\"").count(), 2, "{svg}");
    assert_eq!(svg.matches("stroke=\"#D55E00\"").count(), 2);
    assert_eq!(svg, script.trace().to_svg(..), "equal traces make equal drawings");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
}

#[test]
fn of_many_curves_the_small_are_drawn_as_one() {
    let mut script = Script::new(timed(100));
    for n in 0..30u64 {
        let id = script.partition(&format!("tenant-{n}-{}", "x".repeat(40)), 1);
        script.wake(id, 1).run(id, 1, 100 + n);
    }
    let texts = texts(&script.trace().to_svg(..));
    assert!(texts.contains(&"20 others".to_string()), "{texts:?}");
    let long = texts.iter().filter(|text| text.ends_with('…')).count();
    assert_eq!(long, 10, "{texts:?}");
}

/// A clone is the same trace; what happened differently is another.
#[test]
fn traces_are_equal_by_what_happened() {
    assert_eq!(two(), two().clone());
    let mut other = Script::new(Settings::from(Budget::handles(1)));
    other.partition("a", 1);
    assert_ne!(two(), other.trace());
}

#[test]
fn events_are_told_in_a_line() {
    let mut script = Script::new(timed(100));
    let a = script.partition("a", 1);
    script.recorder().describe_task(7, Some("reader"), Location::caller());
    script.pass(1_500).wake(a, 7).tell(a, crate::trace::MAIN_TASK, What::Wake);
    let lines: Vec<String> = script.trace().events().map(|event| event.to_string()).collect();
    assert_eq!(lines[1..], ["[1] 1.5µs `a` task 0 (reader) Wake", "[2] 1.5µs `a` main Wake"]);
}
