//! Clients of a server in this process, on the other core: connections that keep requests in
//! flight, and a probe.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::io::MESSAGE;

/// The first byte of a request says what it is.
pub(crate) const BULK: u8 = b'b';
pub(crate) const HEALTH: u8 = b'h';

/// What the connections got.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Answers, by connection.
    pub(crate) each: Vec<u64>,
    pub(crate) time: Duration,
}

impl Served {
    pub(crate) fn all(&self) -> u64 {
        self.each.iter().sum()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.all() as f64 / self.time.as_secs_f64()
    }

    /// What the connection got that got least, of what the one got that got most.
    pub(crate) fn evenness(&self) -> f64 {
        let least = self.each.iter().min().copied().unwrap_or_default();
        let most = self.each.iter().max().copied().unwrap_or_default();
        least as f64 / most.max(1) as f64
    }
}

/// Connections, each of which has `window` requests in flight.
#[derive(Debug)]
pub(crate) struct Clients {
    streams: Vec<TcpStream>,
    /// Bytes of answers so far, by connection.
    bytes: Vec<u64>,
    poll: rustix::fd::OwnedFd,
    window: usize,
}

impl Clients {
    /// Connects, and asks for nothing yet.
    pub(crate) fn connect(to: SocketAddr, connections: usize, window: usize) -> Self {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let mut streams = Vec::new();
        for number in 0..connections {
            let stream = TcpStream::connect(to).expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            stream.set_nonblocking(true).expect("a socket");
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&poll, &stream, data, epoll::EventFlags::IN).expect("a socket");
            streams.push(stream);
        }
        Self { bytes: vec![0; connections], streams, poll, window }
    }

    /// Sends the first requests.
    pub(crate) fn begin(&mut self) {
        for stream in &mut self.streams {
            ask(stream, self.window);
        }
    }

    /// Keeps them in flight for `time`.
    pub(crate) fn run(&mut self, time: Duration) -> Served {
        let before = self.bytes.clone();
        let start = Instant::now();
        let mut events = Vec::with_capacity(256);
        let patience = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let mut buf = [0; 4096];
        while start.elapsed() < time {
            events.clear();
            let waited = epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&patience),
            );
            waited.expect("the epoll is there");
            for event in &events {
                let number = event.data.u64() as usize;
                let stream = &mut self.streams[number];
                let had = self.bytes[number];
                match stream.read(&mut buf) {
                    Ok(0) => panic!("the server hung up"),
                    Ok(len) => self.bytes[number] += len as u64,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("the server broke off: {error}"),
                }
                let answers = |bytes: u64| bytes / MESSAGE as u64;
                ask(stream, (answers(self.bytes[number]) - answers(had)) as usize);
            }
        }
        let time = start.elapsed();
        let got = |(now, before)| (now - before) / MESSAGE as u64;
        Served { each: self.bytes.iter().zip(&before).map(got).collect(), time }
    }
}

fn ask(stream: &mut TcpStream, requests: usize) {
    let mut request = [7; MESSAGE];
    request[0] = BULK;
    let requests = request.repeat(requests);
    // A window is far less than a socket holds.
    stream.write_all(&requests).expect("a socket holds a window of requests");
}

/// Asks one request at a time until `time` is over, on one connection or, if `fresh`, on a new one
/// each: round trips in milliseconds, with the connecting.
pub(crate) fn probe(to: SocketAddr, fresh: bool, time: Duration) -> Vec<f64> {
    let connect = || {
        let stream = TcpStream::connect(to).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    };
    let mut kept = (!fresh).then(connect);
    let mut request = [7; MESSAGE];
    request[0] = HEALTH;
    let mut took = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let asked = Instant::now();
        let mut new = None;
        let stream = match &mut kept {
            Some(stream) => stream,
            None => new.insert(connect()),
        };
        stream.write_all(&request).expect("the server reads");
        stream.read_exact(&mut request).expect("the server answers");
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(2));
    }
    took
}
