//! Links, cuts and resets.

use std::io::ErrorKind;

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Each piece takes a time drawn between the bounds, and none overtakes another.
#[test]
fn latencies_are_drawn() {
    let (min, max) = (Duration::from_micros(100), Duration::from_millis(10));
    let world = World::with(7, Link::new().latency_between(min, max));
    let (client, server) = world.tcp();
    world.watch(server.fd(), 1);
    world.poll();
    let mut times = Vec::new();
    for i in 0..50_u8 {
        let start = world.now();
        client.write(&[i]).unwrap();
        world.next();
        times.push(world.now() - start);
        assert_eq!(drain(&server).0, [i]);
        world.settle();
    }
    assert!(times.iter().all(|time| (nanos(min)..=nanos(max)).contains(time)), "{times:?}");
    times.sort_unstable();
    assert!(times[5] < 3_000_000 && times[45] > 7_000_000, "{times:?}");
    let sent: Vec<u8> = (0..200).collect();
    for byte in &sent {
        client.write(&[*byte]).unwrap();
    }
    world.settle();
    assert_eq!(drain(&server).0, sent);
}

/// What follows does not make the first arrive any earlier.
#[test]
fn nothing_is_overtaken() {
    let world =
        World::with(7, Link::new().latency_between(Duration::ZERO, Duration::from_millis(1)));
    let (client, server) = world.tcp();
    world.watch(server.fd(), 1);
    world.poll();
    let mut sum = 0;
    for _ in 0..100 {
        let start = world.now();
        for _ in 0..20 {
            client.write(b"x").unwrap();
        }
        world.next();
        sum += world.now() - start;
        world.settle();
        assert_eq!(drain(&server).0.len(), 20);
        world.settle();
    }
    assert!((400_000..600_000).contains(&(sum / 100)), "{sum}");
}

/// Bytes queue for the bandwidth, in each direction for itself, and arrive bit by bit.
#[test]
fn bandwidth_is_shared_by_what_queues() {
    // A million bytes a second: one each microsecond.
    let link = Link::new().bandwidth(1_000_000).receive_buffer(1 << 20);
    let world = World::with(1, link);
    let (client, server) = world.tcp();
    let start = world.now();
    assert_eq!(client.write(&[1; 20_000]).unwrap(), 20_000);
    assert_eq!(client.write(&[2; 20_000]).unwrap(), 20_000);
    server.write(b"x").unwrap();
    world.clock.advance_to(start + LATENCY + 1_000);
    assert_eq!(drain(&client).0, b"x");
    world.clock.advance_to(start + LATENCY + 20_000_000);
    assert!(drain(&server).0 == [1; 20_000]);
    world.clock.advance_to(start + LATENCY + 40_000_000 - 1);
    let late = drain(&server).0.len();
    world.clock.advance_to(start + LATENCY + 40_000_000);
    let last = drain(&server).0.len();
    assert_eq!(late + last, 20_000);
    assert!((1..1_460).contains(&last), "{last}");
}

/// A link is set for what goes to an address, comes from it, or both; the last counts; open
/// connections follow.
#[test]
fn links_of_their_own() {
    let millis = Duration::from_millis;
    let world = World::new();
    let near = world.listen("10.0.0.1:80");
    let far = world.listen("10.0.0.2:80");
    let pair = |listener: &SimListener| {
        let client = world.connect(listener);
        world.settle();
        (client, listener.accept().unwrap().0)
    };
    let time = |from: &SimStream, to: &SimStream| {
        let start = world.now();
        world.watch(to.fd(), 1);
        world.poll();
        from.write(b"x").unwrap();
        world.next();
        world.kernel.deregister(to.fd()).unwrap();
        world.settle();
        Duration::from_nanos(world.now() - start) / 2
    };
    let micros = Duration::from_micros(50);
    let times = |pair: &(SimStream, SimStream)| (time(&pair.0, &pair.1), time(&pair.1, &pair.0));
    let (one, two) = (pair(&near), pair(&far));
    assert_eq!((times(&one), times(&two)), ((micros, micros), (micros, micros)));

    let slow = |time| Link::new().latency(time);
    world.kernel.set_link(Route::To(addr("10.0.0.2:80")), slow(millis(9)));
    // The answer to what took nine milliseconds takes 50 µs: on average the half of their sum.
    let mean = |there: Duration, back: Duration| (there + back) / 2;
    let odd = mean(millis(9), micros);
    assert_eq!((times(&one), times(&two)), ((micros, micros), (odd, odd)));
    world.kernel.set_link(Route::Of(addr("10.0.0.2:0")), slow(millis(5)));
    assert_eq!(times(&two), (millis(5), millis(5)));
    world.kernel.set_link(Route::From(addr("0.0.0.0:80")), slow(millis(1)));
    assert_eq!(times(&one), (mean(micros, millis(1)), mean(micros, millis(1))));
    // Setting a route again makes it the last.
    world.kernel.set_link(Route::To(addr("10.0.0.2:80")), slow(millis(3)));
    assert_eq!(times(&two).0, mean(millis(3), millis(1)));
    assert_eq!(times(&pair(&far)).0, mean(millis(3), millis(1)));
    assert_eq!(world.kernel.enter().links.len(), 2 + 3);
    world.kernel.set_link(Route::All, slow(millis(2)));
    assert_eq!((times(&one), times(&two)), ((millis(2), millis(2)), (millis(2), millis(2))));
}

/// What was written into a cut arrives when it has healed, in order and once.
#[test]
fn cuts_lose_nothing() {
    let world = World::new();
    let (client, server) = world.tcp();
    let start = world.now();
    client.write(b"before, ").unwrap();
    world.clock.advance_by(LATENCY / 2);
    world.kernel.cut(Route::All);
    world.kernel.cut(Route::All);
    client.write(b"within").unwrap();
    world.clock.advance_to(start + 1_000_000_000);
    assert_eq!(kind(server.read(&mut [0; 8])), ErrorKind::WouldBlock);
    world.kernel.heal(Route::All);
    client.write(b", after").unwrap();
    world.clock.advance_by(LATENCY);
    assert_eq!(drain(&server).0, b"before, within, after");
}

/// A cut of one direction lets the other pass; the sender's buffer fills for lack of word.
#[test]
fn cuts_of_one_direction() {
    let world = World::with(1, Link::new().send_buffer(1_000));
    let listener = world.listen("10.0.0.1:80");
    let client = world.connect(&listener);
    world.settle();
    let (server, _) = listener.accept().unwrap();
    let from = Route::From(addr("10.0.0.1:80"));
    world.kernel.cut(from);
    assert_eq!(fill(&client), 1_000);
    world.settle();
    assert_eq!(drain(&server).0.len(), 1_000);
    assert_eq!(fill(&client), 0);
    world.kernel.heal(Route::To(addr("10.0.0.1:80")));
    world.settle();
    assert_eq!(fill(&client), 0);
    world.watch(client.fd(), 1);
    assert!(world.poll().is_empty());
    world.kernel.heal(from);
    assert_eq!(world.next(), [event(1, false, true, false)]);
    assert_eq!(fill(&client), 1_000);
}

/// A sender whose bytes do not get through gives up in the end; the far end does not hear of it.
#[test]
fn senders_give_up() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.watch(client.fd(), 1);
    world.watch(server.fd(), 2);
    world.poll();
    world.kernel.cut(Route::All);
    let start = world.now();
    client.write(b"x").unwrap();
    assert_eq!(world.next(), [event(1, true, true, true)]);
    assert_eq!(world.now() - start, 924_600_000_000 + LATENCY);
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::TimedOut);
    assert_eq!(kind(server.read(&mut [0; 8])), ErrorKind::WouldBlock);
    world.kernel.heal(Route::All);
    world.settle();
    assert_eq!(kind(server.read(&mut [0; 8])), ErrorKind::WouldBlock);
    // Who is healed in time does not give up.
    let (client, server) = world.tcp();
    world.kernel.cut(Route::All);
    client.write(b"x").unwrap();
    world.wait(Duration::from_secs(900));
    world.kernel.heal(Route::All);
    world.wait(Duration::from_secs(900));
    assert_eq!(drain(&server).0, b"x");
    assert!(client.take_error().unwrap().is_none());
}

/// A reset that is lost at a cut is made up for when the peer sends something, be it bytes or word
/// of what it has read.
#[test]
fn lost_resets() {
    let world = World::new();
    let (client, server) = world.tcp();
    world.kernel.cut(Route::All);
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    world.settle();
    world.kernel.heal(Route::All);
    world.settle();
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::WouldBlock);
    client.write(b"still there?").unwrap();
    world.settle();
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::ConnectionReset);
    // Or when it tells how much it has read.
    let world = World::with(1, Link::new().receive_buffer(4));
    let (client, server) = world.tcp();
    server.write(b"sent, not sent").unwrap();
    world.settle();
    world.kernel.cut(Route::All);
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    world.settle();
    world.kernel.heal(Route::All);
    assert_eq!(drain(&client), (b"sent".to_vec(), Some(ErrorKind::WouldBlock)));
    world.settle();
    assert_eq!(drain(&client), (vec![], Some(ErrorKind::ConnectionReset)));
}

/// What a peer did not confirm, or had no room for, is tried again when a cut has healed, and so its
/// lost reset is made up for.
#[test]
fn retries_find_out() {
    for (sent, is_cut_before) in [(10, true), (100, false)] {
        let world = World::with(1, Link::new().receive_buffer(50));
        let (client, server) = world.tcp();
        let server_port = Route::From(server.local_addr().unwrap().ip().unwrap());
        if is_cut_before {
            world.kernel.cut(server_port);
        }
        client.write(&[0; 100][..sent]).unwrap();
        world.settle();
        world.kernel.cut(server_port);
        drop(server);
        world.settle();
        assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::WouldBlock);
        world.kernel.heal(Route::All);
        world.settle();
        assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::ConnectionReset);
    }
}

/// What was on its way to a connection that is gone does not reach the next.
#[test]
fn successors_are_left_alone() {
    let world = World::new();
    let listener = world.listen("127.0.0.1:80");
    let old = world.connect(&listener);
    world.settle();
    let (server, _) = listener.accept().unwrap();
    world.wait(Duration::from_secs(1));
    old.write(b"for the old one").unwrap();
    drop((old, server));
    assert_eq!(world.kernel.connections(), 0);
    let new = world.connect(&listener);
    world.clock.advance_by(LATENCY);
    // The server has not answered yet; what comes in now would be taken for the client's answer.
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    world.settle();
    let (server, _) = listener.accept().unwrap();
    assert_eq!(drain(&server), (vec![], Some(ErrorKind::WouldBlock)));
    assert!(new.peer_addr().is_ok());
}

/// So it is if something was sent before, and the answer to it is what was lost: it is sent again.
#[test]
fn lost_resets_that_were_asked_for() {
    let world = World::new();
    let listener = world.listen("10.0.0.1:80");
    let client = world.connect(&listener);
    world.settle();
    let (server, _) = listener.accept().unwrap();
    world.kernel.cut(Route::From(addr("10.0.0.1:80")));
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    client.write(b"still there?").unwrap();
    world.settle();
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::WouldBlock);
    world.kernel.heal(Route::All);
    world.settle();
    assert_eq!(kind(client.read(&mut [0; 8])), ErrorKind::ConnectionReset);
}

/// All connections of an address are reset at once, whatever their state; others are not.
#[test]
fn resets_by_address() {
    let world = World::new();
    let listener = world.listen("10.0.0.1:80");
    let (client, server) = {
        let client = world.connect(&listener);
        world.settle();
        (client, listener.accept().unwrap().0)
    };
    let queued = world.connect(&listener);
    world.settle();
    let (other, _far) = world.tcp();
    let begun = world.connect(&listener);
    let (near, _there) = SimStream::pair(&world.kernel).unwrap();
    server.write(b"arrived").unwrap();
    world.clock.advance_by(LATENCY);
    server.write(b"lost").unwrap();
    assert_eq!(world.kernel.reset_all(Route::Of(addr("10.0.0.1:80"))), 3);
    assert_eq!(drain(&client), (b"arrived".to_vec(), Some(ErrorKind::ConnectionReset)));
    assert_eq!(drain(&server), (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(drain(&queued), (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(drain(&begun), (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(drain(&other), (vec![], Some(ErrorKind::WouldBlock)));
    assert_eq!(drain(&near), (vec![], Some(ErrorKind::WouldBlock)));
    world.settle();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(drain(&accepted), (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    drop((client, server, queued, begun, accepted));
    assert_eq!(world.kernel.connections(), 2);
}

/// A link may reset connections by chance: as often as was said, at both ends.
#[test]
fn resets_by_chance() {
    let world = World::with(3, Link::new().resets(0.2));
    let mut resets = 0;
    for _ in 0..500 {
        let (client, server) = world.tcp();
        client.write(b"x").unwrap();
        world.settle();
        let error = client.take_error().unwrap().map(|error| error.kind());
        assert!(error.is_none_or(|kind| kind == ErrorKind::ConnectionReset));
        assert_eq!(server.take_error().unwrap().map(|error| error.kind()), error);
        resets += usize::from(error.is_some());
    }
    assert!((60..140).contains(&resets), "{resets}");
}

/// Buffers that grow let a writer go on who had to stop.
#[test]
fn buffers_can_grow() {
    let small = Link::new().send_buffer(1_000).receive_buffer(1_000);
    let world = World::with(1, small.clone());
    let (client, server) = world.tcp();
    while fill(&client) > 0 {
        world.settle();
    }
    world.watch(client.fd(), 1);
    assert!(world.poll().is_empty());
    world.kernel.set_link(Route::All, small.clone().send_buffer(3_000));
    assert_eq!(world.poll(), [event(1, false, true, false)]);
    assert_eq!(fill(&client), 2_000);
    world.kernel.set_link(Route::All, small.clone().send_buffer(3_000).receive_buffer(4_000));
    assert_eq!(world.next(), [event(1, false, true, false)]);
    assert_eq!(fill(&client), 3_000);
    // Made smaller, they take back nothing.
    world.kernel.set_link(Route::All, small);
    world.settle();
    let mut got = 0;
    while got < 7_000 {
        got += drain(&server).0.len();
        world.settle();
    }
    assert_eq!((got, fill(&client)), (7_000, 1_000));
}

/// Nonsense is refused with a sentence.
#[test]
fn nonsense() {
    let text = |f: fn() -> Link| {
        let panic = std::panic::catch_unwind(f).unwrap_err();
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap()
    };
    assert!(text(|| Link::new().loss(1.5)).contains("1.5 is no probability"));
    assert!(text(|| Link::new().short_reads(f64::NAN)).contains("NaN is no probability"));
    assert!(text(|| Link::new().bandwidth(0)).contains("cut the link"));
    assert!(text(|| Link::new().send_buffer(0)).contains("send buffer of zero"));
    assert!(text(|| Link::new().receive_buffer(0)).contains("receive buffer of zero"));
    let reversed = || Link::new().latency_between(Duration::from_secs(2), Duration::from_secs(1));
    assert!(text(reversed).contains("longer than the longest"));
}
