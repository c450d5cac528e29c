//! A trace as comma-separated values, a line for each event.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Event, Trace};
use crate::trace::What;

/// The first line.
const HEAD: &str = "event,at_ns,partition,partition_number,task,task_name,spawned_at,what,detail";

impl Trace {
    /// Writes all events as comma-separated values, as RFC 4180 has them: a first line that names
    /// the columns, lines that end in CR LF, and quotes around what would be misread without.
    ///
    /// The columns are `event` (its place), `at_ns` (since the start of the run), `partition` and
    /// `partition_number`, `task` (a number, or `main`), `task_name`, `spawned_at`, `what`, and
    /// `detail`, which has what else is known as `name=value`, with spaces between. O(events).
    ///
    /// # Errors
    ///
    /// What `out` fails with.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        let mut line = String::new();
        line.push_str(HEAD);
        line.push_str("\r\n");
        for event in self.events() {
            write_event(&mut line, &event);
            line.push_str("\r\n");
            if line.len() >= 1 << 16 {
                out.write_all(line.as_bytes())?;
                line.clear();
            }
        }
        out.write_all(line.as_bytes())?;
        out.flush()
    }

    /// Returns all events as [`write_csv`](Self::write_csv) writes them.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut bytes = Vec::new();
        self.write_csv(&mut bytes).expect("a vector takes all");
        String::from_utf8(bytes).expect("names are text, and so is the rest")
    }
}

fn write_event(line: &mut String, event: &Event<'_>) {
    let _ = write!(line, "{},{},", event.index, event.at.as_nanos());
    quote(line, event.partition.unwrap_or_default());
    line.push(',');
    if let Some(number) = event.partition_number {
        let _ = write!(line, "{number}");
    }
    line.push(',');
    if let Some(task) = event.task {
        match task.number {
            Some(number) => drop(write!(line, "{number}")),
            None => line.push_str("main"),
        }
        line.push(',');
        quote(line, task.name.unwrap_or_default());
        line.push(',');
        let place = task.spawned_at.map(ToString::to_string);
        quote(line, &place.unwrap_or_default());
    } else {
        line.push_str(",,");
    }
    line.push(',');
    write_what(line, event.what);
}

/// Writes a field, in quotes if it has a comma, a quote or the end of a line in it.
fn quote(line: &mut String, field: &str) {
    if !field.contains([',', '"', '\r', '\n']) {
        line.push_str(field);
        return;
    }
    line.push('"');
    line.push_str(&field.replace('"', "\"\""));
    line.push('"');
}

/// Writes the last two fields.
fn write_what(line: &mut String, what: What) {
    let _ = match what {
        What::Created { weight, group: None } => write!(line, "created,weight={weight}"),
        What::Created { weight, group: Some(group) } => {
            write!(line, "created,weight={weight} group={group}")
        }
        What::Weight(weight) => write!(line, "weight,weight={weight}"),
        What::Freed => write!(line, "freed,"),
        What::GroupCreated { group, weight } => {
            write!(line, "group_created,group={group} weight={weight}")
        }
        What::GroupWeight { group, weight } => {
            write!(line, "group_weight,group={group} weight={weight}")
        }
        What::Wake => write!(line, "wake,"),
        What::Withdrawn { idle } => write!(line, "withdrawn,idle={idle}"),
        What::Roused { ahead, left } => write!(line, "roused,ahead={ahead} left={left}"),
        What::GroupStands { ahead, left } => write!(line, "group_stands,ahead={ahead} left={left}"),
        What::Ready { since } => write!(line, "ready,since={}", since.as_nanos()),
        What::Turn { express, fresh } => write!(line, "turn,express={express} fresh={fresh}"),
        What::TurnEnd(why) => write!(line, "turn_end,why={why}"),
        What::Run => write!(line, "run,"),
        What::Ran => write!(line, "ran,"),
        What::Done => write!(line, "done,"),
        What::Deliver { wakes } => write!(line, "deliver,wakes={wakes}"),
        What::Harvest { events } => write!(line, "harvest,events={events}"),
        What::Sleep { until: None } => write!(line, "sleep,"),
        What::Sleep { until: Some(until) } => write!(line, "sleep,until={}", until.as_nanos()),
        What::Round(round) => write!(line, "round,round={round}"),
        What::Start => write!(line, "start,"),
        What::Stop => write!(line, "stop,"),
    };
}
