//! The subject. Unless a work says otherwise everything runs in one partition, ROOT.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::evenloop::net::{Classified, TcpListener, TcpStream};
use futures::FutureExt;

use crate::peer::{Groups, Net, Peer, Role, Timers};

/// `evenloop::Runtime`.
#[derive(Debug)]
pub struct Evenloop;

impl Peer for Evenloop {
    const NAME: &str = "evenloop";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::evenloop::block_on(fut)
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::evenloop::spawn(fut).map(|joined| joined.expect("the task ends"))
    }

    fn spawn_as<F>(role: Role, fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let partition = match role {
            Role::Bulk => "bulk",
            Role::Health => "health",
            Role::Acceptor => "acceptor",
        };
        ::evenloop::spawn_in(partition, fut).map(|joined| joined.expect("the task ends"))
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        ::evenloop::yield_now()
    }
}

impl Timers for Evenloop {
    fn sleep(time: Duration) -> impl Future<Output = ()> + 'static {
        ::evenloop::time::sleep(time)
    }
}

impl Groups for Evenloop {
    type Group = u64;

    fn group(number: usize) -> u64 {
        number as u64
    }

    fn spawn_in<F>(group: u64, fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::evenloop::spawn_in(group, fut).map(|joined| joined.expect("the task ends"))
    }
}

impl Net for Evenloop {
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

    async fn admit<F>(stream: TcpStream, serve: impl FnOnce(TcpStream) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let tell =
            |bytes: &[u8]| bytes.first().map(|kind| if *kind == b'h' { "health" } else { "bulk" });
        if let Ok(Classified::Told(partition)) =
            stream.classify(1, Duration::from_secs(10), tell).await
        {
            drop(::evenloop::spawn_in(partition, serve(stream)));
        }
    }
}
