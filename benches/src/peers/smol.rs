//! smol: `async-executor`'s `LocalExecutor`, and `async-io` for timers and sockets.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::peer::{Net, Peer, Timers};

thread_local! {
    static EXECUTOR: RefCell<Rc<LocalExecutor<'static>>> = RefCell::default();
}

/// `smol::LocalExecutor`.
#[derive(Debug)]
pub struct Smol;

impl Peer for Smol {
    const NAME: &str = "smol";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let executor = Rc::new(LocalExecutor::new());
        EXECUTOR.set(executor.clone());
        let output = async_io::block_on(executor.run(fut));
        EXECUTOR.take();
        output
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        EXECUTOR.with_borrow(|executor| executor.spawn(fut))
    }
}

impl Timers for Smol {
    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }
}

impl Net for Smol {
    type Listener = Async<TcpListener>;
    type Stream = Async<TcpStream>;

    async fn listen() -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.get_ref().local_addr()?;
        Ok((listener, addr))
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    }

    async fn connect(to: SocketAddr) -> io::Result<Self::Stream> {
        let stream = Async::<TcpStream>::connect(to).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut Self::Stream, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        (AsyncReadExt::read(stream, &mut buf).await, buf)
    }

    async fn write_all(stream: &mut Self::Stream, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        (AsyncWriteExt::write_all(stream, &bytes).await, bytes)
    }
}
