//! tokio's `LocalRuntime`: the `current_thread` scheduler, and tasks that need not be `Send`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::runtime::{Builder, LocalOptions};
use futures::FutureExt;

use crate::peer::{Net, Peer, Timers};

/// `tokio::runtime::LocalRuntime`.
#[derive(Debug)]
pub struct Tokio;

impl Peer for Tokio {
    const NAME: &str = "tokio";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a tokio runtime").block_on(fut)
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::tokio::task::spawn_local(fut).map(|joined| joined.expect("the task ends"))
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        ::tokio::task::yield_now()
    }
}

impl Timers for Tokio {
    fn sleep(time: Duration) -> impl Future<Output = ()> + 'static {
        ::tokio::time::sleep(time)
    }
}

impl Net for Tokio {
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

    async fn read(stream: &mut TcpStream, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        (stream.read(&mut buf).await, buf)
    }

    async fn write_all(stream: &mut TcpStream, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        (stream.write_all(&bytes).await, bytes)
    }
}
