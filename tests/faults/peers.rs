//! Peers that dribble, that close one half, and that are stopped in the middle.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as Client};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::{sleep, timeout};
use evenloop::{block_on, spawn_in};

use crate::rig::{MS, Other, bounded, figure, is_other, quantile, tell};

/// How long a server waits for a whole request, or for room to write.
const PATIENCE: Duration = Duration::from_millis(400);

/// Answers each byte until the peer is done.
async fn echo(stream: TcpStream) {
    let mut buf = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        stream.write_all(&buf[..read]).await.expect("the peer is there");
    }
}

/// Asks a well-behaved server now and then until `done`; returns the waits, sorted.
fn bystander(address: std::net::SocketAddr, count: usize) -> thread::JoinHandle<Vec<Duration>> {
    thread::spawn(move || {
        let mut client = Client::connect(address).unwrap();
        client.set_read_timeout(Some(60_000 * MS)).unwrap();
        let mut waits: Vec<_> = (0..count)
            .map(|_| {
                thread::sleep(10 * MS);
                let asked = Instant::now();
                client.write_all(b"?").unwrap();
                client.read_exact(&mut [0]).unwrap();
                asked.elapsed()
            })
            .collect();
        waits.sort();
        waits
    })
}

/// Heads of requests that come byte by byte are given up on time, and delay nobody.
#[test]
fn slow_requests_are_given_up_on_time() {
    const SLOW: usize = 100;
    bounded(|| {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let others = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let waits = bystander(others.local_addr().unwrap(), 80);
            let (stream, _) = others.accept().await.unwrap();
            let served = spawn_in("others", echo(stream));
            let slow = thread::spawn(move || {
                let mut clients: Vec<_> =
                    (0..SLOW).map(|_| Client::connect(address).unwrap()).collect();
                // Who was given up finds its connection closed, sooner or later.
                for _ in 0..40 {
                    clients.retain_mut(|client| client.write_all(b"X").is_ok());
                    thread::sleep(20 * MS);
                }
                clients.len()
            });
            let mut heads = Vec::new();
            for _ in 0..SLOW {
                let (stream, _) = listener.accept().await.unwrap();
                heads.push(spawn_in("slow", async move {
                    let begin = Instant::now();
                    let whole = timeout(PATIENCE, stream.read_exact(&mut [0; 1_000])).await;
                    assert!(whole.is_err(), "nobody sent that much");
                    begin.elapsed()
                }));
            }
            let mut ends = Vec::new();
            for head in heads {
                ends.push(head.await.unwrap());
            }
            ends.sort();
            let left = evenloop::spawn_blocking(move || slow.join().unwrap()).await.unwrap();
            let waits = evenloop::spawn_blocking(move || waits.join().unwrap()).await.unwrap();
            served.await.unwrap();
            let (first, last) = (ends[0], ends[SLOW - 1]);
            figure("5 slowloris", format_args!("given up after {first:?} to {last:?} of 400ms"));
            let (half, worst) = (quantile(&waits, 0.5), waits[waits.len() - 1]);
            figure("5 slowloris", format_args!("others wait {half:?} at p50, {worst:?} at worst"));
            assert!(first >= PATIENCE, "too early: {first:?}");
            assert!(last < PATIENCE + 2_000 * MS, "too late: {last:?}");
            assert!(half < 50 * MS, "the others wait {half:?}");
            assert_eq!(left, 0, "connections that were given up are closed");
        });
    });
}

/// A peer that closes its half is still answered, to the last byte.
#[test]
fn half_closed_peers_are_answered() {
    bounded(|| {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = thread::spawn(move || {
                let mut client = Client::connect(address).unwrap();
                client.write_all(&[1; 70_000]).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                answer
            });
            let (stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            assert_eq!(stream.read_to_end(&mut request).await.unwrap(), 70_000);
            // The end stays the end, and is no reason to spin or to fail.
            for _ in 0..3 {
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
            }
            for part in 0..100_u8 {
                stream.write_all(&[part; 10_000]).await.unwrap();
                sleep(MS / 10).await;
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let answer = evenloop::spawn_blocking(move || client.join().unwrap()).await.unwrap();
            let whole: Vec<_> = (0..100_u8).flat_map(|part| [part; 10_000]).collect();
            assert!(answer == whole, "{} bytes came", answer.len());
            figure("5 half-close", "1 MB after the peer's end, byte-exact");
        });
    });
}

const BYTES: usize = 16 << 20;

fn byte(at: usize) -> u8 {
    (at * 31 / 7) as u8
}

/// Reads all there is from the port named by `EVENLOOP_PORT`, and tells how much was right.
fn read_all(port: u16) {
    let mut client = Client::connect(("127.0.0.1", port)).unwrap();
    tell("connected", 1);
    let (mut buf, mut at) = (vec![0; 1 << 16], 0);
    loop {
        let read = client.read(&mut buf).unwrap();
        if read == 0 {
            break;
        }
        assert!(buf[..read].iter().enumerate().all(|(i, &it)| it == byte(at + i)), "at {at}");
        at += read;
    }
    tell("read", at);
}

/// A peer that is stopped fills its buffers and no others: the writer's timeout fires on time, the
/// others are served, and when it goes on every byte is there.
#[test]
fn stopped_peers_hold_up_nobody() {
    const NAME: &str = "peers::stopped_peers_hold_up_nobody";
    const PORT: &str = "EVENLOOP_PORT";
    if is_other(NAME) {
        return bounded(|| read_all(std::env::var(PORT).unwrap().parse().unwrap()));
    }
    bounded(|| {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut peer = Other::start_with(NAME, PORT, port);
            let (stream, _) = listener.accept().await.unwrap();
            assert_eq!(peer.number("connected"), 1);
            peer.stop();
            let others = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let waits = bystander(others.local_addr().unwrap(), 50);
            let (calm, _) = others.accept().await.unwrap();
            let served = spawn_in("others", echo(calm));
            let written = Rc::new(Cell::new(0));
            let so_far = written.clone();
            let mut writer = spawn_in("stuck", async move {
                let bytes: Vec<_> = (0..BYTES).map(byte).collect();
                while so_far.get() < BYTES {
                    let wrote = stream.write(&bytes[so_far.get()..]).await.unwrap();
                    so_far.set(so_far.get() + wrote);
                }
            });
            sleep(200 * MS).await;
            let begin = Instant::now();
            assert!(timeout(PATIENCE, &mut writer).await.is_err(), "nobody reads {BYTES} bytes");
            let gave_up = begin.elapsed();
            let stuck = written.get();
            let waits = evenloop::spawn_blocking(move || waits.join().unwrap()).await.unwrap();
            served.await.unwrap();
            assert_eq!(written.get(), stuck, "a stopped peer takes nothing");
            peer.go_on();
            writer.await.unwrap();
            let peer = evenloop::spawn_blocking(move || {
                let read = peer.number("read");
                peer.ends_well();
                read
            });
            assert_eq!(peer.await.unwrap(), BYTES as u64);
            let (half, worst) = (quantile(&waits, 0.5), waits[waits.len() - 1]);
            figure("5 stopped peer", format_args!("the timeout fired after {gave_up:?} of 400ms"));
            figure(
                "5 stopped peer",
                format_args!("others wait {half:?} at p50, {worst:?} at worst"),
            );
            figure("5 stopped peer", format_args!("{BYTES} bytes, byte-exact after it went on"));
            assert!(gave_up >= PATIENCE && gave_up < PATIENCE + 2_000 * MS, "{gave_up:?}");
            assert!(half < 50 * MS, "the others wait {half:?}");
        });
    });
}
