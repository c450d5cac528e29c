//! Moving the running task, or one of its futures, into another partition.
//!
//! [`switch_to`] moves the task that awaits it, for good. [`within`] moves it for one future, and
//! back. [`JoinHandle::adopt`](crate::JoinHandle::adopt) moves another task.
//!
//! A task is in the queue of one partition at any time. A move has the task woken, so it has one
//! handle to come, and that is queued in the new partition; the handle that asks for the move runs
//! and is paid for to its end where it began. The move changes what is created from the next handle
//! on, and sockets and timers follow when they are waited for there.
//!
//! Since it is the whole task that moves, the futures it polls together move together:
//!
//! | the move is | what becomes of the task |
//! |---|---|
//! | to where it is | nothing: no yield |
//! | in one branch of a `select!` or `join!` | all branches are polled in the new partition from then on |
//! | in two branches at once | the last `switch_to` decides; futures of `within` are polled each in its own place, one after the other |
//! | in a `within` | it ends with that `within` |
//! | followed by a panic | what unwinds, runs where it was; the `within`s it passes end |
//! | followed by an abort | the task is dropped in the partition it is in |
//! | begun, and dropped | a `switch_to` that was polled has moved the task; a `within` moves it back |
//! | into a partition that is closed meanwhile | it is one of that partition's tasks: it runs to its end, or is aborted with the others |
//! | into one that is closed already | a panic, before anything moves |
//! | away from a partition that nothing else refers to | that partition is freed; a `within` keeps the one to come back to |
//! | asked for off the loop's thread, or outside of tasks | a panic |

mod adopt;
mod residence;
mod signal;
mod wants;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;

use crate::runtime::context;
use crate::runtime::coop::{Progress, poll_proceed};
use crate::runtime::directory::Target;
use crate::runtime::inside::inside;
use crate::runtime::local::Local;
use crate::runtime::partition::{IntoPartition, Partition};
use crate::sched::PartitionId;
pub(crate) use residence::{Moves, Runner, Stage, Travels};
use signal::Signal;

/// Moves the running task into a partition, and returns the one it lived in before.
///
/// What follows runs there: the task goes to the tail of that partition's queue, what it creates is
/// created there, and the sockets and timers it waits for become that partition's. If it is there
/// already, nothing is done and nobody waits. A name or number that is not in use makes a partition,
/// as with [`spawn_in`](crate::spawn_in). It works the same in the future of `block_on`, which is
/// back in ROOT for the next one.
///
/// The handle that asks for the move is paid for by the partition it began in. The rest of the task
/// waits for its turn in the new one, and is paid for there.
///
/// It is the task that moves, with all futures it polls together: switched in one branch of a
/// `join!` or `select!`, the other branches are polled there too, and of two that switch the last
/// decides for both. For a part of a task there is [`within`]: what switches inside of one, is in
/// the new place until that `within` ends, and beside one it may be that the `within` has the task
/// first.
///
/// # Panics
///
/// Outside a runtime, outside a task (in a waker, say), if a [`Partition`] of another runtime is
/// given, and if the partition is closed or gone: ask [`Partition::is_closed`] where that can be.
/// One that is closed while the task is on its way has taken it in already.
///
/// # Cancel safety
///
/// Dropped unpolled it does nothing. Once polled, the task moves, though nobody waits for it: its
/// next handle runs in the new partition.
///
/// # Examples
///
/// ```
/// use evenloop::{Partition, switch_to};
///
/// evenloop::block_on(async {
///     let before = switch_to("bulk").await;
///     assert_eq!(before, Partition::root());
///     // Counted, paid for and queued with the bulk.
///     assert_eq!(Partition::current().name(), "bulk");
///     switch_to(before).await;
/// });
/// ```
pub fn switch_to(p: impl IntoPartition) -> impl Future<Output = Partition> {
    inside(SWITCH_TO, switch(p))
}

const SWITCH_TO: &str = "evenloop::switch_to";

async fn switch(p: impl IntoPartition) -> Partition {
    // A loop of switches to where one is must not hold the thread.
    poll_fn(|cx| poll_proceed(cx).map(Progress::made)).await;
    let (to, before) = {
        let local = context::expect(SWITCH_TO);
        local.mover(SWITCH_TO);
        let to = p.with_name(|name| local.destination(name, SWITCH_TO));
        if local.is_settled_in(&to) {
            return to;
        }
        (to, local.place())
    };
    let mut asked = None;
    poll_fn(|cx| {
        let local = context::expect(SWITCH_TO);
        let handle = (local.mover(SWITCH_TO), local.handle_number());
        match asked {
            // Moved, as is everything that runs now.
            Some((runner, asked)) if runner == handle.0 && asked != handle.1 => Poll::Ready(()),
            Some(same) if same == handle => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            // At first, and if another task than before polls.
            _ => {
                asked = Some(handle);
                local.settle_in(&to);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await;
    before
}

/// Has `fut` polled in a partition, and the running task back where it was when that is done.
///
/// Every poll of `fut` happens in `p`: to get there the task joins the tail of that partition's
/// queue, and when `fut` is done that of the partition it came from, before the output is returned.
/// What `fut` creates is created in `p`, and paid for there. If the task is in `p` already, nobody
/// waits. The future allocates a waker of its own.
///
/// It is the task that moves. Beside a `within` in a `join!` or `select!` the other branches are
/// polled where it has taken the task, at times when it is its turn; but the future of another
/// `within` is only ever polled in its own place, so of several each is polled where it belongs, and
/// only when it was woken. Several that are always ready take turns.
///
/// One inside of another goes from place to place, and comes back one by one. A
/// [`switch_to`] inside goes on for the rest of the `within`.
///
/// # Panics
///
/// When it is polled: outside a runtime, outside a task, for a [`Partition`] of another runtime, for
/// one that is closed or gone when the future is entered, and after it was done. Where it is to
/// return to may be closed: that took the task in once.
///
/// # Cancel safety
///
/// Dropped, it drops `fut` here and now, in the partition of the handle that drops it, and moves the
/// task back with its next handle.
///
/// # Examples
///
/// ```
/// use evenloop::{Partition, within};
///
/// # evenloop::block_on(async {
/// let sum = within("bulk", async {
///     assert_eq!(Partition::current().name(), "bulk");
///     (0..1_000).sum::<u64>()
/// });
/// assert_eq!(sum.await, 499_500);
/// assert_eq!(Partition::current(), Partition::root());
/// # });
/// ```
pub fn within<F: Future>(p: impl IntoPartition, fut: F) -> Within<F> {
    Within {
        content: Content::Running { fut },
        target: p.with_name(|name| name.to_target()),
        stay: Stay::default(),
        signal: Signal::new(),
    }
}

pin_project! {
    /// The future of [`within`].
    ///
    /// It may be polled by one task now and by another one later; the first then stays where it is.
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Within<F: Future> {
        #[pin]
        content: Content<F>,
        target: Target,
        // Behind what it holds, so that the stays in there end first.
        stay: Stay,
        signal: Arc<Signal>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[project_replace = ContentOwned]
    enum Content<F: Future> {
        Running { #[pin] fut: F },
        // On the way back.
        Done { output: F::Output },
        Over,
    }
}

const WITHIN: &str = "evenloop::within";

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let local = context::expect(WITHIN);
        let runner = local.mover(WITHIN);
        if this.stay.place.is_none() {
            let progress = ready!(poll_proceed(cx));
            assert!(
                !matches!(*this.content, Content::Over),
                "a Within was polled after it was done"
            );
            let place = local.destination(this.target.as_name(), WITHIN);
            *this.stay = Stay { place: Some(place), at: None, runner, token: local.next_token() };
            progress.made();
        }
        this.stay.runner = runner;
        if let ContentProjection::Running { fut } = this.content.as_mut().project() {
            ready!(this.stay.enter(&local, this.signal, cx));
            let output = ready!(this.stay.poll(&local, this.signal, fut));
            this.content.as_mut().project_replace(Content::Done { output });
        }
        ready!(this.stay.leave(&local, cx));
        match this.content.project_replace(Content::Over) {
            ContentOwned::Done { output } => Poll::Ready(output),
            _ => unreachable!("what is done has an output"),
        }
    }
}

impl<F: Future> fmt::Debug for Within<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").field("target", &self.target).finish_non_exhaustive()
    }
}

/// One task's time in a place; dropped early, it moves the task back.
#[derive(Debug, Default)]
struct Stay {
    /// The target, unless the future in there has switched to another place; `None` before it is
    /// entered and after it is left.
    place: Option<Partition>,
    /// Where something inside has taken the task, if that is where it was polled last.
    at: Option<PartitionId>,
    runner: Runner,
    token: u64,
}

impl Stay {
    /// Waits until the task is where the future is to be polled.
    fn enter(&mut self, local: &Local, signal: &Arc<Signal>, cx: &mut Context<'_>) -> Poll<()> {
        signal.watch(cx.waker());
        let place = self.place.as_ref().expect("it was entered");
        let here = Some(local.scope());
        if here == Some(place.id()) || here == self.at || local.is_here_for(self.token) {
            local.want_nothing(self.token);
            return Poll::Ready(());
        }
        // Something else has taken the task elsewhere. If nobody woke the future in here, the task
        // need not be fetched back.
        if signal.is_set() {
            local.ask(self.token, place, cx.waker());
        }
        Poll::Pending
    }

    fn poll<F: Future>(
        &mut self,
        local: &Local,
        signal: &Arc<Signal>,
        fut: Pin<&mut F>,
    ) -> Poll<F::Output> {
        signal.reset();
        let waker = Waker::from(Arc::clone(signal));
        let (place, ended) = (self.place.clone(), local.visits_ended());
        let polled = {
            let _enclosed = local.enclose(self.token, &mut self.place);
            fut.poll(&mut Context::from_waker(&waker))
        };
        let here = local.scope();
        let away = place.is_some_and(|place| place.id() != here && self.place == Some(place));
        self.at = (away && ended == local.visits_ended()).then_some(here);
        polled
    }

    /// Waits until the task is back where the `within` is polled.
    fn leave(&mut self, local: &Local, cx: &mut Context<'_>) -> Poll<()> {
        let outer = local.place();
        if local.is_in(&outer) {
            local.want_nothing(self.token);
            local.end_visit();
            (self.place, self.at) = (None, None);
            return Poll::Ready(());
        }
        local.ask(self.token, &outer, cx.waker());
        Poll::Pending
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            context::with_loop(place.shared(), |local| {
                local.leave(self.runner, self.token, &place)
            });
        }
    }
}
