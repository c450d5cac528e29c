use std::collections::BTreeSet;

use proptest::test_runner::Config;

use super::*;
use crate::sim::workload::{micros, millis, nanos};

/// So many values, the same each time.
fn draw(strategy: &impl Strategy<Value = Workload>, number: usize) -> Vec<Workload> {
    let mut runner = TestRunner::deterministic();
    let tree = |_| strategy.new_tree(&mut runner).expect("nothing is rejected").current();
    (0..number).map(tree).collect()
}

/// The name of a kind, as `Debug` has it.
fn kind_of(actor: &Actor) -> String {
    let text = format!("{:?}", actor.kind());
    text.split('(').next().unwrap_or_default().to_owned()
}

fn kinds(strategy: &Workloads) -> BTreeSet<String> {
    let loads = draw(strategy, 300);
    loads.iter().flat_map(Workload::actors).map(kind_of).collect()
}

/// Each strategy draws what it is called after, and mixtures draw it all.
#[test]
fn strategies_draw_their_kinds() {
    let only = |strategy: &Workloads, expected: &[&str]| {
        let expected: BTreeSet<_> = expected.iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!(kinds(strategy), expected);
    };
    only(&hogs(), &["hog"]);
    only(&sleepers(), &["sleeper"]);
    only(&bursty(), &["bursts"]);
    only(&churning(), &["churn"]);
    only(&crowds(), &["mass_wake"]);
    only(&timed(), &["timers"]);
    only(&trees(), &["tree"]);
    only(&talkers(), &["ping_pong", "fan_in"]);
    only(&floods(), &["flood"]);
    only(&hogs().and(floods()), &["hog", "flood"]);
    assert_eq!(kinds(&any()).len(), 9);
    assert_eq!(kinds(&any().and(floods())).len(), 10);
}

/// What is drawn keeps to the sizes, all of which occur, and always has an end.
#[test]
fn sizes_are_kept_to() {
    let strategy = any()
        .tenants(2..=30)
        .actors(0..=2)
        .copies(3..=5)
        .rounds(0..=7)
        .cost(micros(3)..=millis(40))
        .pause(nanos(0)..=micros(9))
        .crowd(2..=3)
        .weight(5..=6)
        .groups(1);
    let loads = draw(&strategy, 500);
    let mut sizes = BTreeSet::new();
    let mut costs = BTreeSet::new();
    for load in &loads {
        sizes.insert(load.tenants().len());
        assert!(load.totals().is_some() && !load.is_endless(), "{load:?}");
        let names: BTreeSet<_> = load.tenants().iter().map(Tenant::name).collect();
        assert_eq!(names.len(), load.tenants().len(), "each tenant has a name: {load:?}");
        for tenant in load.tenants() {
            assert!((5..=6).contains(&tenant.weight) && tenant.actors.len() <= 2);
            assert!(tenant.group.as_deref().is_none_or(|group| group == "group a"));
        }
        for actor in load.actors() {
            assert!((3..=5).contains(&actor.copies));
            assert!(actor.rounds.is_some_and(|rounds| (1..=7).contains(&rounds)));
            match actor.kind() {
                Kind::Hog { cost } | Kind::Tree { cost, .. } => {
                    assert!(cost.least() >= micros(3) && cost.most() <= millis(40));
                    costs.insert(cost.most());
                }
                Kind::Bursts { period, tasks, .. } | Kind::MassWake { tasks, period, .. } => {
                    assert!(!period.is_zero() && *period <= micros(9));
                    assert!((2..=3).contains(tasks));
                }
                _ => {}
            }
        }
    }
    assert_eq!(sizes, (2..=30).collect());
    // All orders of magnitude occur.
    assert!(costs.first().is_some_and(|cost| *cost < micros(10)), "{costs:?}");
    assert!(costs.last().is_some_and(|cost| *cost > millis(30)), "{costs:?}");
}

/// Whatever is drawn can be pasted back: text and value go together.
#[test]
fn equal_text_is_an_equal_workload() {
    let loads = draw(&any().and(floods()).tenants(1..=2), 300);
    for pair in loads.windows(2) {
        assert_eq!(format!("{:?}", pair[0]) == format!("{:?}", pair[1]), pair[0] == pair[1]);
    }
}

/// A tenant keeps its name while others are taken away, so that its draws stay the same.
#[test]
fn names_survive_shrinking() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let mut tree = hogs().tenants(8..=8).actors(1..=1).new_tree(&mut runner).expect("a tree");
    let heaviest = |load: &Workload| load.tenants().iter().any(|tenant| tenant.name() == "f");
    let mut goes_on = tree.simplify();
    while goes_on {
        goes_on = if heaviest(&tree.current()) { tree.simplify() } else { tree.complicate() };
    }
    let least = tree.current();
    assert!(heaviest(&least), "{least:?}");
}
