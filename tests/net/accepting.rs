//! Taking connections.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use evenloop::{Partition, Runtime, spawn, spawn_in, time};
use futures_lite::future::poll_once;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{in_child, run, settle};

/// Several tasks, in several partitions, accept from one listener: each connection goes to one of
/// them, and none is left.
#[test]
fn many_acceptors() {
    run(async {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let addr = listener.local_addr()?;
        let peers = Rc::new(RefCell::new(Vec::new()));
        let acceptors: Vec<_> = (0..4)
            .map(|i| {
                let (listener, peers) = (listener.clone(), peers.clone());
                spawn_in(format!("acceptor {}", i % 2), async move {
                    loop {
                        let (_, peer) = listener.accept().await.unwrap();
                        peers.borrow_mut().push(peer);
                    }
                })
            })
            .collect();
        let mut connected = Vec::new();
        for i in 0..50 {
            let stream = TcpStream::connect(addr).await?;
            connected.push(stream.local_addr()?);
            if i % 5 == 0 {
                settle().await;
            }
        }
        while peers.borrow().len() < connected.len() {
            settle().await;
        }
        for acceptor in acceptors {
            acceptor.abort();
        }
        peers.borrow_mut().sort();
        connected.sort();
        assert_eq!(*peers.borrow(), connected);
        Ok(())
    });
}

/// What a peer sent before it was accepted is there at the first read: no event has to say so first,
/// for which a busy loop would take a harvest and a turn.
#[test]
fn first_bytes_are_read_at_once() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        for accepts_in in [false, true] {
            let near = TcpStream::connect(addr).await?;
            near.write_all(b"first").await?;
            let far = match accepts_in {
                false => listener.accept().await?.0,
                true => listener.accept_in(|_| Partition::named("clients")).await?.0,
            };
            let mut start = [0; 8];
            let read = poll_once(far.read(&mut start)).await;
            assert_eq!(read.expect("the bytes are there")?, 5);
            // A wrong guess is put right: the second read waits, and is woken.
            let (second, sent) = futures::join!(far.read(&mut start), near.write_all(b"second"));
            sent?;
            assert_eq!(&start[..second?], b"second");
        }
        Ok(())
    });
}

/// An accept that was given up has taken no connection with it.
#[test]
fn dropped_accepts_lose_nothing() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let clients = spawn(async move {
            let mut streams = Vec::new();
            for _ in 0..40 {
                streams.push(TcpStream::connect(addr).await?);
                time::sleep(Duration::from_micros(400)).await;
            }
            io::Result::Ok(streams)
        });
        let mut accepted = Vec::new();
        while accepted.len() < 40 {
            if let Ok(stream) = time::timeout(Duration::from_micros(500), listener.accept()).await {
                accepted.push(stream?);
            }
        }
        clients.await.unwrap()?;
        Ok(())
    });
}

/// More connections at a time than one delivery takes.
#[test]
fn connection_storm() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let server = spawn(async move {
            for _ in 0..300 {
                let (stream, _) = listener.accept().await?;
                spawn_in("served", async move { stream.write_all(b"hi").await });
            }
            io::Result::Ok(())
        });
        let mut streams = Vec::new();
        for _ in 0..300 {
            streams.push(TcpStream::connect(addr).await?);
        }
        for stream in streams {
            let mut got = [0; 2];
            stream.read_exact(&mut got).await?;
        }
        server.await.unwrap()
    });
}

/// A Unix listener whose backlog is full makes clients wait, and loses none.
#[test]
fn unix_backlog_is_waited_for() {
    run(async {
        let path = std::env::temp_dir().join(format!("evenloop-backlog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(&path)?)?;
        socket.listen(1)?;
        let listener = UnixListener::from_std(socket.into())?;
        let clients: Vec<_> = (0..12)
            .map(|_| {
                let path = path.clone();
                spawn(async move { UnixStream::connect(path).await?.write_all(b"x").await })
            })
            .collect();
        settle().await;
        let all_in = clients.iter().all(evenloop::JoinHandle::is_finished);
        assert!(!all_in, "the backlog took them all");
        for _ in 0..12 {
            let (stream, _) = listener.accept().await?;
            assert_eq!(stream.read(&mut [0; 8]).await?, 1);
        }
        for client in clients {
            client.await.unwrap()?;
        }
        std::fs::remove_file(&path)
    });
}

/// Without descriptors, accepting waits and does not spin, those who are served go on being served,
/// and it resumes by itself. In a process of its own, as the limit is everybody's.
#[test]
fn out_of_descriptors() {
    in_child("accepting::out_of_descriptors", || run(without_descriptors()));
}

async fn without_descriptors() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let server = spawn_in("server", async move {
        let mut streams = Vec::new();
        for _ in 0..4 {
            let (stream, _) = listener.accept().await?;
            let stream = Rc::new(stream);
            streams.push(stream.clone());
            spawn(async move {
                let mut buf = [0; 8];
                while let Ok(read @ 1..) = stream.read(&mut buf).await {
                    stream.write_all(&buf[..read]).await.unwrap();
                }
            });
        }
        io::Result::Ok(streams)
    });
    let first = TcpStream::connect(addr).await?;
    let echo = async |stream: &TcpStream| {
        stream.write_all(b"12345678").await?;
        stream.read_exact(&mut [0; 8]).await
    };
    echo(&first).await?;
    // These three come into the backlog while the server has no chance to run.
    let waiting = [
        std::net::TcpStream::connect(addr)?,
        std::net::TcpStream::connect(addr)?,
        std::net::TcpStream::connect(addr)?,
    ];
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: Some(1024) })?;
    let handle = evenloop::Handle::current();
    let before = handle.metrics().ticks;
    for _ in 0..10 {
        echo(&first).await?;
        time::sleep(Duration::from_millis(30)).await;
    }
    let ticks = handle.metrics().ticks - before;
    assert!(!server.is_finished(), "connections were accepted without descriptors");
    assert!(ticks < 1_000, "{ticks} ticks to wait with");
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1024) })?;
    assert_eq!(server.await.unwrap()?.len(), 4);
    drop(waiting);
    Ok(())
}

/// However many descriptors are left, a runtime is made or it is not: nothing stays open after a
/// failure, and one that was made works, also when there is none left for a poller of its own.
#[test]
fn runtimes_want_descriptors() {
    in_child("accepting::runtimes_want_descriptors", || {
        let limit = |files| {
            let limit = Rlimit { current: Some(files), maximum: Some(1024) };
            setrlimit(Resource::Nofile, limit).unwrap();
        };
        let next = || std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
        let first = next();
        let mut failures = 0;
        let runtime = loop {
            limit(first + failures);
            let made = Runtime::new();
            limit(1024);
            match made {
                Ok(runtime) => break runtime,
                Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error())),
            }
            assert_eq!(next(), first, "left open");
            failures += 1;
        };
        assert!(failures >= 2, "a poller and its waker");
        runtime.block_on(async {
            limit(0);
            let isolated = || Partition::builder("bulk").isolated_io(true).build();
            let text =
                *std::panic::catch_unwind(isolated).unwrap_err().downcast::<String>().unwrap();
            assert!(text.contains("no poller could be made"), "{text}");
            // The timer of the kernel cannot be had either.
            time::sleep(Duration::from_micros(1_500)).await;
            limit(1024);
            let task = isolated().spawn(async { Partition::current().name() });
            assert_eq!(task.await.unwrap(), "bulk");
        });
        drop(runtime);
        assert_eq!(next(), first, "left open");
    });
}
