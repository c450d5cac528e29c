//! What the fault runs share: processes of their own, limits in time, and meters.

use std::env;
use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evenloop::time::sleep;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// No test may take this long, on however slow a machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(170);
/// Set in a process that a test started, to the name of the test.
const OTHER: &str = "EVENLOOP_TEST_CHILD";

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Whether the runs are to be as long as the bars ask for.
pub(crate) fn is_long() -> bool {
    env::var_os("EVENLOOP_FAULTS").is_some_and(|value| value == "long")
}

/// Returns `short`, or `long` if the runs are long.
pub(crate) fn pick<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// Rounds of a race: `EVENLOOP_ROUNDS`, or `default`.
pub(crate) fn rounds(default: usize) -> usize {
    match env::var("EVENLOOP_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("EVENLOOP_ROUNDS is a number"),
        Err(_) => default,
    }
}

/// Prints a figure of a fault run.
pub(crate) fn figure(fault: &str, what: impl Display) {
    println!("\nfigure: {fault}: {what}");
}

/// Runs `test`, and ends the whole process if it hangs: a red test is worth more than a stuck one.
pub(crate) fn bounded<R>(test: impl FnOnce() -> R) -> R {
    bounded_by(LIMIT, test)
}

/// Like [`bounded`], with a limit of its own.
pub(crate) fn bounded_by<R>(limit: Duration, test: impl FnOnce() -> R) -> R {
    let (over, ended) = mpsc::channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    let result = test();
    drop(over);
    watchdog.join().unwrap();
    result
}

/// Runs `test` in a process of its own, where nobody else opens descriptors or takes signals.
/// `name` is that of the test this is called in.
pub(crate) fn alone(name: &str, test: impl FnOnce()) {
    if is_other(name) {
        return bounded(test);
    }
    let output = command(name).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
    for line in out.lines().filter(|line| line.starts_with("figure:")) {
        println!("\n{line}");
    }
}

/// Whether this process is the one that the test called `name` started.
pub(crate) fn is_other(name: &str) -> bool {
    env::var_os(OTHER).is_some_and(|other| other == name)
}

/// The test called `name`, in a process and on the main thread of its own.
fn command(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(OTHER, name);
    command
}

/// A process that runs the same test and finds itself to be the other one. It is killed in the end.
pub(crate) struct Other {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Other {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, "EVENLOOP_NOTHING", "")
    }

    /// Like [`start`](Self::start), with a variable set in its environment.
    pub(crate) fn start_with(name: &str, variable: &str, value: impl Display) -> Self {
        let mut command = command(name);
        command.env(variable, value.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Waits until it [`tell`]s `what`, and returns the rest of that line.
    pub(crate) fn hear(&mut self, what: &str) -> String {
        let mark = format!("tells {what}: ");
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended without telling {what}");
            if let Some(at) = line.find(&mark) {
                return line[at + mark.len()..].trim().to_owned();
            }
        }
    }

    /// Waits for a number that it [`tell`]s.
    pub(crate) fn number(&mut self, what: &str) -> u64 {
        self.hear(what).parse().unwrap()
    }

    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended, well.
    pub(crate) fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the process that started this one.
pub(crate) fn tell(what: &str, value: impl Display) {
    println!("\ntells {what}: {value}");
}

/// Measures how much of the wall time this thread runs on a processor.
pub(crate) struct Meter {
    wall: Instant,
    cpu: Duration,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_of_thread() }
    }

    /// Returns the share so far, from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        (cpu_of_thread() - self.cpu).as_secs_f64() / self.wall.elapsed().as_secs_f64()
    }
}

/// Processor time of this thread so far.
pub(crate) fn cpu_of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns how many file descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    // The directory is open while it is read.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Has the loop open the descriptor of its timer, which it does when it first sleeps for less than a
/// whole number of milliseconds. On a busy machine that need not be the first time it means to.
pub(crate) async fn open_timer() {
    let before = descriptors();
    while descriptors() == before {
        sleep(MS / 2).await;
    }
}

/// Returns the memory of this process that is in use, in bytes.
pub(crate) fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

/// Returns the value of a sorted row below which `part` of it lies.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// Numbers that look random and are a function of their seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `end`: splitmix64, cut down.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// The meter sees a thread that spins, so that a bar on it can fail.
#[test]
fn a_spin_is_seen() {
    let (spinning, before) = (Meter::start(), cpu_of_thread());
    while cpu_of_thread() < before + 50 * MS {
        std::hint::spin_loop();
    }
    // Others may want the processor too, so a spin need not have all of it.
    assert!(spinning.share() > 0.02, "{}", spinning.share());
    let sleeping = Meter::start();
    std::thread::sleep(200 * MS);
    assert!(sleeping.share() < 0.02, "{}", sleeping.share());
}
