//! Connections that are reset: in storms, and while nobody looks.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::net::{AsyncFd, TcpListener, TcpStream};
use evenloop::time::{sleep, timeout};
use evenloop::{Handle, Partition, block_on, spawn, spawn_isolated};
use socket2::SockRef;

use crate::rig::{MS, Meter, alone, descriptors, figure, open_timer, pick};

/// Connects; the connection is reset when it is dropped.
fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(address).unwrap();
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    client
}

/// Resets connections, up to 5,000 a second, until told to stop.
fn storm(address: SocketAddr, stop: &Arc<AtomicBool>) -> thread::JoinHandle<usize> {
    const EACH: u32 = 2_500;
    let stop = stop.clone();
    thread::spawn(move || {
        let begin = Instant::now();
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut client = connect(address);
            client.write_all(&[7; 100]).unwrap();
            drop(client);
            count += 1;
            let due = Duration::from_secs(1) * count / EACH;
            thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        count as usize
    })
}

/// After a storm of resets the loop rests, and every descriptor is back.
#[test]
fn a_storm_of_resets() {
    alone("storms::a_storm_of_resets", || {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            open_timer().await;
            let base = descriptors();
            let (served, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (count, sum) = (served.clone(), bytes.clone());
            let server = spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.expect("accepting goes on");
                    let (count, sum) = (count.clone(), sum.clone());
                    spawn_isolated(async move {
                        let mut buf = [0; 256];
                        while let Ok(read @ 1..) = stream.read(&mut buf).await {
                            sum.set(sum.get() + read);
                        }
                        count.set(count.get() + 1);
                    });
                }
            });
            let stop = Arc::new(AtomicBool::new(false));
            let storms = [storm(address, &stop), storm(address, &stop)];
            let length = pick(2, 20) * 1_000 * MS;
            sleep(length).await;
            stop.store(true, Ordering::Relaxed);
            let sent: usize = storms.into_iter().map(|storm| storm.join().unwrap()).sum();
            // Connections that were reset in the backlog are still given out.
            let drained = timeout(20_000 * MS, async {
                while descriptors() > base || served.get() < sent {
                    sleep(10 * MS).await;
                }
            });
            drained.await.unwrap_or_else(|_| {
                panic!("{} of {sent} ended, {} descriptors", served.get(), descriptors() - base)
            });
            let rest = Meter::start();
            sleep(1_000 * MS).await;
            let share = rest.share() * 100.0;
            let rate = sent as f64 / length.as_secs_f64();
            figure("3 reset storm", format_args!("{sent} resets, {rate:.0} a second"));
            figure("3 reset storm", format_args!("{share:.2} % of a processor afterwards"));
            figure("3 reset storm", "descriptors left behind: 0");
            assert!(share < 2.0, "the loop spins: {share} %");
            assert!(sent > 100, "this was no storm: {sent}");
            server.abort();
        });
    });
}

/// How the task that holds a connection treats it while it is reset.
#[derive(Clone, Copy)]
enum Holder {
    /// It never asked for anything.
    Idle,
    /// It began to read, and gave up.
    GaveUp,
    /// It waits to read, and does nothing about it.
    Deaf,
}

async fn hold(stream: TcpStream, holder: Holder, go: Rc<Cell<bool>>) -> Result<usize, ErrorKind> {
    match holder {
        Holder::Idle => {}
        Holder::GaveUp => {
            let gave_up = timeout(MS, stream.read(&mut [0; 8])).await;
            assert!(gave_up.is_err());
        }
        Holder::Deaf => stream.readable().await.unwrap(),
    }
    while !go.get() {
        sleep(20 * MS).await;
    }
    stream.read(&mut [0; 8]).await.map_err(|error| error.kind())
}

/// Connections that were reset and that nobody reads cost nothing, in the shared poller and in an
/// isolated one; whoever reads at last is told.
#[test]
fn resets_that_nobody_reads() {
    alone("storms::resets_that_nobody_reads", || {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let isolated = Partition::builder("isolated").isolated_io(true).build();
            let go = Rc::new(Cell::new(false));
            let (mut clients, mut holders) = (Vec::new(), Vec::new());
            for i in 0..60 {
                clients.push(connect(address));
                let (stream, _) = listener.accept().await.unwrap();
                let holder = [Holder::Idle, Holder::GaveUp, Holder::Deaf][i % 3];
                let held = hold(stream, holder, go.clone());
                holders.push(if i % 2 == 0 { spawn_isolated(held) } else { isolated.spawn(held) });
            }
            // Another holds the bare fd.
            clients.push(connect(address));
            let (stream, _) = listener.accept().await.unwrap();
            let bare = AsyncFd::new(stream.into_std().unwrap()).unwrap();
            sleep(50 * MS).await;
            let ticks = Handle::current().metrics().ticks;
            let meter = Meter::start();
            drop(clients);
            sleep(3_000 * MS).await;
            let (share, ticks) = (meter.share(), Handle::current().metrics().ticks - ticks);
            figure("4 resets unread", format_args!("{:.2} % of a processor", share * 100.0));
            figure("4 resets unread", format_args!("{ticks} ticks in 3 s, 60 tasks each 50 Hz"));
            assert!(share < 0.1, "the loop spins: {share}");
            go.set(true);
            for holder in holders {
                assert_eq!(holder.await.unwrap(), Err(ErrorKind::ConnectionReset));
            }
            drop(bare.readable().await.unwrap());
        });
    });
}

/// Readers are told of resets at once, and writers too.
#[test]
fn resets_are_told() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let client = connect(listener.local_addr().unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, writer) = stream.into_split();
            let count = told.clone();
            let reads = spawn(async move {
                let read = reader.read(&mut [0; 8]).await;
                // Linux gives the error to whoever asks first; after that the stream is at its end.
                let told = read.map_err(|error| error.kind());
                assert!(matches!(told, Ok(0) | Err(ErrorKind::ConnectionReset)), "{told:?}");
                count.fetch_add(1, Ordering::Relaxed);
            });
            let count = told.clone();
            let writes = spawn(async move {
                // More than the buffers take.
                let bytes = vec![0; 32 << 20];
                let wrote = writer.write_all(&bytes).await;
                let kind = wrote.unwrap_err().kind();
                assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
                count.fetch_add(1, Ordering::Relaxed);
            });
            sleep(MS).await;
            drop(client);
            reads.await.unwrap();
            writes.await.unwrap();
        }
        assert_eq!(told.load(Ordering::Relaxed), 100);
    });
}
