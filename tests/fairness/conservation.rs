//! Nothing is lost, doubled, or left behind, and nothing is left to chance: conservation, whose
//! things are, what counters say, leaks (P12), and determinism.

use std::collections::BTreeMap;
use std::time::Duration;

use evenloop::sim::workload::{Running, Workload, Workloads, millis, secs};
use evenloop::sim::{Builder, Runtime, Trace, What};
use evenloop::{Close, Handle, Partition};
use proptest::prelude::*;

use crate::fairness::suite::{Case, Judged, Setting, cases, everything, play};

/// Anything, and small enough that it runs often.
fn anything() -> Workloads {
    everything()
}

pub(crate) fn all() -> impl Strategy<Value = Case> + Clone {
    cases(anything())
}

/// Every wake leads to one run, nothing runs that was not woken, and what a workload does is what
/// can be told of it in advance: `handles = totals`, `wakes = heard`, `sent = echoed = received`.
pub(crate) fn conserved(case: &Case, sim: &Runtime, judged: &Judged) {
    let (counts, trace) = play(&case.load, sim);
    each_wake_runs_once(&trace);
    if let Some(totals) = case.load.totals() {
        assert_eq!(counts.handles, totals.handles, "handles that ran, and that are to run");
        assert_eq!(counts.tasks, totals.tasks, "tasks spawned, and that are to be");
        assert_eq!(counts.wakes, totals.wakes, "wakes, and those to come");
        judged.add(1);
    }
    assert_eq!(counts.tasks, counts.ended, "tasks spawned and ended: {counts:?}");
    assert_eq!(counts.wakes, counts.heard, "wakes given and heard: {counts:?}");
    assert_eq!((counts.broken, counts.garbled), (0, 0), "a network without faults: {counts:?}");
    assert_eq!(counts.sent, counts.received, "bytes sent and received: {counts:?}");
    assert_eq!(counts.sent, counts.echoed, "bytes sent and echoed: {counts:?}");
    let runs = trace.events().filter(|event| event.what == What::Run).count() as u64;
    assert_eq!(sim.handle().metrics().handles, runs, "handles counted, and written down");
}

/// Every wake leads to one run of its task, in its partition; nothing runs unwoken or within another
/// handle, and nothing is left at the end but in ROOT, where what waits for it has returned.
fn each_wake_runs_once(trace: &Trace) {
    let (mut queued, mut running) = (BTreeMap::new(), None);
    for event in trace.events() {
        // The future of `block_on` has no number, and is woken once at a time as well.
        let Some(task) = event.task.map(|task| task.number) else { continue };
        let partition = event.partition_number;
        match event.what {
            What::Wake => {
                let before = queued.insert(task, partition);
                assert_eq!(before, None, "queued twice at a time: {event}");
            }
            What::Run => {
                assert_eq!(queued.remove(&task), Some(partition), "ran unwoken: {event}");
                assert_eq!(running.replace(task), None, "ran within another handle: {event}");
            }
            What::Ran | What::Done => {
                assert_eq!(running.take(), Some(task), "ended, and did not run: {event}");
            }
            _ => {}
        }
    }
    assert_eq!(running, None, "a handle that has not ended");
}

/// Whose is it? A task runs where it was spawned; what a handle spawns without saying where is its
/// partition's; a delivery is made in the partition's own turn, and wakes its own tasks.
pub(crate) fn at_home(case: &Case, sim: &Runtime, judged: &Judged) {
    let (_, trace) = play(&case.load, sim);
    // Tasks and where they live; partitions and who made them.
    let (mut homes, mut makers) = (BTreeMap::new(), BTreeMap::new());
    let (mut turn, mut scope, mut delivers) = (None, None, false);
    for event in trace.events() {
        let partition = event.partition_number;
        match event.what {
            What::Turn { .. } => turn = partition,
            What::TurnEnd(_) => (turn, delivers) = (None, false),
            What::Run => (scope, delivers) = (partition, false),
            What::Ran | What::Done => scope = None,
            What::Created { .. } => {
                makers.insert(partition, turn.filter(|_| scope.is_some() || delivers));
            }
            What::Deliver { wakes } => {
                assert_eq!(partition, turn, "a delivery in the turn of another: {event}");
                delivers = wakes > 0;
                judged.add(usize::from(delivers));
            }
            What::Wake => {
                let Some(task) = event.task.and_then(|task| task.number) else { continue };
                assert!(
                    !delivers || partition == turn || is_made_by(&makers, partition, turn),
                    "a delivery to another partition: {event}"
                );
                let home = *homes.entry(task).or_insert_with(|| {
                    let here = turn.filter(|_| scope.is_some() || delivers);
                    let is_child = here.is_none()
                        || here == Some(0)
                        || partition == here
                        || is_made_by(&makers, partition, here);
                    assert!(is_child, "spawned by {here:?} into another partition: {event}");
                    partition
                });
                assert_eq!(partition, home, "woken away from home: {event}");
            }
            _ => {}
        }
        if matches!(event.what, What::Run | What::Ran | What::Done) {
            assert_eq!(partition, turn, "a handle in the turn of another: {event}");
        }
    }
}

fn is_made_by(
    makers: &BTreeMap<Option<u32>, Option<u32>>,
    partition: Option<u32>,
    maker: Option<u32>,
) -> bool {
    maker.is_some() && makers.get(&partition) == Some(&maker)
}

/// The counters of a partition say what the trace shows: its handles, its turns, its time on the
/// thread if the budget measures it, and that at every instant it ran, starved or waited.
pub(crate) fn counted(case: &Case, sim: &Runtime, judged: &Judged) {
    let (seen, now) = sim.block_on(async {
        let mut running = case.load.spawn();
        (&mut running).await;
        let partitions = Handle::current().partitions();
        let seen = partitions.iter().map(|one| (one.name(), one.metrics()));
        (seen.collect::<Vec<_>>(), sim.elapsed())
    });
    let trace = sim.trace();
    for (name, metrics) in seen.iter().filter(|(name, _)| name != "ROOT") {
        let shown = Shown::of(&trace, name);
        // A name that came again is another partition.
        if shown.lives > 1 {
            continue;
        }
        judged.add(1);
        assert_eq!(metrics.handles, shown.handles, "handles of `{name}`, counted and shown");
        if trace.settings().timed() {
            assert_eq!(metrics.running, shown.running, "time of `{name}`, counted and shown");
        }
        assert_eq!(metrics.turns, shown.turns, "turns of `{name}`, counted and shown");
        assert_eq!(metrics.wall(), now - shown.created, "the life of `{name}`: {metrics:?}");
        assert_eq!(metrics.queued, 0, "handles queued in `{name}`");
    }
}

/// What a trace shows of a partition.
#[derive(Default)]
struct Shown {
    lives: u32,
    created: Duration,
    handles: u64,
    turns: u64,
    running: Duration,
}

impl Shown {
    fn of(trace: &Trace, name: &str) -> Self {
        let (mut shown, mut began) = (Self::default(), Duration::ZERO);
        for event in trace.events().filter(|event| event.partition == Some(name)) {
            match event.what {
                What::Created { .. } => {
                    shown.lives += 1;
                    shown.created = event.at;
                }
                What::Run => shown.handles += 1,
                What::Turn { fresh, .. } => {
                    shown.turns += u64::from(fresh);
                    began = event.at;
                }
                What::TurnEnd(_) => shown.running += event.at - began,
                _ => {}
            }
        }
        shown
    }
}

/// P12: a workload that has ended leaves nothing behind: no partition, group, task, handle, timer,
/// source, socket or connection, and empty lists and bitmaps in the scheduler. A name used again
/// names something new.
pub(crate) fn p12(case: &Case, sim: &Runtime) {
    play(&case.load, sim);
    expect_nothing(sim);
    sim.block_on(async {
        for tenant in case.load.tenants() {
            let again = Partition::named(tenant.name()).metrics();
            assert_eq!((again.handles, again.tasks), (0, 0), "P12: `{}` is not new", tenant.name());
        }
    });
    expect_nothing(sim);
}

#[track_caller]
fn expect_nothing(sim: &Runtime) {
    // Tasks that nobody joins end, and last bytes arrive.
    sim.run_for(Duration::from_secs(1));
    let held = sim.holdings();
    assert!(held.is_empty(), "P12 does not hold: there is {held:?} left");
    let partitions = sim.handle().partitions();
    let names: Vec<String> = partitions.iter().map(Partition::name).collect();
    assert_eq!(names, ["ROOT"], "P12 does not hold");
    let root = partitions[0].metrics();
    assert_eq!((root.tasks, root.queued), (0, 0), "P12 does not hold: {root:?}");
}

/// A case that is cut short, by which panics come about that nobody is left to join.
#[derive(Clone, Debug)]
pub(crate) struct Cut(Case);

impl Setting for Cut {
    fn configure(&self, builder: Builder) -> Builder {
        self.0.configure(builder).on_unhandled_panic(|panic| {
            assert!(panic.to_string().contains("a nursery"), "{panic}");
        })
    }
}

pub(crate) fn cut() -> impl Strategy<Value = Cut> {
    all().prop_map(Cut)
}

/// Starts a workload, and does not wait for it.
#[expect(clippy::async_yields_async, reason = "it is awaited later, or never")]
fn start(load: &Workload, sim: &Runtime) -> Running {
    sim.block_on(async { load.spawn() })
}

/// P12, cut short: when all partitions are closed in the middle of a workload, all its tasks end
/// and nothing is left; and so if the runtime itself is dropped there.
pub(crate) fn p12_cut_short(cut: &Cut, sim: &Runtime, judged: &Judged) {
    let case = &cut.0;
    let running = start(&case.load, sim);
    sim.run_for(millis(1));
    judged.add(usize::from(sim.holdings().tasks > 0));
    for partition in sim.handle().partitions() {
        partition.close(Close::Cancel);
    }
    sim.run_for(secs(10));
    let counts = running.counts();
    assert_eq!(counts.tasks, counts.ended, "P12 does not hold: tasks outlive their partitions");
    drop(running);
    expect_nothing(sim);

    let other = cut.configure(Runtime::builder().seed(sim.seed())).build();
    let running = start(&case.load, &other);
    other.run_for(millis(1));
    let network = other.network();
    drop(other);
    let counts = running.counts();
    assert_eq!(counts.tasks, counts.ended, "P12 does not hold: tasks outlive their runtime");
    assert_eq!(network.descriptors(), 0, "P12 does not hold: sockets outlive their runtime");
}

/// The same seed is the same trace, event by event, whatever the workload.
pub(crate) fn same_again(case: &Case, sim: &Runtime, judged: &Judged) {
    play(&case.load, sim);
    let again = case.configure(Runtime::builder().seed(sim.seed())).build();
    play(&case.load, &again);
    let (first, second) = (sim.trace(), again.trace());
    if first.hash() != second.hash() {
        let mut pairs = first.events().zip(second.events());
        let differs = pairs.find(|(one, two)| one.to_string() != two.to_string());
        panic!("the same seed, another trace: {differs:?}");
    }
    judged.add(first.len());
}
