//! What the simulated kernel answers is what Linux answers: any script, done to streams of both.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::sleep;

use mio::unix::SourceFd;
use mio::{Events, Poll, Token};
use proptest::prelude::*;
use socket2::{Domain, Socket as OsSocket, Type};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Call {
    Write(usize),
    Read(usize),
    Shutdown(Shutdown),
    Close,
    /// Closes with a linger of zero.
    Abort,
    TakeError,
    PeerAddr,
}

/// What a call gave: how much, or what error.
type Answer = Result<usize, ErrorKind>;

/// What a socket is ready for: to read, to write, to hear that the peer wrote its last.
type Look = (bool, bool, bool);

fn answer<T>(result: io::Result<T>, value: impl FnOnce(T) -> usize) -> Answer {
    result.map(value).map_err(|error| error.kind())
}

fn error_kind(error: Option<io::Error>) -> Answer {
    error.map_or(Ok(0), |error| Err(error.kind()))
}

fn simulated(socket: &SimStream, call: Call) -> Answer {
    match call {
        Call::Write(len) => answer(socket.write(&vec![0; len]), |len| len),
        Call::Read(len) => answer(socket.read(&mut vec![0; len]), |len| len),
        Call::Shutdown(how) => answer(socket.shutdown(how), |()| 0),
        Call::TakeError => socket.take_error().map_or_else(|error| Err(error.kind()), error_kind),
        Call::PeerAddr => answer(socket.peer_addr(), |_| 0),
        Call::Abort => answer(socket.set_linger(Some(Duration::ZERO)), |()| 0),
        Call::Close => Ok(0),
    }
}

fn real(mut socket: &OsSocket, call: Call) -> Answer {
    match call {
        Call::Write(len) => answer(socket.write(&vec![0; len]), |len| len),
        Call::Read(len) => answer(socket.read(&mut vec![0; len]), |len| len),
        Call::Shutdown(how) => answer(socket.shutdown(how), |()| 0),
        Call::TakeError => socket.take_error().map_or_else(|error| Err(error.kind()), error_kind),
        Call::PeerAddr => answer(socket.peer_addr(), |_| 0),
        Call::Abort => answer(socket.set_linger(Some(Duration::ZERO)), |()| 0),
        Call::Close => Ok(0),
    }
}

fn look_at_simulated(world: &World, socket: &SimStream) -> Look {
    let mut state = world.kernel.enter();
    let socket = state.fds.socket(socket.fd()).expect("it is open");
    let event = state.mask(socket).readied(0, BOTH);
    event.map_or(NOTHING, |event| (event.readable, event.writable, event.read_closed))
}

/// Looks with a poller of its own, which sees what there is and not what is new.
fn look_at_real(socket: &OsSocket) -> Look {
    let mut poller = Poller::new();
    poller.watch(socket, 0);
    poller.events()[0]
}

const NOTHING: Look = (false, false, false);

/// A poller of the system that watches two sockets at most.
struct Poller(Poll);

impl Poller {
    fn new() -> Self {
        Self(Poll::new().expect("a poller"))
    }

    fn watch(&self, socket: &OsSocket, token: usize) {
        let mut source = SourceFd(&socket.as_raw_fd());
        self.0.registry().register(&mut source, Token(token), BOTH).expect("registers");
    }

    /// What is new, read as the driver does.
    fn events(&mut self) -> [Look; 2] {
        let mut events = Events::with_capacity(2);
        self.0.poll(&mut events, Some(Duration::ZERO)).expect("polls");
        let mut looks = [NOTHING; 2];
        for event in &events {
            let over = event.is_read_closed() || event.is_error();
            let writable = event.is_writable() || event.is_write_closed() || event.is_error();
            looks[event.token().0] = (event.is_readable() || over, writable, over);
        }
        looks
    }
}

fn real_pair(near: bool) -> [OsSocket; 2] {
    let pair = if near {
        let (a, b) = OsSocket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
        [a, b]
    } else {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (server, _) = listener.accept().expect("accepts");
        [client.expect("connects"), server].map(|stream| {
            // The simulation does not gather small writes either.
            stream.set_nodelay(true).expect("it can be set");
            stream.into()
        })
    };
    for socket in &pair {
        socket.set_nonblocking(true).expect("it can be set");
    }
    pair
}

/// In milliseconds; hardly ever is one of them needed.
const PATIENCE: u32 = 1_000;

/// Waits until the system has come to where the simulation is.
fn catch_up(world: &World, simulated: &SimStream, real: &OsSocket) -> Result<Look, (Look, Look)> {
    let expected = look_at_simulated(world, simulated);
    let mut seen = look_at_real(real);
    for _ in 0..PATIENCE {
        if seen == expected {
            return Ok(seen);
        }
        sleep(Duration::from_millis(1));
        seen = look_at_real(real);
    }
    Err((expected, seen))
}

fn has_no_more(now: Look, before: Look) -> bool {
    now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2
}

fn compare(near: bool, script: &[(usize, Call)]) {
    let world = World::new();
    let (a, b) = if near { SimStream::pair(&world.kernel).unwrap() } else { world.tcp() };
    let mut simulations = [Some(a), Some(b)];
    let mut reals = real_pair(near).map(Some);
    let mut poller = Poller::new();
    for token in 0..2 {
        world.watch(simulations[token].as_ref().unwrap().fd(), token);
        poller.watch(reals[token].as_ref().unwrap(), token);
    }
    let mut before = [NOTHING; 2];
    for (step, (side, call)) in script.iter().enumerate() {
        let mut now = [NOTHING; 2];
        for (end, (simulation, real)) in simulations.iter().zip(&reals).enumerate() {
            if let (Some(simulation), Some(real)) = (simulation, real) {
                now[end] = catch_up(&world, simulation, real)
                    .unwrap_or_else(|(ours, theirs)| panic!("step {step}: {ours:?}, {theirs:?}"));
            }
        }
        let mut news = [NOTHING; 2];
        for event in world.poll() {
            news[event.token] = (event.readable, event.writable, event.read_closed);
        }
        let mut told = poller.events();
        for _ in 0..PATIENCE {
            if (0..2).all(|end| news[end] == NOTHING || told[end] != NOTHING) {
                break;
            }
            sleep(Duration::from_millis(1));
            let more = poller.events();
            told = [0, 1].map(|end| if more[end] == NOTHING { told[end] } else { more[end] });
        }
        for (end, told) in told.into_iter().enumerate() {
            // The system now and then tells what was known: Unix sockets of room each time that
            // the peer has read, others when an event took two steps to come about.
            let is_old = news[end] == NOTHING && has_no_more(now[end], before[end]);
            assert!(told == news[end] || is_old, "step {step}: {news:?}, {end} is told {told:?}");
        }
        before = now;
        if let (Some(simulation), Some(os)) = (&simulations[*side], &reals[*side]) {
            assert_eq!(simulated(simulation, *call), real(os, *call), "step {step}");
        }
        if matches!(call, Call::Close | Call::Abort) {
            simulations[*side] = None;
            reals[*side] = None;
        }
        while let Some(at) = world.kernel.next_event().filter(|at| *at > world.now()) {
            world.clock.advance_to(at);
        }
        world.wait(Duration::from_secs(1));
    }
}

fn call() -> impl Strategy<Value = Call> {
    let how = prop_oneof![Just(Shutdown::Read), Just(Shutdown::Write), Just(Shutdown::Both)];
    prop_oneof![
        6 => (0..60_usize).prop_map(Call::Write),
        6 => (0..100_usize).prop_map(Call::Read),
        2 => how.prop_map(Call::Shutdown),
        1 => Just(Call::Close),
        1 => Just(Call::Abort),
        1 => Just(Call::TakeError),
        1 => Just(Call::PeerAddr),
    ]
}

proptest! {
    #![proptest_config(cases(200))]

    /// Reads, writes, ends, resets and errors, and what a poller says of them.
    #[test]
    fn answers_are_those_of_linux(
        near: bool,
        script in prop::collection::vec((0..2_usize, call()), 0..40),
    ) {
        compare(near, &script);
    }
}
