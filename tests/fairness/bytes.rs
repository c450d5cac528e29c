//! Every byte written is read, once and in order, whatever lies between: short reads and writes,
//! small buffers, cuts, half-closes; and of what is reset at least nothing is made up.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use evenloop::sim::workload::{micros, secs};
use evenloop::sim::{self, Builder, Link, Network, Route, Runtime};
use evenloop::time::{sleep, timeout};
use evenloop::{Budget, JoinSet, spawn, spawn_in};
use proptest::prelude::*;

use crate::fairness::suite::{Judged, Setting, budgets};

/// What one end sends the other.
#[derive(Clone, Debug)]
struct Flow {
    bytes: usize,
    /// Written at a time, at most.
    write: usize,
    /// Read at a time, at most.
    read: usize,
    /// Of a read.
    cost: Duration,
}

/// How a client lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has written all, says so, and reads on to the end.
    HalfClose,
    /// It has written all and read all, and closes.
    Close,
    /// It has written so much, and resets the connection.
    Reset(usize),
}

/// One connection.
#[derive(Clone, Debug)]
struct Talk {
    unix: bool,
    there: Flow,
    back: Flow,
    end: End,
}

/// What lies between.
#[derive(Clone, Debug)]
struct Wire {
    latency: (Duration, Duration),
    bandwidth: Option<u64>,
    buffer: usize,
    /// In percent, of reads and of writes.
    short: (u32, u32),
}

/// What happens to all connections.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing passes for so long.
    Cut(Duration),
    /// All are reset.
    Reset,
}

/// Connections between two partitions, and what becomes of them.
#[derive(Clone, Debug)]
pub(crate) struct Talks {
    budget: Budget,
    wire: Wire,
    talks: Vec<Talk>,
    /// With the time from one to the next.
    faults: Vec<(Duration, Fault)>,
}

impl Setting for Talks {
    fn configure(&self, builder: Builder) -> Builder {
        let Wire { latency, bandwidth, buffer, short } = self.wire;
        let link = Link::new()
            .latency_between(latency.0, latency.1)
            .send_buffer(buffer)
            .receive_buffer(buffer)
            .short_reads(f64::from(short.0) / 100.0)
            .short_writes(f64::from(short.1) / 100.0);
        let link = match bandwidth {
            Some(bytes) => link.bandwidth(bytes),
            None => link,
        };
        builder.budget(self.budget).link(link)
    }
}

pub(crate) fn talks() -> impl Strategy<Value = Talks> {
    let flow = || {
        (0..3_000_usize, 1..700_usize, 1..700_usize, 0..20_u64)
            .prop_map(|(bytes, write, read, cost)| Flow { bytes, write, read, cost: micros(cost) })
    };
    let end = prop_oneof![
        3 => Just(End::HalfClose),
        2 => Just(End::Close),
        1 => (0..3_000_usize).prop_map(End::Reset),
    ];
    let talk = (prop::bool::weighted(0.25), flow(), flow(), end)
        .prop_map(|(unix, there, back, end)| Talk { unix, there, back, end });
    let wire = (
        (0..200_u64, 0..2_000_u64).prop_map(|(least, more)| (micros(least), micros(least + more))),
        prop::option::weighted(0.3, 100_000..50_000_000_u64),
        prop_oneof![1..100_usize, 100..3_000_usize],
        (0..60_u32, 0..60_u32),
    );
    let wire = wire.prop_map(|(latency, bandwidth, buffer, short)| Wire {
        latency,
        bandwidth,
        buffer,
        short,
    });
    let fault = prop_oneof![
        3 => (1..50_000_u64).prop_map(|length| Fault::Cut(micros(length))),
        1 => Just(Fault::Reset),
    ];
    let faults = prop::collection::vec(((1..20_000_u64).prop_map(micros), fault), 0..4);
    (budgets(), wire, prop::collection::vec(talk, 1..10), faults)
        .prop_map(|(budget, wire, talks, faults)| Talks { budget, wire, talks, faults })
}

/// Either kind of stream.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf).await,
            Self::Unix(stream) => stream.read(buf).await,
        }
    }

    async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf).await,
            Self::Unix(stream) => stream.write(buf).await,
        }
    }

    fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Makes the close a reset, if it is of a kind that has such.
    fn reset(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_linger(Some(Duration::ZERO)),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// What became of one direction of a connection.
#[derive(Clone, Debug, Default)]
struct Log {
    /// Tells its bytes from those of others.
    seed: u8,
    written: usize,
    read: usize,
    ended: bool,
    /// Written by then, and not read.
    lost: usize,
    errors: Vec<io::ErrorKind>,
}

/// The byte at a place of a direction.
fn byte(seed: u8, place: usize) -> u8 {
    (place as u64 ^ u64::from(seed) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
}

type Logged = Rc<RefCell<Log>>;

/// Writes up to `limit` bytes of a flow.
async fn write(stream: &Stream, flow: &Flow, limit: usize, log: &Logged) -> io::Result<()> {
    let limit = limit.min(flow.bytes);
    loop {
        let (seed, first) = {
            let log = log.borrow();
            (log.seed, log.written)
        };
        if first == limit {
            return Ok(());
        }
        let end = limit.min(first + flow.write);
        let chunk: Vec<u8> = (first..end).map(|place| byte(seed, place)).collect();
        let written = stream.write(&chunk).await?;
        assert!(0 < written && written <= chunk.len(), "wrote {written} of {} bytes", chunk.len());
        log.borrow_mut().written += written;
    }
}

/// Reads to the end, or up to `limit` bytes.
async fn read(stream: &Stream, flow: &Flow, limit: usize, log: &Logged) -> io::Result<()> {
    let mut buf = vec![0; flow.read];
    while log.borrow().read < limit {
        let length = stream.read(&mut buf).await?;
        if !flow.cost.is_zero() {
            sim::spend(flow.cost);
        }
        let mut log = log.borrow_mut();
        if length == 0 {
            assert!(!log.ended, "a stream ended twice");
            log.ended = true;
            log.lost = log.written - log.read;
            return Ok(());
        }
        for &got in &buf[..length] {
            assert_eq!(got, byte(log.seed, log.read), "the byte at {}", log.read);
            log.read += 1;
        }
        assert!(log.read <= log.written, "read {} bytes of {}", log.read, log.written);
    }
    Ok(())
}

fn note(log: &Logged, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        log.borrow_mut().errors.push(error.kind());
    }
}

/// One end: writes one flow, to its end, and reads the other.
async fn converse(stream: Stream, out: (Flow, Logged), back: (Flow, Logged)) {
    let stream = Rc::new(stream);
    let writer = spawn({
        let stream = stream.clone();
        async move {
            let (flow, log) = out;
            let outcome = write(&stream, &flow, usize::MAX, &log).await;
            note(&log, outcome.and_then(|()| stream.finish()));
        }
    });
    let (flow, log) = back;
    let reading = read(&stream, &flow, usize::MAX, &log);
    // Of a reset that is lost in a cut nobody hears who only reads.
    let outcome = timeout(secs(3_600), reading).await;
    note(&log, outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
    writer.await.expect("a writer that nobody aborts");
}

/// The client's end.
async fn call(stream: Stream, talk: Talk, (there, back): (Logged, Logged)) {
    match talk.end {
        End::HalfClose => converse(stream, (talk.there, there), (talk.back, back)).await,
        End::Close => {
            let stream = Rc::new(stream);
            let writer = spawn({
                let (stream, there) = (stream.clone(), there.clone());
                async move { note(&there, write(&stream, &talk.there, usize::MAX, &there).await) }
            });
            let wanted = talk.back.bytes;
            note(&back, read(&stream, &talk.back, wanted, &back).await);
            writer.await.expect("a writer that nobody aborts");
        }
        End::Reset(after) => {
            note(&there, write(&stream, &talk.there, after, &there).await);
            note(&there, stream.reset());
        }
    }
}

/// Where the server of a connection listens.
fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, place as u8], 7))
}

async fn connect(unix: bool, place: usize) -> io::Result<Stream> {
    match unix {
        true => Ok(Stream::Unix(UnixStream::connect(format!("/{place}")).await?)),
        false => Ok(Stream::Tcp(TcpStream::connect(address(place)).await?)),
    }
}

/// Listens for one connection, and answers it.
async fn answer(talk: Talk, place: usize, (there, back): (Logged, Logged)) {
    let accepted = async {
        match talk.unix {
            true => {
                let listener = UnixListener::bind(format!("/{place}"))?;
                Ok(Stream::Unix(listener.accept().await?.0))
            }
            false => {
                let listener = TcpListener::bind(address(place)).await?;
                Ok(Stream::Tcp(listener.accept().await?.0))
            }
        }
    };
    // A client whose connection was reset before it was one does not come again.
    let accepted: io::Result<Stream> =
        timeout(secs(300), accepted).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match accepted {
        Ok(stream) => converse(stream, (talk.back, back), (talk.there, there)).await,
        Err(error) => note(&there, Err(error)),
    }
}

async fn strike(network: Network, faults: Vec<(Duration, Fault)>) {
    for (pause, fault) in faults {
        sleep(pause).await;
        match fault {
            Fault::Reset => drop(network.reset_all(Route::All)),
            Fault::Cut(length) => {
                network.cut(Route::All);
                sleep(length).await;
                network.heal(Route::All);
            }
        }
    }
}

/// Conservation of bytes. In each direction of each connection `read ≤ written` at all times, byte
/// by byte in order; who sees the end has read all that was written, or one of the two was told of
/// a reset; and if nobody reset anything, all was written, all was read, and both ends saw the end.
pub(crate) fn bytes(case: &Talks, sim: &Runtime, judged: &Judged) {
    let logs = sim.block_on(async {
        let mut set = JoinSet::new();
        let mut logs = Vec::new();
        set.spawn(strike(sim.network(), case.faults.clone()));
        for (place, talk) in case.talks.iter().enumerate() {
            let log = |seed| Logged::new(Log { seed, ..Log::default() }.into());
            let both = (log(place as u8), log(!(place as u8)));
            logs.push((talk, both.clone()));
            set.spawn_in("server", answer(talk.clone(), place, both.clone()));
            let talk = talk.clone();
            set.spawn_in("client", async move {
                match connect(talk.unix, place).await {
                    Ok(stream) => call(stream, talk, both).await,
                    Err(error) => note(&both.0, Err(error)),
                }
            });
        }
        while let Some(outcome) = set.join_next().await {
            outcome.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        }
        logs
    });
    let any_reset = case.faults.iter().any(|(_, fault)| matches!(fault, Fault::Reset));
    for (talk, (there, back)) in logs {
        let (there, back) = (there.take(), back.take());
        judged.add(there.read + back.read);
        let errors = there.errors.len() + back.errors.len();
        for log in [&there, &back] {
            let told = log.lost == 0 || errors > 0;
            assert!(told, "an end before its time, and nobody was told: {talk:?}: {log:?}");
        }
        if matches!(talk.end, End::Reset(_)) || any_reset && !talk.unix {
            continue;
        }
        for (flow, log) in [(&talk.there, &there), (&talk.back, &back)] {
            assert_eq!(log.errors, [], "errors without a reset: {talk:?}: {log:?}");
            assert_eq!(log.written, flow.bytes, "bytes written: {talk:?}: {log:?}");
            assert_eq!(log.read, flow.bytes, "bytes read: {talk:?}: {log:?}");
        }
        let ends = (there.ended, back.ended);
        assert_eq!(ends, (true, talk.end == End::HalfClose), "ends seen: {talk:?}");
    }
    sim.run_for(secs(1));
    assert!(sim.holdings().is_empty(), "there is {:?} left", sim.holdings());
}

/// Datagrams between two partitions, over a link that loses and reorders them.
#[derive(Clone, Debug)]
pub(crate) struct Letters {
    budget: Budget,
    letters: u32,
    /// In percent.
    loss: u32,
    reordering: u32,
    /// Between two letters.
    pause: Duration,
}

impl Setting for Letters {
    fn configure(&self, builder: Builder) -> Builder {
        let link = Link::new()
            .loss(f64::from(self.loss) / 100.0)
            .reordering(f64::from(self.reordering) / 100.0)
            .receive_buffer(3_000);
        builder.budget(self.budget).link(link)
    }
}

pub(crate) fn letters() -> impl Strategy<Value = Letters> {
    let often = || prop_oneof![Just(0_u32), 1..60_u32];
    (budgets(), 1..200_u32, often(), often(), 0..300_u64).prop_map(
        |(budget, letters, loss, reordering, pause)| Letters {
            budget,
            letters,
            loss,
            reordering,
            pause: micros(pause),
        },
    )
}

/// A datagram arrives whole, and once at most; all of them, in order, if none are lost or held up
/// and whoever reads them keeps up.
pub(crate) fn datagrams(case: &Letters, sim: &Runtime, judged: &Judged) {
    let arrived = Rc::new(RefCell::new(Vec::new()));
    let (addr, count) = (address(1), case.letters);
    let seen = arrived.clone();
    sim.block_on(async {
        let inbox = UdpSocket::bind(addr).await.expect("nobody has that address");
        let done = Rc::new(Cell::new(false));
        let ends = done.clone();
        let reader = spawn_in("reader", async move {
            let mut buf = [0; 600];
            while !ends.get() {
                let Ok(heard) = timeout(secs(1), inbox.recv_from(&mut buf)).await else { continue };
                let (length, _) = heard.expect("a bound socket hears");
                let number = u32::from_be_bytes(buf[..4].try_into().expect("four bytes"));
                assert_eq!(length, 4 + number as usize % 500, "the length of letter {number}");
                let body = buf[4..length].iter().enumerate();
                let whole = body.clone().all(|(place, got)| *got == byte(number as u8, place));
                assert!(whole, "letter {number} was changed on its way");
                seen.borrow_mut().push(number);
            }
        });
        let pause = case.pause;
        let writer = spawn_in("writer", async move {
            let socket = UdpSocket::bind("10.0.0.2:0").await.expect("a port is free");
            for number in 0..count {
                let body = (0..number as usize % 500).map(|place| byte(number as u8, place));
                let letter: Vec<u8> = number.to_be_bytes().into_iter().chain(body).collect();
                let sent = socket.send_to(&letter, addr).await.expect("it is short enough");
                assert_eq!(sent, letter.len());
                sleep(pause).await;
            }
        });
        writer.await.expect("nobody aborts it");
        done.set(true);
        reader.await.expect("nobody aborts it");
    });
    let mut arrived = arrived.take();
    judged.add(arrived.len());
    if case.loss == 0 && case.reordering == 0 && case.pause >= micros(100) {
        assert!(arrived.iter().copied().eq(0..count), "{arrived:?}, of {count}");
    }
    arrived.sort_unstable();
    assert!(arrived.windows(2).all(|pair| pair[0] < pair[1]), "a letter came twice: {arrived:?}");
}
