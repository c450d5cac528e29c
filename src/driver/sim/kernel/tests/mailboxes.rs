//! Whatever is sent by datagrams: they arrive whole, once and in order, and whoever had to stop
//! hears when they can go on.

use std::collections::VecDeque;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Send { from: usize, len: usize },
    Receive,
    Wait { nanos: u64 },
    Poll,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..2_usize, 0..60_usize).prop_map(|(from, len)| Action::Send { from, len }),
        3 => Just(Action::Receive),
        1 => (0..300_000_u64).prop_map(|nanos| Action::Wait { nanos }),
        2 => Just(Action::Poll),
    ]
}

/// Two who send and one who receives, each as events tell.
struct Run {
    world: World,
    senders: [SimDatagram; 2],
    receiver: SimDatagram,
    target: Address,
    writable: [bool; 2],
    readable: bool,
    /// What is still to arrive from each, by its length.
    expected: [VecDeque<usize>; 2],
}

impl Run {
    fn new(link: Link, near: bool) -> Self {
        let world = World::with(1, link);
        let bind =
            |address: Address| SimDatagram::bind(&world.kernel, address).expect("it is free");
        let addr = |port| Address::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
        let path = |name: &str| Address::from(Path::new(name));
        let (senders, receiver) = if near {
            (["/0", "/1"].map(|name| bind(path(name))), bind(path("/2")))
        } else {
            ([1, 2].map(|port| bind(addr(port))), bind(addr(3)))
        };
        let target = receiver.local_addr().expect("it is bound");
        senders[0].connect(target.clone()).expect("it is there");
        world.watch(senders[0].fd(), 0);
        world.watch(senders[1].fd(), 1);
        world.watch(receiver.fd(), 2);
        let expected = [VecDeque::new(), VecDeque::new()];
        let writable = [false, false];
        Self { world, senders, receiver, target, writable, readable: false, expected }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Send { from, len } => self.send(from, len),
            Action::Receive => self.receive(),
            Action::Wait { nanos } => self.world.clock.advance_by(nanos),
            Action::Poll => self.poll(),
        }
    }

    fn send(&mut self, from: usize, len: usize) {
        let bytes = vec![len as u8; len];
        // The first has a peer, the second names it each time.
        let sent = match from {
            0 => self.senders[0].send(&bytes),
            _ => self.senders[1].send_to(&bytes, self.target.clone()),
        };
        match sent {
            Ok(sent) => {
                assert_eq!(sent, len);
                self.expected[from].push_back(len);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                self.writable[from] = false;
            }
        }
    }

    fn receive(&mut self) {
        let mut buf = [0; 100];
        match self.receiver.recv_from(&mut buf) {
            Ok((len, from)) => {
                let sent_by = |i: &usize| self.senders[*i].local_addr().unwrap() == from;
                let sender = [0, 1].into_iter().find(sent_by).expect("one of the two");
                assert_eq!(self.expected[sender].pop_front(), Some(len));
                assert!(buf[..len].iter().all(|byte| usize::from(*byte) == len));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                self.readable = false;
            }
        }
    }

    fn poll(&mut self) {
        for event in self.world.poll() {
            match event.token {
                2 => self.readable |= event.readable,
                sender => self.writable[sender] |= event.writable,
            }
        }
        if !self.readable {
            let peeked = self.receiver.peek(&mut [0; 8]).map_err(|error| error.kind());
            assert_eq!(peeked, Err(ErrorKind::WouldBlock), "an event to receive was lost");
        }
    }

    /// Goes on as events tell, until nothing happens any more.
    fn drain(&mut self) {
        loop {
            self.poll();
            while self.readable {
                self.receive();
            }
            let Some(at) = self.world.kernel.next_event() else { break };
            self.world.clock.advance_to(at);
        }
        assert_eq!(self.expected, [VecDeque::new(), VecDeque::new()], "datagrams were lost");
        assert_eq!(self.writable, [true, true], "an event to send was lost");
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Datagrams of Unix and of UDP; where the latter had to wait for bandwidth or took their time.
    #[test]
    fn datagrams_keep_their_promises(
        near: bool,
        small in 60..300_usize,
        micros in 0..100_u64,
        is_limited: bool,
        actions in prop::collection::vec(action(), 0..150),
    ) {
        let latency = Duration::from_micros(micros);
        let link = Link::new().latency_between(Duration::ZERO, latency).send_buffer(small);
        let link = if near { link.receive_buffer(small) } else { link };
        let link = if is_limited { link.bandwidth(1_000_000) } else { link };
        let mut run = Run::new(link, near);
        for action in &actions {
            run.act(action);
        }
        run.drain();
    }
}
