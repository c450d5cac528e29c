//! How readiness reaches partitions: P10 and P11.

use std::time::Duration;

use super::order::events;
use super::{At, Violation, asserts, quoted, served_most, served_since};
use crate::sim::Trace;
use crate::sim::trace::Change;
use crate::trace::{Packed, What};

asserts! {
    /// Asserts P10 and P11. A ready source or due timer of an idle partition is noticed within one
    /// harvest period and one handle, or 64 handles where the budget does not measure them; and
    /// the deliveries before and after that handle, should these take time. And
    /// what is noticed is delivered after at most the handles that were queued in the partition by
    /// then.
    assert_delivered_within, check_delivered_within;
}

/// Handles between two looks at the clock, at most, where they are not timed.
const UNTIMED: usize = 64;

/// Checks P10 and P11: readiness of an idle partition is noticed within a harvest period and a
/// handle, and delivered after at most the handles that were queued by then.
///
/// # Errors
///
/// The first readiness that was noticed or delivered later. O(events).
pub fn check_delivered_within(trace: &Trace) -> Result<(), Violation> {
    let mut post =
        Post { trace, offices: vec![Office::default(); trace.record().partitions.len()], begun: 0 };
    let mut moves = trace.history().moves.iter().peekable();
    for (index, event) in events(trace) {
        post.note(index, event)?;
        while let Some(change) = moves.next_if(|change| change.event == index) {
            match change.change {
                Change::Comes(who) => post.offices[who as usize].idle_since = None,
                Change::Goes(who) => post.goes(who, change.at),
                Change::Begins(_) => post.begun += 1,
                _ => {}
            }
        }
    }
    Ok(())
}

/// What is to be delivered, in all partitions.
struct Post<'a> {
    trace: &'a Trace,
    offices: Vec<Office>,
    /// The handles and deliveries that have begun.
    begun: usize,
}

/// What is to be delivered to one partition.
#[derive(Clone)]
struct Office {
    /// Handles queued.
    queued: usize,
    /// `None` while it is runnable.
    idle_since: Option<u64>,
    due: Option<Due>,
}

impl Default for Office {
    fn default() -> Self {
        Self { queued: 0, idle_since: Some(0), due: None }
    }
}

/// Something was noticed, and has not been delivered.
#[derive(Clone, Copy)]
struct Due {
    event: u32,
    /// Handles that were queued by then, and those that have run since.
    queued: usize,
    ran: usize,
}

impl Post<'_> {
    fn note(&mut self, index: u32, event: Packed) -> Result<(), Violation> {
        let Some(office) = self.offices.get_mut(event.partition as usize) else { return Ok(()) };
        match event.what() {
            What::Wake => office.queued += 1,
            What::Withdrawn { .. } => office.queued = office.queued.saturating_sub(1),
            What::Run => {
                office.queued = office.queued.saturating_sub(1);
                if let Some(due) = &mut office.due {
                    due.ran += 1;
                    if due.ran > due.queued {
                        let due = *due;
                        return Err(self.not_delivered(index, event, due));
                    }
                }
            }
            What::Deliver { .. } | What::Freed => office.due = None,
            What::Ready { since } => {
                let queued = office.queued;
                office.due.get_or_insert(Due { event: index, queued, ran: 0 });
                let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
                if let Some(idle) = office.idle_since {
                    // What was so before the partition went idle is no news.
                    return self.noticed(index, event, since.max(idle));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn goes(&mut self, who: u32, at: u64) {
        // Who has something due is not idle: the timer or the source has gone.
        let office = &mut self.offices[who as usize];
        (office.idle_since, office.due) = (Some(at), None);
    }

    /// Something of an idle partition was noticed that was so since `since`.
    fn noticed(&self, index: u32, event: Packed, since: u64) -> Result<(), Violation> {
        let record = self.trace.record();
        let handles = self.last_run(since);
        let bound = record.harvest_period.saturating_add(handles);
        let late = event.at.saturating_sub(since);
        if late <= bound {
            return Ok(());
        }
        let nanos = Duration::from_nanos;
        let story = format!(
            "a source or timer of {}, idle then, was ready at {:?} and noticed at {}, {:?} later, \
             where {:?} are allowed: {:?} between two harvests and {:?} for what ran; {}",
            quoted(self.trace, event.partition),
            nanos(since),
            At(self.trace, index),
            nanos(late),
            nanos(bound),
            nanos(record.harvest_period),
            nanos(handles),
            served_since(self.trace, (self.event_at(since), since), index),
        );
        Err(Violation::new(self.trace, "P10", index, story))
    }

    /// How long the last handle ran, or as many as are not timed, and the deliveries around it.
    fn last_run(&self, since: u64) -> u64 {
        let mut left = if self.trace.settings().timed() { 1 } else { UNTIMED };
        let handles = self.trace.history().handles[..self.begun].iter().rev();
        let mut sum = 0;
        for handle in handles.take_while(|handle| handle.end > since) {
            if !handle.delivery {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            sum += handle.elapsed();
        }
        sum
    }

    /// The last event that was not after a time.
    fn event_at(&self, at: u64) -> u32 {
        let after = self.trace.record().events.partition_point(|event| event.at <= at);
        after.saturating_sub(1) as u32
    }

    fn not_delivered(&self, index: u32, event: Packed, due: Due) -> Violation {
        let noticed = self.trace.record().events[due.event as usize].at;
        let story = format!(
            "a source or timer of {} was noticed at {} with {} handles queued, and is not delivered \
             when handle {} runs, at {}, {:?} later; {}",
            quoted(self.trace, event.partition),
            At(self.trace, due.event),
            due.queued,
            due.ran,
            At(self.trace, index),
            Duration::from_nanos(event.at - noticed),
            served_most(self.trace, due.event, index),
        );
        Violation::new(self.trace, "P11", index, story)
    }
}
