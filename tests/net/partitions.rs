//! Whose a socket is, and crowds that delay nobody.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use evenloop::net::{Classified, TcpListener, TcpStream, UdpSocket, UnixStream};
use evenloop::{Handle, Partition, spawn, spawn_in, yield_now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{LIMIT, pair, run, settle};

fn names() -> Vec<String> {
    Handle::current().partitions().iter().map(Partition::name).collect()
}

/// A stream accepted in ROOT and moved into a partition is delivered in that partition's turns: a
/// backlog in ROOT does not stand before its bytes.
#[test]
fn moved_stream_belongs_to_its_reader() {
    run(async {
        const BACKLOG: usize = 5_000;
        let (near, far) = pair().await?;
        let near = Rc::new(near);
        let handles = Rc::new(Cell::new(0));
        for _ in 0..BACKLOG {
            let handles = handles.clone();
            spawn(async move {
                loop {
                    handles.set(handles.get() + 1);
                    yield_now().await;
                }
            });
        }
        let health = spawn_in("health", async move {
            let mut byte = [0];
            while far.read(&mut byte).await? == 1 {
                far.write_all(&byte).await?;
            }
            io::Result::Ok(())
        });
        let client = spawn_in("client", async move {
            let mut costs = Vec::new();
            for _ in 0..20 {
                let before = handles.get();
                near.write_all(b"?").await?;
                near.read_exact(&mut [0]).await?;
                costs.push(handles.get() - before);
            }
            costs.sort_unstable();
            io::Result::Ok(costs)
        });
        let costs = client.await.unwrap()?;
        // Were either end ROOT's, each answer would cost a pass over the backlog.
        assert!(costs[costs.len() / 2] < BACKLOG / 2, "ROOT's handles an answer: {costs:?}");
        health.await.unwrap()
    });
}

/// What was unread when a stream moves between pollers is read after it, there and back.
#[test]
fn unread_bytes_move_along() {
    run(async {
        let isolated = Partition::builder("isolated").isolated_io(true).build();
        for _ in 0..20 {
            let (near, far) = pair().await?;
            near.write_all(b"abcdef").await?;
            let mut two = [0; 2];
            far.read_exact(&mut two).await?;
            assert_eq!(&two, b"ab");
            let far = spawn_in(&isolated, async move {
                let mut two = [0; 2];
                far.read_exact(&mut two).await?;
                assert_eq!(&two, b"cd");
                io::Result::Ok(far)
            })
            .await
            .unwrap()?;
            far.read_exact(&mut two).await?;
            assert_eq!(&two, b"ef");
            let reader = spawn_in(&isolated, async move {
                // Waits here, so the fd is moved while it is not ready ...
                let mut two = [0; 2];
                far.read_exact(&mut two).await?;
                assert_eq!(&two, b"gh");
                io::Result::Ok(far)
            });
            settle().await;
            near.write_all(b"gh").await?;
            let far = reader.await.unwrap()?;
            // ... and back while bytes are on their way.
            let reader = spawn(async move { far.read(&mut [0; 8]).await });
            yield_now().await;
            near.write_all(b"i").await?;
            assert_eq!(reader.await.unwrap()?, 1);
        }
        Ok(())
    });
}

/// A reader and a writer in two partitions each get their own direction.
#[test]
fn halves_in_two_partitions() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let (read, write) = near.into_split();
        let isolated = Partition::builder("reads").isolated_io(true).build();
        let writer = spawn_in("writes", async move {
            let block = [7; 10_000];
            for _ in 0..200 {
                write.write_all(&block).await?;
            }
            io::Result::Ok(())
        });
        let reader = spawn_in(&isolated, async move {
            let mut got = Vec::new();
            read.read_to_end(&mut got).await
        });
        let mut buf = [0; 5_000];
        let mut got = 0;
        while got < 2_000_000 {
            let read = far.read(&mut buf).await?;
            far.write_all(&buf[..read]).await?;
            got += read;
        }
        drop(far);
        writer.await.unwrap()?;
        assert_eq!(reader.await.unwrap()?, 2_000_000);
        Ok(())
    });
}

/// A partition goes when the last of its sockets moves away or is dropped, and not before.
#[test]
fn partitions_live_as_long_as_their_sockets() {
    run(async {
        let (near, far) = pair().await?;
        let near = spawn_in("brief", async move {
            // Waits once, so that the stream becomes this partition's.
            let waited = futures_lite::future::poll_once(near.read(&mut [0; 8])).await;
            assert!(waited.is_none());
            near
        })
        .await
        .unwrap();
        settle().await;
        assert!(names().contains(&"brief".to_owned()), "{:?}", names());
        far.write_all(b"x").await?;
        assert_eq!(near.read(&mut [0; 8]).await?, 1);
        let waited = futures_lite::future::poll_once(near.read(&mut [0; 8])).await;
        assert!(waited.is_none());
        settle().await;
        assert!(!names().contains(&"brief".to_owned()), "{:?}", names());
        Ok(())
    });
}

/// Makes room for as many descriptors as this process may have.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Beside a crowd of sockets that are all ready, in a poller of their own, a health check is
/// answered before the crowd is through; and the crowd gets every datagram.
#[test]
fn health_beside_a_crowd() {
    raise_limit();
    run(async {
        const CROWD: usize = 1_500;
        const EACH: usize = 5;
        let bulk = Partition::builder("bulk").isolated_io(true).build();
        let sender = UdpSocket::bind("127.0.0.1:0").await?;
        let received = Rc::new(Cell::new(0));
        let mut crowd = Vec::new();
        let mut addrs = Vec::new();
        for _ in 0..CROWD {
            let socket = UdpSocket::bind("127.0.0.1:0").await?;
            addrs.push(socket.local_addr()?);
            let received = received.clone();
            crowd.push(spawn_in(&bulk, async move {
                for _ in 0..EACH {
                    socket.recv(&mut [0; 8]).await?;
                    received.set(received.get() + 1);
                    yield_now().await;
                }
                io::Result::Ok(())
            }));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let client = TcpStream::connect(addr).await?;
        let (server, _) = listener.accept().await?;
        spawn_in("health", async move {
            let mut byte = [0];
            while let Ok(1) = server.read(&mut byte).await {
                server.write_all(&byte).await.unwrap();
            }
        });
        settle().await;
        // No turn for anybody else until all are ready.
        for addr in &addrs {
            for _ in 0..EACH {
                assert_eq!(sender.try_send_to(b"bulk", *addr)?, 4);
            }
        }
        client.write_all(b"?").await?;
        client.read_exact(&mut [0]).await?;
        let before = received.get();
        assert!(before < CROWD * EACH, "the health check came last");
        for task in crowd {
            task.await.unwrap()?;
        }
        assert_eq!(received.get(), CROWD * EACH);
        Ok(())
    });
}

/// Health checks and bulk traffic share a port and are told apart by their first bytes, which stay
/// in the stream, however they come in.
#[test]
fn told_apart_on_one_port() {
    run(async {
        const HEALTH: &[u8] = b"GET /health ";
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let classify = async |sent: &'static [u8], pieces: usize, end: bool| {
            let client = TcpStream::connect(addr).await?;
            let (server, _) = listener.accept().await?;
            let sender = spawn(async move {
                for piece in sent.chunks(pieces) {
                    client.write_all(piece).await?;
                    settle().await;
                }
                if end {
                    client.shutdown(std::net::Shutdown::Write)?;
                }
                io::Result::Ok(client)
            });
            let mut looks = 0;
            let told = server.classify(HEALTH.len(), LIMIT, |start| {
                looks += 1;
                if start.starts_with(HEALTH) {
                    return Some("health");
                }
                (!HEALTH.starts_with(start)).then_some("bulk")
            });
            let told = told.await?;
            let _client = sender.await.unwrap()?;
            let mut got = vec![0; sent.len()];
            server.read_exact(&mut got).await?;
            assert_eq!(got, sent);
            assert!(looks <= sent.len(), "{looks} looks at {} bytes", sent.len());
            io::Result::Ok(told)
        };
        for pieces in [1, 5, 100] {
            assert_eq!(
                classify(b"GET /health HTTP/1.1", pieces, false).await?,
                Classified::Told("health")
            );
            assert_eq!(
                classify(b"GET /heap HTTP/1.1", pieces, false).await?,
                Classified::Told("bulk")
            );
            assert_eq!(classify(b"GET /he", pieces, true).await?, Classified::Unknown);
            assert_eq!(classify(b"", pieces, true).await?, Classified::Unknown);
        }
        Ok(())
    });
}

/// A stream accepted for a partition keeps it alive, and is served in it.
#[test]
fn accepted_for_a_partition() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let chosen = |peer: std::net::SocketAddr| {
            assert!(peer.ip().is_loopback());
            Partition::builder("chosen").isolated_io(true).build()
        };
        let (stream, partition) = listener.accept_in(chosen).await?;
        drop(partition);
        settle().await;
        assert!(names().contains(&"chosen".to_owned()), "{:?}", names());
        let echo = spawn_in("chosen", async move {
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            stream.write_all(&byte).await
        });
        client.write_all(b"x").await?;
        assert_eq!(client.read(&mut [0; 8]).await?, 1);
        echo.await.unwrap()?;
        settle().await;
        assert!(!names().contains(&"chosen".to_owned()), "{:?}", names());
        Ok(())
    });
}
