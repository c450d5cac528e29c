//! `Debug` of workloads: the Rust that makes them.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use super::{Actor, Cost, Kind, Tenant, Workload};

/// A duration as a call of `secs`, `millis`, `micros` or `nanos`.
struct Time(Duration);

impl Debug for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let units = [("secs", 1_000_000_000), ("millis", 1_000_000), ("micros", 1_000)];
        let fits = |unit: &(&str, u128)| nanos > 0 && nanos % unit.1 == 0;
        let (name, size) = units.into_iter().find(fits).unwrap_or(("nanos", 1));
        write!(f, "{name}({})", nanos / size)
    }
}

impl Debug for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.least() == self.most() {
            return Time(self.least()).fmt(f);
        }
        write!(f, "{:?}..={:?}", Time(self.least()), Time(self.most()))
    }
}

impl Debug for Workload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Workload::new()")?;
        for tenant in &self.tenants {
            if f.alternate() {
                f.write_str("\n    ")?;
            }
            write!(f, ".with({tenant:?})")?;
        }
        if self.seed != 0 {
            if f.alternate() {
                f.write_str("\n    ")?;
            }
            write!(f, ".seed({:#x})", self.seed)?;
        }
        Ok(())
    }
}

impl Debug for Tenant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "tenant({:?})", self.name)?;
        if self.weight != 1 {
            write!(f, ".weight({})", self.weight)?;
        }
        if let Some(group) = &self.group {
            write!(f, ".group({group:?})")?;
        }
        if self.isolated {
            f.write_str(".isolated()")?;
        }
        for actor in &self.actors {
            write!(f, ".runs({actor:?})")?;
        }
        Ok(())
    }
}

impl Debug for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let time = |duration: &Duration| Time(*duration);
        match self {
            Self::Hog { cost } => write!(f, "hog({cost:?})"),
            Self::Sleeper { period, burst, cost } => {
                write!(f, "sleeper({:?}, {cost:?})", time(period))?;
                if *burst == 1 { Ok(()) } else { write!(f, ".burst({burst})") }
            }
            Self::Bursts { period, tasks, cost } => {
                write!(f, "bursts({:?}, {tasks}, {cost:?})", time(period))
            }
            Self::Churn { handles, cost, group } => {
                write!(f, "churn({handles}, {cost:?})")?;
                match group {
                    Some(group) => write!(f, ".group({group:?})"),
                    None => Ok(()),
                }
            }
            Self::MassWake { tasks, period, cost } => {
                write!(f, "mass_wake({tasks}, {:?}, {cost:?})", time(period))
            }
            Self::Timers { tasks, spread, cost } => {
                write!(f, "timers({tasks}, {:?}, {cost:?})", time(spread))
            }
            Self::Tree { fanout, depth, cost } => write!(f, "tree({fanout}, {depth}, {cost:?})"),
            Self::PingPong { peer, cost } => write!(f, "ping_pong({peer:?}, {cost:?})"),
            Self::FanIn { from, cost } => write!(f, "fan_in({from:?}, {cost:?})"),
            Self::Flood { clients, over, bytes, cost } => {
                write!(f, "flood({clients}, {:?}, {bytes}, {cost:?})", time(over))
            }
            Self::Nursery { tasks, cost } => write!(f, "nursery({tasks}, {cost:?})"),
            Self::Deadlines { period, cost } => {
                write!(f, "deadlines({:?}, {cost:?})", time(period))
            }
            Self::Closing { tasks, cost } => write!(f, "closing({tasks}, {cost:?})"),
            Self::Fickle { period } => write!(f, "fickle({:?})", time(period)),
            Self::Dominoes { tasks, cost } => write!(f, "dominoes({tasks}, {cost:?})"),
            Self::Remote { tasks, cost } => write!(f, "remote({tasks}, {cost:?})"),
        }
    }
}

impl Debug for Actor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if let Some(rounds) = self.rounds {
            write!(f, ".rounds({rounds})")?;
        }
        if self.copies != 1 {
            write!(f, ".copies({})", self.copies)?;
        }
        Ok(())
    }
}
