//! One of each kind of what leaves a waker with the runtime.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use evenloop::net::{AsyncFd, Direction, TcpListener, TcpStream, UdpSocket, UnixDatagram};
use evenloop::time::{Duration, interval, sleep, timeout};
use evenloop::{JoinHandle, JoinSet, spawn_blocking, spawn_in};

use crate::meddler::Touch;

pub(crate) type Waits = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something to wait for with a hostile waker, and how to bring it about.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) waits: Waits,
    pub(crate) fire: Box<dyn FnOnce()>,
    pub(crate) touch: Option<Touch>,
    /// What has to live for as long as it is waited for.
    pub(crate) _alive: Box<dyn std::any::Any>,
}

fn subject(
    name: &'static str,
    waits: impl Future<Output = ()> + Send + 'static,
    fire: impl FnOnce() + 'static,
    alive: impl std::any::Any,
) -> Subject {
    let (waits, fire, alive) = (Box::pin(waits), Box::new(fire), Box::new(alive));
    Subject { name, waits, fire, touch: None, _alive: alive }
}

impl Subject {
    /// Gives the waker something to do with what it was left with.
    fn touched(mut self, touch: impl Fn() + Send + Sync + 'static) -> Self {
        self.touch = Some(Arc::new(touch));
        self
    }
}

/// Waits beside whoever waits, in vain or not, and leaves again.
fn look_in<R>(waits: impl Future<Output = R>) {
    let _ = pin!(waits).poll(&mut Context::from_waker(Waker::noop()));
}

/// A task that goes on until it is told to end.
fn waiting_task() -> (JoinHandle<()>, impl FnOnce() + 'static) {
    let (tell, told) = futures::channel::oneshot::channel::<()>();
    (
        spawn_in("told", async {
            let _ = told.await;
        }),
        move || drop(tell),
    )
}

/// One of each kind of what leaves a waker with the runtime; timers are due after `lead`.
pub(crate) async fn subjects(lead: Duration) -> Vec<Subject> {
    let mut all = Vec::new();

    let (task, end) = waiting_task();
    all.push(subject("join handle", async { task.await.unwrap() }, end, ()));
    let (task, _end) = waiting_task();
    let abort = task.abort_handle();
    let joined = async { assert!(task.await.unwrap_err().is_cancelled()) };
    all.push(subject("aborted join handle", joined, move || abort.abort(), _end));

    let mut set = JoinSet::new();
    let (tell, told) = futures::channel::oneshot::channel::<()>();
    set.spawn(async {
        let _ = told.await;
    });
    set.spawn(std::future::pending());
    let joined = async move { set.join_next().await.unwrap().unwrap() };
    all.push(subject("join set", joined, move || drop(tell), ()));

    let (go, gone) = mpsc::channel::<()>();
    let job = spawn_blocking(move || assert!(gone.recv().is_err()));
    all.push(subject("blocking job", async { job.await.unwrap() }, move || drop(go), ()));

    all.push(subject("sleep", sleep(lead), || (), ()));
    let late = timeout(lead, std::future::pending::<()>());
    all.push(subject("timeout", async { assert!(late.await.is_err()) }, || (), ()));
    let mut ticks = interval(lead);
    ticks.tick().await;
    all.push(subject(
        "interval",
        async move {
            let _ = ticks.tick().await;
        },
        || (),
        (),
    ));

    let (near, far) = UnixDatagram::pair().unwrap();
    let near = Arc::new(near);
    let touched = near.clone();
    let received = async move { assert_eq!(near.recv(&mut [0; 4]).await.unwrap(), 1) };
    let sender = std::rc::Rc::new(far);
    let far = sender.clone();
    let send = move || drop(far.try_send(b"x"));
    let datagram = subject("unix datagram", received, send, sender);
    all.push(datagram.touched(move || look_in(touched.readable())));

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let socket = Arc::new(socket);
    let touched = socket.clone();
    let received = async move { assert_eq!(socket.recv(&mut [0; 4]).await.unwrap(), 1) };
    let send = move || {
        let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        from.send_to(b"x", address).unwrap();
    };
    let udp = subject("udp", received, send, ());
    all.push(udp.touched(move || look_in(touched.readable())));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let near = TcpStream::connect(address).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let far = std::rc::Rc::new(far);
    let accepted = async move { drop(listener.accept().await.unwrap()) };
    // Refused where nobody listens any more.
    let connect = move || drop(std::net::TcpStream::connect(address));
    all.push(subject("accept", accepted, connect, ()));
    let near = Arc::new(near);
    let touched = near.clone();
    let read = async move { assert_eq!(near.read(&mut [0; 4]).await.unwrap(), 1) };
    let sender = far.clone();
    let tcp = subject("tcp read", read, move || drop(sender.try_write(b"x")), far);
    all.push(tcp.touched(move || look_in(touched.readable())));

    for listed in [false, true] {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = Arc::new(AsyncFd::new(near).unwrap());
        let touched = near.clone();
        let ready = async move {
            if listed {
                drop(near.readable().await.unwrap());
            } else {
                drop(poll_fn(|cx| near.poll_ready(Direction::Read, cx)).await.unwrap());
            }
        };
        let far = std::rc::Rc::new(far);
        let writes = far.clone();
        let write = move || drop(std::io::Write::write(&mut &*writes, b"x"));
        let name = if listed { "listed fd" } else { "fd" };
        let fd = subject(name, ready, write, far);
        all.push(fd.touched(move || look_in(touched.readable())));
    }
    all
}

pub(crate) const KINDS: usize = 13;
