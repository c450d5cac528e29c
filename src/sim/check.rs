//! Properties of simulations: many cases from one number, and the one line that replays a failure.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{
    AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook,
};
use std::sync::{Arc, Mutex, Once, PoisonError};

use fastrand::Rng;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};

use super::{Builder, Runtime, Trace};
use crate::trace::Record;

/// The least and the most cases that are tried if nobody says how many.
const CASES: (u32, u32) = (64, 256);
/// Handles after which the least will do.
const HANDLES: u64 = 100_000;
/// Attempts to make a failing case smaller.
const SHRINKS: u32 = 4_096;

/// The variables of the environment.
const SEED: &str = "EVENLOOP_SIM_SEED";
const COUNT: &str = "EVENLOOP_SIM_CASES";

/// Checks that `property` holds of every value that `strategy` draws, each time in a simulation of
/// its own.
///
/// It is called with the value and a fresh [`Runtime`], and fails by panicking; a panic of a task
/// that nobody joins is a failure too. 64 cases are tried, or more until 100,000 handles have run,
/// at most 256. Everything that is drawn, the value as well as what the rules of the runtime leave
/// open, comes from one seed, which is another one each time.
///
/// | variable of the environment | sets |
/// |---|---|
/// | `EVENLOOP_SIM_CASES` | how many cases are tried |
/// | `EVENLOOP_SIM_SEED` | the one case that is tried, as a failure names it |
///
/// [`Check`] has settings.
///
/// # Panics
///
/// If the property fails: with what it said, the least value of which it fails, one line that
/// replays exactly that, and who got what in that run:
///
/// ```text
/// `h` waited 52µs
///   at tests/waits.rs:12:9
///   of Workload::new().with(tenant("h").runs(hog(micros(26)).rounds(1).copies(3)))
///   again: EVENLOOP_SIM_SEED=0x93f8a4b1c2d3e4f5 cargo test waits_are_short
///
/// partition  weight  group  handles  service   share  wait p50   p99   max  starved  lag
/// h               1               3     78µs  100.0%      26µs  52µs  52µs      0ns  0ns
/// ROOT            1               2      0ns    0.0%       0ns   0ns   0ns      0ns  0ns
/// trace 0x46dbaa4556cb041a: 29 events in 78µs
/// ```
///
/// # Examples
///
/// ```
/// use evenloop::sim::{check, workload};
///
/// check(workload::any(), |load, sim| {
///     let totals = load.totals().expect("it ends");
///     let counts = sim.block_on(async { load.spawn().await });
///     assert_eq!(counts.handles, totals.handles);
/// });
/// ```
#[track_caller]
pub fn check<S: Strategy>(strategy: S, property: impl Fn(S::Value, &Runtime)) -> Passed {
    Check::new().run(strategy, property)
}

/// Checks that `property` holds in so many simulations, each with another seed. As [`check`] for
/// what draws nothing itself.
///
/// # Panics
///
/// If the property fails, as [`check`] does.
///
/// # Examples
///
/// ```
/// use evenloop::sim::check_seeds;
/// use evenloop::{spawn, yield_now};
///
/// check_seeds(10, |sim| {
///     let answer = sim.block_on(async { spawn(async { 6 * 7 }).await });
///     assert_eq!(answer.unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn check_seeds(cases: u32, property: impl Fn(&Runtime)) -> Passed {
    Check::new().cases(cases).run(Just(()), |(), sim| property(sim))
}

/// How a property is checked, and of what runtime.
///
/// # Examples
///
/// ```
/// use evenloop::Budget;
/// use evenloop::sim::{Check, workload};
///
/// Check::new()
///     .cases(20)
///     .runtime(|builder| builder.budget(Budget::handles(8)))
///     .run(workload::hogs(), |load, sim| {
///         sim.block_on(async { load.spawn().await });
///     });
/// ```
#[must_use = "nothing is checked before `run`"]
pub struct Check {
    cases: Option<u32>,
    handles: Option<u64>,
    seed: Option<u64>,
    configure: Box<dyn Fn(Builder) -> Builder>,
}

impl Check {
    /// Begins with the settings of [`check`].
    pub fn new() -> Self {
        Self { cases: None, handles: None, seed: None, configure: Box::new(|builder| builder) }
    }

    /// Tries so many cases.
    pub fn cases(mut self, cases: u32) -> Self {
        self.cases = Some(cases);
        self
    }

    /// Tries cases until so many handles have run in them, however many cases that takes.
    pub fn handles(mut self, handles: u64) -> Self {
        self.handles = Some(handles);
        self
    }

    /// Begins with the case of this seed; those that follow are drawn from it. Without one, every
    /// run tries others.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Describes the runtimes further; the seed is set already.
    pub fn runtime(mut self, configure: impl Fn(Builder) -> Builder + 'static) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Does as the environment says, if it says anything. [`run`](Self::run) does this by itself.
    ///
    /// # Panics
    ///
    /// If a variable of the environment is no number.
    #[track_caller]
    pub fn environment(mut self) -> Self {
        self.cases = number(COUNT).map(|n| u32::try_from(n).unwrap_or(u32::MAX)).or(self.cases);
        if let Some(seed) = number(SEED) {
            (self.seed, self.cases) = (Some(seed), Some(1));
        }
        self
    }

    /// Checks the property. What the environment says comes first. Returns how much was tried.
    ///
    /// # Panics
    ///
    /// If the property fails, as [`check`] does; and if a variable of the environment is no
    /// number.
    #[track_caller]
    pub fn run<S: Strategy>(self, strategy: S, property: impl Fn(S::Value, &Runtime)) -> Passed {
        self.run_with(strategy, |builder, _| builder, property)
    }

    /// Checks the property of runtimes that `configure` describes further, value by value.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use evenloop::Budget;
    /// use evenloop::sim::{Check, workload};
    ///
    /// Check::new().cases(20).run_with(
    ///     (1..100_u32, workload::hogs()),
    ///     |builder, (handles, _)| builder.budget(Budget::handles(*handles)),
    ///     |(_, load), sim| {
    ///         sim.block_on(async { load.spawn().await });
    ///     },
    /// );
    /// ```
    #[track_caller]
    pub fn run_with<S: Strategy>(
        self,
        strategy: S,
        configure: impl Fn(Builder, &S::Value) -> Builder,
        property: impl Fn(S::Value, &Runtime),
    ) -> Passed {
        match self.environment().try_run_with(strategy, configure, property) {
            Ok(passed) => passed,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Checks the property, whatever the environment says unless it was
    /// [asked](Self::environment).
    ///
    /// # Errors
    ///
    /// The least value of which it failed.
    ///
    /// # Panics
    ///
    /// If the strategy rejects all that it draws.
    pub fn try_run<S: Strategy>(
        &self,
        strategy: S,
        property: impl Fn(S::Value, &Runtime),
    ) -> Result<Passed, Failure<S::Value>> {
        self.try_run_with(strategy, |builder, _| builder, property)
    }

    /// Checks the property as [`run_with`](Self::run_with) does, whatever the environment says.
    ///
    /// # Errors
    ///
    /// The least value of which it failed.
    ///
    /// # Panics
    ///
    /// If the strategy rejects all that it draws.
    pub fn try_run_with<S: Strategy>(
        &self,
        strategy: S,
        configure: impl Fn(Builder, &S::Value) -> Builder,
        property: impl Fn(S::Value, &Runtime),
    ) -> Result<Passed, Failure<S::Value>> {
        let first = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let seen = Seen::default();
        let mut cases = 0;
        while !self.is_enough(cases, seen.handles.get()) {
            let seed = seed_of(first, cases);
            let mut runner = TestRunner::new_with_rng(config(), random(seed));
            let tree = strategy.new_tree(&mut runner).unwrap_or_else(|reason| {
                panic!("the strategy drew nothing that it would not reject: {reason}")
            });
            let build =
                |builder, value: &S::Value| configure((self.configure)(builder), value).build();
            let attempt = |value| attempt(seed, value, &build, &property, &seen);
            match runner.run_one(tree, attempt) {
                Ok(_) => cases += 1,
                Err(TestError::Fail(reason, value)) => {
                    let reason = reason.message().to_owned();
                    let trace = seen.failed.take().as_ref().map(Trace::of);
                    return Err(Failure { seed, value, reason, trace });
                }
                Err(TestError::Abort(reason)) => panic!("the check was given up: {reason}"),
            }
        }
        Ok(Passed { cases, handles: seen.handles.get() })
    }

    fn is_enough(&self, cases: u32, handles: u64) -> bool {
        let (least, most) = CASES;
        match (self.cases, self.handles) {
            (Some(wanted), _) => cases >= wanted,
            (None, Some(wanted)) => handles >= wanted,
            (None, None) => cases >= most || (cases >= least && handles >= HANDLES),
        }
    }
}

/// Calls the property once. It fails if it panics, or a task of it does that nobody joins.
fn attempt<V>(
    seed: u64,
    value: V,
    build: &impl Fn(Builder, &V) -> Runtime,
    property: &impl Fn(V, &Runtime),
    seen: &Seen,
) -> TestCaseResult {
    let lost = Arc::new(Mutex::new(None));
    let keep = lost.clone();
    let builder = Runtime::builder().seed(seed).on_unhandled_panic(move |panic| {
        let mut first = keep.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| panic.to_string());
    });
    let first_lost = || lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut record = None;
    let silence = Silence::begin();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let sim = build(builder, &value);
        let outcome = catch_unwind(AssertUnwindSafe(|| property(value, &sim)));
        seen.handles.set(seen.handles.get() + sim.handle().metrics().handles);
        if outcome.is_err() || first_lost().is_some() {
            record = sim.with_record(Record::clone);
        }
        outcome.unwrap_or_else(|payload| resume_unwind(payload));
    }));
    let told = silence.end();
    let reason = match (outcome, first_lost()) {
        (Ok(()), None) => return Ok(()),
        (Ok(()), Some(lost)) => lost,
        (Err(payload), lost) => {
            let reason = told.unwrap_or_else(|| text_of(&*payload));
            // It may well be the cause.
            lost.map_or(reason.clone(), |lost| format!("{reason}\n  before that, {lost}"))
        }
    };
    seen.failed.replace(record);
    Err(TestCaseError::fail(reason))
}

/// What a check has seen so far.
#[derive(Default)]
struct Seen {
    handles: Cell<u64>,
    /// Of the last attempt that failed, which is the one that is told.
    failed: RefCell<Option<Record>>,
}

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("cases", &self.cases)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// A property that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// The cases that were tried.
    pub cases: u32,
    /// The handles that ran in them.
    pub handles: u64,
}

/// A property that failed.
///
/// Its `Display` output is what [`check`] panics with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure<V> {
    /// The seed of the case.
    pub seed: u64,
    /// The least value of which it fails.
    pub value: V,
    /// What the property said of that.
    pub reason: String,
    /// What happened in that run, up to the failure; `None` if there was no run, or if it failed
    /// when it was over.
    pub trace: Option<Trace>,
}

impl<V: fmt::Debug> fmt::Display for Failure<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if size_of::<V>() > 0 {
            write!(f, "\n  of {}", shown(&self.value))?;
        }
        write!(f, "\n  again: {SEED}={:#x} {}", self.seed, again())?;
        let trace = self.trace.as_ref().filter(|trace| !trace.is_empty());
        trace.map_or(Ok(()), |trace| write!(f, "\n\n{trace}"))
    }
}

impl<V: fmt::Debug> std::error::Error for Failure<V> {}

/// A value on a line if it fits there, else on several.
fn shown(value: &impl fmt::Debug) -> String {
    const LINE: usize = 100;
    let line = format!("{value:?}");
    match line.chars().count() <= LINE {
        true => line,
        false => format!("{value:#?}").replace('\n', "\n  "),
    }
}

/// The command that runs this property again: the test that this thread is named after, or else
/// the program as it was started.
fn again() -> String {
    let thread = std::thread::current();
    let words: Vec<String> = match thread.name().filter(|name| *name != "main") {
        Some(test) => vec!["cargo".into(), "test".into(), test.into()],
        None => std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
    };
    let words: Vec<String> = words.iter().map(|word| in_a_shell(word)).collect();
    words.join(" ")
}

/// A word as a shell reads it.
fn in_a_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Reads a number, decimal or hexadecimal, from the environment.
#[track_caller]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    let text = text.to_string_lossy();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(number) => Some(number),
        Err(error) => panic!(
            "the environment has {variable}={text:?}, which is no number: {error}; write it as \
             failures name it, such as 0x2a, or unset it"
        ),
    }
}

fn config() -> Config {
    Config {
        failure_persistence: None,
        max_shrink_iters: SHRINKS,
        max_shrink_time: 0,
        ..Config::default()
    }
}

/// The seed of a case. That of the first is the number itself, so that it can be named.
fn seed_of(first: u64, case: u32) -> u64 {
    match case {
        0 => first,
        case => Rng::with_seed(first.wrapping_add(case.into())).u64(..),
    }
}

fn random(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    Rng::with_seed(seed).fill(&mut bytes);
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("the property panicked, and did not say why").to_owned()
}

thread_local! {
    /// How many attempts are under way on this thread, and what panicked last in them.
    static SILENT: Cell<u32> = const { Cell::new(0) };
    static TOLD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics of this thread from being printed: while a failing case is made smaller there are
/// hundreds. The last is kept, with the place it came from.
struct Silence(());

impl Silence {
    fn begin() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let others = take_hook();
            set_hook(Box::new(
                move |info| {
                    if SILENT.get() == 0 { others(info) } else { keep(info) }
                },
            ));
        });
        SILENT.set(SILENT.get() + 1);
        TOLD.take();
        Self(())
    }

    fn end(self) -> Option<String> {
        drop(self);
        TOLD.take()
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        SILENT.set(SILENT.get() - 1);
    }
}

fn keep(info: &PanicHookInfo<'_>) {
    let text = text_of(info.payload());
    let place = info.location().map(|place| format!("\n  at {place}"));
    TOLD.replace(Some(text + &place.unwrap_or_default()));
}

#[cfg(test)]
mod tests;
