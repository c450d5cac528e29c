//! Streams of bytes: reading, writing, looking, connecting.

use std::io;

use evenloop::net::{
    Classified, OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, UnixListener, UnixStream,
};
use evenloop::{sim, spawn, yield_now};

use crate::{HOUR, Place, deliver, give_up, give_up_after, run};

async fn tcp() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

/// Writes bytes to one end and reads them from the other, in pieces of odd sizes, each wait against
/// another branch. Who is slow makes the other wait. The bytes arrive once and in order.
macro_rules! streams_lose_nothing {
    ($near:expr, $far:expr, slow_writer: $slow_writer:expr) => {{
        let (near, far, slow_writer) = ($near, $far, $slow_writer);
        let (len, piece) = if slow_writer { (300_000, 997) } else { (2_000_000, 65_537) };
        let sent: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let writer = spawn({
            let sent = sent.clone();
            async move {
                let (mut written, mut given_up) = (0, 0);
                while written < len {
                    let end = len.min(written + piece);
                    let wrote = if written % 2 == 0 {
                        give_up_after(1, near.write(&sent[written..end])).await
                    } else {
                        let slices = [io::IoSlice::new(&sent[written..end])];
                        give_up_after(1, near.write_vectored(&slices)).await
                    };
                    match wrote {
                        Some(wrote) => written += wrote?,
                        None => given_up += 1,
                    }
                    if slow_writer {
                        lag(written % 7).await;
                    }
                    give_up_after(1, near.writable()).await.unwrap_or(Ok(()))?;
                    give_up_after(1, near.flush()).await.unwrap_or(Ok(()))?;
                }
                io::Result::Ok((near, given_up))
            }
        });
        let (mut got, mut given_up) = (Vec::new(), 0);
        while got.len() < len {
            let mut buf = vec![0; 1 + got.len() % 15_003];
            if got.len() % 3 == 0 {
                give_up_after(1, far.readable()).await.unwrap_or(Ok(()))?;
            }
            let read = if got.len() % 2 == 0 {
                give_up_after(1, far.read(&mut buf)).await
            } else {
                let mut slices = [io::IoSliceMut::new(&mut buf)];
                give_up_after(1, far.read_vectored(&mut slices)).await
            };
            match read {
                Some(read) => got.extend_from_slice(&buf[..read?]),
                None => given_up += 1,
            }
            if !slow_writer {
                lag(8).await;
            }
        }
        assert!(got == sent, "bytes were lost or doubled");
        let (near, writer_gave_up) = writer.await.unwrap()?;
        // There is nothing left to be read.
        give_up(far.read(&mut [0])).await;
        give_up(far.readable()).await;
        let lost = if slow_writer { given_up } else { writer_gave_up };
        assert!(lost > 0, "no wait was ever given up");
        (near, far)
    }};
}

async fn lag(handles: usize) {
    for _ in 0..handles {
        yield_now().await;
    }
}

/// `read`, `write`, their vectored kin, `readable`, `writable` and `flush` of streams, whole and
/// split: bytes are transferred or not, and never lost.
#[test]
fn reads_and_writes_of_streams() {
    run(|| async {
        let (near, far) = tcp().await?;
        let (near, far) = streams_lose_nothing!(near, far, slow_writer: true);
        let ((_, near), (far, _)) = (near.into_split(), far.into_split());
        let _ = half_streams(near, far).await?;
        let (near, far) = UnixStream::pair()?;
        let (near, far) = streams_lose_nothing!(near, far, slow_writer: true);
        streams_lose_nothing!(near, far, slow_writer: false);
        Ok(())
    });
}

type Halves = (OwnedWriteHalf<TcpStream>, OwnedReadHalf<TcpStream>);

async fn half_streams(
    near: OwnedWriteHalf<TcpStream>,
    far: OwnedReadHalf<TcpStream>,
) -> io::Result<Halves> {
    for n in 0..100_u8 {
        let mut byte = [0];
        give_up(far.read(&mut byte)).await;
        while give_up_after(n as usize % 2, near.write(&[n])).await.is_none() {
            yield_now().await;
        }
        if n % 2 == 0 {
            deliver().await;
        }
        while give_up_after(n as usize % 3, far.read(&mut byte)).await.is_none() {
            yield_now().await;
        }
        assert_eq!(byte, [n]);
    }
    Ok((near, far))
}

/// The traits of `futures-io` and of `tokio` lose nothing either, whatever their own extensions wait
/// for in one step.
#[test]
fn reads_and_writes_by_traits() {
    run(|| async {
        let (mut near, mut far) = tcp().await?;
        let (mut sent, mut got) = (0_u32, Vec::new());
        while got.len() < 4_000 {
            let mut buf = [0; 7];
            let pending = got.len() == 4 * sent as usize;
            if pending {
                give_up(futures::AsyncReadExt::read(&mut far, &mut buf)).await;
                give_up(tokio::io::AsyncReadExt::read(&mut far, &mut buf)).await;
                let number = sent.to_ne_bytes();
                let wrote = match sent % 2 {
                    0 => give_up_after(1, futures::AsyncWriteExt::write(&mut near, &number)).await,
                    _ => {
                        give_up_after(1, tokio::io::AsyncWriteExt::write(&mut near, &number)).await
                    }
                };
                match wrote {
                    Some(wrote) => assert_eq!(wrote?, 4),
                    None => continue,
                }
                sent += 1;
            }
            let read = match sent % 3 {
                0 => give_up_after(1, futures::AsyncReadExt::read(&mut far, &mut buf)).await,
                _ => give_up_after(1, tokio::io::AsyncReadExt::read(&mut far, &mut buf)).await,
            };
            got.extend_from_slice(&buf[..read.unwrap_or(Ok(0))?]);
            while got.len() < 4 * sent as usize {
                let rest = tokio::io::AsyncReadExt::read(&mut far, &mut buf).await?;
                got.extend_from_slice(&buf[..rest]);
            }
        }
        let numbers = got.chunks(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().unwrap()));
        assert!(numbers.eq(0..sent));
        Ok(())
    });
}

/// `peek` leaves the bytes, given up or not; `classify` too, told or not.
#[test]
fn peek_and_classify() {
    run(|| async {
        let (near, far) = tcp().await?;
        let mut buf = [0; 8];
        give_up(far.peek(&mut buf)).await;
        give_up(far.classify(8, HOUR, |_| Some(()))).await;
        near.write_all(b"half").await?;
        deliver().await;
        // It has seen four bytes, which are no news any more, and is given up.
        give_up(far.classify(8, HOUR, |start| (start.len() == 8).then_some(()))).await;
        assert_eq!(far.peek(&mut buf).await?, 4);
        near.write_all(b"full").await?;
        let told = far.classify(8, HOUR, |start| (start.len() == 8).then_some(7)).await?;
        assert!(matches!(told, Classified::Told(7)));
        far.read_exact(&mut buf).await?;
        assert_eq!(&buf, b"halffull");
        Ok(())
    });
}

/// Those that transfer in several steps say what they leave when they are given up, and leave that.
#[test]
fn transfers_in_steps() {
    run(|| async {
        let (near, far) = tcp().await?;
        near.write_all(b"begin").await?;
        deliver().await;
        // What was read is in the buffer.
        let mut buf = [0; 8];
        give_up(far.read_exact(&mut buf)).await;
        assert_eq!(&buf, b"begin\0\0\0");

        near.write_all(b"middle").await?;
        deliver().await;
        let mut bytes = b"kept ".to_vec();
        give_up(far.read_to_end(&mut bytes)).await;
        assert_eq!(bytes, b"kept middle");

        // What was read is lost, and what was there is not.
        near.write_all(b"gone").await?;
        deliver().await;
        let mut text = "kept".to_owned();
        give_up(far.read_to_string(&mut text)).await;
        assert_eq!(text, "kept");
        near.write_all(b"end").await?;
        near.shutdown(std::net::Shutdown::Write)?;
        far.read_to_string(&mut text).await?;
        assert_eq!(text, "keptend");

        // A beginning of what was to be written has gone out.
        let (near, far) = tcp().await?;
        let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 253) as u8).collect();
        give_up(near.write_all(&sent)).await;
        drop(near);
        let mut got = Vec::new();
        far.read_to_end(&mut got).await?;
        assert!(!got.is_empty() && got.len() < sent.len() && sent.starts_with(&got));
        Ok(())
    });
}

/// A connection that is given up while it is being made is closed, and the next one is made; in a
/// network where that takes its time, and between Unix sockets.
#[test]
fn connects() {
    sim::Runtime::new(2).block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            give_up(TcpStream::connect(address)).await;
            let stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            // Those that were given up come in and have ended, or do not come at all.
            while {
                let (far, _) = listener.accept().await.unwrap();
                !matches!(far.read(&mut [0]).await, Ok(1))
            } {}
        }
    });
    run(|| async {
        let place = Place::new("connects");
        let listener = UnixListener::bind(&place.0)?;
        drop(give_up_after(0, UnixStream::connect(&place.0)).await);
        let stream = UnixStream::connect(&place.0).await?;
        stream.write_all(b"x").await?;
        loop {
            let (far, _) = listener.accept().await?;
            if far.read(&mut [0]).await? == 1 {
                break;
            }
        }
        Ok(())
    });
}
