//! Two tenants on one loop: the one that pays three times as much gets three times as much,
//! although the other has ten times the tasks.
//!
//! ```text
//!             ┌─ "gold"   weight 3,  10 tasks   ███████████████  75 %
//!   the loop ─┤
//!             └─ "basic"  weight 1, 100 tasks   █████            25 %
//! ```
//!
//! `cargo run --example two_tenants` prints about this:
//!
//! ```text
//! gold   weight 3   10 tasks  75.0 % of the time
//! basic  weight 1  100 tasks  25.0 % of the time
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenloop::Partition;

/// One tenant, and the time its tasks have used so far.
struct Tenant {
    name: &'static str,
    weight: u32,
    tasks: usize,
    used: Rc<Cell<Duration>>,
}

fn main() {
    evenloop::block_on(async {
        let tenants = [tenant("gold", 3, 10), tenant("basic", 1, 100)];
        evenloop::time::sleep(Duration::from_secs(1)).await;

        let total: Duration = tenants.iter().map(|tenant| tenant.used.get()).sum();
        for Tenant { name, weight, tasks, used } in &tenants {
            let share = 100.0 * used.get().as_secs_f64() / total.as_secs_f64();
            println!("{name:<6} weight {weight} {tasks:>4} tasks {share:>5.1} % of the time");
        }
    });
}

/// Makes a tenant whose tasks always want to run.
fn tenant(name: &'static str, weight: u32, tasks: usize) -> Tenant {
    let partition = Partition::builder(name).weight(weight).build();
    let used = Rc::new(Cell::new(Duration::ZERO));
    for _ in 0..tasks {
        // Nobody awaits the tasks: they end with the runtime.
        drop(partition.spawn(work(used.clone())));
    }
    Tenant { name, weight, tasks, used }
}

/// Works in steps of about 20 µs and yields after each.
async fn work(used: Rc<Cell<Duration>>) {
    loop {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(20) {
            std::hint::spin_loop();
        }
        used.set(used.get() + start.elapsed());
        evenloop::yield_now().await;
    }
}
