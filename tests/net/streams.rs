//! Byte streams: what goes in comes out, whichever way it is read and written.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream, UnixStream};
use evenloop::{spawn, spawn_in, time};

use crate::{pair, run, settle};

/// Bytes that do not repeat in step with any buffer.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

const BIG: usize = 3_000_000;

/// The methods of the type itself: more than the kernel buffers, both ways at once.
#[test]
fn echo_by_methods() {
    run(async {
        let (near, far) = pair().await?;
        let echo = spawn_in("echo", async move {
            let mut buf = [0; 10_000];
            loop {
                let read = far.read(&mut buf).await?;
                if read == 0 {
                    return far.shutdown(Shutdown::Write);
                }
                far.write_all(&buf[..read]).await?;
            }
        });
        let sent = noise(BIG);
        let (read, write) = near.split();
        let writing = async {
            write.write_all(&sent).await?;
            write.shutdown()
        };
        let reading = async {
            let mut got = Vec::new();
            assert_eq!(read.read_to_end(&mut got).await?, BIG);
            assert!(got == sent, "bytes were changed");
            io::Result::Ok(())
        };
        futures::future::try_join(writing, reading).await?;
        echo.await.unwrap()
    });
}

/// The traits of `futures-io`.
#[test]
fn echo_by_futures() {
    use futures::{AsyncReadExt, AsyncWriteExt};
    run(async {
        let (near, far) = pair().await?;
        let echo = spawn(async move {
            let copied = futures::io::copy(&far, &mut &far).await?;
            far.shutdown(Shutdown::Write).map(|()| copied)
        });
        let sent = noise(BIG);
        let (mut reader, mut writer) = (&near, &near);
        let writing = async {
            AsyncWriteExt::write_all(&mut writer, &sent).await?;
            AsyncWriteExt::close(&mut writer).await
        };
        let reading = async {
            let mut got = vec![0; BIG];
            AsyncReadExt::read_exact(&mut reader, &mut got).await?;
            assert!(got == sent, "bytes were changed");
            Ok(())
        };
        futures::future::try_join(writing, reading).await?;
        assert_eq!(echo.await.unwrap()?, BIG as u64);
        Ok(())
    });
}

/// The traits of `tokio`, with their uninitialised buffers.
#[test]
fn echo_by_tokio() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    run(async {
        let (near, far) = pair().await?;
        let echo = spawn(async move {
            let (mut read, mut write) = far.into_split();
            tokio::io::copy(&mut read, &mut write).await
        });
        let sent = noise(BIG);
        let (mut read, mut write) = near.into_split();
        let writing = async {
            AsyncWriteExt::write_all(&mut write, &sent).await?;
            AsyncWriteExt::shutdown(&mut write).await
        };
        let reading = async {
            let mut got = Vec::with_capacity(16);
            while AsyncReadExt::read_buf(&mut read, &mut got).await? > 0 {}
            assert!(got == sent, "bytes were changed");
            Ok(())
        };
        futures::future::try_join(writing, reading).await?;
        assert_eq!(echo.await.unwrap()?, BIG as u64);
        Ok(())
    });
}

/// The traits of `hyper`, below any HTTP.
#[test]
fn bytes_by_hyper() {
    use hyper::rt::{Read, ReadBuf, Write};
    use std::mem::MaybeUninit;
    use std::pin::Pin;
    run(async {
        let (mut near, mut far) = pair().await?;
        let written = poll_fn(|cx| Pin::new(&mut near).poll_write(cx, b"over hyper")).await?;
        poll_fn(|cx| Write::poll_flush(Pin::new(&mut near), cx)).await?;
        poll_fn(|cx| Write::poll_shutdown(Pin::new(&mut near), cx)).await?;
        let mut space = [MaybeUninit::uninit(); 64];
        let mut buf = ReadBuf::uninit(&mut space);
        loop {
            let before = buf.filled().len();
            poll_fn(|cx| Read::poll_read(Pin::new(&mut far), cx, buf.unfilled())).await?;
            if buf.filled().len() == before {
                break;
            }
        }
        assert_eq!(buf.filled(), &b"over hyper"[..written]);
        Ok(())
    });
}

/// Peeked bytes stay, for any number of looks.
#[test]
fn peek_leaves_the_bytes() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(b"GET /").await?;
        let mut buf = [0; 16];
        while far.peek(&mut buf).await? < 5 {}
        assert_eq!(poll_fn(|cx| far.poll_peek(cx, &mut buf)).await?, 5);
        let mut got = [0; 5];
        far.read_exact(&mut got).await?;
        assert_eq!(&got, b"GET /");
        Ok(())
    });
}

/// A peer that ended its writing side can still be written to.
#[test]
fn half_close() {
    run(async {
        let (near, far) = pair().await?;
        near.write_all(b"question").await?;
        near.shutdown(Shutdown::Write)?;
        let mut question = String::new();
        far.read_to_string(&mut question).await?;
        assert_eq!(question, "question");
        far.write_all(b"answer").await?;
        drop(far);
        let mut answer = String::new();
        near.read_to_string(&mut answer).await?;
        assert_eq!(answer, "answer");
        Ok(())
    });
}

/// The end of a stream that comes together with its last bytes is not missed, whatever the buffer.
#[test]
fn end_right_behind_the_bytes() {
    run(async {
        for len in [1, 15, 16, 17, 100] {
            for reader_waits in [false, true] {
                let (near, far) = pair().await?;
                let reader = spawn(async move {
                    let mut got = 0;
                    let mut buf = [0; 16];
                    loop {
                        match far.read(&mut buf).await? {
                            0 => return io::Result::Ok(got),
                            read => got += read,
                        }
                    }
                });
                if reader_waits {
                    settle().await;
                }
                near.write_all(&noise(len)).await?;
                drop(near);
                assert_eq!(reader.await.unwrap()?, len);
            }
        }
        Ok(())
    });
}

/// Bytes that trickle in are all seen, one wait after the other.
#[test]
fn trickle() {
    run(async {
        for _ in 0..20 {
            let (near, far) = UnixStream::pair()?;
            let (left, right) = pair().await?;
            let unix = spawn(async move {
                let mut got = Vec::new();
                far.read_to_end(&mut got).await.map(|_| got)
            });
            let tcp = spawn(async move {
                let mut got = Vec::new();
                right.read_to_end(&mut got).await.map(|_| got)
            });
            let sent = noise(50);
            for byte in &sent {
                near.write_all(&[*byte]).await?;
                left.write_all(&[*byte]).await?;
                evenloop::yield_now().await;
            }
            drop((near, left));
            assert_eq!(unix.await.unwrap()?, sent);
            assert_eq!(tcp.await.unwrap()?, sent);
        }
        Ok(())
    });
}

/// A reset is an ordinary error, for the reader and for the writer.
#[test]
fn reset_is_an_error() {
    run(async {
        let (near, far) = pair().await?;
        far.set_linger(Some(Duration::ZERO))?;
        drop(far);
        let error = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = near.write_all(b"anybody there?").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

/// A reset that nobody looks at does not keep the loop busy.
#[test]
fn unread_reset_does_not_spin() {
    run(async {
        let mut streams = Vec::new();
        for _ in 0..50 {
            let (near, far) = pair().await?;
            far.set_linger(Some(Duration::ZERO))?;
            streams.push(near);
        }
        settle().await;
        let handle = evenloop::Handle::current();
        let before = handle.metrics().ticks;
        time::sleep(Duration::from_millis(300)).await;
        let ticks = handle.metrics().ticks - before;
        assert!(ticks < 100, "{ticks} ticks with nothing to do");
        drop(streams);
        Ok(())
    });
}

/// Several buffers go out and come in as one, in their order.
#[test]
fn vectored() {
    run(async {
        let (near, far) = pair().await?;
        let parts = [IoSlice::new(b"one "), IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(near.write_vectored(&parts).await?, 13);
        drop(near);
        let (mut a, mut b) = ([0; 3], [0; 32]);
        let mut got = Vec::new();
        loop {
            let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
            let read = far.read_vectored(&mut bufs).await?;
            if read == 0 {
                break;
            }
            got.extend_from_slice(&a[..read.min(3)]);
            got.extend_from_slice(&b[..read.saturating_sub(3)]);
        }
        assert_eq!(got, b"one two three");
        Ok(())
    });
}

/// The owned halves of a stream find each other again, and no others.
#[test]
fn reunite() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        let (other_read, other_write) = far.into_split();
        let error = read.reunite(other_write).unwrap_err();
        let far = other_read.reunite(error.write).expect("halves of one stream");
        let near = write.reunite(error.read).expect("halves of one stream");
        near.write_all(b"whole").await?;
        let mut got = [0; 5];
        far.read_exact(&mut got).await?;
        assert_eq!(&got, b"whole");
        Ok(())
    });
}

/// Dropping the owned writing half ends the stream for the peer; forgetting it does not.
#[test]
fn dropped_writing_half_ends_the_stream() {
    run(async {
        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        drop(write);
        assert_eq!(far.read(&mut [0; 8]).await?, 0);
        far.write_all(b"still open").await?;
        let mut got = [0; 10];
        read.read_exact(&mut got).await?;

        let (near, far) = pair().await?;
        let (read, write) = near.into_split();
        write.forget();
        settle().await;
        assert_eq!(far.try_read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(read);
        assert_eq!(far.read(&mut [0; 8]).await?, 0);
        Ok(())
    });
}

/// Waiting for readiness and trying agree with each other.
#[test]
fn readiness_and_tries() {
    run(async {
        let (near, far) = pair().await?;
        assert_eq!(far.try_read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        near.writable().await?;
        assert_eq!(near.try_write(b"12345678")?, 8);
        let mut got = 0;
        while got < 8 {
            far.readable().await?;
            match far.try_read(&mut [0; 3]) {
                Ok(read) => got += read,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        // Fill the buffers: now there is no room until the peer reads.
        let block = noise(64 * 1024);
        let mut sent = 0;
        loop {
            match near.try_write(&block) {
                Ok(written) => sent += written,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        let reader = spawn(async move {
            let mut buf = vec![0; 64 * 1024];
            let mut got = 0;
            while got < sent {
                got += far.read(&mut buf).await?;
            }
            io::Result::Ok(far)
        });
        near.writable().await?;
        let far = reader.await.unwrap()?;
        near.write_all(b"x").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 1);
        Ok(())
    });
}

/// A connection nobody takes is an error; of several addresses the first that answers is used.
#[test]
fn connect_fails_and_goes_on() {
    run(async {
        let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let error = TcpStream::connect(gone).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind(("localhost", 0)).await?;
        let there = listener.local_addr()?;
        let stream = TcpStream::connect(&[gone, there][..]).await?;
        assert_eq!(stream.peer_addr()?, there);
        assert!(TcpStream::connect("no such host.invalid:1").await.is_err());
        Ok(())
    });
}

/// Options are those of the kernel's socket.
#[test]
fn options() {
    run(async {
        let (near, _far) = pair().await?;
        near.set_nodelay(true)?;
        assert!(near.nodelay()?);
        near.set_ttl(42)?;
        assert_eq!(near.ttl()?, 42);
        near.set_linger(Some(Duration::ZERO))?;
        assert_eq!(near.linger()?, Some(Duration::ZERO));
        // Down to zero it would become a reset, and bytes would be lost.
        near.set_linger(Some(Duration::from_millis(1)))?;
        assert_eq!(near.linger()?, Some(Duration::from_secs(1)));
        near.set_linger(Some(Duration::MAX))?;
        assert_eq!(near.linger()?, Some(Duration::from_secs(i16::MAX as u64)));
        near.set_linger(None)?;
        assert_eq!(near.linger()?, None);
        near.set_keepalive(Some(Duration::from_millis(1)))?;
        for absurd in [Duration::ZERO, Duration::MAX] {
            let refused = near.set_keepalive(Some(absurd)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
        }
        near.set_keepalive(Some(Duration::from_secs(60)))?;
        assert!(near.keepalive()?);
        near.set_keepalive(None)?;
        assert!(!near.keepalive()?);
        assert!(near.take_error()?.is_none());
        Ok(())
    });
}

/// A read that was given up has taken nothing: the next one gets every byte.
#[test]
fn dropped_reads_lose_nothing() {
    run(async {
        let (near, far) = pair().await?;
        let sent = noise(200);
        let writer = spawn({
            let sent = sent.clone();
            async move {
                for byte in sent {
                    near.write_all(&[byte]).await?;
                    time::sleep(Duration::from_micros(300)).await;
                }
                io::Result::Ok(())
            }
        });
        let mut got = Vec::new();
        let mut given_up = 0;
        while got.len() < sent.len() {
            let mut buf = [0; 7];
            // Some reads wait for as long as it takes, others are given up at their first wait.
            let patience = async {
                match given_up % 2 {
                    0 => evenloop::yield_now().await,
                    _ => time::sleep(Duration::from_millis(2)).await,
                }
                None
            };
            let reading = async { Some(far.read(&mut buf).await) };
            match futures_lite::future::or(reading, patience).await {
                Some(read) => got.extend_from_slice(&buf[..read?]),
                None => given_up += 1,
            }
        }
        assert_eq!(got, sent);
        assert!(given_up > 0, "no read was ever given up");
        writer.await.unwrap()
    });
}

/// A stream that is always ready keeps neither its own partition nor the others from running.
#[test]
fn eager_reader_lets_others_run() {
    run(async {
        let (near, far) = pair().await?;
        let flood = spawn(async move {
            let block = noise(1 << 16);
            while near.write_all(&block).await.is_ok() {}
        });
        let reader = spawn(async move {
            let mut buf = [0; 64];
            while far.read(&mut buf).await.is_ok() {}
        });
        for _ in 0..100 {
            spawn(async {}).await.unwrap();
            spawn_in("other", async {}).await.unwrap();
        }
        assert!(!reader.is_finished());
        reader.abort();
        flood.await.unwrap();
        Ok(())
    });
}
