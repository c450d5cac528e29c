//! The rows of the table: which figure of which work, and what evenloop is to reach.

/// How a work is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    /// By the clock.
    Cell,
    /// By valgrind, in instructions an operation.
    Counted,
}

/// What evenloop is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Nothing was set.
    None,
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// At least this part of what a runtime has.
    PartOf(&'static str, f64),
    /// At most so many times what evenloop has in the same figure of another work, and at most so
    /// much.
    TimesOf(&'static str, f64, f64),
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) program: Program,
    pub(crate) work: &'static str,
    pub(crate) figure: &'static str,
    /// Whether less of it is better.
    pub(crate) less: bool,
    pub(crate) target: Target,
}

const fn row(
    name: &'static str,
    unit: &'static str,
    program: Program,
    (work, figure): (&'static str, &'static str),
    target: Target,
) -> Row {
    let less = !matches!(target, Target::AtLeast(_) | Target::PartOf(..));
    Row { name, unit, program, work, figure, less, target }
}

impl Row {
    /// More of it is better, though there is no target.
    const fn more(mut self) -> Self {
        self.less = false;
        self
    }
}

/// Those with a target first, then those that show where time goes.
pub(crate) fn rows() -> Vec<Row> {
    use Program::{Cell, Counted};
    use Target::{AtLeast, AtMost, None, PartOf, TimesOf};
    vec![
        row("yield", "instructions", Counted, ("yield", "count"), AtMost(120.0)),
        row("spawn and join", "instructions", Counted, ("spawn and join", "count"), AtMost(360.0)),
        row(
            "ping-pong, round trip",
            "instructions",
            Counted,
            ("ping-pong", "count"),
            AtMost(950.0),
        ),
        row("timeout pattern", "instructions", Counted, ("timeout", "count"), AtMost(220.0)),
        row("yield, 1000 tasks", "instructions", Counted, ("yield of 1000", "count"), None),
        row(
            "spawn and join, 100 at once",
            "instructions",
            Counted,
            ("spawn and join many", "count"),
            None,
        ),
        row(
            "spawn and join, from block_on",
            "instructions",
            Counted,
            ("spawn and join from main", "count"),
            None,
        ),
        row("yield, CPU", "ns", Cell, ("yield", "cpu"), None),
        row("spawn and join, CPU", "ns", Cell, ("spawn and join", "cpu"), None),
        row("ping-pong, round trip, CPU", "ns", Cell, ("ping-pong", "cpu"), None),
        row("timeout pattern, CPU", "ns", Cell, ("timeout", "cpu"), None),
        row("100k sleeps in 100 ms, CPU", "ns", Cell, ("sleep apart", "cpu"), AtMost(700.0)),
        row("100k sleeps, late p99", "ms", Cell, ("sleep apart", "p99"), AtMost(1.0)),
        row("wake across threads, spinning", "ns", Cell, ("cross spinning", "wall"), AtMost(600.0)),
        row("flood of 1M across threads", "ns", Cell, ("cross flood", "wall"), AtMost(250.0)),
        row("echo server, user CPU", "µs", Cell, ("echo server", "user"), AtMost(0.32)),
        row(
            "echo server, requests",
            "1/s",
            Cell,
            ("echo server", "requests"),
            PartOf("bare epoll", 0.97),
        ),
        row(
            "100k tasks in 100k groups",
            "ns",
            Cell,
            ("crowd in 100,000", "cpu"),
            TimesOf("crowd in 10", 1.3, 60.0),
        ),
        row("100k tasks in 10 groups", "ns", Cell, ("crowd in 10", "cpu"), None),
        row(
            "pending task with 64 bytes",
            "bytes",
            Cell,
            ("memory of a task", "bytes"),
            AtMost(160.0),
        ),
        row("the same, resident", "bytes", Cell, ("memory of a task", "resident"), None),
        row("idle partition", "bytes", Cell, ("memory of a partition", "bytes"), AtMost(200.0)),
        row("idle partition, resident", "bytes", Cell, ("memory of a partition", "resident"), None),
        row("10 ms health tick, late p50", "ms", Cell, ("health tick", "p50"), AtMost(0.02)),
        row("10 ms health tick, late p99", "ms", Cell, ("health tick", "p99"), AtMost(0.04)),
        row("bulk beside it, polls", "1/s", Cell, ("health tick", "polls"), PartOf("tokio", 0.99)),
        row("health probe, own port, p50", "ms", Cell, ("health listener", "p50"), AtMost(0.1)),
        row("health probe, own port, p99", "ms", Cell, ("health listener", "p99"), AtMost(0.3)),
        row("the same, bulk requests", "1/s", Cell, ("health listener", "requests"), None).more(),
        row(
            "the same, least/most served",
            "",
            Cell,
            ("health listener", "evenness"),
            AtLeast(0.95),
        ),
        row("health probe, shared port, p50", "ms", Cell, ("shared listener", "p50"), AtMost(0.3)),
        row("health probe, shared port, p99", "ms", Cell, ("shared listener", "p99"), AtMost(0.6)),
        row(
            "shared port, least/most served",
            "",
            Cell,
            ("shared listener", "evenness"),
            AtLeast(0.95),
        ),
        row("10k idle connections, CPU in 3 s", "ms", Cell, ("idle connections", "cpu"), None),
        row("10k idle connections, wake-ups", "", Cell, ("idle connections", "wakes"), AtMost(0.0)),
        row("spawn and join, 1000 at once", "ns", Cell, ("spawn many", "cpu"), None),
        row("poll, 1000 tasks", "ns", Cell, ("poll many", "cpu"), None),
        row("poll, 100,000 tasks", "ns", Cell, ("poll crowd", "cpu"), None),
        row("yield_now, 1 task", "ns", Cell, ("yield_now one", "cpu"), None),
        row("yield_now, 1000 tasks", "ns", Cell, ("yield_now many", "cpu"), None),
        row("bounded channel, a message", "ns", Cell, ("bounded channel", "cpu"), None),
        row("cross-thread ping-pong, wall", "ns", Cell, ("cross ping-pong", "wall"), None),
        row("cross-thread ping-pong, CPU", "ns", Cell, ("cross ping-pong", "cpu"), None),
        row("flood across threads, CPU", "ns", Cell, ("cross flood", "cpu"), None),
        row("timer, arm and cancel", "ns", Cell, ("arm and cancel", "cpu"), None),
        row("timer, 10,000 tasks sleep", "ns", Cell, ("sleep together", "cpu"), None),
        row("TCP echo in one loop, 1, wall", "ns", Cell, ("echo one", "wall"), None),
        row("TCP echo in one loop, 1, CPU", "ns", Cell, ("echo one", "cpu"), None),
        row("TCP echo in one loop, 64", "ns", Cell, ("echo many", "cpu"), None),
        row("poll beside 10,000 idle sockets", "ns", Cell, ("beside sockets", "cpu"), None),
        row("poll beside 100k idle partitions", "ns", Cell, ("beside partitions", "cpu"), None),
        row("100k tasks in 1 partition", "ns", Cell, ("crowd in 1", "cpu"), None),
        row("100k tasks in 1000", "ns", Cell, ("crowd in 1000", "cpu"), None),
        row("the same in 10, turns of 1", "ns", Cell, ("one by one in 10", "cpu"), None),
        row("the same in 100k, turns of 1", "ns", Cell, ("one by one in 100,000", "cpu"), None),
        row("1000 tasks in 1000 partitions", "ns", Cell, ("one in each of 1000", "cpu"), None),
    ]
}
