//! compio, on io_uring.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::compio::BufResult;
use ::compio::io::{AsyncRead, AsyncWriteExt};
use ::compio::net::{TcpListener, TcpStream};
use futures::FutureExt;

use crate::peer::{Net, Peer, Timers};

/// `compio::runtime::Runtime`.
#[derive(Debug)]
pub struct Compio;

impl Peer for Compio {
    const NAME: &str = "compio";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::compio::runtime::Runtime::new().expect("a compio runtime").block_on(fut)
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::compio::runtime::spawn(fut).map(|joined| joined.expect("the task ends"))
    }
}

impl Timers for Compio {
    fn sleep(time: Duration) -> impl Future<Output = ()> + 'static {
        ::compio::time::sleep(time)
    }
}

impl Net for Compio {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
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
        let BufResult(read, mut buf) = stream.read(buf).await;
        buf.resize(wanted, 0);
        (read, buf)
    }

    async fn write_all(stream: &mut TcpStream, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let BufResult(written, bytes) = stream.write_all(bytes).await;
        (written, bytes)
    }
}
