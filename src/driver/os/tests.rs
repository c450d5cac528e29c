use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use mio::Interest;

use super::*;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let near = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("connects");
    let (far, _) = listener.accept().expect("accepts");
    near.set_nonblocking(true).expect("it can be set");
    (near, far)
}

fn harvest(driver: &mut Driver, timeout: Duration) -> Vec<Readied> {
    let mut events = Vec::new();
    driver.harvest(Some(timeout), |event| events.push(event)).expect("the poller works");
    events
}

const LONG: Duration = Duration::from_secs(10);

/// A source is reported by its token, and no more after it was taken off.
#[test]
fn reports_until_deregistered() {
    let mut driver = Driver::new().expect("a driver");
    assert!(driver.is_empty());
    let (mut near, mut far) = pair();
    let registry = driver.registry(PollerId::SHARED);
    registry.register(&mut near, 7, Interest::READABLE).expect("registers");
    assert!(!driver.is_empty());
    far.write_all(b"x").expect("writes");
    let events = harvest(&mut driver, LONG);
    assert_eq!(
        events,
        [Readied { token: 7, readable: true, writable: false, read_closed: false, since: None }]
    );
    registry.deregister(&mut near).expect("it was registered");
    assert!(driver.is_empty());
    far.write_all(b"x").expect("writes");
    assert!(harvest(&mut driver, Duration::ZERO).is_empty());
}

/// The end of a stream is news for the reader.
#[test]
fn end_of_stream_is_told_apart() {
    let mut driver = Driver::new().expect("a driver");
    let (mut near, far) = pair();
    let registry = driver.registry(PollerId::SHARED);
    registry.register(&mut near, 1, Interest::READABLE | Interest::WRITABLE).expect("registers");
    drop(far);
    let mut closed = false;
    while !closed {
        closed = harvest(&mut driver, LONG).iter().any(|event| event.readable && event.read_closed);
    }
}

/// The waker ends a sleep from another thread, and is itself not reported.
#[test]
fn waker_ends_a_sleep() {
    let mut driver = Driver::new().expect("a driver");
    let waker = driver.waker();
    let thread = std::thread::spawn(move || waker.wake());
    let mut reported = 0;
    let count = driver.harvest(None, |_| reported += 1).expect("the poller works");
    assert_eq!((count, reported), (1, 0));
    thread.join().expect("it ended").expect("it woke");
}

/// More sources than the buffer holds are all reported by one harvest.
#[test]
fn one_harvest_reports_them_all() {
    let mut driver = Driver::new().expect("a driver");
    let registry = driver.registry(PollerId::SHARED);
    let sources = CAPACITY + CAPACITY / 2;
    let mut fds: Vec<_> = ready_fds(sources);
    for (token, fd) in fds.iter_mut().enumerate() {
        registry.register(fd, token, Interest::WRITABLE).expect("registers");
    }
    let mut tokens: Vec<_> = harvest(&mut driver, LONG).iter().map(|event| event.token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (0..sources).collect::<Vec<_>>());
}

/// A crowd in an isolated poller is one buffer's worth a harvest, and nothing of it is lost, though
/// the kernel announces it once.
#[cfg(unix)]
#[test]
fn isolated_crowd_comes_in_parts() {
    let mut driver = Driver::new().expect("a driver");
    let child = driver.isolate().expect("a child");
    assert_ne!(child, PollerId::SHARED);
    let sources = 2 * CAPACITY + 1;
    let mut fds: Vec<_> = ready_fds(sources);
    let registry = driver.registry(child);
    for (token, fd) in fds.iter_mut().enumerate() {
        registry.register(fd, token, Interest::WRITABLE).expect("registers");
    }
    let mut tokens = Vec::new();
    for part in [CAPACITY, CAPACITY, 1] {
        // A sleep without end would hang here, were the rest forgotten.
        let before = tokens.len();
        driver.harvest(None, |event| tokens.push(event.token)).expect("the poller works");
        assert_eq!(tokens.len() - before, part);
    }
    tokens.sort_unstable();
    assert_eq!(tokens, (0..sources).collect::<Vec<_>>());
    assert!(harvest(&mut driver, Duration::ZERO).is_empty());
}

/// A released child is silent, even while somebody holds its registry, and its slot is used again.
#[cfg(unix)]
#[test]
fn released_child_is_silent() {
    let mut driver = Driver::new().expect("a driver");
    let child = driver.isolate().expect("a child");
    let registry = driver.registry(child);
    let (mut near, mut far) = pair();
    registry.register(&mut near, 3, Interest::READABLE).expect("registers");
    far.write_all(b"x").expect("writes");
    driver.release(child);
    assert!(harvest(&mut driver, Duration::ZERO).is_empty());

    let next = driver.isolate().expect("a child");
    let (mut other, mut peer) = pair();
    driver.registry(next).register(&mut other, 4, Interest::READABLE).expect("registers");
    peer.write_all(b"y").expect("writes");
    let tokens: Vec<_> = harvest(&mut driver, LONG).iter().map(|event| event.token).collect();
    assert_eq!(tokens, [4]);
    let mut byte = [0];
    other.read_exact(&mut byte).expect("reads");
}

/// A sleep never ends early with nothing to show, whatever part of a millisecond it asks for, and
/// one shorter than a millisecond does not spin.
#[test]
fn sleeps_are_never_early() {
    let mut driver = Driver::new().expect("a driver");
    for micros in [1, 50, 300, 999, 1_000, 1_001, 2_500, 10_000, 10_100] {
        let timeout = Duration::from_micros(micros);
        let start = Instant::now();
        let mut harvests = 0;
        while start.elapsed() < timeout {
            let left = timeout.saturating_sub(start.elapsed());
            driver.harvest(Some(left), |_| panic!("there is no source")).expect("it works");
            harvests += 1;
        }
        assert!(harvests <= 2, "{timeout:?} took {harvests} harvests");
    }
}

/// A sleep shorter than a millisecond is not rounded up to one: among many, some end before.
#[cfg(target_os = "linux")]
#[test]
fn short_sleeps_are_not_rounded_up() {
    let mut driver = Driver::new().expect("a driver");
    let timeout = Duration::from_micros(200);
    let shortest = (0..200).map(|_| {
        let start = Instant::now();
        driver.harvest(Some(timeout), |_| panic!("there is no source")).expect("it works");
        start.elapsed()
    });
    let shortest = shortest.min().expect("there were some");
    assert!(shortest < Duration::from_millis(1), "the shortest of 200 took {shortest:?}");
}

/// The timer of a sleep that ended early does not end the next one.
#[cfg(target_os = "linux")]
#[test]
fn stale_alarm_is_stopped() {
    let mut driver = Driver::new().expect("a driver");
    driver.waker().wake().expect("wakes");
    driver.harvest(Some(Duration::from_micros(5_500)), |_| {}).expect("it works");
    let start = Instant::now();
    let count = driver.harvest(Some(Duration::from_millis(50)), |_| {}).expect("it works");
    assert_eq!(count, 0);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

/// No fd of a driver survives into a child process.
#[cfg(target_os = "linux")]
#[test]
fn fds_are_closed_on_exec() {
    let mut driver = Driver::new().expect("a driver");
    driver.isolate().expect("a child");
    driver.harvest(Some(Duration::from_micros(1)), |_| {}).expect("it works");
    // Other tests of this process open fds at the same time, so look by kind: pollers,
    // wakers and timers are ours alone.
    const OURS: [&str; 3] = ["[eventpoll]", "[eventfd]", "[timerfd]"];
    const O_CLOEXEC: u32 = 0o2000000;
    let mut kinds = 0;
    for entry in std::fs::read_dir("/proc/self/fd").expect("procfs").flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if !OURS.iter().any(|kind| target.to_string_lossy().ends_with(kind)) {
            continue;
        }
        let info = std::path::Path::new("/proc/self/fdinfo").join(entry.file_name());
        let Ok(info) = std::fs::read_to_string(info) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
        let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
        assert_ne!(flags & O_CLOEXEC, 0, "{target:?} is inherited");
        kinds += 1;
    }
    assert!(kinds >= 4, "two pollers, a waker and the like were expected, found {kinds}");
}

/// Makes fds that are ready to be written and cost nothing.
fn ready_fds(count: usize) -> Vec<std::net::UdpSocket> {
    (0..count).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket")).collect()
}
