//! The subject. Unless a row says otherwise everything runs in one partition, ROOT.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::evenloop::net::{TcpListener, TcpStream};
use futures::FutureExt;

use crate::peer::{Net, Peer, Timers};

#[derive(Debug)]
pub(crate) struct Evenloop;

impl Evenloop {
    /// Spawns into a partition.
    pub(crate) fn spawn_in<F>(
        partition: u64,
        fut: F,
    ) -> impl Future<Output = F::Output> + Send + use<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        ::evenloop::spawn_in(partition, fut).map(|joined| joined.expect("the task ends"))
    }
}

impl Peer for Evenloop {
    fn block_on<F: Future>(fut: F) -> F::Output {
        ::evenloop::Runtime::new().expect("an evenloop runtime").block_on(fut)
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send + 'static,
    {
        ::evenloop::spawn(fut).map(|joined| joined.expect("the task ends"))
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        ::evenloop::yield_now()
    }
}

impl Timers for Evenloop {
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        ::evenloop::time::sleep(time)
    }
}

impl Net for Evenloop {
    type Listener = TcpListener;
    type Stream = TcpStream;

    async fn listen() -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn connect(to: SocketAddr) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut Self::Stream, buf: &mut [u8]) -> io::Result<usize> {
        stream.read(buf).await
    }

    async fn write_all(stream: &mut Self::Stream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await
    }
}
