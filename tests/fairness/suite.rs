//! How a property of the whole runtime is proved: random workloads and budgets, from one seed each,
//! until enough handles have run.

use std::env;
use std::fmt::Debug;
use std::time::Duration;

use evenloop::Budget;
use evenloop::sim::workload::{self, Counts, Workload, Workloads, nanos};
use evenloop::sim::{Builder, Check, Passed, Runtime, Trace};
use proptest::prelude::*;

/// Handles that run at least before a property is believed.
pub(crate) const HANDLES: u64 = 100_000;

/// What says how its runtime is made.
pub(crate) trait Setting: Debug + Clone {
    fn configure(&self, builder: Builder) -> Builder;
}

/// A workload and the runtime it runs on.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) budget: Budget,
    /// What a handle takes besides what it spends.
    pub(crate) overhead: Duration,
    pub(crate) load: Workload,
}

impl Setting for Case {
    fn configure(&self, builder: Builder) -> Builder {
        builder.budget(self.budget).handle_cost(self.overhead)
    }
}

/// Any budget: the default one, handles alone, time alone, and quanta that no number of handles
/// divides.
pub(crate) fn budgets() -> impl Strategy<Value = Budget> + Clone {
    prop_oneof![Just(Budget::default()), timed_budgets(), counted_budgets()]
}

/// Budgets that measure what handles take.
pub(crate) fn timed_budgets() -> impl Strategy<Value = Budget> + Clone {
    let quantum = || (10_000..300_000_u64).prop_map(nanos);
    prop_oneof![
        Just(Budget::default()),
        quantum().prop_map(Budget::time),
        (1..200_u32, quantum()).prop_map(|(handles, quantum)| Budget::new(handles, quantum)),
    ]
}

/// Budgets that count handles and nothing else.
pub(crate) fn counted_budgets() -> impl Strategy<Value = Budget> + Clone {
    (1..=100_u32).prop_map(Budget::handles)
}

/// Workloads under any budget.
pub(crate) fn cases(loads: Workloads) -> impl Strategy<Value = Case> + Clone {
    under(budgets(), loads)
}

/// Workloads under some budgets.
pub(crate) fn under(
    budgets: impl Strategy<Value = Budget> + Clone,
    loads: impl Strategy<Value = Workload> + Clone,
) -> impl Strategy<Value = Case> + Clone {
    let overhead = prop_oneof![Just(0), Just(0), 1..3_000_u64].prop_map(nanos);
    (budgets, overhead, loads).prop_map(|(budget, overhead, load)| Case { budget, overhead, load })
}

/// All kinds of actors, those that need a runtime too, and floods that are not all there is.
pub(crate) fn everything() -> Workloads {
    free_deliveries().and(workload::toppling())
}

/// All kinds whose deliveries take no time. The oracles know of no other.
pub(crate) fn free_deliveries() -> Workloads {
    workload::any()
        .and(workload::any())
        .and(workload::upheavals())
        .and(workload::floods())
        .crowd(1..=12)
        .rounds(1..=12)
        .isolated()
}

/// Runs the workload of a case to its end.
pub(crate) fn play(load: &Workload, sim: &Runtime) -> (Counts, Trace) {
    let counts = sim.block_on(async { load.spawn().await });
    let trace = sim.trace();
    assert!(!trace.is_cut(), "a case is longer than its trace: {} events", trace.counted());
    (counts, trace)
}

/// Checks that `property` holds of whatever `strategy` draws, until [`HANDLES`] handles have run.
///
/// `EVENLOOP_SIM_CASES` makes it as long as one likes; `EVENLOOP_SIM_SEED` replays one case.
#[track_caller]
pub(crate) fn prove<S>(strategy: S, property: impl Fn(&S::Value, &Runtime)) -> Passed
where
    S: Strategy,
    S::Value: Setting,
{
    let configure = |builder, value: &S::Value| value.configure(builder);
    let check = Check::new().handles(HANDLES);
    let passed = check.run_with(strategy, configure, |value, sim| property(&value, sim));
    assert!(
        passed.handles >= HANDLES || is_told(),
        "only {} handles ran in {} cases",
        passed.handles,
        passed.cases
    );
    println!("{} handles in {} cases", passed.handles, passed.cases);
    passed
}

/// Whether the environment says how many cases there are.
pub(crate) fn is_told() -> bool {
    ["EVENLOOP_SIM_CASES", "EVENLOOP_SIM_SEED"].into_iter().any(|name| env::var_os(name).is_some())
}

/// How often a property had something to say. One that never has, holds of anything.
#[derive(Debug, Default)]
pub(crate) struct Judged(std::cell::Cell<u64>);

impl Judged {
    pub(crate) fn add(&self, times: usize) {
        self.0.set(self.0.get() + times as u64);
    }

    /// Asserts that it was so often at least.
    #[track_caller]
    pub(crate) fn at_least(&self, times: u64, what: &str) {
        println!("{} {what}", self.0.get());
        assert!(self.0.get() >= times || is_told(), "only {} {what}", self.0.get());
    }
}
