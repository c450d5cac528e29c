//! A network between two ends that delays, splits and breaks, decided by a seed.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as Listener, TcpStream as Pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::{block_on, spawn, spawn_in};
use futures_lite::AsyncWriteExt;
use socket2::SockRef;

use crate::rig::{Dice, bounded, figure, pick};

/// What the proxy may do to a connection.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Pauses between two pieces, up to so many microseconds.
    delay: u64,
    /// The longest piece; each is of any length up to it.
    piece: u64,
    /// Resets both ends after so many bytes in one direction.
    breaks_at: Option<usize>,
}

/// Passes bytes on, in pieces and with pauses, until the end or the break.
fn pass_on(
    mut from: Pipe,
    mut to: Pipe,
    weather: Weather,
    mut dice: Dice,
    broken: &Arc<AtomicBool>,
) {
    let mut buf = [0; 4096];
    let mut passed = 0;
    loop {
        let most = 1 + dice.below(weather.piece) as usize;
        match from.read(&mut buf[..most]) {
            _ if broken.load(Ordering::SeqCst) => return,
            Ok(0) | Err(_) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(read) => {
                passed += read;
                if weather.breaks_at.is_some_and(|at| passed >= at) {
                    broken.store(true, Ordering::SeqCst);
                    for end in [&from, &to] {
                        // Both directions share the socket: it is reset when both let go of it.
                        SockRef::from(end).set_linger(Some(Duration::ZERO)).unwrap();
                        let _ = end.shutdown(Shutdown::Read);
                    }
                    return;
                }
                if to.write_all(&buf[..read]).is_err() {
                    return;
                }
                if weather.delay > 0 && dice.below(8) == 0 {
                    thread::sleep(Duration::from_micros(dice.below(weather.delay)));
                }
            }
        }
    }
}

/// Starts a proxy for one connection to `target`.
fn proxy(target: SocketAddr, weather: Weather, seed: u64) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = Pipe::connect(target).unwrap();
        for end in [&near, &far] {
            end.set_nodelay(true).unwrap();
        }
        let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let broken = Arc::new(AtomicBool::new(false));
        let too = broken.clone();
        let other = thread::spawn(move || pass_on(back.0, back.1, weather, Dice::new(!seed), &too));
        pass_on(near, far, weather, Dice::new(seed), &broken);
        other.join().unwrap();
    });
    address
}

async fn echo(stream: TcpStream) {
    let mut buf = vec![0; 1 << 14];
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..read]).await.is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// Sends `bytes` while it reads them back; returns what came, and how it ended.
async fn round_trip(near: SocketAddr, bytes: Vec<u8>) -> (Vec<u8>, Result<(), ErrorKind>) {
    let stream = TcpStream::connect(near).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let sender = spawn(async move {
        let sent = writer.write_all(&bytes).await;
        let closed = writer.close().await;
        sent.and(closed).map_err(|error| error.kind())
    });
    let (mut came, mut buf) = (Vec::new(), [0; 1 << 12]);
    let read = loop {
        match reader.read(&mut buf).await {
            Ok(0) => break Ok(()),
            Ok(read) => came.extend_from_slice(&buf[..read]),
            Err(error) => break Err(error.kind()),
        }
    };
    drop(reader);
    (came, sender.await.unwrap().and(read))
}

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..length).map(|_| dice.below(256) as u8).collect()
}

/// Whatever the network does short of breaking, the echo is byte-exact.
#[test]
fn echoes_are_exact_whatever_the_network_does() {
    let seeds = pick(8, 60);
    bounded(|| {
        block_on(async {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = server.local_addr().unwrap();
            let accepting = spawn_in("server", async move {
                loop {
                    let (stream, _) = server.accept().await.unwrap();
                    spawn(echo(stream));
                }
            });
            let mut total = 0;
            let mut trips = Vec::new();
            for seed in 0..seeds {
                let (piece, length) =
                    [(1, 3_000), (7, 20_000), (4_096, 400_000)][(seed % 3) as usize];
                let weather = Weather { delay: (seed % 4) * 300, piece, breaks_at: None };
                let near = proxy(far, weather, seed);
                let sent = bytes(seed, length);
                total += length;
                trips.push(spawn_in(seed % 5, async move {
                    let (came, end) = round_trip(near, sent.clone()).await;
                    assert_eq!(end, Ok(()), "seed {seed}, {weather:?}");
                    assert!(came == sent, "seed {seed}, {weather:?}: {} bytes", came.len());
                }));
            }
            for trip in trips {
                trip.await.unwrap();
            }
            accepting.abort();
            figure("17 delays, splits", format_args!("{seeds} seeds, {total} bytes, byte-exact"));
        });
    });
}

/// A connection that breaks is told to both ends, and what came until then is right.
#[test]
fn breaks_are_told() {
    let seeds = pick(12, 60);
    bounded(|| {
        block_on(async {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = server.local_addr().unwrap();
            let mut echoes = Vec::new();
            let mut broken = 0;
            for seed in 0..seeds {
                let weather =
                    Weather { delay: 200, piece: 64, breaks_at: Some(1 + seed as usize * 97) };
                let sent = bytes(seed, 20_000);
                let near = proxy(far, weather, seed);
                let trip = spawn(round_trip(near, sent.clone()));
                let (stream, _) = server.accept().await.unwrap();
                echoes.push(spawn(echo(stream)));
                let (came, end) = trip.await.unwrap();
                broken += usize::from(end.is_err());
                assert!(sent.starts_with(&came), "seed {seed}: what came is right");
                assert!(came.len() < sent.len(), "seed {seed}: it broke before the end");
            }
            for echo in echoes {
                echo.await.unwrap();
            }
            figure("17 breaks", format_args!("{seeds} seeds, {broken} told as errors, none hangs"));
            assert!(broken > 0);
        });
    });
}
