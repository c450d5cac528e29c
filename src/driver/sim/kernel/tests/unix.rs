//! What is different with Unix sockets.

use std::io::ErrorKind;
use std::net::Shutdown;

use super::*;

fn path(name: &str) -> Address {
    Path::new(name).into()
}

/// Bytes are there at once; a peer that has closed is noticed by the first write.
#[test]
fn pairs_are_near() {
    let world = World::new();
    let (a, b) = SimStream::pair(&world.kernel).unwrap();
    a.write(b"at once").unwrap();
    assert_eq!(drain(&b), (b"at once".to_vec(), Some(ErrorKind::WouldBlock)));
    assert_eq!(a.peer_addr().unwrap(), Address::Unnamed);
    a.write(b"left").unwrap();
    drop(a);
    assert_eq!(kind(b.write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(drain(&b), (b"left".to_vec(), None));
    assert_eq!(b.peer_addr().unwrap(), Address::Unnamed);
    b.shutdown(Shutdown::Both).unwrap();
    assert_eq!(world.now(), 0);
    drop(b);
    assert_eq!(world.kernel.connections(), 0);
}

/// Closing with bytes unread is a reset, behind what can still be read, also what did not yet fit.
#[test]
fn closing_with_bytes_unread_resets() {
    let world = World::with(1, Link::new().receive_buffer(10));
    let (a, b) = SimStream::pair(&world.kernel).unwrap();
    a.write(b"more than there is room for").unwrap();
    b.write(b"unread").unwrap();
    drop(a);
    let mut got = Vec::new();
    let mut buf = [0; 4];
    while let Ok(read) = b.read(&mut buf).inspect_err(|error| {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }) {
        got.extend_from_slice(&buf[..read]);
    }
    assert_eq!(got, b"more than there is room for");
    assert_eq!(drain(&b), (vec![], None));
}

/// Who ends a direction ends it for both.
#[test]
fn shutdown_is_seen_by_the_peer() {
    let world = World::new();
    let (a, b) = SimStream::pair(&world.kernel).unwrap();
    b.shutdown(Shutdown::Read).unwrap();
    assert_eq!(kind(a.write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(drain(&b), (vec![], None));
    b.write(b"still").unwrap();
    b.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&a), (b"still".to_vec(), None));
}

/// A listener at a path: connected at once, until the backlog is full; the path stays.
#[test]
fn listening_at_a_path() {
    let world = World::new();
    world.kernel.set_backlog(2);
    assert_eq!(kind(SimStream::connect(&world.kernel, path("/run/x"))), ErrorKind::NotFound);
    let listener = SimListener::bind(&world.kernel, path("/run/x")).unwrap();
    assert_eq!(kind(SimListener::bind(&world.kernel, path("/run/x"))), ErrorKind::AddrInUse);
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    let connect = || SimStream::connect(&world.kernel, path("/run/x"));
    let first = connect().unwrap();
    first.write(b"first").unwrap();
    assert_eq!(first.peer_addr().unwrap(), path("/run/x"));
    let second = connect().unwrap();
    assert_eq!(kind(connect()), ErrorKind::WouldBlock);
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, Address::Unnamed);
    assert_eq!(server.local_addr().unwrap(), path("/run/x"));
    assert_eq!(drain(&server).0, b"first");
    let third = connect().unwrap();
    drop(listener);
    for queued in [&second, &third] {
        assert_eq!(kind(queued.read(&mut [0; 8])), ErrorKind::ConnectionReset);
        assert_eq!(kind(queued.write(b"x")), ErrorKind::BrokenPipe);
    }
    server.write(b"goes on").unwrap();
    assert_eq!(drain(&first).0, b"goes on");
    assert_eq!(kind(connect()), ErrorKind::ConnectionRefused);
    assert_eq!(kind(SimListener::bind(&world.kernel, path("/run/x"))), ErrorKind::AddrInUse);
    world.kernel.unlink(Path::new("/run/x")).unwrap();
    assert_eq!(kind(world.kernel.unlink(Path::new("/run/x"))), ErrorKind::NotFound);
    // The path of a later socket is not that of an earlier one.
    let old = SimListener::bind(&world.kernel, path("/run/x")).unwrap();
    world.kernel.unlink(Path::new("/run/x")).unwrap();
    let _new = SimListener::bind(&world.kernel, path("/run/x")).unwrap();
    drop(old);
    assert!(connect().is_ok());
}

/// Datagrams nearby are neither lost nor reordered; who sends has to wait for room, is told when
/// there is some, and when nobody is left.
#[test]
fn datagrams_wait_for_room() {
    let world = World::with(1, Link::new().receive_buffer(10).loss(1.0));
    let (a, b) = SimDatagram::pair(&world.kernel).unwrap();
    world.watch(a.fd(), 1);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    for i in 0..5 {
        assert_eq!(a.send(&[i; 2]).unwrap(), 2);
    }
    assert_eq!(kind(a.send(b"x")), ErrorKind::WouldBlock);
    assert!(world.poll().is_empty());
    assert_eq!(b.peek(&mut [0; 8]).unwrap(), 2);
    assert!(world.poll().is_empty());
    let mut buf = [9; 1];
    assert_eq!((b.recv(&mut buf).unwrap(), buf), (1, [0]));
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    assert_eq!(a.send(&[5; 2]).unwrap(), 2);
    assert_eq!(kind(a.send(b"x")), ErrorKind::WouldBlock);
    for i in 1..6 {
        assert_eq!((b.recv(&mut buf).unwrap(), buf), (1, [i]));
    }
    assert_eq!(kind(b.recv(&mut buf)), ErrorKind::WouldBlock);
    // One that is longer than the buffer fits alone.
    assert_eq!(a.send(&[6; 20]).unwrap(), 20);
    assert_eq!(kind(a.send(b"x")), ErrorKind::WouldBlock);
    world.poll();
    drop(b);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    assert_eq!(kind(a.send(b"x")), ErrorKind::ConnectionRefused);
    assert_eq!(kind(a.send(b"x")), ErrorKind::NotConnected);
    assert!(a.send(&vec![0; 100_000]).is_err());
}

/// However small they are, there is a bound to how many datagrams wait.
#[test]
fn empty_datagrams_have_a_bound() {
    let world = World::new();
    let (a, b) = SimDatagram::pair(&world.kernel).unwrap();
    let mut sent = 0;
    while a.send(b"").is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 512);
    for _ in 0..sent {
        assert_eq!(b.recv(&mut [0; 8]).unwrap(), 0);
    }
    assert_eq!(kind(b.recv(&mut [0; 8])), ErrorKind::WouldBlock);
}

/// Datagrams by path, with and without a peer, from sockets with and without a name.
#[test]
fn datagrams_by_path() {
    let world = World::new();
    let named = SimDatagram::bind(&world.kernel, path("/run/d")).unwrap();
    let unnamed = SimDatagram::bind(&world.kernel, Address::Unnamed).unwrap();
    assert_eq!(kind(SimDatagram::bind(&world.kernel, path("/run/d"))), ErrorKind::AddrInUse);
    assert_eq!(
        kind(SimStream::connect(&world.kernel, path("/run/d"))),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(kind(unnamed.send(b"x")), ErrorKind::NotConnected);
    assert_eq!(kind(unnamed.send_to(b"x", path("/run/none"))), ErrorKind::NotFound);
    unnamed.send_to(b"one", path("/run/d")).unwrap();
    let mut buf = [0; 8];
    assert_eq!(named.recv_from(&mut buf).unwrap(), (3, Address::Unnamed));
    unnamed.connect(path("/run/d")).unwrap();
    assert_eq!(unnamed.peer_addr().unwrap(), path("/run/d"));
    unnamed.send(b"three").unwrap();
    assert_eq!(named.peek_from(&mut buf).unwrap(), (5, Address::Unnamed));
    assert_eq!(named.recv(&mut buf).unwrap(), 5);
    named.shutdown(Shutdown::Read).unwrap();
    assert_eq!(kind(unnamed.send(b"x")), ErrorKind::BrokenPipe);
    unnamed.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(unnamed.send_to(b"x", path("/run/d"))), ErrorKind::BrokenPipe);
    drop(named);
    let other = SimDatagram::bind(&world.kernel, Address::Unnamed).unwrap();
    assert_eq!(kind(other.send_to(b"x", path("/run/d"))), ErrorKind::ConnectionRefused);
    assert_eq!(kind(other.connect(path("/run/d"))), ErrorKind::ConnectionRefused);
}
