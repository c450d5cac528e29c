//! Connected streams.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;

use super::*;

/// Bytes arrive after the latency, not before, whether or not anybody polls.
#[test]
fn bytes_take_their_time() {
    let world = World::new();
    let (client, server) = world.tcp();
    assert_eq!(client.write(b"hello").unwrap(), 5);
    world.clock.advance_by(LATENCY - 1);
    assert_eq!(kind(server.read(&mut [0; 8])), ErrorKind::WouldBlock);
    world.clock.advance_by(1);
    let mut buf = [0; 8];
    assert_eq!(server.read(&mut buf).unwrap(), 5);
    assert_eq!(&buf[..5], b"hello");
    assert_eq!(kind(server.read(&mut buf)), ErrorKind::WouldBlock);
}

/// Peeking leaves the bytes; several buffers are one after the other.
#[test]
fn peeked_and_vectored() {
    let world = World::new();
    let (client, server) = world.tcp();
    let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two three")];
    assert_eq!(client.write_vectored(&parts).unwrap(), 13);
    world.settle();
    let mut peeked = [0; 20];
    assert_eq!(server.peek(&mut peeked).unwrap(), 13);
    assert_eq!(server.peek(&mut peeked[..3]).unwrap(), 3);
    let (mut a, mut b) = ([0; 3], [0; 7]);
    let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut []), IoSliceMut::new(&mut b)];
    assert_eq!(server.read_vectored(&mut bufs).unwrap(), 10);
    assert_eq!((&a, &b), (b"one", b" two th"));
    assert_eq!(server.read(&mut []).unwrap(), 0);
    assert_eq!(drain(&server), (b"ree".to_vec(), Some(ErrorKind::WouldBlock)));
    assert_eq!(kind(server.read(&mut [])), ErrorKind::WouldBlock);
    assert_eq!(client.write(&[]).unwrap(), 0);
}

/// A writer gets as far as both buffers take, and no further until the reader reads.
#[test]
fn buffers_push_back() {
    let link = Link::new().send_buffer(10_000).receive_buffer(5_000);
    let world = World::with(1, link);
    let (client, server) = world.tcp();
    assert_eq!(client.write(&[1; 20_000]).unwrap(), 10_000);
    assert_eq!(kind(client.write(b"x")), ErrorKind::WouldBlock);
    world.settle();
    // Half of it is at the far end now.
    assert_eq!(server.peek(&mut [0; 20_000]).unwrap(), 5_000);
    assert_eq!(fill(&client), 5_000);
    world.settle();
    assert_eq!(kind(client.write(b"x")), ErrorKind::WouldBlock);
    // The reader is not waited for before half of its buffer is free.
    assert_eq!(server.read(&mut [0; 2_000]).unwrap(), 2_000);
    world.settle();
    assert_eq!(kind(client.write(b"x")), ErrorKind::WouldBlock);
    assert_eq!(server.read(&mut [0; 500]).unwrap(), 500);
    world.settle();
    assert_eq!(fill(&client), 2_500);
    let mut read = 2_500;
    loop {
        world.settle();
        match drain(&server).0.len() {
            0 => break,
            more => read += more,
        }
    }
    assert_eq!(read, 17_500);
}

/// The end of a stream comes behind its bytes, is told again and again, and leaves the other
/// direction alone.
#[test]
fn half_close() {
    let world = World::new();
    let (client, server) = world.tcp();
    client.write(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(client.write(b"more")), ErrorKind::BrokenPipe);
    world.settle();
    assert_eq!(drain(&server), (b"question".to_vec(), None));
    assert_eq!(drain(&server), (vec![], None));
    server.write(b"answer").unwrap();
    world.settle();
    assert_eq!(drain(&client), (b"answer".to_vec(), Some(ErrorKind::WouldBlock)));
    drop(server);
    world.settle();
    assert_eq!(drain(&client), (vec![], None));
    drop(client);
    assert_eq!(world.kernel.connections(), 0);
}

/// A reader that wants no more gets the end, after what is there; the writer does not learn of it.
#[test]
fn shut_for_reading() {
    let world = World::new();
    let (client, server) = world.tcp();
    client.write(b"before").unwrap();
    world.settle();
    server.shutdown(Shutdown::Read).unwrap();
    assert_eq!(drain(&server), (b"before".to_vec(), None));
    client.write(b"after").unwrap();
    world.settle();
    assert_eq!(drain(&server), (b"after".to_vec(), None));
}

/// Bytes for one who neither reads nor writes any more are answered by a reset.
#[test]
fn shut_for_both() {
    let world = World::new();
    let (client, server) = world.tcp();
    server.shutdown(Shutdown::Both).unwrap();
    world.settle();
    client.write(b"anybody there?").unwrap();
    world.settle();
    assert_eq!(kind(client.write(b"hello?")), ErrorKind::BrokenPipe);
    assert_eq!(kind(server.read(&mut [0; 8])), ErrorKind::ConnectionReset);
}

/// What was written before the socket was closed arrives, however small the buffers.
#[test]
fn closing_loses_nothing() {
    let world = World::with(1, Link::new().receive_buffer(10).send_buffer(1_000));
    let (client, server) = world.tcp();
    assert_eq!(client.write(&[3; 1_000]).unwrap(), 1_000);
    drop(client);
    let mut got = 0;
    loop {
        world.settle();
        match drain(&server) {
            (bytes, None) => {
                got += bytes.len();
                break;
            }
            (bytes, Some(_)) => got += bytes.len(),
        }
    }
    assert_eq!(got, 1_000);
    assert_eq!(world.kernel.connections(), 1);
    drop(server);
    assert_eq!(world.kernel.connections(), 0);
}

/// Closing with bytes unread resets the peer: it can read what it has, and is then told once.
#[test]
fn closing_with_bytes_unread_resets() {
    let world = World::new();
    let (client, server) = world.tcp();
    server.write(b"before").unwrap();
    client.write(b"never read").unwrap();
    world.settle();
    server.write(b", and more").unwrap();
    drop(server);
    world.settle();
    assert_eq!(drain(&client), (b"before, and more".to_vec(), Some(ErrorKind::ConnectionReset)));
    assert_eq!(drain(&client), (vec![], None));
    assert_eq!(kind(client.write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
    assert_eq!(kind(client.shutdown(Shutdown::Write)), ErrorKind::NotConnected);
}

/// Writing to a peer that has closed works once; the reset that answers makes it an error.
#[test]
fn writing_to_nobody() {
    let world = World::new();
    let (client, server) = world.tcp();
    drop(server);
    world.settle();
    assert_eq!(client.write(b"hello?").unwrap(), 6);
    world.settle();
    assert_eq!(kind(client.write(b"hello?")), ErrorKind::BrokenPipe);
    assert_eq!(drain(&client), (vec![], None));

    // Written before it was known that the peer closes: that is a reset like any other.
    let (client, server) = world.tcp();
    server.set_linger(Some(Duration::ZERO)).unwrap();
    client.write(b"hello?").unwrap();
    drop(server);
    world.settle();
    assert_eq!(kind(client.write(b"hello?")), ErrorKind::ConnectionReset);
    assert_eq!(kind(client.write(b"hello?")), ErrorKind::BrokenPipe);
}

/// With a linger of zero closing throws away what was not sent, and resets.
#[test]
fn linger_of_zero_resets() {
    let world = World::with(1, Link::new().receive_buffer(4));
    let (client, server) = world.tcp();
    client.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
    client.write(b"sent, not sent").unwrap();
    drop(client);
    let mut state = world.kernel.enter();
    let id = state.streams.ids()[0];
    assert_eq!(state.stream(id).incoming(connection::Side::Server).unread(), 4);
    drop(state);
    world.settle();
    assert_eq!(drain(&server), (b"sent".to_vec(), Some(ErrorKind::ConnectionReset)));
    assert!(server.take_error().unwrap().is_none());
}

/// A reset comes behind the bytes also where everything takes no time.
#[test]
fn resets_come_last() {
    for seed in 0..20 {
        let world = World::with(seed, Link::new().latency(Duration::ZERO));
        let (client, server) = world.tcp();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        client.write(b"sent").unwrap();
        drop(client);
        world.settle();
        assert_eq!(drain(&server), (b"sent".to_vec(), Some(ErrorKind::ConnectionReset)));
    }
}

/// The error of a connection is told once: by reading, by writing, or when it is asked for.
#[test]
fn errors_are_told_once() {
    let world = World::new();
    for how in 0..3 {
        let (client, server) = world.tcp();
        world.kernel.reset_all(Route::All);
        let error = match how {
            0 => client.read(&mut [0; 8]).unwrap_err(),
            1 => client.write(b"x").unwrap_err(),
            _ => client.take_error().unwrap().unwrap(),
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(kind(client.write(b"x")), ErrorKind::BrokenPipe);
        assert!(client.take_error().unwrap().is_none());
        assert_eq!(kind(server.read(&mut [0; 8])), ErrorKind::ConnectionReset);
    }
}

/// When both directions have ended in good order the connection is no more, which is no error.
#[test]
fn both_directions_end() {
    let world = World::new();
    let (client, server) = world.tcp();
    client.shutdown(Shutdown::Write).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    world.settle();
    assert!(client.peer_addr().is_ok());
    server.shutdown(Shutdown::Write).unwrap();
    world.settle();
    assert_eq!(drain(&client), (vec![], None));
    assert!(client.take_error().unwrap().is_none());
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
    assert_eq!(kind(server.shutdown(Shutdown::Write)), ErrorKind::NotConnected);
}

/// Options are remembered, within what Linux takes.
#[test]
fn options() {
    let world = World::new();
    let (client, server) = world.tcp();
    client.set_nodelay(true).unwrap();
    client.set_ttl(42).unwrap();
    client.set_linger(Some(Duration::from_secs(5))).unwrap();
    client.set_keepalive(Some(Duration::from_secs(60))).unwrap();
    assert!(client.nodelay().unwrap() && client.keepalive().unwrap());
    assert_eq!(client.ttl().unwrap(), 42);
    assert_eq!(client.linger().unwrap(), Some(Duration::from_secs(5)));
    for ttl in [0, 256] {
        assert_eq!(kind(client.set_ttl(ttl)), ErrorKind::InvalidInput);
    }
    for silence in [Duration::ZERO, Duration::MAX] {
        assert_eq!(kind(client.set_keepalive(Some(silence))), ErrorKind::InvalidInput);
    }
    client.set_keepalive(None).unwrap();
    client.set_linger(None).unwrap();
    assert!(!client.keepalive().unwrap());
    assert_eq!(client.linger().unwrap(), None);
    assert!(!server.nodelay().unwrap());
}

/// A stream that is idle costs little memory, whatever went through it before.
#[test]
fn idle_streams_are_small() {
    let world = World::new();
    let (client, server) = world.tcp();
    client.write(&[1; 60_000]).unwrap();
    world.settle();
    assert_eq!(drain(&server).0.len(), 60_000);
    world.settle();
    let mut state = world.kernel.enter();
    for id in state.streams.ids() {
        assert_eq!(state.stream(id).incoming(connection::Side::Server).capacity(), 0);
    }
    drop(state);
    let connection = std::mem::size_of::<connection::Connection>();
    let descriptors = 2 * Descriptors::SIZE;
    assert!(connection + descriptors < 500, "{connection} + {descriptors}");
}
