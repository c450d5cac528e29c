//! Runs programs and gathers their figures, round by round.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::count;
use crate::metrics::median;
use crate::rows::{Program, Row};
use crate::size::Size;

/// The column that the others are compared with.
pub(crate) const SUBJECT: &str = "evenloop";
/// How long one runtime may take for one work.
const PATIENCE: Duration = Duration::from_secs(30);

type Figures = BTreeMap<String, f64>;

/// What the runtimes did in the rounds of a work.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) peers: Vec<String>,
    /// By round and peer; `None` where it could not.
    figures: Vec<Vec<Option<Figures>>>,
    /// Why a peer could not.
    pub(crate) failures: BTreeMap<String, String>,
}

impl Rounds {
    fn of(&self, round: usize, peer: &str, figure: &str) -> Option<f64> {
        let at = self.peers.iter().position(|each| each == peer)?;
        self.figures[round][at].as_ref()?.get(figure).copied()
    }

    fn all(&self, each: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = (0..self.figures.len()).filter_map(each).collect();
        (!values.is_empty()).then(|| median(values))
    }

    /// The median over the rounds.
    pub(crate) fn figure(&self, peer: &str, figure: &str) -> Option<f64> {
        self.all(|round| self.of(round, peer, figure))
    }

    /// The median of the rounds' ratios of a peer's figure to evenloop's.
    pub(crate) fn ratio(&self, peer: &str, figure: &str) -> Option<f64> {
        self.all(|round| {
            let ours = self.of(round, SUBJECT, figure).filter(|ours| *ours != 0.0)?;
            Some(self.of(round, peer, figure)? / ours)
        })
    }

    pub(crate) fn subject_failed(&self) -> bool {
        self.failures.contains_key(SUBJECT)
    }
}

/// Runs each work once, however many rows show figures of it.
#[derive(Debug)]
pub(crate) struct Bench {
    size: Size,
    done: BTreeMap<(Program, &'static str), Rounds>,
}

impl Bench {
    pub(crate) fn new(size: Size) -> Self {
        Self { size, done: BTreeMap::new() }
    }

    pub(crate) fn rounds(&mut self, row: &Row) -> &Rounds {
        let size = self.size;
        let key = (row.program, row.work);
        self.done.entry(key).or_insert_with(|| measure(row.program, row.work, size))
    }

    /// What is there already of a work.
    pub(crate) fn done(&self, program: Program, work: &str) -> Option<&Rounds> {
        self.done.iter().find(|(key, _)| **key == (program, work)).map(|(_, rounds)| rounds)
    }

    /// Who could not do what, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.done.iter().flat_map(|((_, work), rounds)| {
            let failures = rounds.failures.iter();
            failures.map(move |(peer, why)| (*work, peer.as_str(), why.as_str()))
        })
    }
}

fn measure(program: Program, work: &str, size: Size) -> Rounds {
    let kind = if program == Program::Counted { "counted" } else { "timed" };
    let who = output(Command::new(env!("CARGO_BIN_EXE_cell")).args(["--who", work, kind]));
    let peers = who.expect("the program runs").lines().map(str::to_owned).collect();
    let rounds = match (size, program) {
        // A count is the same each time.
        (_, Program::Counted) | (Size::Quick, _) => 1,
        // These take seconds each.
        (Size::Full, Program::Cell) if is_long(work) => 3,
        (Size::Full, Program::Cell) => 9,
    };
    let mut done = Rounds { peers, ..Rounds::default() };
    let many = done.peers.len();
    for round in 0..rounds {
        let mut figures = vec![None; many];
        for peer in 0..many {
            // Another begins each round, so that none always runs in another's wake.
            let at = (round + peer) % many;
            let name = done.peers[at].clone();
            if done.failures.contains_key(&name) {
                continue;
            }
            match figures_of(program, work, &name, size) {
                Ok(found) => figures[at] = Some(found),
                Err(why) => drop(done.failures.insert(name, why)),
            }
        }
        done.figures.push(figures);
    }
    done
}

fn is_long(work: &str) -> bool {
    let long = ["health", "listener", "idle", "server", "100,000", "memory", "cross"];
    long.iter().any(|part| work.contains(part))
}

fn figures_of(program: Program, work: &str, peer: &str, size: Size) -> Result<Figures, String> {
    let amount = if size == Size::Full { "full" } else { "quick" };
    let build = match program {
        Program::Cell => env!("CARGO_BIN_EXE_cell"),
        Program::Counted => {
            let count = count::instructions(env!("CARGO_BIN_EXE_counted"), work, peer)?;
            return Ok(Figures::from([("count".to_owned(), count)]));
        }
    };
    let mut child = Command::new(build);
    let said = output(child.args([work, peer, amount]))?;
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(said.lines().filter_map(figure).collect())
}

/// Runs a program within [`PATIENCE`]; returns what it says, or why it failed: its last words.
fn output(command: &mut Command) -> Result<String, String> {
    let words: PathBuf =
        std::env::temp_dir().join(format!("evenloop-benches-{}", std::process::id()));
    let file = File::create(&words).map_err(|error| error.to_string())?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("not done after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said).map_err(|error| error.to_string())?;
    }
    let cried = std::fs::read_to_string(&words).unwrap_or_default();
    let _ = std::fs::remove_file(&words);
    if status.success() {
        return Ok(said);
    }
    let panicked = cried.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let last = panicked.or(cried.lines().last()).unwrap_or_default();
    Err(format!("{status}: {last}"))
}
