//! Crowds of peers who mean no good, in virtual time: what they cost the others is a number.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use evenloop::net::http::Routes;
use evenloop::net::{AcceptorMetrics, TcpListener, TcpStream};
use evenloop::time::{Duration, Instant, sleep};
use evenloop::{sim, spawn_in};

const US: Duration = Duration::from_micros(1);
const ADDR: &str = "10.0.0.1:80";

/// What a look costs here, and an accepted connection: one look, and one more when it goes.
const LOOK: Duration = US;
const BACKLOG: u32 = 128;
const WAITING: u32 = 512;
/// The way of the request.
const WAY: Duration = Duration::from_micros(50);

/// How long it may take from a request sent to its connection told: all that can stand before it in
/// the backlog, and then all that can wait beside it. In a handle there are 16 looks at those who
/// wait, and 16 accepted with a look when they come and one when they go.
const BOUND: Duration = WAY.saturating_add(LOOK.saturating_mul((BACKLOG + WAITING) * 3 + 2 * 48));

/// How many connections the crowd makes: a million takes about ten seconds in release.
fn crowd() -> usize {
    std::env::var("EVENLOOP_CROWD").map_or(20_000, |crowd| crowd.parse().expect("a number"))
}

/// Connects, holds the last 50, and says nothing.
async fn stay_silent(connections: usize) -> io::Result<()> {
    let mut held = VecDeque::new();
    for _ in 0..connections {
        held.push_back(TcpStream::connect(ADDR).await?);
        if held.len() > 50 {
            held.pop_front();
        }
        sleep(1_000 * US).await;
    }
    Ok(())
}

/// Says a byte every now and then, as long as anybody listens, and begins anew.
async fn dribble() -> io::Result<()> {
    loop {
        let stream = TcpStream::connect(ADDR).await?;
        for byte in b"GET /".iter().chain(std::iter::repeat(&b'x')) {
            sleep(500 * US).await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    }
}

/// Lets the crowd loose on an acceptor; returns what became of it, and how long after its request
/// each honest connection was told.
fn besieged(connections: usize) -> (AcceptorMetrics, Vec<Duration>) {
    let sim = sim::Runtime::new(7);
    sim.network().set_backlog(BACKLOG as usize);
    sim.block_on(async {
        let listener = TcpListener::bind(ADDR).await?;
        let routes = Routes::otherwise("bulk").path("/health", "health");
        let sent = Rc::new(Cell::new(None::<Instant>));
        let delays = Rc::new(RefCell::new(Vec::new()));
        let (since, noted) = (sent.clone(), delays.clone());
        let accepting = listener
            .classified(move |start| {
                sim::spend(LOOK);
                routes.tell(start).copied()
            })
            .limit(WAITING as usize)
            .serve(move |_, _, whose| {
                if whose == "health" {
                    let since = since.take().expect("a request was sent");
                    noted.borrow_mut().push(since.elapsed());
                }
            });
        for _ in 0..200 {
            spawn_in("crowd", dribble());
        }
        let silent: Vec<_> =
            (0..100).map(|_| spawn_in("crowd", stay_silent(connections / 100))).collect();
        let mut asked = 0;
        while !silent.iter().all(evenloop::JoinHandle::is_finished) {
            let client = TcpStream::connect(ADDR).await?;
            sent.set(Some(Instant::now()));
            client.write_all(b"GET /health HTTP/1.1\r\n").await?;
            asked += 1;
            while delays.borrow().len() < asked {
                sleep(100 * US).await;
            }
            sleep(1_000 * US).await;
        }
        let counts = accepting.metrics();
        accepting.stop();
        accepting.await?;
        let delays = delays.take();
        io::Result::Ok((counts, delays))
    })
    .unwrap()
}

/// Tens of thousands of connections that say nothing, and hundreds that say it byte by byte, do not
/// delay the others by more than the acceptor's bound.
#[test]
fn crowds_delay_nobody_beyond_the_bound() {
    let crowd = crowd();
    let (counts, delays) = besieged(crowd);
    assert!(counts.accepted >= crowd as u64, "{counts:?}");
    assert!(counts.evicted > counts.accepted / 4, "the limit was never reached: {counts:?}");
    assert!(counts.waiting <= u64::from(WAITING), "{counts:?}");
    let parted = counts.told + counts.unknown + counts.failed + counts.timed_out + counts.evicted;
    assert_eq!(counts.accepted, parted + counts.waiting, "{counts:?}");
    assert!(delays.len() >= 50, "only {} asked", delays.len());
    let worst = delays.iter().max().expect("some asked");
    assert!(*worst <= BOUND, "told after {worst:?}, not {BOUND:?}");
}

/// Bytes that come one by one cost a look each, as many as may be looked at, and no more.
#[test]
fn bytes_one_by_one_cost_a_look_each() {
    sim::Runtime::new(1)
        .block_on(async {
            let listener = TcpListener::bind(ADDR).await?;
            let looks = Rc::new(Cell::new(0));
            let looked = looks.clone();
            let accepting = listener
                .classified(move |_| {
                    looked.set(looked.get() + 1);
                    None::<()>
                })
                .max_bytes(100)
                .serve(|_, _, ()| unreachable!("nobody is told"));
            let client = TcpStream::connect(ADDR).await?;
            while accepting.metrics().unknown == 0 {
                let _ = client.write_all(b"x").await;
                sleep(1_000 * US).await;
            }
            assert_eq!(looks.get(), 100);
            io::Result::Ok(())
        })
        .unwrap();
}

/// A connection has its time, to the microsecond, whatever it says and whoever else comes.
#[test]
fn time_is_over_when_it_is_over() {
    const PATIENCE: Duration = Duration::from_millis(250);
    sim::Runtime::new(1)
        .block_on(async {
            let listener = TcpListener::bind(ADDR).await?;
            let accepting = listener
                .classified(|_| None::<()>)
                .patience(PATIENCE)
                .serve(|_, _, ()| unreachable!("nobody is told"));
            let clients: Vec<_> = (0..100)
                .map(|n| {
                    spawn_in("clients", async move {
                        sleep(n * 7_000 * US).await;
                        let stream = TcpStream::connect(ADDR).await?;
                        let since = Instant::now();
                        stream.write_all(b"x").await?;
                        // Closed with a byte unread, it may be reset.
                        let _ = stream.read(&mut [0; 8]).await;
                        io::Result::Ok(since.elapsed())
                    })
                })
                .collect();
            for client in clients {
                let took = client.await.unwrap()?;
                // There and back besides.
                assert!((PATIENCE..=PATIENCE + 2 * WAY).contains(&took), "{took:?}");
            }
            assert_eq!(accepting.metrics().timed_out, 100);
            io::Result::Ok(())
        })
        .unwrap();
}

/// Out of descriptors the oldest of those who wait gives its own to the newest.
#[test]
fn without_descriptors_the_oldest_go() {
    let sim = sim::Runtime::new(1);
    let network = sim.network();
    sim.block_on(async {
        let listener = TcpListener::bind(ADDR).await?;
        let accepting = listener.classified(|start| start.starts_with(b"?").then_some(())).serve(
            |stream, _, ()| {
                spawn_in("served", async move { stream.write_all(b"!").await });
            },
        );
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect(ADDR).await?);
        }
        sleep(1_000 * US).await;
        // Room for the client, and none for who takes it in.
        network.set_descriptor_limit(network.descriptors() as u32 + 1);
        let client = TcpStream::connect(ADDR).await?;
        client.write_all(b"?").await?;
        client.read_exact(&mut [0]).await?;
        let counts = accepting.metrics();
        // As on Linux, asking whether there are more takes a descriptor too.
        assert_eq!((counts.told, counts.waiting), (1, 20 - counts.evicted), "{counts:?}");
        assert!((1..=2).contains(&counts.evicted), "{counts:?}");
        io::Result::Ok(())
    })
    .unwrap();
}

/// However many connect at one listener, and however long accepting each takes, those of another
/// are accepted within a turn.
#[test]
fn accepting_is_fair_between_listeners() {
    const OTHER: &str = "10.0.0.2:80";
    const EACH: Duration = Duration::from_micros(20);
    let sim = sim::Runtime::new(3);
    let flooded = Rc::new(Cell::new(0));
    let counted = flooded.clone();
    let worst = sim.block_on(async {
        let flooded_listener = TcpListener::bind(ADDR).await?;
        let other_listener = TcpListener::bind(OTHER).await?;
        spawn_in("flooded", async move {
            while flooded_listener.accept().await.is_ok() {
                counted.set(counted.get() + 1);
                sim::spend(EACH);
            }
        });
        for _ in 0..500 {
            spawn_in("crowd", async { while TcpStream::connect(ADDR).await.is_ok() {} });
        }
        let sent = Rc::new(Cell::new(None::<Instant>));
        let since = sent.clone();
        let accepted = spawn_in("other", async move {
            let mut worst = Duration::ZERO;
            for _ in 0..100 {
                other_listener.accept().await?;
                worst = worst.max(since.take().expect("somebody connects").elapsed());
            }
            io::Result::Ok(worst)
        });
        for _ in 0..100 {
            sent.set(Some(Instant::now()));
            drop(TcpStream::connect(OTHER).await?);
            sleep(5_000 * US).await;
        }
        accepted.await.unwrap()
    });
    assert!(flooded.get() > 5_000, "the flood was a trickle of {}", flooded.get());
    let worst: Duration = worst.unwrap();
    // The way there, and what one handle of the flooded one may take: it looks at the clock every
    // 16 connections, and its turn is 100 µs.
    let bound = 2 * WAY + 32 * EACH + 100 * US;
    assert!(worst <= bound, "accepted after {worst:?}, not {bound:?}");
}

/// Who goes because there are too many is looked at a last time: what arrived just now counts.
#[test]
fn the_last_look_counts() {
    sim::Runtime::new(1)
        .block_on(async {
            let listener = TcpListener::bind(ADDR).await?;
            let early = TcpStream::connect(ADDR).await?;
            let mut crowd = Vec::new();
            for _ in 0..8 {
                let stream = TcpStream::connect(ADDR).await?;
                stream.write_all(b"x").await?;
                crowd.push(stream);
            }
            sleep(1_000 * US).await;
            // On its way while the acceptor takes in all of them in one handle.
            early.write_all(b"?").await?;
            let tell = |start: &[u8]| {
                sim::spend(100 * US);
                (start == b"?").then_some(())
            };
            let accepting = listener.classified(tell).limit(4).serve(|_, _, ()| {});
            sleep(10_000 * US).await;
            let counts = accepting.metrics();
            assert_eq!((counts.told, counts.evicted, counts.waiting), (1, 4, 4), "{counts:?}");
            io::Result::Ok(())
        })
        .unwrap();
}
