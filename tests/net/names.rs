//! Every way to call a socket that has no test of its own elsewhere.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use evenloop::net::{
    AsyncFd, Direction, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, lookup_host,
};
use evenloop::spawn;

use crate::{pair, run};

/// Addresses come in many shapes; what has no address is an error.
#[test]
fn addresses() {
    run(async {
        let home: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let mut found = lookup_host("localhost:80").await?;
        assert!(found.any(|addr| addr.ip().is_loopback() && addr.port() == 80));
        assert_eq!(lookup_host((IpAddr::V4(Ipv4Addr::LOCALHOST), 80)).await?.next(), Some(home));
        assert_eq!(lookup_host(String::from("127.0.0.1:80")).await?.next(), Some(home));
        assert_eq!(lookup_host(&[home, home][..]).await?.count(), 2);
        for nonsense in ["", "no port", ":80:80"] {
            assert!(lookup_host(nonsense).await.is_err(), "{nonsense}");
        }
        let nowhere: &[SocketAddr] = &[];
        let error = TcpStream::connect(nowhere).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // The first address that works is taken.
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let free = TcpListener::bind("127.0.0.1:0").await?;
        let (taken, closed) = (listener.local_addr()?, free.local_addr()?);
        drop(free);
        let stream = TcpStream::connect(&[closed, taken][..]).await?;
        assert_eq!(stream.peer_addr()?, taken);
        assert_ne!(
            TcpListener::bind(&[taken, "127.0.0.1:0".parse().unwrap()][..]).await?.local_addr()?,
            taken
        );
        Ok(())
    });
}

/// The functions that poll do what those that wait do.
#[test]
fn polls() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        let (far, peer) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        assert_eq!(peer, near.local_addr()?);
        poll_fn(|cx| near.poll_write_ready(cx)).await?;
        near.write_all(b"ab").await?;
        poll_fn(|cx| far.poll_read_ready(cx)).await?;
        let mut buf = [0; 8];
        assert_eq!(poll_fn(|cx| far.poll_peek(cx, &mut buf)).await?, 2);
        assert_eq!(far.read(&mut buf).await?, 2);

        let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        let to = b.local_addr()?;
        assert_eq!(poll_fn(|cx| a.poll_send_to(cx, b"one", to)).await?, 3);
        let (len, from) = poll_fn(|cx| b.poll_recv_from(cx, &mut buf)).await?;
        assert_eq!((len, from), (3, a.local_addr()?));
        a.connect(to).await?;
        b.connect(from).await?;
        assert_eq!(poll_fn(|cx| a.poll_send(cx, b"two!")).await?, 4);
        assert_eq!(poll_fn(|cx| b.poll_recv(cx, &mut buf)).await?, 4);
        assert_eq!(a.peer_addr()?, to);
        Ok(())
    });
}

/// A Unix stream can all that a TCP stream can.
#[test]
fn unix_streams() {
    run(async {
        let path = std::env::temp_dir().join(format!("evenloop-names-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
        let accepted = spawn(async move { poll_fn(|cx| listener.poll_accept(cx)).await });
        let near = UnixStream::connect(&path).await?;
        let (far, peer) = accepted.await.unwrap()?;
        std::fs::remove_file(&path)?;
        assert!(peer.is_unnamed() && near.local_addr()?.is_unnamed());
        assert_eq!(near.peer_addr()?.as_pathname(), Some(&*path));

        let near = UnixStream::from_std(near.into_std()?)?;
        let (read, write) = near.into_split();
        write.write_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")]).await?;
        let (mut start, mut rest) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
        assert_eq!(far.read_vectored(&mut bufs).await?, 5);
        assert_eq!((&start, &rest[..3]), (b"he", &b"llo"[..]));
        let (other_read, other_write) = UnixStream::pair()?.0.into_split();
        let mixed = read.reunite(other_write).unwrap_err();
        drop(other_read);
        let near = mixed.read.reunite(write).expect("they are of the same stream");

        assert_eq!(near.try_read(&mut rest).unwrap_err().kind(), ErrorKind::WouldBlock);
        let (reading, writing) = near.split();
        far.writable().await?;
        assert_eq!(far.try_write(b"back")?, 4);
        reading.readable().await?;
        assert_eq!(reading.try_read(&mut rest)?, 4);
        writing.shutdown()?;
        assert_eq!(far.read(&mut rest).await?, 0, "the writing side has ended");
        far.write_all(b"still").await?;
        far.shutdown(Shutdown::Both)?;
        let mut text = String::new();
        assert_eq!(near.read_to_string(&mut text).await?, 5);
        assert_eq!(text, "still");
        assert!(near.take_error()?.is_none());
        Ok(())
    });
}

/// Calls of one's own: on sockets, and on fds of any kind.
#[test]
fn calls_of_ones_own() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(b"abc").await?;
        let mut buf = [0; 8];
        let read = far.async_io(Direction::Read, || Ok(rustix::io::read(&far, &mut buf)?)).await?;
        assert_eq!(&buf[..read], b"abc");
        let again = far.try_io(Direction::Read, || Ok(rustix::io::read(&far, &mut buf)?));
        assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(far.as_fd().as_raw_fd(), far.as_raw_fd());

        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        let (mut a, b) = (AsyncFd::new(a)?, AsyncFd::one_way(b, Direction::Read)?);
        let write =
            |mut stream: &std::os::unix::net::UnixStream| io::Write::write(&mut stream, b"x");
        a.writable().await?.try_io(write)?;
        let ready = b.readable().await?;
        let read = ready.try_io(|mut stream| io::Read::read(&mut stream, &mut [0; 8]))?;
        assert_eq!(read, 1);
        assert_eq!(a.get_mut().as_raw_fd(), a.as_fd().as_raw_fd());
        io::Write::write_all(&mut a.into_inner(), b"y")?;
        let read =
            b.async_io(Direction::Read, |mut stream| io::Read::read(&mut stream, &mut [0; 8]));
        assert_eq!(read.await?, 1);
        Ok(())
    });
}
