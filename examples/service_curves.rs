//! Draws what partitions got over time, as `docs/testing.md` shows it.
//!
//! ```text
//!   service │        ╱ steep: it has the thread
//!           │    ___╱
//!           │   ╱   level: others have it
//!           └──────────── time
//! ```
//!
//! `cargo run --release --example service_curves` writes
//!
//! ```text
//! docs/service_debt.svg
//! docs/service_groups.svg
//! docs/service_weights.svg
//! ```

use std::time::Duration;

use evenloop::sim::workload::{Workload, hog, micros, millis, tenant};
use evenloop::time::sleep;
use evenloop::{Partition, sim};

fn main() -> std::io::Result<()> {
    for (file, svg) in drawings() {
        std::fs::write(file, svg)?;
        println!("{file}");
    }
    Ok(())
}

/// The drawings, by the files that have them. They are the same each time.
pub(crate) fn drawings() -> [(&'static str, String); 3] {
    [
        ("docs/service_debt.svg", debt()),
        ("docs/service_groups.svg", groups()),
        ("docs/service_weights.svg", weights()),
    ]
}

/// A partition with handles of 3 ms beside one with short ones: it overdraws, and waits.
fn debt() -> String {
    let load = Workload::new()
        .with(tenant("handles of 3 ms").runs(hog(millis(3))))
        .with(tenant("handles of 20 µs").runs(hog(micros(20)).copies(50)));
    draw(&load, millis(30), async {})
}

/// A partition beside a group of four: as much for the one as for all of the group.
fn groups() -> String {
    let alone = Workload::new().with(tenant("alone").runs(hog(micros(50))));
    let load = ["a", "b", "c", "d"].into_iter().fold(alone, |load, name| {
        load.with(tenant(format!("{name}, in a group")).group("group").runs(hog(micros(50))))
    });
    draw(&load, millis(30), async {})
}

/// Weights of three and one, and a third partition that comes later: it gets its share from then
/// on, and nothing for the time before.
fn weights() -> String {
    let load = Workload::new()
        .with(tenant("weight 3").weight(3).runs(hog(micros(50))))
        .with(tenant("weight 1").runs(hog(micros(50))));
    draw(&load, millis(60), async {
        sleep(millis(20)).await;
        let late = Partition::builder("weight 2, late").weight(2).build();
        late.spawn(async {
            loop {
                sim::burn(micros(50)).await;
            }
        });
    })
}

/// Draws the first so many milliseconds of a workload, and of what comes besides.
fn draw(load: &Workload, time: Duration, besides: impl Future<Output = ()> + 'static) -> String {
    let sim = sim::Runtime::new(1);
    sim.block_on(async {
        // Goes on when nobody waits for its end any more.
        drop(load.spawn());
        evenloop::spawn(besides);
        sleep(time).await;
    });
    sim.trace().to_svg(..time)
}
