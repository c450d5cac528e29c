//! A trace as a table, a line for each partition.

use std::fmt::{self, Write};
use std::ops::RangeBounds;
use std::time::Duration;

use super::{Trace, cost_text, plain};

/// Lines shown of a trace with more partitions than this.
const ROWS_MAX: usize = 40;

const HEADS: [&str; 11] = [
    "partition",
    "weight",
    "group",
    "handles",
    "service",
    "share",
    "wait p50",
    "p99",
    "max",
    "starved",
    "lag",
];

impl Trace {
    /// Returns a table of what each partition got of the window and how long it waited, the most
    /// served first. Of more than 40 partitions the first 40 are shown. O(events).
    ///
    /// `lag` is how far it fell behind its ideal share, `starved` the longest time it was runnable
    /// and not served.
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn to_table(&self, window: impl RangeBounds<Duration>) -> String {
        let (from, to) = self.window(window);
        let window = Duration::from_nanos(from)..Duration::from_nanos(to);
        let verdicts = self.verdicts(from, to);
        let busy = self.busy_time(window.clone());
        let shares = self.shares(window.clone());
        let mut rows = vec![HEADS.map(String::from).to_vec()];
        for share in shares.iter().take(ROWS_MAX) {
            let who = *self.partitions(share.name).last().expect("a name has a partition");
            let waits = self.waits(share.name, window.clone());
            let starved = self.starvation(share.name, window.clone());
            let lag = verdicts[self.place_of(who)].lag.worst;
            rows.push(vec![
                plain(share.name),
                self.last_weight(who).to_string(),
                plain(self.group_of(who).unwrap_or_default()),
                share.handles.to_string(),
                format!("{:?}", share.service),
                percent(share.service, busy),
                format!("{:?}", waits.quantile(0.5)),
                format!("{:?}", waits.quantile(0.99)),
                format!("{:?}", waits.max()),
                format!("{:?}", starved.map(|it| it.duration()).unwrap_or_default()),
                cost_text(self.settings(), lag.round() as u64),
            ]);
        }
        let mut table = align(&rows);
        if shares.len() > ROWS_MAX {
            let _ = writeln!(table, "… and {} others", shares.len() - ROWS_MAX);
        }
        table
    }

    fn last_weight(&self, who: u32) -> u32 {
        let weights = &self.history().lives[who as usize].weights;
        weights.last().expect("there is a first weight").1
    }

    /// The name of a partition's group.
    pub(crate) fn group_of(&self, who: u32) -> Option<&str> {
        let group = self.record().partitions[who as usize].group?;
        Some(self.group_name(group))
    }

    pub(crate) fn group_name(&self, group: u32) -> &str {
        &self.record().groups[group as usize].name
    }
}

fn percent(part: Duration, whole: Duration) -> String {
    if whole.is_zero() {
        return "-".into();
    }
    format!("{:.1}%", 100.0 * part.as_secs_f64() / whole.as_secs_f64())
}

/// Sets cells in columns: the name and the group to the left, numbers to the right.
fn align(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEADS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match HEADS[column] {
                "partition" | "group" => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

impl fmt::Display for Trace {
    /// The table of all of it, and the line `trace 0x…` with the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_table(..))?;
        write!(f, "trace {:#018x}: {} events in {:?}", self.hash(), self.counted(), self.end())?;
        if self.is_cut() {
            write!(f, ", of which the first {} are kept", self.len())?;
        }
        Ok(())
    }
}
