//! What a poll reports, and when.

use std::io::ErrorKind;
use std::net::Shutdown;

use super::*;

/// What a socket is ready for when it is registered is an event, once.
#[test]
fn registering_reports() {
    let world = World::new();
    let (client, server) = world.tcp();
    client.write(b"x").unwrap();
    world.settle();
    world.watch(server.fd(), 1);
    assert_eq!(world.poll(), [event(1, true, true, false)]);
    assert!(world.poll().is_empty());
    world.kernel.deregister(server.fd()).unwrap();
    world.kernel.register(server.fd(), 2, Interest::READABLE).unwrap();
    assert_eq!(world.poll(), [event(2, true, false, false)]);
    world.kernel.deregister(server.fd()).unwrap();
    world.kernel.register(server.fd(), 3, Interest::WRITABLE).unwrap();
    assert_eq!(world.poll(), [event(3, false, true, false)]);
    assert!(world.poll().is_empty());
}

/// A socket can be watched once; what is not watched is not found.
#[test]
fn registering_twice() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.watch(client.fd(), 1);
    assert_eq!(kind(world.kernel.register(client.fd(), 2, BOTH)), ErrorKind::AlreadyExists);
    assert_eq!(kind(world.kernel.deregister(server.fd())), ErrorKind::NotFound);
    world.kernel.deregister(client.fd()).unwrap();
    assert!(world.poll().is_empty());
    let fd = client.fd();
    drop(client);
    assert!(world.kernel.register(fd, 1, BOTH).is_err());
}

/// Each arrival is an event, whether or not what came before was read; several before a poll are
/// one.
#[test]
fn each_arrival_is_an_event() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.watch(server.fd(), 1);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    for _ in 0..3 {
        client.write(b"x").unwrap();
        assert_eq!(world.next(), [event(1, true, true, false)]);
        assert!(world.poll().is_empty());
    }
    for _ in 0..3 {
        client.write(b"x").unwrap();
        world.clock.advance_by(2 * LATENCY);
    }
    assert_eq!(world.poll(), [event(1, true, true, false)]);
    // What was read before the poll is not reported; that there is room is.
    client.write(b"x").unwrap();
    world.clock.advance_by(LATENCY);
    assert_eq!(drain(&server).0.len(), 7);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
}

/// Events are for those who asked for them; the ends of both directions are for everybody.
#[test]
fn interests() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.kernel.register(server.fd(), 1, Interest::WRITABLE).unwrap();
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    client.write(b"x").unwrap();
    world.wait(Duration::from_millis(1));
    assert!(world.poll().is_empty());
    world.kernel.reset_all(Route::All);
    assert_eq!(world.poll(), [event(1, true, true, true)]);
}

/// The end of the stream is told apart from bytes; a reset is an event in both directions.
#[test]
fn ends_are_events() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.watch(server.fd(), 1);
    world.poll();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(world.next(), [event(1, true, true, true)]);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(world.poll(), [event(1, true, true, true)]);

    let (client, server) = world.tcp();
    world.watch(server.fd(), 2);
    world.poll();
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(world.next(), [event(2, true, true, true)]);
}

/// Who ends a direction of their own hears of it too, even when that is an error.
#[test]
fn own_shutdown_is_an_event() {
    let world = World::new();
    let (client, _server) = world.tcp();
    world.watch(client.fd(), 1);
    world.poll();
    client.shutdown(Shutdown::Read).unwrap();
    assert_eq!(world.poll(), [event(1, true, true, true)]);
    world.kernel.reset_all(Route::All);
    assert_eq!(world.poll().len(), 1);
    assert_eq!(kind(client.shutdown(Shutdown::Read)), ErrorKind::NotConnected);
    assert_eq!(world.poll(), [event(1, true, true, true)]);
    let (a, b) = SimStream::pair(&world.kernel).unwrap();
    world.watch(a.fd(), 2);
    world.watch(b.fd(), 3);
    assert_eq!(world.poll().len(), 2);
    b.shutdown(Shutdown::Read).unwrap();
    let mut events = world.poll();
    events.sort_by_key(|event| event.token);
    assert_eq!(events, [event(2, false, true, false), event(3, true, true, true)]);
}

/// A writer who had to stop hears when a third of the buffer is free, and only one who had to.
#[test]
fn room_is_an_event() {
    let link = Link::new().send_buffer(9_000).receive_buffer(3_000);
    let world = World::with(1, link);
    let (client, server) = world.tcp();
    world.watch(client.fd(), 1);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    client.write(&[0; 100]).unwrap();
    world.settle();
    assert_eq!(drain(&server).0.len(), 100);
    world.settle();
    assert!(world.poll().is_empty());
    while fill(&client) > 0 {
        world.settle();
    }
    assert!(world.poll().is_empty());
    // Each read of 1,500 lets as many more be sent.
    server.read(&mut [0; 1_500]).unwrap();
    world.clock.advance_by(4 * LATENCY);
    assert!(world.poll().is_empty());
    server.read(&mut [0; 1_500]).unwrap();
    assert_eq!(world.next(), [event(1, false, true, false)]);
    assert_eq!(client.write(&[0; 9_000]).unwrap(), 3_000);
}

/// Who was told by an event that there is no room hears when there is some, without having tried.
#[test]
fn room_is_an_event_for_who_did_not_try() {
    let world = World::with(1, Link::new().send_buffer(100).receive_buffer(100));
    let (a, b) = SimStream::pair(&world.kernel).unwrap();
    assert_eq!(a.write(&[0; 100]).unwrap(), 100);
    world.settle();
    assert_eq!(a.write(&[0; 100]).unwrap(), 100);
    world.watch(a.fd(), 1);
    assert!(world.poll().is_empty());
    assert_eq!(b.read(&mut [0; 100]).unwrap(), 100);
    assert_eq!(world.poll(), [event(1, false, true, false)]);

    let (a, b) = SimDatagram::pair(&world.kernel).unwrap();
    assert_eq!(a.send(&[0; 100]).unwrap(), 100);
    world.watch(a.fd(), 2);
    assert!(world.poll().is_empty());
    assert_eq!(b.recv(&mut [0; 100]).unwrap(), 100);
    assert_eq!(world.poll(), [event(2, false, true, false)]);
}

/// A descriptor's number is given out again at once, the lowest first; events of the old socket are
/// not those of the new.
#[test]
fn numbers_come_again() {
    let world = World::new();
    let (client, server) = world.tcp();
    let (old, token) = (server.fd(), 1);
    world.watch(old, token);
    client.write(b"for the old one").unwrap();
    world.wait(Duration::from_millis(1));
    drop(server);
    let (a, b) = SimStream::pair(&world.kernel).unwrap();
    assert!(a.fd() == old || b.fd() == old, "{a:?} {b:?} {old:?}");
    world.watch(old, 2);
    assert_eq!(world.poll(), [event(2, false, true, false)]);
    assert!(world.poll().is_empty());
    let mut fds = [a.fd(), b.fd(), client.fd()];
    drop((a, b, client));
    fds.sort();
    let again = SimDatagram::bind(&world.kernel, Address::Unnamed).unwrap();
    assert_eq!(again.fd(), fds[0]);
    assert_eq!(world.kernel.descriptors(), 1);
}

/// The next event is now if one waits, else when something happens, or never.
#[test]
fn the_next_event() {
    let world = World::new();
    assert_eq!(world.kernel.next_event(), None);
    let (client, server) = world.tcp();
    let now = world.now();
    assert_eq!(world.kernel.next_event(), None);
    client.write(b"x").unwrap();
    assert_eq!(world.kernel.next_event(), Some(now + LATENCY));
    world.watch(server.fd(), 1);
    assert_eq!(world.kernel.next_event(), Some(now));
    // Not for one who does not watch any more.
    world.kernel.deregister(server.fd()).unwrap();
    assert_eq!(world.kernel.next_event(), Some(now + LATENCY));
}

/// Each event tells when it came up, however late the poll is; what came up first is reported
/// first.
#[test]
fn events_come_in_the_order_of_time() {
    let world = World::new();
    let pairs: Vec<_> = (0..5).map(|_| world.tcp()).collect();
    for (token, (_, server)) in pairs.iter().enumerate() {
        world.watch(server.fd(), token);
    }
    world.poll();
    let start = world.now();
    for token in [3, 1, 4, 0, 2] {
        pairs[token].0.write(b"x").unwrap();
        world.clock.advance_by(10);
    }
    world.wait(Duration::from_secs(1));
    let mut events = Vec::new();
    world.kernel.poll_since(&mut |since, event| events.push((event.token, since)));
    let at = |i: u64| start + 10 * i + LATENCY;
    assert_eq!(events, [(3, at(0)), (1, at(1)), (4, at(2)), (0, at(3)), (2, at(4))]);
}

/// What comes up at the same time is reported in an order that the seed decides, and nothing else.
#[test]
fn the_seed_orders_what_is_simultaneous() {
    let order = |seed: u64, late: bool| {
        let world = World::with(seed, Link::new());
        let pairs: Vec<_> = (0..8).map(|_| world.tcp()).collect();
        for (token, (client, server)) in pairs.iter().enumerate() {
            world.watch(server.fd(), token);
            client.write(b"x").unwrap();
        }
        world.poll();
        world.clock.advance_by(if late { 10 * LATENCY } else { LATENCY });
        world.poll().iter().map(|event| event.token).collect::<Vec<_>>()
    };
    let orders: Vec<_> = (0..10).map(|seed| order(seed, false)).collect();
    assert!(orders.iter().any(|order| *order != orders[0]));
    for (seed, known) in orders.iter().enumerate() {
        assert_eq!(order(seed as u64, false), *known);
        assert_eq!(order(seed as u64, true), *known);
    }
}

/// Short reads and writes come with an event, as the rest is there already.
#[test]
fn short_transfers_come_with_events() {
    let world = World::with(1, Link::new().short_reads(1.0).short_writes(1.0));
    let (client, server) = world.tcp();
    world.watch(client.fd(), 1);
    world.watch(server.fd(), 2);
    world.poll();
    let sent: Vec<u8> = (0..200).collect();
    let mut at = 0;
    while at < sent.len() {
        let written = client.write(&sent[at..]).unwrap();
        let left = sent.len() - at;
        assert!(written < left || left == 1, "{written} of {left}");
        at += written;
        assert_eq!(world.poll().len(), usize::from(left > 1));
    }
    world.settle();
    assert_eq!(server.peek(&mut [0; 300]).unwrap(), 200);
    let (mut got, mut buf) = (Vec::new(), [0; 300]);
    while got.len() < sent.len() {
        let read = server.read(&mut buf).unwrap();
        let left = sent.len() - got.len();
        assert!(read < left || left == 1, "{read} of {left}");
        got.extend_from_slice(&buf[..read]);
        let events: &[_] = if left > 1 { &[2] } else { &[] };
        assert!(world.poll().iter().map(|event| event.token).eq(events.iter().copied()));
    }
    assert_eq!(got, sent);
}

/// Who is told of an event may make system calls.
#[test]
fn calls_from_within_a_poll() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.watch(server.fd(), 1);
    world.poll();
    client.write(b"x").unwrap();
    world.wait(Duration::from_millis(1));
    let mut got = 0;
    world.kernel.poll_since(&mut |_, _| got += server.read(&mut [0; 8]).unwrap());
    assert_eq!(got, 1);
}
