//! Datagrams, of UDP and of Unix.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;

use evenloop::net::{Direction, UdpSocket, UnixDatagram};
use evenloop::{spawn, spawn_in};

use crate::{run, settle};

/// Datagrams keep their bounds and tell their senders.
#[test]
fn udp_to_and_from() {
    run(async {
        let server = UdpSocket::bind("127.0.0.1:0").await?;
        let addr = server.local_addr()?;
        let echo = spawn_in("echo", async move {
            let mut buf = [0; 2048];
            for _ in 0..20 {
                let (len, from) = server.recv_from(&mut buf).await?;
                server.send_to(&buf[..len], from).await?;
            }
            io::Result::Ok(())
        });
        let client = UdpSocket::bind("127.0.0.1:0").await?;
        for len in (0..2000).step_by(100) {
            let sent = vec![7; len];
            assert_eq!(client.send_to(&sent, addr).await?, len);
            let mut buf = [0; 2048];
            assert_eq!(client.peek_from(&mut buf).await?, (len, addr));
            assert_eq!(client.recv_from(&mut buf).await?, (len, addr));
            assert_eq!(&buf[..len], sent);
        }
        echo.await.unwrap()
    });
}

/// Connected sockets, by futures, by polls and by tries.
#[test]
fn udp_connected() {
    run(async {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        a.connect(b.local_addr()?).await?;
        b.connect(a.local_addr()?).await?;
        assert_eq!(a.peer_addr()?, b.local_addr()?);
        let mut buf = [0; 16];
        assert_eq!(b.try_recv(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        a.send(b"future").await?;
        assert_eq!(b.peek(&mut buf).await?, 6);
        assert_eq!(b.recv(&mut buf).await?, 6);
        poll_fn(|cx| a.poll_send(cx, b"poll")).await?;
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut buf)).await?, 4);
        a.writable().await?;
        assert_eq!(a.try_send(b"try")?, 3);
        b.readable().await?;
        assert_eq!(b.try_recv_from(&mut buf)?, (3, a.local_addr()?));
        a.try_io(Direction::Write, || socket2::SockRef::from(&a).send(b"raw"))?;
        assert_eq!(b.recv(&mut buf).await?, 3);
        Ok(())
    });
}

/// A burst that outlasts one wake is received to its end.
#[test]
fn udp_burst() {
    run(async {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        a.connect(b.local_addr()?).await?;
        let receiver = spawn(async move {
            let mut buf = [0; 8];
            for i in 0..100_u64 {
                assert_eq!(b.recv(&mut buf).await?, 8);
                assert_eq!(u64::from_le_bytes(buf), i);
            }
            io::Result::Ok(())
        });
        settle().await;
        for i in 0..100_u64 {
            a.send(&i.to_le_bytes()).await?;
        }
        receiver.await.unwrap()
    });
}

/// Options are those of the kernel's socket.
#[test]
fn udp_options() {
    run(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.set_broadcast(true)?;
        assert!(socket.broadcast()?);
        socket.set_ttl(9)?;
        assert_eq!(socket.ttl()?, 9);
        socket.set_multicast_loop_v4(false)?;
        assert!(!socket.multicast_loop_v4()?);
        socket.set_multicast_ttl_v4(3)?;
        assert_eq!(socket.multicast_ttl_v4()?, 3);
        let back = UdpSocket::from_std(socket.into_std()?)?;
        assert_eq!(back.ttl()?, 9);
        Ok(())
    });
}

/// Unix datagrams: by pair, by path, and with a writer who has to wait for room.
#[test]
fn unix_datagrams() {
    run(async {
        let (a, b) = UnixDatagram::pair()?;
        let sender = spawn(async move {
            for i in 0..2_000_u32 {
                a.send(&i.to_le_bytes()).await?;
            }
            io::Result::Ok(())
        });
        settle().await;
        assert!(!sender.is_finished(), "the queue has no bound");
        let mut buf = [0; 16];
        for i in 0..2_000_u32 {
            assert_eq!(b.recv(&mut buf).await?, 4);
            assert_eq!(buf[..4], i.to_le_bytes());
        }
        sender.await.unwrap()?;

        let path = std::env::temp_dir().join(format!("evenloop-datagram-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let named = UnixDatagram::bind(&path)?;
        let unnamed = UnixDatagram::unbound()?;
        unnamed.send_to(b"to a path", &path).await?;
        let (len, from) = named.recv_from(&mut buf).await?;
        assert_eq!((len, from.is_unnamed()), (9, true));
        unnamed.connect(&path)?;
        unnamed.send(b"connected").await?;
        assert_eq!(named.recv(&mut buf).await?, 9);
        std::fs::remove_file(&path)
    });
}
