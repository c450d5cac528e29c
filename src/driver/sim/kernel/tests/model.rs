//! Whatever is done to a stream, and however its link behaves: every byte written is read, in
//! order and once, then the end; and whoever had to stop hears when they can go on.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::Shutdown;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Write { side: usize, len: usize },
    Read { side: usize, len: usize },
    Finish { side: usize },
    Close { side: usize },
    Wait { nanos: u64 },
    Poll,
    Cut,
    Heal,
    Relink { seed: u64 },
}

fn action() -> impl Strategy<Value = Action> {
    let side = 0..2_usize;
    let len = prop_oneof![3 => 0..50_usize, 1 => 0..5_000_usize];
    let nanos = prop_oneof![Just(1), 0..100_000_u64, 0..10_000_000_u64];
    prop_oneof![
        20 => (side.clone(), len.clone()).prop_map(|(side, len)| Action::Write { side, len }),
        20 => (side.clone(), len).prop_map(|(side, len)| Action::Read { side, len }),
        15 => nanos.prop_map(|nanos| Action::Wait { nanos }),
        15 => Just(Action::Poll),
        1 => side.clone().prop_map(|side| Action::Finish { side }),
        1 => side.prop_map(|side| Action::Close { side }),
        1 => Just(Action::Cut),
        3 => Just(Action::Heal),
        1 => any::<u64>().prop_map(|seed| Action::Relink { seed }),
    ]
}

fn link() -> impl Strategy<Value = Link> {
    let buffer = || prop_oneof![1..10_usize, 1..2_000_usize, Just(64 << 10)];
    let probability = || prop_oneof![Just(0.0), 0.0..0.9_f64];
    let latency = prop_oneof![Just((0, 0)), (0..1_000_u64, 0..200_000_u64)];
    let bandwidth = prop_oneof![Just(None), (10_000..10_000_000_u64).prop_map(Some)];
    (latency, bandwidth, buffer(), buffer(), probability(), probability()).prop_map(
        |((min, more), bandwidth, send, receive, short_reads, short_writes)| {
            let (min, max) = (Duration::from_nanos(min), Duration::from_nanos(min + more));
            let link = Link::new()
                .latency_between(min, max)
                .send_buffer(send)
                .receive_buffer(receive)
                .short_reads(short_reads)
                .short_writes(short_writes);
            bandwidth.map_or(link.clone(), |bandwidth| link.bandwidth(bandwidth))
        },
    )
}

/// One who uses an end as the loop does: an event says that an operation is worth a try; one that
/// would block, or does less than it was asked to, says that it is not.
struct Party {
    socket: Option<SimStream>,
    readable: bool,
    writable: bool,
    read_closed: bool,
    /// What the peer wrote and was not read.
    incoming: VecDeque<u8>,
    /// It writes no more.
    finished: bool,
    /// It has read the end.
    ended: bool,
    /// It has come to an error when it wrote, and when it read.
    refused: bool,
    failed: bool,
}

struct Run {
    world: World,
    parties: [Party; 2],
    /// All that was written, by which the bytes are told apart.
    written: usize,
    /// An end was closed that had still something to read or to be told.
    torn: bool,
    /// And the way was cut then or later: the word of it may be lost for good.
    unheard: bool,
    is_cut: bool,
    log: Vec<(u64, u64, Readied)>,
}

impl Run {
    fn new(link: Link, seed: u64, near: bool) -> Self {
        let world = World::with(seed, link);
        let (a, b) = if near { SimStream::pair(&world.kernel).unwrap() } else { world.tcp() };
        world.watch(a.fd(), 0);
        world.watch(b.fd(), 1);
        let parties = [a, b].map(|socket| Party {
            socket: Some(socket),
            readable: false,
            writable: false,
            read_closed: false,
            incoming: VecDeque::new(),
            finished: false,
            ended: false,
            refused: false,
            failed: false,
        });
        Self {
            world,
            parties,
            written: 0,
            torn: false,
            unheard: false,
            is_cut: false,
            log: Vec::new(),
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Write { side, len } => self.write(side, len),
            Action::Read { side, len } => self.read(side, len),
            Action::Finish { side } => self.finish(side),
            Action::Close { side } => self.close(side),
            Action::Wait { nanos } => self.world.clock.advance_by(nanos),
            Action::Poll => self.poll(),
            Action::Cut => {
                self.world.kernel.cut(Route::All);
                self.is_cut = true;
                self.unheard |= self.torn;
            }
            Action::Heal => {
                self.world.kernel.heal(Route::All);
                self.is_cut = false;
            }
            Action::Relink { seed } => {
                let mut rng = fastrand::Rng::with_seed(seed);
                let link = Link::new()
                    .latency(Duration::from_nanos(rng.u64(..100_000)))
                    .send_buffer(rng.usize(1..3_000))
                    .receive_buffer(rng.usize(1..3_000));
                self.world.kernel.set_link(Route::All, link);
            }
        }
    }

    fn write(&mut self, side: usize, len: usize) {
        let party = &mut self.parties[side];
        let Some(socket) = &party.socket else { return };
        let bytes: Vec<u8> = (self.written..self.written + len).map(noise).collect();
        match socket.write(&bytes) {
            Ok(written) => {
                assert!(!party.finished, "wrote after the end");
                party.writable &= written == len;
                self.written += written;
                self.parties[1 - side].incoming.extend(&bytes[..written]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => party.writable = false,
            Err(error) => {
                let why = "nobody had closed";
                assert!(party.finished || self.torn, "{error}: {why}");
                party.refused |= !party.finished;
            }
        }
    }

    fn read(&mut self, side: usize, len: usize) {
        let [peer_finished, peer_gone] = {
            let peer = &self.parties[1 - side];
            [peer.finished, peer.socket.is_none()]
        };
        let party = &mut self.parties[side];
        let Some(socket) = &party.socket else { return };
        let mut buf = vec![0; len];
        match socket.read(&mut buf) {
            Ok(0) if len == 0 && !party.incoming.is_empty() => {}
            Ok(0) => {
                let broken = party.refused || party.failed;
                assert!(peer_finished || peer_gone || broken, "an end that nobody made");
                assert!(party.incoming.is_empty() || self.torn, "bytes are missing");
                party.ended = true;
            }
            Ok(read) => {
                assert!(!party.ended, "bytes behind the end");
                let expected: Vec<u8> = party.incoming.drain(..read).collect();
                assert!(buf[..read] == expected, "bytes were changed");
                // What comes with the end is not made known again.
                party.readable &= read == len || party.read_closed;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => party.readable = false,
            Err(error) => {
                assert!(self.torn && !party.failed, "{error}");
                party.failed = true;
            }
        }
    }

    fn finish(&mut self, side: usize) {
        let party = &mut self.parties[side];
        let Some(socket) = &party.socket else { return };
        match socket.shutdown(Shutdown::Write) {
            Ok(()) => party.finished = true,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotConnected),
        }
    }

    fn close(&mut self, side: usize) {
        let peer_finished = self.parties[1 - side].finished;
        let party = &mut self.parties[side];
        // Whoever has something to read, or could still be written to, leaves their peer with an
        // error.
        self.torn |= !party.ended || !peer_finished;
        party.socket = None;
        self.unheard |= self.torn && self.is_cut;
    }

    /// Takes the events, and sees that none is missing.
    fn poll(&mut self) {
        let now = self.world.now();
        self.world.kernel.poll_since(&mut |since, event| {
            let party = &mut self.parties[event.token];
            assert!(since <= now && party.socket.is_some());
            party.readable |= event.readable;
            party.read_closed |= event.read_closed;
            party.writable |= event.writable;
            self.log.push((now, since, event));
        });
        for party in &self.parties {
            let Some(socket) = &party.socket else { continue };
            let (input, room) = can(&self.world, socket);
            assert!(party.readable || !input, "an event to read was lost");
            assert!(party.writable || !room, "an event to write was lost");
        }
    }

    /// Reads on as events tell, until nothing happens any more.
    fn drain(&mut self) {
        self.world.kernel.heal(Route::All);
        self.finish(0);
        self.finish(1);
        loop {
            self.poll();
            for side in 0..2 {
                while self.parties[side].socket.is_some()
                    && self.parties[side].readable
                    && !self.parties[side].ended
                {
                    self.read(side, 700);
                }
            }
            let Some(at) = self.world.kernel.next_event() else { break };
            self.world.clock.advance_to(at);
        }
        for party in self.parties.iter().filter(|party| party.socket.is_some()) {
            assert!(party.ended || self.unheard, "the end never came");
            assert!(self.torn || party.incoming.is_empty());
        }
        for party in &mut self.parties {
            party.socket = None;
        }
        assert_eq!((self.world.kernel.connections(), self.world.kernel.descriptors()), (0, 0));
    }
}

fn noise(position: usize) -> u8 {
    ((position as u32).wrapping_mul(2_654_435_761) >> 13) as u8
}

/// Whether a read and a write are worth a try, as the socket itself knows.
fn can(world: &World, socket: &SimStream) -> (bool, bool) {
    let mut state = world.kernel.enter();
    let Some(Socket::Stream(id, side)) = state.fds.socket(socket.fd()) else {
        panic!("it is open")
    };
    let State { streams, links, .. } = &mut *state;
    let stream = streams.get(id).expect("it is open");
    let pipe = &stream.pipes[side];
    (
        stream.incoming(side).readable() > 0 || stream.is_read_over(side),
        stream.is_write_over(side) || pipe.is_roomy(links.get(pipe.link)),
    )
}

fn run(link: Link, seed: u64, near: bool, actions: &[Action]) -> Vec<(u64, u64, Readied)> {
    let mut run = Run::new(link, seed, near);
    for action in actions {
        run.act(action);
    }
    run.drain();
    run.log
}

proptest! {
    #![proptest_config(cases(400))]

    /// TCP and Unix streams, with links and deeds of all kinds. The same seed gives the same events.
    #[test]
    fn streams_keep_their_promises(
        link in link(),
        seed: u64,
        near: bool,
        actions in prop::collection::vec(action(), 0..120),
    ) {
        let first = run(link.clone(), seed, near, &actions);
        prop_assert_eq!(run(link, seed, near, &actions), first);
    }
}
