//! Listening, connecting, accepting.

use std::io::ErrorKind;
use std::net::Shutdown;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A connection takes a way there and back for the client, and one more for the server.
#[test]
fn handshake() {
    let world = World::new();
    let listener = world.listen("127.0.0.1:80");
    world.watch(listener.fd(), 1);
    assert!(world.poll().is_empty());
    let client = world.connect(&listener);
    world.watch(client.fd(), 2);
    assert!(world.poll().is_empty());
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::WouldBlock);
    assert_eq!(kind(client.write(b"x")), ErrorKind::WouldBlock);
    assert!(client.take_error().unwrap().is_none());

    assert_eq!(world.next(), [event(2, false, true, false)]);
    assert_eq!(world.now(), 2 * LATENCY);
    assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);

    assert_eq!(world.next(), [event(1, true, false, false)]);
    assert_eq!(world.now(), 3 * LATENCY);
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), peer);
    assert_eq!(server.local_addr().unwrap(), listener.local_addr().unwrap());
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
}

/// Where nobody listens, connecting is refused; the error is told once.
#[test]
fn refused() {
    let world = World::new();
    let addr: SocketAddr = "127.0.0.1:81".parse().unwrap();
    for how in 0..3 {
        let client = SimStream::connect(&world.kernel, addr.into()).unwrap();
        world.watch(client.fd(), 1);
        assert_eq!(world.next(), [event(1, true, true, true)]);
        let error = match how {
            0 => client.take_error().unwrap().unwrap(),
            1 => client.read(&mut [0; 8]).unwrap_err(),
            _ => client.write(b"x").unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(kind(client.write(b"x")), ErrorKind::BrokenPipe);
        assert_eq!(kind(client.shutdown(Shutdown::Write)), ErrorKind::NotConnected);
    }
    assert_eq!(world.kernel.connections(), 0);
}

/// While nothing passes, in either direction, connecting is tried again, later and later, and in
/// the end given up by both sides.
#[test]
fn timed_out() {
    let host = "10.0.0.1:0".parse().unwrap();
    for route in [Route::To(host), Route::From(host)] {
        let world = World::new();
        let listener = world.listen("10.0.0.1:80");
        world.kernel.cut(route);
        let client = world.connect(&listener);
        world.watch(client.fd(), 1);
        assert_eq!(world.next(), [event(1, true, true, true)]);
        assert_eq!(world.now(), 127 * SECOND);
        assert_eq!(client.take_error().unwrap().unwrap().kind(), ErrorKind::TimedOut);
        drop(client);
        assert_eq!(world.kernel.connections(), 0);
    }
}

/// An attempt that was cut off gets through with its next try after the way has healed, whichever
/// message it was that had been lost.
#[test]
fn healed_in_time() {
    let addr: SocketAddr = "10.0.0.1:80".parse().unwrap();
    for (route, at, connected) in [
        (Route::To(addr), 0, 3 * SECOND + 2 * LATENCY),
        (Route::From(addr), LATENCY, 3 * SECOND + 2 * LATENCY),
        // The client need not hear of it that its last message was lost.
        (Route::To(addr), 2 * LATENCY, 2 * LATENCY),
    ] {
        let world = World::new();
        let listener = world.listen("10.0.0.1:80");
        world.watch(listener.fd(), 1);
        let client = world.connect(&listener);
        world.watch(client.fd(), 2);
        world.clock.advance_to(at);
        world.kernel.cut(route);
        world.clock.advance_to(2 * LATENCY);
        let mut events = world.poll();
        world.clock.advance_to(2 * SECOND);
        world.kernel.heal(route);
        if events.is_empty() {
            events = world.next();
            assert_eq!(world.now(), connected);
        }
        assert_eq!(events, [event(2, false, true, false)]);
        assert_eq!(world.next(), [event(1, true, false, false)]);
        assert!(listener.accept().is_ok());
        assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    }
}

/// A listener whose backlog is full lets clients wait: they try again, and get in when there is
/// room.
#[test]
fn full_backlog() {
    let world = World::new();
    world.kernel.set_backlog(2);
    let listener = world.listen("127.0.0.1:80");
    let clients: Vec<_> = (0..3).map(|_| world.connect(&listener)).collect();
    world.clock.advance_to(SECOND / 2);
    let is_in = |client: &SimStream| client.peer_addr().is_ok();
    assert_eq!(clients.iter().filter(|client| is_in(client)).count(), 2);
    let first = listener.accept().unwrap();
    world.clock.advance_to(SECOND / 2 + 10 * LATENCY);
    assert_eq!(clients.iter().filter(|client| is_in(client)).count(), 2);
    world.clock.advance_to(SECOND + 3 * LATENCY);
    assert!(clients.iter().all(is_in));
    assert!(listener.accept().is_ok() && listener.accept().is_ok());
    drop(first);
}

/// Connections under way take their place in the backlog too, and give it back if they fail.
#[test]
fn half_open_connections_count() {
    let world = World::new();
    world.kernel.set_backlog(1);
    let listener = world.listen("127.0.0.1:80");
    // Gone before it hears of it that it is welcome.
    let client = world.connect(&listener);
    world.clock.advance_by(LATENCY);
    drop(client);
    assert_eq!(world.kernel.connections(), 1);
    world.clock.advance_by(2 * LATENCY);
    assert_eq!(world.kernel.connections(), 0);
    // Or cannot hear of it.
    let client = world.connect(&listener);
    world.clock.advance_by(LATENCY);
    world.kernel.cut(Route::All);
    drop(client);
    world.settle();
    assert_eq!(world.kernel.connections(), 0);
    world.kernel.heal(Route::All);
    // And one whose attempt is ended by hand.
    let client = world.connect(&listener);
    world.clock.advance_by(LATENCY);
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::ConnectionReset);
    world.settle();
    let client = world.connect(&listener);
    world.clock.advance_by(3 * LATENCY);
    assert!(client.peer_addr().is_ok());
    assert!(listener.accept().is_ok());
}

/// Closing a listener resets whoever was not accepted, connected or about to be.
#[test]
fn closing_resets_the_backlog() {
    let world = World::new();
    let listener = world.listen("127.0.0.1:80");
    let connected = world.connect(&listener);
    let silent = world.connect(&listener);
    world.settle();
    connected.write(b"hello").unwrap();
    world.settle();
    let half = world.connect(&listener);
    world.clock.advance_by(LATENCY);
    let early = world.connect(&listener);
    drop(listener);
    world.settle();
    assert_eq!(connected.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
    assert_eq!(silent.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
    assert_eq!(half.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
    assert_eq!(early.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
    drop((connected, silent, half, early));
    assert_eq!(world.kernel.connections(), 0);
}

/// What a client sent before it was accepted is there when it is, its end as well.
#[test]
fn sent_before_accepted() {
    let world = World::new();
    let listener = world.listen("127.0.0.1:80");
    let client = world.connect(&listener);
    world.settle();
    client.write(b"early").unwrap();
    drop(client);
    world.settle();
    let (server, _) = listener.accept().unwrap();
    assert_eq!(drain(&server), (b"early".to_vec(), None));
    // A client that resets stays in the backlog, to be told when it is read.
    let client = world.connect(&listener);
    world.settle();
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    world.settle();
    let (server, _) = listener.accept().unwrap();
    assert_eq!(drain(&server), (vec![], Some(ErrorKind::ConnectionReset)));
}

/// Addresses can be had once, a port alone by nobody else on any address; port 0 is a free one.
#[test]
fn addresses() {
    let world = World::new();
    let bind = |addr: &str| {
        let addr: SocketAddr = addr.parse().unwrap();
        SimListener::bind(&world.kernel, addr.into())
    };
    let one = bind("10.0.0.1:80").unwrap();
    for (addr, free) in [
        ("10.0.0.1:80", false),
        ("0.0.0.0:80", false),
        ("[::]:80", false),
        ("10.0.0.2:80", true),
        ("[::1]:80", true),
        ("0.0.0.0:81", true),
    ] {
        assert_eq!(bind(addr).is_ok(), free, "{addr}");
    }
    assert_eq!(kind(bind("10.0.0.1:80")), ErrorKind::AddrInUse);
    drop(one);
    let all = bind("[::]:80").unwrap();
    assert_eq!(kind(bind("10.0.0.1:80")), ErrorKind::AddrInUse);
    let (a, b) = (bind("127.0.0.1:0").unwrap(), bind("127.0.0.1:0").unwrap());
    let port = |listener: &SimListener| listener.local_addr().unwrap().ip().unwrap().port();
    assert!(port(&a) != 0 && port(&a) != port(&b));
    assert_eq!(kind(SimListener::bind(&world.kernel, Address::Unnamed)), ErrorKind::InvalidInput);
    drop(all);
}

/// A listener on all addresses takes connections to each; one of both families names the older in
/// terms of the newer.
#[test]
fn wildcards() {
    let world = World::new();
    let connect = |to: &str| {
        let addr: SocketAddr = to.parse().unwrap();
        SimStream::connect(&world.kernel, addr.into()).unwrap()
    };
    let v4 = world.listen("0.0.0.0:80");
    let client = connect("10.0.0.7:80");
    let other = connect("[::1]:80");
    world.settle();
    let (server, peer) = v4.accept().unwrap();
    assert_eq!(server.local_addr().unwrap().ip().unwrap().to_string(), "10.0.0.7:80");
    assert_eq!(peer, client.local_addr().unwrap());
    assert!(peer.ip().unwrap().ip().is_loopback());
    assert_eq!(other.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
    drop(v4);

    let both = world.listen("[::]:80");
    let client = connect("127.0.0.1:80");
    world.settle();
    let (server, peer) = both.accept().unwrap();
    assert_eq!(server.local_addr().unwrap().ip().unwrap().to_string(), "[::ffff:127.0.0.1]:80");
    assert_eq!(server.peer_addr().unwrap(), peer);
    assert!(peer.ip().unwrap().to_string().starts_with("[::ffff:127.0.0.1]:"));
    assert!(client.peer_addr().unwrap().ip().unwrap().is_ipv4());
    let unspecified = connect("0.0.0.0:80");
    world.settle();
    assert_eq!(unspecified.peer_addr().unwrap().ip().unwrap().to_string(), "127.0.0.1:80");
}

/// Descriptors run out where the limit says: accepting fails, whether or not there is a connection,
/// leaves it where it is, and works again when there is one to be had.
#[test]
fn out_of_descriptors() {
    let world = World::new();
    let listener = world.listen("127.0.0.1:80");
    let client = world.connect(&listener);
    world.settle();
    world.kernel.set_descriptor_limit(2);
    let exhausted = |error: io::Error| {
        #[cfg(unix)]
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        drop(error);
    };
    exhausted(listener.accept().unwrap_err());
    exhausted(SimStream::connect(&world.kernel, listener.local_addr().unwrap()).unwrap_err());
    exhausted(SimStream::pair(&world.kernel).unwrap_err());
    exhausted(SimDatagram::pair(&world.kernel).unwrap_err());
    world.kernel.set_descriptor_limit(3);
    exhausted(SimStream::pair(&world.kernel).unwrap_err());
    exhausted(SimDatagram::pair(&world.kernel).unwrap_err());
    assert_eq!(world.kernel.descriptors(), 2);
    let (server, _) = listener.accept().unwrap();
    exhausted(listener.accept().unwrap_err());
    drop(server);
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    drop(client);
}

/// Ports are not used up by connections that are gone.
#[test]
fn ports_come_back() {
    let world = World::new();
    let listener = world.listen("127.0.0.1:80");
    let mut open = Vec::new();
    for _ in 0..28_232 {
        open.push(world.connect(&listener));
    }
    let one_more = SimStream::connect(&world.kernel, listener.local_addr().unwrap());
    assert_eq!(kind(one_more), ErrorKind::AddrNotAvailable);
    open.truncate(28_231);
    assert_eq!(world.kernel.connections(), 28_231);
    world.connect(&listener);
}

/// Names are those of the table, and numbers are their own.
#[test]
fn names() {
    let world = World::new();
    let lookup = |name: &str| {
        let addrs = world.kernel.lookup(name);
        addrs.map(|addrs| addrs.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(lookup("localhost").unwrap(), ["127.0.0.1", "::1"]);
    assert_eq!(lookup("10.1.2.3").unwrap(), ["10.1.2.3"]);
    world.kernel.add_host("Database", vec!["10.0.0.9".parse().unwrap()]);
    assert_eq!(lookup("dataBASE").unwrap(), ["10.0.0.9"]);
    let error = lookup("databose").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("known are: database, localhost"), "{error}");
}
