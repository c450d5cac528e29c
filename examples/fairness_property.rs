//! "Whatever my tenants do, the health check of *my* service answers within 5 ms": as a property,
//! over random tenants and a random network, in virtual time.
//!
//! ```text
//!   clients (hyper)                 "service" looks at the first line
//!   ─── GET /tenant-0/30/250 ───────►│──► "tenant-0"  30 pages of 250 µs ┐
//!   ─── GET /tenant-1/2/400  ───────►│──► "tenant-1"   2 pages of 400 µs ┴ group "tenants"
//!   ─── GET /health          ───────►│──► "health"
//! ```
//!
//! `cargo run --release --example fairness_property` prints this, and the same on every machine:
//!
//! ```text
//! Apart: held in 300 cases, 384815 handles; the slowest answer took 2.565ms
//!
//! Together: the health check took 5.522ms
//!   at examples/fairness_property.rs:59:13
//!   of [Tenant { connections: 2, reports: 2, pages: 28, page: 251µs }]
//!   again: EVENLOOP_SIM_SEED=0x1 target/release/examples/fairness_property
//!
//! partition  weight  group  handles   service   share  wait p50    p99    max  starved       lag
//! service         1             141  25.351ms  100.0%     251µs  502µs  502µs    251µs  38.294µs
//! ROOT            1              40       0ns    0.0%       0ns    0ns    0ns      0ns       0ns
//! clients         1              15       0ns    0.0%       0ns    0ns    0ns      0ns     782ns
//! trace 0x98d1e1735e6c55c8: 991 events in 25.608594ms
//! ```

#[path = "fairness_property/service.rs"]
pub(crate) mod service;
#[path = "fairness_property/tenants.rs"]
pub(crate) mod tenants;

use std::cell::Cell;
use std::time::Duration;

use evenloop::sim::{self, Check, Link, Passed};
use evenloop::time::{Instant, sleep};

use service::Layout;
use tenants::{Tenant, get};

const LIMIT: Duration = Duration::from_millis(5);

/// The property. Returns how long the slowest answer took.
pub(crate) fn health_answers_in_time(
    layout: Layout,
    tenants: &[Tenant],
    sim: &sim::Runtime,
) -> Duration {
    sim.block_on(async {
        let server = service::start("10.0.0.1:80", layout, sim::spend).await.unwrap();
        tenants.iter().enumerate().for_each(|(number, tenant)| tenant.start(number, server));
        let mut worst = Duration::ZERO;
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await;
            let asked = Instant::now();
            assert_eq!(get(server, "/health", 1).await.unwrap(), "alive");
            let took = asked.elapsed();
            assert!(took <= LIMIT, "the health check took {took:?}");
            worst = worst.max(took);
        }
        worst
    })
}

/// How the property is checked: of a service at the end of a network that is not the best.
pub(crate) fn check() -> Check {
    let (near, far) = (Duration::from_micros(20), Duration::from_micros(200));
    let link = Link::new().latency_between(near, far).short_reads(0.1).short_writes(0.1);
    Check::new().runtime(move |sim| sim.link(link.clone()))
}

/// Says what comes of checking the property of a layout.
pub(crate) fn outcome(check: &Check, layout: Layout) -> String {
    let slowest = Cell::new(Duration::ZERO);
    let property = |tenants: Vec<Tenant>, sim: &sim::Runtime| {
        let took = health_answers_in_time(layout, &tenants, sim);
        slowest.set(slowest.get().max(took));
    };
    match check.try_run(tenants::any(), property) {
        Ok(Passed { cases, handles, .. }) => {
            let slowest = slowest.get();
            format!("held in {cases} cases, {handles} handles; the slowest answer took {slowest:?}")
        }
        Err(failure) => failure.to_string(),
    }
}

fn main() {
    // The same cases each time, so that there is something to compare with.
    let check = check().seed(1).cases(300).environment();
    println!("Apart: {}\n", outcome(&check, Layout::Apart));
    println!("Together: {}", outcome(&check, Layout::Together));
}
