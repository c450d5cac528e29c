mod datagrams;
mod edges;
mod handshakes;
mod mailboxes;
mod model;
mod networks;
#[cfg(target_os = "linux")]
mod parity;
mod streams;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use proptest::prelude::ProptestConfig;

use super::*;
use crate::clock::nanos;

/// As many cases; `EVENLOOP_PROPTEST_CASES` says how many times more.
fn cases(cases: u32) -> ProptestConfig {
    let factor = std::env::var("EVENLOOP_PROPTEST_CASES").ok().and_then(|n| n.parse::<u32>().ok());
    ProptestConfig::with_cases(cases * factor.unwrap_or(1))
}

/// A kernel and its clock.
struct World {
    clock: Arc<Manual>,
    kernel: Arc<Kernel>,
}

/// The default, one way.
const LATENCY: u64 = 50_000;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

impl World {
    fn new() -> Self {
        Self::with(1, Link::new())
    }

    fn with(seed: u64, link: Link) -> Self {
        let clock = Manual::new();
        let kernel = Kernel::new(clock.clone(), seed, link);
        Self { clock, kernel }
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn wait(&self, time: Duration) {
        self.clock.advance_by(nanos(time));
    }

    /// Lets happen whatever happens by itself, for a minute of its time at most.
    fn settle(&self) {
        let end = self.now() + 60_000_000_000;
        while let Some(at) = self.kernel.next_event().filter(|at| *at <= end) {
            self.clock.advance_to(at);
            self.poll();
        }
    }

    fn poll(&self) -> Vec<Readied> {
        let mut events = Vec::new();
        let count = self.kernel.poll_since(&mut |_, event| events.push(event));
        assert_eq!(count, events.len());
        events
    }

    /// Goes on to the next time at which there are events.
    fn next(&self) -> Vec<Readied> {
        loop {
            let at = self.kernel.next_event().expect("there is something to wait for");
            self.clock.advance_to(at);
            let events = self.poll();
            if !events.is_empty() {
                return events;
            }
        }
    }

    fn listen(&self, addr: &str) -> SimListener {
        let addr: SocketAddr = addr.parse().expect("an address");
        SimListener::bind(&self.kernel, addr.into()).expect("it is free")
    }

    fn connect(&self, listener: &SimListener) -> SimStream {
        let address = listener.local_addr().expect("it is bound");
        SimStream::connect(&self.kernel, address).expect("begins")
    }

    /// A client and its server.
    fn tcp(&self) -> (SimStream, SimStream) {
        let listener = self.listen("127.0.0.1:0");
        let client = self.connect(&listener);
        self.settle();
        let (server, _) = listener.accept().expect("it is there");
        (client, server)
    }

    fn watch(&self, fd: Fd, token: usize) {
        self.kernel.register(fd, token, BOTH).expect("registers");
    }
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.expect_err("it fails").kind()
}

/// Reads what there is, up to an error or the end.
fn drain(stream: &SimStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let (mut got, mut buf) = (Vec::new(), [0; 1_000]);
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return (got, None),
            Ok(read) => got.extend_from_slice(&buf[..read]),
            Err(error) => return (got, Some(error.kind())),
        }
    }
}

/// Writes as much as is taken.
fn fill(stream: &SimStream) -> usize {
    let mut sent = 0;
    loop {
        match stream.write(&[7; 10_000]) {
            Ok(written) => sent += written,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return sent;
            }
        }
    }
}

fn event(token: usize, readable: bool, writable: bool, read_closed: bool) -> Readied {
    Readied { token, readable, writable, read_closed, since: None }
}
