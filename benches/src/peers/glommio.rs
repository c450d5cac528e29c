//! glommio, on io_uring: as it comes, and with the latency hints that its documentation recommends.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::glommio::net::{TcpListener, TcpStream};
use ::glommio::{Latency, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle, executor};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::peer::{Groups, Net, Peer, Role, Timers};

/// `glommio::LocalExecutor`, as it comes.
#[derive(Debug)]
pub struct Glommio;

/// The same with a task queue for each role, and preemption each millisecond.
#[derive(Debug)]
pub struct GlommioTuned;

/// How late a health check may be, and how often glommio asks whether one is.
const LATENCY: Duration = Duration::from_millis(1);

thread_local! {
    /// The task queues of the roles: health and bulk.
    static QUEUES: RefCell<Option<[TaskQueueHandle; 2]>> = const { RefCell::new(None) };
}

impl Peer for Glommio {
    const NAME: &str = "glommio";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let made = LocalExecutorBuilder::new(Placement::Unbound).make();
        made.expect("a glommio executor").run(fut)
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::glommio::spawn_local(fut)
    }

    async fn yield_now() {
        executor().yield_now().await;
    }
}

impl Peer for GlommioTuned {
    const NAME: &str = "glommio tuned";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(LATENCY);
        let queue = |shares, latency, name| {
            executor().create_task_queue(Shares::Static(shares), latency, name)
        };
        builder.make().expect("a glommio executor").run(async move {
            let health = queue(1000, Latency::Matters(LATENCY), "health");
            QUEUES.set(Some([health, queue(100, Latency::NotImportant, "bulk")]));
            fut.await
        })
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::glommio::spawn_local(fut)
    }

    fn spawn_as<F>(role: Role, fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let [health, bulk] = QUEUES.with_borrow(|queues| queues.expect("the executor runs"));
        let queue = if role == Role::Bulk { bulk } else { health };
        ::glommio::spawn_local_into(fut, queue).expect("the queue is there")
    }

    async fn yield_now() {
        executor().yield_now().await;
    }
}

impl Groups for Glommio {
    type Group = TaskQueueHandle;

    fn group(number: usize) -> TaskQueueHandle {
        let name = format!("group {number}");
        executor().create_task_queue(Shares::Static(1), Latency::NotImportant, &name)
    }

    fn spawn_in<F>(group: TaskQueueHandle, fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        ::glommio::spawn_local_into(fut, group).expect("the group is there")
    }
}

/// The rest of both.
macro_rules! io {
    ($peer:ty) => {
        impl Timers for $peer {
            async fn sleep(time: Duration) {
                ::glommio::timer::sleep(time).await;
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
                let stream = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }

            async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
                let stream = TcpStream::connect(to).await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }

            async fn read(
                stream: &mut TcpStream,
                mut buf: Vec<u8>,
            ) -> (io::Result<usize>, Vec<u8>) {
                (AsyncReadExt::read(stream, &mut buf).await, buf)
            }

            async fn write_all(
                stream: &mut TcpStream,
                bytes: Vec<u8>,
            ) -> (io::Result<()>, Vec<u8>) {
                (AsyncWriteExt::write_all(stream, &bytes).await, bytes)
            }
        }
    };
}

io!(Glommio);
io!(GlommioTuned);
