//! Files beside `std` and the peers: how long they take, and who is faster.
//!
//! ```text
//!     row     round 1   evenloop  std  tokio  compio
//!             round 2             std  tokio  compio  evenloop
//!             …                                         medians over the rounds
//! ```
//!
//! By wall clock, on files that are in memory; for the rows called "cold" the kernel drops them
//! first. The peers take turns within each round, so that a noisy machine disturbs them alike; a ratio
//! is the median of the rounds' own, above 1 where evenloop is faster. `std` is a plain loop that
//! waits, on one thread: the floor. compio reads by io_uring.
//!
//! `cargo bench -p evenloop-benches --bench files` takes a minute and a gigabyte of disk; `-- --quick` shows in seconds
//! that it works; `-- small` runs the rows with "small" in the name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::StreamExt;

/// How many reads are under way at once in the rows that say so.
const AT_ONCE: usize = 64;

/// Reads files in its own way.
trait Peer {
    fn block_on<F: Future>(fut: F) -> F::Output;

    async fn read(path: &Path) -> io::Result<Vec<u8>>;

    /// Reads `total` bytes from the beginning, in buffers of `len`.
    async fn stream(path: &Path, len: usize, total: usize) -> io::Result<()>;
}

/// Calls `read` until it has read so much.
macro_rules! read_until {
    ($total:expr, $read:expr) => {{
        let mut left: usize = $total;
        while left > 0 {
            let read: usize = $read?;
            assert!(read > 0, "it is longer");
            left = left.saturating_sub(read);
        }
        Ok(())
    }};
}

struct Evenloop;

impl Peer for Evenloop {
    fn block_on<F: Future>(fut: F) -> F::Output {
        evenloop::block_on(fut)
    }

    async fn read(path: &Path) -> io::Result<Vec<u8>> {
        evenloop::fs::read(path).await
    }

    async fn stream(path: &Path, len: usize, total: usize) -> io::Result<()> {
        let mut file = evenloop::fs::File::open(path).await?;
        let mut buf = vec![0; len];
        read_until!(total, file.read(&mut buf).await)
    }
}

/// Waits for each call.
struct Std;

impl Peer for Std {
    fn block_on<F: Future>(fut: F) -> F::Output {
        futures::executor::block_on(fut)
    }

    async fn read(path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    async fn stream(path: &Path, len: usize, total: usize) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buf = vec![0; len];
        read_until!(total, file.read(&mut buf))
    }
}

struct Tokio;

impl Peer for Tokio {
    fn block_on<F: Future>(fut: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(fut)
    }

    async fn read(path: &Path) -> io::Result<Vec<u8>> {
        tokio::fs::read(path).await
    }

    async fn stream(path: &Path, len: usize, total: usize) -> io::Result<()> {
        use tokio::io::AsyncReadExt;
        let mut file = tokio::fs::File::open(path).await?;
        let mut buf = vec![0; len];
        read_until!(total, file.read(&mut buf).await)
    }
}

#[cfg(target_os = "linux")]
struct Compio;

#[cfg(target_os = "linux")]
impl Peer for Compio {
    fn block_on<F: Future>(fut: F) -> F::Output {
        compio::runtime::Runtime::new().expect("a runtime").block_on(fut)
    }

    async fn read(path: &Path) -> io::Result<Vec<u8>> {
        compio::fs::read(path).await
    }

    async fn stream(path: &Path, len: usize, total: usize) -> io::Result<()> {
        use compio::io::AsyncReadAt;
        // It takes the buffer and gives it back, and has no cursor.
        let file = compio::fs::File::open(path).await?;
        let (mut buf, mut at) = (vec![0; len], 0);
        read_until!(total, {
            let read = file.read_at(buf, at as u64).await;
            buf = read.1;
            read.0.inspect(|read| at += read)
        })
    }
}

/// What is read.
struct Bed {
    dir: PathBuf,
    large: PathBuf,
    large_len: usize,
    small: Vec<PathBuf>,
}

impl Bed {
    fn make(quick: bool) -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("evenloop-bench-{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        let bed = Self {
            large: dir.join("large"),
            large_len: if quick { 1 << 25 } else { 1 << 30 },
            small: (0..if quick { 500 } else { 10_000 }).map(|n| dir.join(n.to_string())).collect(),
            dir,
        };
        let piece = vec![7; 1 << 20];
        let mut large = File::create(&bed.large)?;
        for _ in 0..bed.large_len >> 20 {
            large.write_all(&piece)?;
        }
        // What is not on the disk would not be dropped from memory.
        large.sync_all()?;
        for path in &bed.small {
            std::fs::write(path, &piece[..4096])?;
        }
        Ok(bed)
    }

    /// Has the kernel drop the large file from memory.
    fn chill(&self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            let file = File::open(&self.large).expect("it is there");
            fadvise(&file, 0, None, Advice::DontNeed).expect("advice is taken");
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Runs `work` on a peer and times it from within.
fn timed<P: Peer>(work: impl AsyncFnOnce() -> io::Result<()>) -> Duration {
    P::block_on(async {
        let start = Instant::now();
        work().await.expect("the files are there");
        start.elapsed()
    })
}

fn large<P: Peer>(bed: &Bed) -> Duration {
    timed::<P>(async || {
        assert_eq!(P::read(&bed.large).await?.len(), bed.large_len);
        Ok(())
    })
}

fn small<P: Peer>(bed: &Bed) -> Duration {
    timed::<P>(async || {
        for path in &bed.small {
            assert_eq!(P::read(path).await?.len(), 4096);
        }
        Ok(())
    })
}

fn small_at_once<P: Peer>(bed: &Bed) -> Duration {
    timed::<P>(async || {
        let reads = futures::stream::iter(&bed.small).map(|path| P::read(path));
        let mut reads = reads.buffer_unordered(AT_ONCE);
        while let Some(read) = reads.next().await {
            assert_eq!(read?.len(), 4096);
        }
        Ok(())
    })
}

fn stream<P: Peer, const LEN: usize>(bed: &Bed) -> Duration {
    timed::<P>(async || P::stream(&bed.large, LEN, bed.large_len).await)
}

fn zeros<P: Peer, const LEN: usize>(bed: &Bed) -> Duration {
    timed::<P>(async || P::stream(Path::new("/dev/zero"), LEN, bed.large_len).await)
}

type Cell = fn(&Bed) -> Duration;

struct Row {
    name: &'static str,
    cold: bool,
    /// One for each of [`PEERS`].
    cells: Vec<Cell>,
    /// How many operations the time is of.
    operations: fn(&Bed) -> usize,
}

#[cfg(target_os = "linux")]
const PEERS: &[&str] = &["evenloop", "std", "tokio", "compio"];
#[cfg(not(target_os = "linux"))]
const PEERS: &[&str] = &["evenloop", "std", "tokio"];

macro_rules! row {
    ($name:literal, $run:ident $(, $len:literal)?; $operations:expr) => {
        Row {
            name: $name,
            cold: $name.ends_with("cold"),
            cells: vec![
                $run::<Evenloop $(, $len)?>,
                $run::<Std $(, $len)?>,
                $run::<Tokio $(, $len)?>,
                #[cfg(target_os = "linux")]
                $run::<Compio $(, $len)?>,
            ],
            operations: $operations,
        }
    };
}

fn rows() -> Vec<Row> {
    vec![
        row!("small files, one by one", small; |bed| bed.small.len()),
        row!("small files, 64 at once", small_at_once; |bed| bed.small.len()),
        row!("a large file", large; |_| 1),
        row!("a large file, cold", large; |_| 1),
        row!("stream in 64 KiB", stream, 65536; |bed| bed.large_len / 65536),
        row!("stream in 1 MiB", stream, 1048576; |bed| bed.large_len / 1048576),
        row!("stream in 64 KiB, cold", stream, 65536; |bed| bed.large_len / 65536),
        row!("/dev/zero in 4 KiB", zeros, 4096; |bed| bed.large_len / 4096),
        row!("/dev/zero in 64 KiB", zeros, 65536; |bed| bed.large_len / 65536),
        row!("/dev/zero in 1 MiB", zeros, 1048576; |bed| bed.large_len / 1048576),
    ]
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says so; under `cargo test` it is enough to see that every row works.
    let quick = args.iter().any(|arg| arg == "--quick") || !args.iter().any(|arg| arg == "--bench");
    let filter = args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
    let bed = Bed::make(quick)?;
    print!("{:<28}{:>12}", "µs an operation", PEERS[0]);
    for peer in &PEERS[1..] {
        print!("{peer:>12}  ratio");
    }
    println!();
    for row in rows().iter().filter(|row| row.name.contains(filter)) {
        print_row(row, &measure(row, &bed, if quick { 1 } else { 9 }), (row.operations)(&bed));
    }
    Ok(())
}

/// Returns for each round what each peer took, in microseconds.
fn measure(row: &Row, bed: &Bed, rounds: usize) -> Vec<Vec<f64>> {
    let peers = row.cells.len();
    let mut times = vec![vec![0.0; peers]; rounds];
    for (round, times) in times.iter_mut().enumerate() {
        for peer in 0..peers {
            // Another begins each round, so that none always runs in another's wake.
            let peer = (round + peer) % peers;
            if row.cold {
                bed.chill();
            }
            times[peer] = row.cells[peer](bed).as_secs_f64() * 1e6;
        }
    }
    times
}

fn print_row(row: &Row, rounds: &[Vec<f64>], operations: usize) {
    print!("{:<28}", row.name);
    for peer in 0..PEERS.len() {
        print!("{:>12.2}", median(rounds.iter().map(|times| times[peer])) / operations as f64);
        if peer > 0 {
            print!("{:>7.2}", median(rounds.iter().map(|times| times[peer] / times[0])));
        }
    }
    println!();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
