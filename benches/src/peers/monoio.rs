//! monoio: on epoll, which it calls legacy, and on io_uring.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use ::monoio::net::{TcpListener, TcpStream};
use ::monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::peer::{Net, Peer, Timers};

/// monoio on epoll.
#[derive(Debug)]
pub struct MonoioEpoll;

/// monoio on io_uring.
#[derive(Debug)]
pub struct MonoioUring;

macro_rules! peer {
    ($peer:ty, $driver:ty, $name:literal) => {
        impl Peer for $peer {
            const NAME: &str = $name;

            fn block_on<F>(fut: F) -> F::Output
            where
                F: Future + 'static,
                F::Output: 'static,
            {
                let made = RuntimeBuilder::<$driver>::new().enable_timer().build();
                made.expect("a monoio runtime").block_on(fut)
            }

            fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
            where
                F: Future + 'static,
                F::Output: 'static,
            {
                ::monoio::spawn(fut)
            }
        }

        impl Timers for $peer {
            fn sleep(time: Duration) -> impl Future<Output = ()> + 'static {
                ::monoio::time::sleep(time)
            }
        }

        impl Net for $peer {
            type Listener = TcpListener;
            type Stream = TcpStream;

            async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let addr = listener.local_addr()?;
                Ok((listener, addr))
            }

            async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }

            async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
                let stream = TcpStream::connect(to).await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }

            async fn read(stream: &mut TcpStream, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                let wanted = buf.len();
                let (read, mut buf) = stream.read(buf).await;
                buf.resize(wanted, 0);
                (read, buf)
            }

            async fn write_all(
                stream: &mut TcpStream,
                bytes: Vec<u8>,
            ) -> (io::Result<()>, Vec<u8>) {
                let (written, bytes) = stream.write_all(bytes).await;
                (written.map(drop), bytes)
            }
        }
    };
}

peer!(MonoioEpoll, LegacyDriver, "monoio epoll");
peer!(MonoioUring, IoUringDriver, "monoio uring");
