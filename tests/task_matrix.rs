//! What can be done to a task, at every moment of its life, however it ends, on the loop and from
//! other threads: what becomes of it is written down as a model, and each combination is tried.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use evenloop::{Handle, JoinError, JoinHandle, Runtime, spawn, yield_now};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// It only runs: the control.
    Nothing,
    Wake,
    /// Wakes it with the last waker there is, by value.
    SpendWaker,
    DropWaker,
    Abort,
    /// Drops the handle.
    Detach,
    AbortAndDetach,
    /// Polls the handle, and leaves a waker with it if it is not ready.
    Join,
}

const ACTS: [Act; 8] = [
    Act::Nothing,
    Act::Wake,
    Act::SpendWaker,
    Act::DropWaker,
    Act::Abort,
    Act::Detach,
    Act::AbortAndDetach,
    Act::Join,
];

/// At which moment of the task's life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    BeforeItsFirstPoll,
    InsideItsPoll,
    /// It has pended once and was woken: a handle of it is queued.
    Queued,
    /// It has ended, or pends.
    After,
    /// The runtime is gone.
    Gone,
}

const WHENS: [When; 5] =
    [When::BeforeItsFirstPoll, When::InsideItsPoll, When::Queued, When::After, When::Gone];

/// What the last poll says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Pends,
    Ready,
    Panics,
}

const ENDS: [End; 3] = [End::Pends, End::Ready, End::Panics];

#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    TheLoop,
    AnotherThread,
}

const PLACES: [On; 2] = [On::TheLoop, On::AnotherThread];

impl On {
    /// Does it there; done when this returns.
    fn run<R: Send + 'static>(self, f: impl FnOnce() -> R + Send + 'static) -> R {
        match self {
            On::TheLoop => f(),
            On::AnotherThread => thread::spawn(f).join().unwrap(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    spawned: On,
    acted: On,
    act: Act,
    when: When,
    end: End,
}

/// What the joiner was told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// Nothing, as there was no handle any more.
    Nothing,
    Output,
    Cancelled,
    Panicked,
}

/// All that can be seen of a task from outside.
#[derive(Debug, PartialEq)]
struct Facts {
    polls: usize,
    /// Drops of the future while the runtime still ran.
    drops_early: usize,
    drops: usize,
    outputs_dropped: usize,
    /// Panics that reached the hook, as no handle took them.
    unheard: usize,
    /// How often the waker that `Join` left was called.
    joiner_wakes: usize,
    told: Told,
}

impl Case {
    fn is_possible(self) -> bool {
        // Before its first poll nobody has a waker of a task.
        let wakes = matches!(self.act, Act::Wake | Act::SpendWaker | Act::DropWaker);
        !(wakes && self.when == When::BeforeItsFirstPoll)
    }

    /// What has to become of the task, written from the documentation of `JoinHandle`.
    fn expected(self) -> Facts {
        let Self { act, when, end, .. } = self;
        let pends = end == End::Pends;
        let aborts = matches!(act, Act::Abort | Act::AbortAndDetach);
        let detaches = matches!(act, Act::Detach | Act::AbortAndDetach);
        // Whoever ends first wins: the poll under way, or the abort.
        let is_cancelled = aborts
            && match when {
                When::BeforeItsFirstPoll | When::Queued => true,
                When::InsideItsPoll | When::After => pends,
                When::Gone => false,
            };
        let polls = match when {
            When::BeforeItsFirstPoll => usize::from(!is_cancelled),
            When::Queued => 1 + usize::from(!is_cancelled),
            When::InsideItsPoll | When::After | When::Gone => 1,
        };
        // A wake is one more poll: not if a poll is queued already, or the task has ended.
        let is_woken = matches!(act, Act::Wake | Act::SpendWaker)
            && pends
            && matches!(when, When::InsideItsPoll | When::After);
        let ends_itself = !pends && !is_cancelled;
        let was_over = when == When::Gone || when == When::After && !pends;
        Facts {
            polls: polls + usize::from(is_woken),
            drops_early: usize::from(ends_itself || is_cancelled),
            drops: 1,
            outputs_dropped: usize::from(ends_itself && end == End::Ready),
            unheard: usize::from(ends_itself && end == End::Panics && detaches),
            joiner_wakes: usize::from(act == Act::Join && !was_over),
            told: match end {
                _ if detaches => Told::Nothing,
                End::Ready if ends_itself => Told::Output,
                End::Panics if ends_itself => Told::Panicked,
                _ => Told::Cancelled,
            },
        }
    }
}

#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    drops: AtomicUsize,
    outputs_dropped: AtomicUsize,
    unheard: AtomicUsize,
    joiner_wakes: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

fn read(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

struct Output(Arc<Counts>);

impl Drop for Output {
    fn drop(&mut self) {
        count(&self.0.outputs_dropped);
    }
}

/// The waker of whoever joins.
struct Joiner(Arc<Counts>);

impl Wake for Joiner {
    fn wake(self: Arc<Self>) {
        count(&self.0.joiner_wakes);
    }
}

/// What the case and its task share.
#[derive(Clone)]
struct Stage {
    case: Case,
    counts: Arc<Counts>,
    handle: Arc<Mutex<Option<JoinHandle<Output>>>>,
    waker: Arc<Mutex<Option<Waker>>>,
    told: Arc<Mutex<Told>>,
}

impl Stage {
    fn new(case: Case) -> Self {
        Self {
            case,
            counts: Arc::default(),
            handle: Arc::default(),
            waker: Arc::default(),
            told: Arc::new(Mutex::new(Told::Nothing)),
        }
    }

    /// Does what the case says, if this is the moment.
    fn act(&self, now: When) {
        if self.case.when == now {
            let stage = self.clone();
            self.case.acted.run(move || stage.act_now());
        }
    }

    fn act_now(&self) {
        let waker = || self.waker.lock().unwrap().take();
        let handle = || self.handle.lock().unwrap().take();
        match self.case.act {
            Act::Nothing => {}
            Act::Wake => {
                let waker = waker().unwrap();
                waker.wake_by_ref();
                *self.waker.lock().unwrap() = Some(waker);
            }
            Act::SpendWaker => waker().unwrap().wake(),
            Act::DropWaker => drop(waker().unwrap()),
            Act::Abort => self.handle.lock().unwrap().as_ref().unwrap().abort(),
            Act::Detach => drop(handle().unwrap()),
            Act::AbortAndDetach => {
                let handle = handle().unwrap();
                handle.abort();
                drop(handle);
            }
            Act::Join => self.join(&Waker::from(Arc::new(Joiner(self.counts.clone())))),
        }
    }

    /// Polls the handle once, and notes what it tells.
    fn join(&self, waker: &Waker) {
        let Some(mut handle) = self.handle.lock().unwrap().take() else { return };
        let was_finished = handle.is_finished();
        match Pin::new(&mut handle).poll(&mut Context::from_waker(waker)) {
            Poll::Pending => {
                assert!(!was_finished, "{:?}: finished, and not ready", self.case);
                *self.handle.lock().unwrap() = Some(handle);
            }
            Poll::Ready(told) => *self.told.lock().unwrap() = tell(told),
        }
    }
}

fn tell(outcome: Result<Output, JoinError>) -> Told {
    match outcome {
        Ok(_) => Told::Output,
        Err(error) if error.is_panic() => Told::Panicked,
        Err(error) => {
            assert!(error.is_cancelled() && !error.is_refused());
            Told::Cancelled
        }
    }
}

/// The task: pends first if it is to be queued again, and then does what the case says.
struct Subject {
    stage: Stage,
    home: ThreadId,
}

impl Future for Subject {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let Stage { case, counts, waker, .. } = &self.stage;
        assert_eq!(thread::current().id(), self.home, "{case:?}: polled on a foreign thread");
        count(&counts.polls);
        let is_first = read(&counts.polls) == 1;
        let old = waker.lock().unwrap().replace(cx.waker().clone());
        drop(old);
        if is_first {
            self.stage.act(When::InsideItsPoll);
        }
        match case.end {
            _ if is_first && case.when == When::Queued => Poll::Pending,
            End::Pends => Poll::Pending,
            End::Ready => Poll::Ready(Output(counts.clone())),
            // Without the message that a panic prints.
            End::Panics => resume_unwind(Box::new("as the case says")),
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.home, "dropped on a foreign thread");
        count(&self.stage.counts.drops);
    }
}

/// Lets everything run that can, with what comes from other threads.
async fn settle() {
    for _ in 0..4 {
        yield_now().await;
    }
}

fn observe(case: Case) -> Facts {
    let stage = Stage::new(case);
    let counts = stage.counts.clone();
    let unheard = counts.clone();
    let runtime =
        Runtime::builder().on_unhandled_panic(move |_| count(&unheard.unheard)).build().unwrap();
    runtime.block_on(async {
        let subject = Subject { stage: stage.clone(), home: thread::current().id() };
        let handle = match case.spawned {
            On::TheLoop => spawn(subject),
            On::AnotherThread => {
                let remote = Handle::current();
                On::AnotherThread.run(move || remote.spawn(subject))
            }
        };
        *stage.handle.lock().unwrap() = Some(handle);
        stage.act(When::BeforeItsFirstPoll);
        settle().await;
        if case.when == When::Queued {
            let waker = stage.waker.lock().unwrap().clone();
            waker.unwrap().wake();
            stage.act(When::Queued);
            settle().await;
        }
        stage.act(When::After);
        settle().await;
    });
    let drops_early = read(&counts.drops);
    if let Some(handle) = &*stage.handle.lock().unwrap() {
        assert_eq!(handle.is_finished(), drops_early == 1, "{case:?}");
    }
    drop(runtime);
    stage.act(When::Gone);
    stage.join(Waker::noop());
    assert!(stage.handle.lock().unwrap().is_none(), "{case:?}: it has not ended");
    // What is left of the task now is its wakers.
    let waker = stage.waker.lock().unwrap().take();
    if let Some(waker) = waker {
        waker.wake();
    }
    let told = *stage.told.lock().unwrap();
    Facts {
        polls: read(&counts.polls),
        drops_early,
        drops: read(&counts.drops),
        outputs_dropped: read(&counts.outputs_dropped),
        unheard: read(&counts.unheard),
        joiner_wakes: read(&counts.joiner_wakes),
        told,
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for spawned in PLACES {
        for acted in PLACES {
            for act in ACTS {
                for when in WHENS {
                    cases.extend(ENDS.map(|end| Case { spawned, acted, act, when, end }));
                }
            }
        }
    }
    cases.retain(|case| case.is_possible());
    cases
}

/// Every act at every moment gives the outcome, the polls and the drops that it has to give: none
/// too many, and none too few.
#[test]
fn every_act_at_every_moment_has_its_outcome() {
    let cases = cases();
    assert_eq!(cases.len(), 2 * 2 * 3 * (8 * 5 - 3), "no combination is left out");
    let mut wrong = Vec::new();
    for case in cases {
        // A panic is a wrong outcome like others, and named with its case.
        match catch_unwind(AssertUnwindSafe(|| observe(case))) {
            Ok(seen) if seen == case.expected() => {}
            Ok(seen) => wrong.push(format!("{case:?}\n  {:?}\n  {seen:?}", case.expected())),
            Err(_) => wrong.push(format!("{case:?}\n  panicked")),
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The model tells apart what it has to: were all facts the same, it would prove nothing.
#[test]
fn the_model_tells_moments_apart() {
    let seen = |told: &dyn Fn(&Facts) -> usize| {
        let mut seen: Vec<_> = cases().iter().map(|case| told(&case.expected())).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(seen(&|facts| facts.polls), [0, 1, 2]);
    assert_eq!(seen(&|facts| facts.told as usize), [0, 1, 2, 3]);
    assert_eq!(seen(&|facts| facts.drops_early + 2 * facts.outputs_dropped), [0, 1, 3]);
    assert_eq!(seen(&|facts| facts.unheard + 2 * facts.joiner_wakes), [0, 1, 2]);
}
