//! Connections of several kinds at one port, and peers who mean no good, over the real kernel.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenloop::net::http::Routes;
use evenloop::net::{
    Accepting, Acceptor, Classified, TcpListener, TcpStream, UnixListener, UnixStream,
};
use evenloop::time::sleep;
use evenloop::{Handle, Partition, spawn, spawn_in};

use crate::{LIMIT, pair, run, settle};

type Tell = Box<dyn FnMut(&[u8]) -> Option<Partition>>;

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\n";

/// Makes an acceptor that answers each connection that is told by the name of its partition.
async fn acceptor<F>(describe: F) -> io::Result<(Accepting, SocketAddr)>
where
    F: FnOnce(Acceptor<Tell>) -> Acceptor<Tell>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let routes =
        Routes::otherwise(Partition::named("bulk")).path("/health", Partition::named("health"));
    let tell: Tell = Box::new(move |start| routes.tell(start).cloned());
    let accepting = describe(listener.classified(tell)).serve(|stream, _, partition| {
        partition.spawn(async move {
            let mut request = [0; 64];
            let read = stream.read(&mut request).await?;
            assert_eq!(&request[..read], HEALTH, "all bytes are still there");
            stream.write_all(Partition::current().name().as_bytes()).await
        });
    });
    Ok((accepting, addr))
}

/// Waits until `holds`; a test that hangs is ended.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Every connection accepted is somewhere.
fn assert_conserved(accepting: &Accepting) {
    let counts = accepting.metrics();
    let parted = counts.told + counts.unknown + counts.failed + counts.timed_out + counts.evicted;
    assert_eq!(counts.accepted, parted + counts.waiting, "{counts:?}");
}

/// Whether the other side has closed it; waits for that.
async fn is_closed(stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_))
}

/// Hundreds of peers that say nothing, or a byte now and then, are in nobody's way: who says what
/// it wants is told and answered while all of them still wait.
#[test]
fn slow_peers_are_in_nobodys_way() {
    run(async {
        let (accepting, addr) = acceptor(|a| a.limit(400).patience(LIMIT)).await?;
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(TcpStream::connect(addr).await?);
        }
        let dribbling: Vec<_> = (0..100)
            .map(|_| {
                spawn_in("dribbling", async move {
                    let stream = TcpStream::connect(addr).await?;
                    for byte in b"GET /".iter().chain(std::iter::repeat(&b'x')).take(500) {
                        stream.write_all(&[*byte]).await?;
                        sleep(Duration::from_millis(2)).await;
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        until(|| accepting.metrics().accepted == 300).await;
        for _ in 0..20 {
            let client = TcpStream::connect(addr).await?;
            client.write_all(HEALTH).await?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await?;
            assert_eq!(answer, "health");
        }
        let counts = accepting.metrics();
        assert_eq!((counts.told, counts.waiting), (20, 300), "{counts:?}");
        assert_conserved(&accepting);
        dribbling.into_iter().for_each(|task| task.abort());
        drop(silent);
        until(|| accepting.metrics().waiting == 0).await;
        assert_conserved(&accepting);
        Ok(())
    });
}

/// When there are too many, those go that have waited longest; not before, and no others.
#[test]
fn the_oldest_go_first() {
    run(async {
        let (accepting, addr) = acceptor(|a| a.limit(8).patience(LIMIT)).await?;
        let mut crowd = Vec::new();
        for n in 1..=20 {
            crowd.push(TcpStream::connect(addr).await?);
            until(|| accepting.metrics().accepted == n).await;
        }
        let counts = accepting.metrics();
        assert_eq!((counts.evicted, counts.waiting), (12, 8), "{counts:?}");
        for evicted in &crowd[..12] {
            assert!(is_closed(evicted).await);
        }
        for kept in &crowd[12..] {
            kept.write_all(HEALTH).await?;
            let mut answer = [0; 6];
            kept.read_exact(&mut answer).await?;
            assert_eq!(&answer, b"health");
        }
        assert_conserved(&accepting);
        Ok(())
    });
}

/// Who has said enough is served, whatever comes after it before it could be looked at.
#[test]
fn who_has_spoken_is_not_evicted() {
    run(async {
        let (accepting, addr) = acceptor(|a| a.limit(4).patience(LIMIT)).await?;
        // No turn for the acceptor but where this waits for it.
        let mut early = std::net::TcpStream::connect(addr)?;
        until(|| accepting.metrics().accepted == 1).await;
        early.write_all(HEALTH)?;
        let flood: Vec<_> =
            (0..64).map(|_| std::net::TcpStream::connect(addr)).collect::<Result<_, _>>()?;
        until(|| accepting.metrics().accepted == 65).await;
        let counts = accepting.metrics();
        assert_eq!((counts.told, counts.evicted, counts.waiting), (1, 60, 4), "{counts:?}");
        settle().await;
        let mut answer = [0; 6];
        early.read_exact(&mut answer)?;
        assert_eq!(&answer, b"health");
        drop(flood);
        Ok(())
    });
}

/// Whoever says nothing to the point in time, ends, breaks off, or says too much, is closed; and
/// counted as what it is.
#[test]
fn the_ways_to_end() {
    run(async {
        let (accepting, addr) = acceptor(|a| a.patience(Duration::from_millis(50))).await?;
        let silent = TcpStream::connect(addr).await?;
        assert!(is_closed(&silent).await);
        assert_eq!(accepting.metrics().timed_out, 1);

        let (accepting, addr) = acceptor(|a| a.patience(LIMIT).max_bytes(32)).await?;
        let ended = TcpStream::connect(addr).await?;
        ended.write_all(b"GET /hea").await?;
        ended.shutdown(std::net::Shutdown::Write)?;
        assert!(is_closed(&ended).await);
        let long = TcpStream::connect(addr).await?;
        long.write_all(&[b'A'; 30]).await?;
        until(|| accepting.metrics().waiting == 1).await;
        long.write_all(b"AA").await?;
        assert!(is_closed(&long).await);
        assert_eq!(accepting.metrics().unknown, 2);

        let broken = TcpStream::connect(addr).await?;
        until(|| accepting.metrics().waiting == 1).await;
        broken.set_linger(Some(Duration::ZERO))?;
        drop(broken);
        until(|| accepting.metrics().failed == 1).await;
        assert_conserved(&accepting);

        let waits = TcpStream::connect(addr).await?;
        until(|| accepting.metrics().waiting == 1).await;
        accepting.stop();
        accepting.await?;
        assert!(is_closed(&waits).await);
        assert!(TcpStream::connect(addr).await.is_err(), "somebody still listens");
        Ok(())
    });
}

/// An acceptor works in a partition of its own, or in the one it is given; a panic of what it is
/// given reaches whoever awaits it.
#[test]
fn acceptors_have_partitions() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let accepting = listener
            .classified(|start| (!start.is_empty()).then(|| Partition::current().name()))
            .partition(Partition::named("front"))
            .serve(|_, _, whose| panic!("told in {whose}"));
        client.write_all(b"x").await?;
        let ended = spawn(accepting).await;
        let payload = ended.unwrap_err().into_panic();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "told in front");
        Ok(())
    });
}

/// By itself, a stream is waited for as long as was said and no longer, and stays whole.
#[test]
fn patience_ends() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(b"GET").await?;
        let patience = Duration::from_millis(20);
        let told = far.classify(64, patience, |_| None::<()>).await?;
        assert_eq!(told, Classified::TimedOut);
        let told = far.classify(64, LIMIT, |start| (start == b"GET").then_some(7)).await?;
        assert_eq!(told, Classified::Told(7));
        assert_eq!(far.read(&mut [0; 8]).await?, 3);
        Ok(())
    });
}

/// A Unix stream accepted for a partition keeps it alive, and is served in it.
#[test]
fn unix_accepted_for_a_partition() {
    run(async {
        let names =
            || Handle::current().partitions().iter().map(Partition::name).collect::<Vec<_>>();
        let path = std::env::temp_dir().join(format!("evenloop-accept-in-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let client = UnixStream::connect(&path).await?;
        std::fs::remove_file(&path)?;
        let (stream, partition) = listener.accept_in(|_| Partition::named("chosen")).await?;
        drop(partition);
        settle().await;
        assert!(names().contains(&"chosen".to_owned()), "{:?}", names());
        let task = spawn_in("chosen", async move { stream.write_all(b"x").await });
        assert_eq!(client.read(&mut [0; 8]).await?, 1);
        task.await.unwrap()?;
        settle().await;
        assert!(!names().contains(&"chosen".to_owned()), "{:?}", names());
        Ok(())
    });
}

/// A full backlog at one listener does not stand before the connections of another, not even of
/// those that came first.
#[test]
fn a_flood_at_one_listener_is_its_own() {
    run(async {
        const FLOOD: usize = 100;
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut addrs = Vec::new();
        for name in ["flooded", "other"] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addrs.push(listener.local_addr()?);
            let order = order.clone();
            spawn_in(name, async move {
                while listener.accept().await.is_ok() {
                    order.borrow_mut().push(name);
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(50) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        settle().await;
        let connect = |n: usize| std::net::TcpStream::connect(addrs[n]);
        let flood = (0..FLOOD).map(|_| connect(0)).collect::<io::Result<Vec<_>>>()?;
        let other = connect(1)?;
        until(|| order.borrow().len() == FLOOD + 1).await;
        let before = order.borrow().iter().position(|name| *name == "other").unwrap();
        assert!(before <= FLOOD / 2, "{before} of the flood came before the other one");
        drop((flood, other));
        Ok(())
    });
}
