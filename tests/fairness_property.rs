//! The property of `examples/fairness_property.rs` as the tests it would be in the crate of that
//! service.

#[path = "../examples/fairness_property.rs"]
#[allow(dead_code, reason = "its main is for the example")]
mod example;

use std::time::{Duration, Instant};

use example::service::{self, Layout};
use example::tenants::{self, get};

/// Whatever the tenants do, the health check answers in time.
#[test]
fn health_answers_in_time() {
    example::check().run(tenants::any(), |tenants, sim| {
        example::health_answers_in_time(Layout::Apart, &tenants, sim);
    });
}

/// All in one queue it does not, and few tenants are enough to show it.
#[test]
fn without_partitions_a_tenant_holds_it_up() {
    let failure = example::check().seed(2).try_run(tenants::any(), |tenants, sim| {
        example::health_answers_in_time(Layout::Together, &tenants, sim);
    });
    let failure = failure.expect_err("some tenant asks for many pages");
    assert!(failure.reason.contains("the health check took"), "{failure}");
    assert!(failure.value.len() <= 3, "{failure}");
}

/// The example prints what it says it does, and what the guide says a failure looks like.
#[test]
fn the_example_prints_what_is_documented() {
    let source = include_str!("../examples/fairness_property.rs");
    let guide = include_str!("../docs/testing.md");
    let header: Vec<&str> =
        source.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect();
    for layout in [Layout::Apart, Layout::Together] {
        let outcome = example::outcome(&example::check().seed(1).cases(300), layout);
        let outcome = format!("{layout:?}: {outcome}").replace("tests/../", "");
        // How to run it again depends on who runs it, and a hash on every little thing.
        let is_told = |line: &&str| !line.contains("again:") && !line.starts_with("trace ");
        for line in outcome.lines().filter(is_told) {
            assert!(header.contains(&line.trim()), "not in the header: {line}\n{outcome}");
            let failed = layout == Layout::Together && !line.starts_with("Together");
            assert!(!failed || guide.contains(line), "not in the guide: {line}\n{outcome}");
        }
    }
}

/// What is simulated is a service that serves, on sockets of the system and in real time.
#[test]
fn the_service_is_a_real_one() {
    let compute = |time: Duration| {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    };
    evenloop::block_on(async {
        let server = service::start("127.0.0.1:0", Layout::Apart, compute).await.unwrap();
        assert_eq!(get(server, "/health", 2).await.unwrap(), "alive");
        let report = get(server, "/acme/2/50", 1).await.unwrap();
        assert_eq!(report, "the report of acme\npage 1\npage 2");
    });
}
