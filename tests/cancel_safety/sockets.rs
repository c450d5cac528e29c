//! Accepting, datagrams, fds of any kind, and names.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use evenloop::net::{
    AsyncFd, Direction, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
    lookup_host,
};
use evenloop::{Partition, yield_now};
use futures::FutureExt;

use crate::{Place, deliver, give_up, give_up_after, run};

/// Every connection is accepted once, although each accept is given up before and after the event
/// came; TCP and Unix, with a partition chosen or not.
#[test]
fn accepts() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut peers = Vec::new();
        for n in 0..40_usize {
            give_up(listener.accept()).await;
            give_up(listener.accept_in(|_| Partition::root())).await;
            let mut waits = Box::pin(listener.accept());
            assert!(futures::poll!(&mut waits).is_pending());
            let client = std::net::TcpStream::connect(address)?;
            if n % 2 == 0 {
                deliver().await;
            }
            drop(waits);
            let peer = if n % 3 == 0 {
                listener.accept_in(|_| Partition::root()).await?.0.peer_addr()?
            } else {
                listener.accept().await?.1
            };
            assert_eq!(peer, client.local_addr()?);
            peers.push(client);
        }
        give_up(listener.accept()).await;

        let place = Place::new("accepts");
        let listener = UnixListener::bind(&place.0)?;
        for n in 0..20_usize {
            give_up(listener.accept()).await;
            give_up(listener.accept_in(|_| Partition::root())).await;
            let mut waits = Box::pin(listener.accept());
            assert!(futures::poll!(&mut waits).is_pending());
            let client = std::os::unix::net::UnixStream::connect(&place.0)?;
            if n % 2 == 0 {
                deliver().await;
            }
            drop(waits);
            if n % 3 == 0 {
                listener.accept_in(|_| Partition::root()).await?;
            } else {
                listener.accept().await?;
            }
            drop(client);
        }
        give_up(listener.accept()).await;
        Ok(())
    });
}

/// Datagrams are received once, whole, and by whoever waits in the end; sent once or not at all.
#[test]
fn datagrams() {
    run(|| async {
        let near = UdpSocket::bind("127.0.0.1:0").await?;
        let far = UdpSocket::bind("127.0.0.1:0").await?;
        give_up_after(1, near.connect(far.local_addr()?)).await.unwrap_or(Ok(()))?;
        near.connect(far.local_addr()?).await?;
        far.connect(near.local_addr()?).await?;
        let mut buf = [0; 8];
        for n in 0..100_u8 {
            give_up(far.recv(&mut buf)).await;
            give_up(far.recv_from(&mut buf)).await;
            give_up(far.peek(&mut buf)).await;
            give_up(far.peek_from(&mut buf)).await;
            give_up(far.readable()).await;
            let mut waits = Box::pin(far.readable());
            assert!(futures::poll!(&mut waits).is_pending());
            match n % 3 {
                0 => near.send(&[n]).await?,
                1 => near.send_to(&[n], far.local_addr()?).await?,
                _ => loop {
                    if let Some(sent) = give_up_after(0, near.send(&[n])).await {
                        break sent?;
                    }
                    yield_now().await;
                },
            };
            if n % 2 == 0 {
                deliver().await;
            }
            drop(waits);
            assert_eq!((far.peek(&mut buf).await?, far.peek_from(&mut buf).await?.0), (1, 1));
            let len = match n % 2 {
                0 => far.recv(&mut buf).await?,
                _ => far.recv_from(&mut buf).await?.0,
            };
            assert_eq!(buf[..len], [n]);
        }
        give_up_after(1, near.writable()).await.unwrap_or(Ok(()))?;
        give_up(far.recv(&mut buf)).await;
        give_up_after(0, UdpSocket::bind("127.0.0.1:0")).await.unwrap()?;

        let place = Place::new("datagrams");
        let far = UnixDatagram::bind(&place.0)?;
        let near = UnixDatagram::unbound()?;
        let (mut sent, mut got) = (0_u32, 0_u32);
        while got < 400 {
            // Full in the end, so that sending has to wait, and is given up.
            while sent < 400 {
                let number = sent.to_ne_bytes();
                match give_up_after(1, near.send_to(&number, &place.0)).await {
                    Some(len) => assert_eq!(len?, 4),
                    None => break,
                }
                sent += 1;
            }
            if got == sent {
                // There is room again, which is still to be told.
                deliver().await;
                continue;
            }
            let mut number = [0; 4];
            assert_eq!(far.recv_from(&mut number).await?.0, 4);
            assert_eq!(u32::from_ne_bytes(number), got);
            got += 1;
        }
        let (near, far) = UnixDatagram::pair()?;
        give_up(far.recv(&mut buf)).await;
        assert_eq!(near.send(b"once").await?, 4);
        assert_eq!(far.recv(&mut buf).await?, 4);
        give_up(far.recv(&mut buf)).await;
        give_up(far.readable()).await;
        Ok(())
    });
}

/// Readiness of an fd is not taken along by whoever waited for it in vain.
#[test]
fn async_fds() {
    run(|| async {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        let near = AsyncFd::new(near)?;
        let mut byte = [0];
        let read = |byte: &mut [u8; 1]| io::Read::read(&mut near.get_ref(), byte);
        for n in 0..100_u8 {
            near.readable().now_or_never().map(|ready| ready.map(|ready| ready.clear()));
            give_up(near.readable()).await;
            give_up(near.ready(Direction::Read)).await;
            give_up(near.async_io(Direction::Read, |_| read(&mut byte))).await;
            give_up(poll_fn(|cx| near.poll_ready(Direction::Read, cx).map(drop))).await;
            io::Write::write_all(&mut &far, &[n])?;
            if n % 2 == 0 {
                deliver().await;
            }
            // Seen by one who does not read.
            drop(near.readable().await?);
            assert_eq!(near.async_io(Direction::Read, |_| read(&mut byte)).await?, 1);
            assert_eq!(byte, [n]);
        }
        drop(give_up_after(1, near.writable()).await.unwrap()?);
        Ok(())
    });
}

/// The methods that wait for a socket to be ready and try an operation of one's own.
#[test]
fn calls_of_ones_own() {
    run(|| async {
        let (near, far) = UnixStream::pair()?;
        let mut buf = [0; 4];
        let mut calls = 0;
        let call = || -> io::Result<usize> {
            calls += 1;
            Err(io::ErrorKind::WouldBlock.into())
        };
        give_up(near.async_io(Direction::Read, call)).await;
        far.write_all(b"kept").await?;
        let got = near.async_io(Direction::Read, || Ok(calls)).await?;
        assert_eq!(near.read(&mut buf).await?, 4, "after {got} calls");
        Ok(())
    });
}

/// A lookup that is given up goes on for nobody, and the next one answers; so do the operations that
/// begin with one.
#[test]
fn lookups() {
    run(|| async {
        for _ in 0..5 {
            give_up_after(0, lookup_host("localhost:80"))
                .await
                .map(Result::unwrap)
                .into_iter()
                .count();
            let found: Vec<SocketAddr> = lookup_host("localhost:80").await?.collect();
            assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
        }
        drop(give_up_after(0, TcpListener::bind("localhost:0")).await);
        drop(give_up_after(0, UdpSocket::bind("localhost:0")).await);
        TcpListener::bind("localhost:0").await?;
        UdpSocket::bind("localhost:0").await?;
        Ok(())
    });
}

/// An acceptor goes on when who waits for its end gives up, and connections it was to tell are told.
#[test]
fn acceptors() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let served = Rc::new(Cell::new(0));
        let counted = served.clone();
        let mut accepting = listener
            .classified(|start| (!start.is_empty()).then_some(()))
            .serve(move |_, _, ()| counted.set(counted.get() + 1));
        for n in 1..=20 {
            give_up(&mut accepting).await;
            let client = TcpStream::connect(address).await?;
            give_up(&mut accepting).await;
            client.write_all(b"x").await?;
            while served.get() < n {
                deliver().await;
            }
        }
        accepting.stop();
        accepting.await
    });
}
