//! The work, generic over the runtimes, and which of them does what.

mod crowds;
mod epoll;
mod io;
mod load;
mod memory;
mod network;
mod pure;
mod tasks;
mod threads;
mod ticks;

use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::peers::{
    Bare, Compio, Evenloop, Futures, Glommio, GlommioTuned, MonoioEpoll, MonoioUring, Smol, Tokio,
};
use crate::size::Size;

/// Does a work and tells the figures.
type Timed = fn(Size) -> Metrics;
/// Does so many operations.
type Counted = fn(usize);

/// The column of the floor of network works: a loop around `epoll_wait`.
const EPOLL: &str = "bare epoll";

/// One work, and the runtimes that offer what it takes.
struct Work<F> {
    name: &'static str,
    cells: Vec<(&'static str, F)>,
}

macro_rules! work {
    ($name:literal, $module:ident::$run:ident, $($peer:ident)+) => {
        Work { name: $name, cells: vec![$((<$peer as Peer>::NAME, $module::$run::<$peer> as _)),+] }
    };
    ($name:literal, $module:ident::$run:ident + $($peer:ident)+) => {
        Work {
            name: $name,
            cells: vec![
                (EPOLL, epoll::$run as _),
                $((<$peer as Peer>::NAME, $module::$run::<$peer> as _)),+
            ],
        }
    };
}

/// With those that have neither timers nor sockets.
macro_rules! all {
    ($name:literal, $module:ident::$run:ident) => {
        work!($name, $module::$run, Evenloop Tokio Smol Glommio GlommioTuned MonoioEpoll MonoioUring Compio Futures Bare)
    };
}

/// With those that have both.
macro_rules! full {
    ($name:literal, $module:ident::$run:ident) => {
        work!($name, $module::$run, Evenloop Tokio Smol Glommio GlommioTuned MonoioEpoll MonoioUring Compio)
    };
    ($name:literal, $module:ident::$run:ident + floor) => {
        work!($name, $module::$run + Evenloop Tokio Smol Glommio GlommioTuned MonoioEpoll MonoioUring Compio)
    };
}

fn counted_works() -> Vec<Work<Counted>> {
    vec![
        all!("yield", pure::yields),
        all!("yield of 1000", pure::yields_of_many),
        all!("spawn and join", pure::spawn_and_join),
        all!("spawn and join many", pure::spawn_and_join_many),
        all!("spawn and join from main", pure::spawn_and_join_from_main),
        all!("ping-pong", pure::ping_pong),
        full!("timeout", pure::timeout),
    ]
}

fn timed_works() -> Vec<Work<Timed>> {
    let alone = |name, run: Timed| Work { name, cells: vec![(Evenloop::NAME, run)] };
    vec![
        all!("yield", tasks::yields),
        all!("spawn and join", tasks::spawn_one),
        all!("ping-pong", tasks::ping_pong),
        full!("timeout", tasks::timeout),
        all!("spawn many", tasks::spawn_many),
        all!("poll many", tasks::poll_many),
        all!("poll crowd", tasks::poll_crowd),
        all!("yield_now one", tasks::yield_one),
        all!("yield_now many", tasks::yield_many),
        all!("bounded channel", tasks::channels),
        full!("cross ping-pong", threads::ping_pong),
        full!("cross spinning", threads::spinning),
        full!("cross flood", threads::flood),
        full!("arm and cancel", io::arm_and_cancel),
        full!("sleep together", io::sleeps_expire),
        full!("sleep apart", io::sleeps_apart),
        full!("echo one", io::echo_one),
        full!("echo many", io::echo_many),
        full!("beside sockets", crowds::beside_sockets),
        alone("beside partitions", crowds::beside_partitions),
        alone("crowd in 1", crowds::crowd_in::<Evenloop, 1, 100>),
        alone("crowd in 1000", crowds::crowd_in::<Evenloop, 1000, 100>),
        Work {
            name: "crowd in 10",
            cells: vec![
                (Evenloop::NAME, crowds::crowd_in::<Evenloop, 10, 100>),
                (Glommio::NAME, crowds::crowd_in::<Glommio, 10, 100>),
            ],
        },
        Work {
            name: "crowd in 100,000",
            cells: vec![
                (Evenloop::NAME, crowds::crowd_in::<Evenloop, 100_000, 100>),
                // A hundred polls each would take it a quarter of an hour.
                (Glommio::NAME, crowds::crowd_in::<Glommio, 100_000, 1>),
            ],
        },
        alone("one by one in 10", crowds::crowd_one_by_one::<10>),
        alone("one by one in 100,000", crowds::crowd_one_by_one::<100_000>),
        alone("one in each of 1000", crowds::one_in_each_of_1000),
        all!("memory of a task", memory::task),
        alone("memory of a partition", memory::partition),
        full!("health tick", ticks::health),
        full!("echo server", network::echo + floor),
        full!("health listener", network::own_listener + floor),
        full!("shared listener", network::shared_listener + floor),
        full!("idle connections", network::idle + floor),
    ]
}

fn find<F: Copy>(works: Vec<Work<F>>, work: &str, peer: &str) -> Option<F> {
    let work = works.into_iter().find(|each| each.name == work)?;
    work.cells.into_iter().find(|(name, _)| *name == peer).map(|(_, run)| run)
}

/// Finds what `peer` does for `work`.
pub(crate) fn timed(work: &str, peer: &str) -> Option<Timed> {
    find(timed_works(), work, peer)
}

/// Finds what `peer` does for `work`, to be counted.
pub(crate) fn counted(work: &str, peer: &str) -> Option<Counted> {
    find(counted_works(), work, peer)
}

/// Returns who takes part in a work; nobody in one that is not there.
pub(crate) fn peers(work: &str, counted: bool) -> Vec<&'static str> {
    fn names<F>(works: Vec<Work<F>>, work: &str) -> Vec<&'static str> {
        let found = works.into_iter().find(|each| each.name == work);
        found.into_iter().flat_map(|work| work.cells).map(|(name, _)| name).collect()
    }
    if counted { names(counted_works(), work) } else { names(timed_works(), work) }
}
