//! The workloads that are compared.

use std::time::Duration;

use evenloop::sim::workload::*;

/// A workload in which somebody waits for others.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) load: Workload,
    /// How long it is watched.
    pub(crate) until: Duration,
    pub(crate) victim: Victim,
    /// Who is backlogged throughout.
    pub(crate) busy: Vec<String>,
}

/// Whose waits are shown.
pub(crate) enum Victim {
    /// Somebody who is always ready.
    Busy(&'static str),
    /// Somebody who sleeps in between, and would have come also while it waited.
    Comes { name: &'static str, every: Duration },
}

/// No multiple of anything else, so that it comes at all moments alike.
const PERIOD: Duration = micros(997);

/// A workload with a health check beside it, whose waits are shown.
fn beside(title: &'static str, others: Workload) -> Row {
    let health = Workload::new().with(tenant("health").runs(sleeper(PERIOD, micros(5))));
    let load = others.tenants().iter().cloned().fold(health, Workload::with);
    let victim = Victim::Comes { name: "health", every: PERIOD };
    Row { title, load, until: secs(1), victim, busy: Vec::new() }
}

impl Row {
    fn busy<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        Self { busy: names.into_iter().map(Into::into).collect(), ..self }
    }

    fn until(self, until: Duration) -> Self {
        Self { until, ..self }
    }
}

/// So many tenants, which are called `t0`, `t1` and so on.
fn crowd(n: u32, describe: impl Fn(Tenant) -> Tenant) -> Workload {
    names(n).fold(Workload::new(), |load, name| load.with(describe(tenant(name))))
}

fn names(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|number| format!("t{number}"))
}

pub(crate) fn rows() -> Vec<Row> {
    let bulk = || tenant("bulk").runs(hog(micros(20)).copies(256));
    let batch = || tenant("batch").runs(hog(micros(20)));
    vec![
        beside("256 tasks of 20 µs, and a batch", Workload::new().with(bulk()).with(batch()))
            .busy(["bulk", "batch"]),
        beside(
            "the same: bulk of weight 3, with 20,000 timers",
            Workload::new()
                .with(bulk().weight(3).runs(timers(20_000, secs(1), micros(2))))
                .with(batch()),
        )
        .busy(["bulk", "batch"]),
        beside(
            "10 tasks of 5 ms, and 10 of 20 µs",
            Workload::new()
                .with(tenant("heavy").runs(hog(millis(5)).copies(10)))
                .with(tenant("light").runs(hog(micros(20)).copies(10))),
        )
        .busy(["heavy", "light"])
        .until(secs(4)),
        beside(
            "10,000 connections wake together: a partition each, one group",
            crowd(10_000, |one| one.group("clients").runs(sleeper(millis(160), micros(10)))),
        ),
        beside(
            "10,000 connections wake together: one partition",
            Workload::new().with(tenant("clients").runs(mass_wake(
                10_000,
                millis(160),
                micros(10),
            ))),
        ),
        Row {
            title: "the victim's own handles of 200 µs, beside a gamer who sleeps 1 µs after each 5 ms",
            load: Workload::new()
                .with(tenant("gamer").runs(sleeper(micros(1), millis(5))))
                .with(tenant("honest").runs(hog(micros(200)))),
            until: secs(4),
            victim: Victim::Busy("honest"),
            busy: vec!["gamer".to_owned(), "honest".to_owned()],
        },
        beside(
            "newborn partitions, 64 at a time and each gone after 20 µs, one group",
            crowd(64, |one| one.group("young").runs(churn(1, micros(20)).group("young")))
                .with(bulk())
                .with(batch()),
        )
        .busy(["bulk", "batch"]),
        beside(
            "a partition after another, each gone after 90 µs, and a batch",
            Workload::new().with(tenant("maker").runs(churn(1, micros(90)))).with(batch()),
        )
        .busy(["maker/*", "batch"]),
        beside(
            "49 tenants of 20 µs, and a noisy one: 1,000 tasks of 200 µs",
            crowd(49, |one| one.runs(hog(micros(20))))
                .with(tenant("noisy").runs(hog(micros(200)).copies(1_000))),
        )
        .busy(names(49).chain(["noisy".to_owned()])),
        beside("100 tenants of 1 µs", crowd(100, |one| one.runs(hog(micros(1))))).busy(names(100)),
        Row {
            title: "no sparse victim: one of 50 that are all busy, 20 µs",
            load: crowd(50, |one| one.runs(hog(micros(20)))),
            until: secs(1),
            victim: Victim::Busy("t7"),
            busy: names(50).collect(),
        },
    ]
}
