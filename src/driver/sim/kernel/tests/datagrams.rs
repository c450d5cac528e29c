//! UDP.

use std::io::ErrorKind;

use super::*;

fn udp(world: &World, addr: &str) -> SimDatagram {
    let addr: SocketAddr = addr.parse().expect("an address");
    SimDatagram::bind(&world.kernel, addr.into()).expect("it is free")
}

fn local(socket: &SimDatagram) -> Address {
    socket.local_addr().expect("it is bound")
}

/// Datagrams keep their bounds, tell their sender, and take their time; what does not fit is cut.
#[test]
fn to_and_from() {
    let world = World::new();
    let (a, b) = (udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:53"));
    assert_eq!(a.send_to(b"one", local(&b)).unwrap(), 3);
    assert_eq!(a.send_to(b"", local(&b)).unwrap(), 0);
    assert_eq!(a.send_to(b"three", local(&b)).unwrap(), 5);
    let mut buf = [0; 4];
    world.clock.advance_by(LATENCY - 1);
    assert_eq!(kind(b.recv(&mut buf)), ErrorKind::WouldBlock);
    world.settle();
    assert_eq!(b.peek_from(&mut buf).unwrap(), (3, local(&a)));
    assert_eq!(b.recv_from(&mut buf).unwrap(), (3, local(&a)));
    assert_eq!(b.recv(&mut buf).unwrap(), 0);
    assert_eq!((b.recv(&mut buf).unwrap(), &buf), (4, b"thre"));
    assert_eq!(kind(b.recv(&mut buf)), ErrorKind::WouldBlock);
    let second: SocketAddr = "127.0.0.1:53".parse().unwrap();
    assert_eq!(kind(SimDatagram::bind(&world.kernel, second.into())), ErrorKind::AddrInUse);
    // TCP has ports of its own.
    world.listen("127.0.0.1:53");
}

/// A connected socket hears of its peer alone, and learns that nobody is there; others do not.
#[test]
fn connected() {
    let world = World::new();
    let (a, b, c) =
        (udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:0"));
    assert_eq!(kind(a.peer_addr()), ErrorKind::NotConnected);
    assert!(a.send(b"x").is_err());
    a.connect(local(&b)).unwrap();
    assert_eq!(a.peer_addr().unwrap(), local(&b));
    b.send_to(b"from b", local(&a)).unwrap();
    c.send_to(b"from c", local(&a)).unwrap();
    a.send(b"to b").unwrap();
    world.settle();
    let mut buf = [0; 16];
    assert_eq!(a.recv_from(&mut buf).unwrap(), (6, local(&b)));
    assert_eq!(kind(a.recv(&mut buf)), ErrorKind::WouldBlock);
    assert_eq!(b.recv(&mut buf).unwrap(), 4);

    world.watch(a.fd(), 1);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    let gone = local(&b);
    drop(b);
    a.send(b"x").unwrap();
    c.send_to(b"x", gone).unwrap();
    assert_eq!(world.next(), [event(1, true, true, true)]);
    assert_eq!(kind(a.send(b"x")), ErrorKind::ConnectionRefused);
    assert_eq!(kind(a.recv(&mut buf)), ErrorKind::WouldBlock);
    assert!(a.take_error().unwrap().is_none());
    assert!(c.take_error().unwrap().is_none());
}

/// Each arrival is an event.
#[test]
fn arrivals_are_events() {
    let world = World::new();
    let (a, b) = (udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:0"));
    world.watch(b.fd(), 1);
    world.poll();
    for _ in 0..3 {
        a.send_to(b"x", local(&b)).unwrap();
        assert_eq!(world.next(), [event(1, true, true, false)]);
    }
    assert!(world.poll().is_empty());
}

/// Losses happen as often as was said; what arrives is in order.
#[test]
fn losses() {
    let world = World::with(5, Link::new().loss(0.25).receive_buffer(1 << 20));
    let got = exchange(&world);
    assert!((700..800).contains(&got.len()), "{}", got.len());
    assert!(got.is_sorted());
}

/// Some are overtaken, as often as was said; none is lost or doubled.
#[test]
fn reordering() {
    let min = Duration::from_micros(10);
    let link = Link::new().latency_between(min, 10 * min).receive_buffer(1 << 20);
    let world = World::with(5, link.clone());
    assert_eq!(exchange(&world), (0..1_000).collect::<Vec<_>>());
    let world = World::with(5, link.reordering(0.1));
    let mut got = exchange(&world);
    let overtaken = got.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((50..150).contains(&overtaken), "{overtaken}");
    got.sort_unstable();
    assert_eq!(got, (0..1_000).collect::<Vec<_>>());
}

/// Sends a thousand datagrams, 5 µs apart, and returns those that arrive.
fn exchange(world: &World) -> Vec<u32> {
    let (a, b) = (udp(world, "127.0.0.1:0"), udp(world, "127.0.0.1:0"));
    for i in 0..1_000_u32 {
        a.send_to(&i.to_le_bytes(), local(&b)).unwrap();
        world.wait(Duration::from_micros(5));
    }
    world.settle();
    let mut buf = [0; 4];
    let mut got = Vec::new();
    while b.recv(&mut buf).is_ok() {
        got.push(u32::from_le_bytes(buf));
    }
    got
}

/// What finds the receive buffer full is lost.
#[test]
fn full_buffers_lose() {
    let world = World::with(1, Link::new().receive_buffer(1_000));
    let (a, b) = (udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:0"));
    for i in 0..20 {
        a.send_to(&[i; 100], local(&b)).unwrap();
    }
    world.settle();
    let mut buf = [0; 100];
    for i in 0..10 {
        assert_eq!(b.recv(&mut buf).unwrap(), 100);
        assert_eq!(buf, [i; 100]);
    }
    assert_eq!(kind(b.recv(&mut buf)), ErrorKind::WouldBlock);
}

/// With a limited bandwidth a sender has to wait, and is told when it need no longer.
#[test]
fn bandwidth() {
    let link = Link::new().bandwidth(1_000_000).send_buffer(2_000);
    let world = World::with(1, link);
    let (a, b) = (udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:0"));
    world.watch(a.fd(), 1);
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    a.send_to(&[0; 1_000], local(&b)).unwrap();
    a.send_to(&[0; 1_000], local(&b)).unwrap();
    assert_eq!(kind(a.send_to(&[0; 1_000], local(&b))), ErrorKind::WouldBlock);
    assert!(world.poll().is_empty());
    assert_eq!(world.next(), [event(1, false, true, false)]);
    assert_eq!(world.now(), 1_000_000);
    a.send_to(&[0; 1_000], local(&b)).unwrap();
    world.clock.advance_to(1_000_000 + LATENCY - 1);
    assert_eq!(kind(b.recv(&mut [0; 8])), ErrorKind::WouldBlock);
    world.clock.advance_to(3_000_000 + LATENCY);
    for _ in 0..3 {
        assert_eq!(b.recv(&mut [0; 8]).unwrap(), 8);
    }
}

/// What is too long, goes to port 0, to everybody, or to many is refused.
#[test]
fn refused() {
    let world = World::with(1, Link::new().datagram_max(1_200));
    let a = udp(&world, "127.0.0.1:0");
    let to = |addr: &str| Address::Ip(addr.parse().unwrap());
    assert_eq!(a.send_to(&[0; 1_200], to("127.0.0.1:9")).unwrap(), 1_200);
    let too_long = a.send_to(&[0; 1_201], to("127.0.0.1:9")).unwrap_err();
    #[cfg(unix)]
    assert_eq!(too_long.raw_os_error(), Some(rustix::io::Errno::MSGSIZE.raw_os_error()));
    drop(too_long);
    assert_eq!(kind(a.send_to(b"x", to("127.0.0.1:0"))), ErrorKind::InvalidInput);
    assert_eq!(kind(a.send_to(b"x", to("255.255.255.255:9"))), ErrorKind::PermissionDenied);
    a.set_broadcast(true).unwrap();
    assert!(a.broadcast().unwrap());
    assert_eq!(kind(a.send_to(b"x", to("255.255.255.255:9"))), ErrorKind::Unsupported);
    assert_eq!(kind(a.send_to(b"x", to("224.0.0.1:9"))), ErrorKind::Unsupported);
    assert_eq!(SimDatagram::no_multicast().kind(), ErrorKind::Unsupported);
    assert!(a.send_to(b"x", Path::new("/run/x").into()).is_err());
    a.set_ttl(9).unwrap();
    assert_eq!(a.ttl().unwrap(), 9);
    assert_eq!(kind(a.set_ttl(0)), ErrorKind::InvalidInput);
}

/// What is on its way when the link is cut is lost, and what is sent into the cut.
#[test]
fn cuts() {
    let world = World::new();
    let (a, b) = (udp(&world, "127.0.0.1:0"), udp(&world, "127.0.0.1:0"));
    a.send_to(b"on its way", local(&b)).unwrap();
    world.kernel.cut(Route::To(local(&b).ip().unwrap()));
    world.clock.advance_by(LATENCY);
    a.send_to(b"into the cut", local(&b)).unwrap();
    b.send_to(b"the other way", local(&a)).unwrap();
    world.kernel.heal(Route::All);
    a.send_to(b"after", local(&b)).unwrap();
    world.settle();
    let mut buf = [0; 16];
    assert_eq!(b.recv(&mut buf).unwrap(), 5);
    assert_eq!(kind(b.recv(&mut buf)), ErrorKind::WouldBlock);
    assert_eq!(a.recv(&mut buf).unwrap(), 13);
}

/// A socket on all addresses sends from that of its peer, and takes what comes to any.
#[test]
fn wildcards() {
    let world = World::new();
    let (a, b) = (udp(&world, "0.0.0.0:1000"), udp(&world, "[::]:2000"));
    let to = |addr: &str| Address::Ip(addr.parse().unwrap());
    a.send_to(b"x", to("10.0.0.1:2000")).unwrap();
    world.settle();
    let (_, from) = b.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(from, to("[::ffff:10.0.0.1]:1000"));
    b.send_to(b"answer", from).unwrap();
    world.settle();
    assert_eq!(a.recv_from(&mut [0; 8]).unwrap(), (6, to("10.0.0.1:2000")));
    a.connect(to("10.0.0.1:2000")).unwrap();
    assert_eq!(local(&a), to("10.0.0.1:1000"));
}
