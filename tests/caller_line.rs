//! Calls where no runtime is panic at the caller's line, with a sentence that says what to do.

// Unix sockets are in the list.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::{Context, Waker};
use std::time::Duration;

use evenloop::net::{
    self, AsyncFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
};
use evenloop::time::{self, sleep, sleep_until, timeout, timeout_at};
use evenloop::{
    Handle, JoinSet, Partition, PartitionBuilder, Runtime, Spawn, block_on, spawn, spawn_blocking,
    spawn_in, spawn_isolated, switch_to, within,
};

thread_local! {
    /// Whether this thread is about to panic as it should.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
    /// The text and the place of its last panic.
    static LAST: RefCell<Option<(String, String, u32)>> = const { RefCell::new(None) };
}

/// Runs `f`, which is `call` and to panic; returns what it said, and where.
fn panic_of<R>(call: &str, f: impl FnOnce() -> R) -> (String, String, u32) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                return default(info);
            }
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
            let (file, line) = info.location().map_or(("nowhere", 0), |at| (at.file(), at.line()));
            LAST.set(Some((text.unwrap_or_default(), file.to_owned(), line)));
        }));
    });
    EXPECTED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    EXPECTED.set(false);
    assert!(outcome.is_err(), "{call} went well");
    LAST.take().expect("the hook of this test was called")
}

/// Polls a future once; what it panics with is its caller's.
#[track_caller]
fn poll<F: Future>(future: F) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn discard<T>(_: T) {}

/// What each expression says that panics, and where.
macro_rules! panics {
    ($($call:expr),* $(,)?) => {
        vec![$((stringify!($call), panic_of(stringify!($call), || discard($call)))),*]
    };
}

/// Asserts that each panicked in these lines of this file, one below the other, with this advice.
#[track_caller]
fn assert_told(
    said: Vec<(&'static str, (String, String, u32))>,
    lines: std::ops::Range<u32>,
    advice: &str,
) {
    let mut last = lines.start;
    for (call, (text, file, line)) in said {
        assert_eq!(file, file!(), "{call} panicked elsewhere: {text}");
        assert!(last < line && line < lines.end, "{call} panicked at line {line}: {text}");
        assert!(text.contains(advice), "{call}: {text}");
        last = line;
    }
}

#[test]
fn outside_a_runtime() {
    // Connections wait for whoever accepts.
    let runtime = Runtime::new().unwrap();
    let (partition, listener, unix, _clients) = runtime.block_on(async {
        let path = std::env::temp_dir().join(format!("evenloop-caller-{}", std::process::id()));
        let unix = UnixListener::bind(&path).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut clients = (Vec::new(), Vec::new());
        for _ in 0..4 {
            clients.0.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            clients.1.push(UnixStream::connect(&path).await.unwrap());
        }
        std::fs::remove_file(&path).unwrap();
        // The loop has seen that there are some, then.
        drop((listener.accept().await.unwrap(), unix.accept().await.unwrap()));
        (Partition::named("left over"), listener, unix, clients)
    });
    let far = Duration::from_secs(3_600);
    let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let never = std::env::temp_dir().join(format!("evenloop-never-{}", std::process::id()));
    let _ = std::fs::remove_file(&never);
    let begin = line!();
    let said = panics![
        spawn(async {}),
        spawn_in("x", async {}),
        spawn_isolated(async {}),
        spawn_blocking(|| ()),
        evenloop::spawn!(async {}),
        evenloop::spawn!(async {}, partition = "x"),
        Spawn::new().weight(2).spawn(async {}),
        Spawn::new().partition("x"),
        JoinSet::new().spawn(async {}),
        Handle::current(),
        Partition::current(),
        Partition::root(),
        partition.spawn(async {}),
        Partition::named("x"),
        Partition::anonymous(),
        Partition::builder("x").build(),
        PartitionBuilder::numbered(1).build(),
        poll(switch_to("x")),
        poll(async { switch_to("x").await }),
        poll(within("x", async {})),
        poll(async { within("x", async {}).await }),
        poll(sleep(far)),
        poll(async { sleep(far).await }),
        poll(async { sleep_until(time::Instant::now() + far).await }),
        poll(async { timeout(far, pending::<()>()).await }),
        poll(async { timeout_at(time::Instant::now() + far, pending::<()>()).await }),
        poll(async { later().tick().await }),
        poll(poll_fn(|cx| later().poll_tick(cx))),
        time::pause(),
        time::resume(),
        poll(async { time::advance(far).await }),
        poll(TcpListener::bind("127.0.0.1:0")),
        poll(async { TcpListener::bind("127.0.0.1:0").await }),
        poll(async { TcpStream::connect("127.0.0.1:1").await }),
        poll(async { TcpStream::connect("localhost:1").await }),
        poll(async { UdpSocket::bind("127.0.0.1:0").await }),
        poll(async { net::lookup_host("localhost:1").await.map(drop) }),
        poll(async { listener.accept().await }),
        poll(async { listener.accept_in(|_| Partition::root()).await }),
        poll(poll_fn(|cx| listener.poll_accept(cx))),
        poll(async { unix.accept().await }),
        poll(async { unix.accept_in(|_| Partition::root()).await }),
        poll(poll_fn(|cx| unix.poll_accept(cx))),
        poll(async { UnixStream::connect("/nowhere").await }),
        UnixStream::pair(),
        UnixDatagram::pair(),
        UnixDatagram::unbound(),
        UnixListener::bind(&never),
        TcpListener::from_std(std.try_clone().unwrap()),
        AsyncFd::new(std.try_clone().unwrap()),
        AsyncFd::try_new(std.try_clone().unwrap()).map_err(drop),
    ];
    let end = line!();
    assert!(said.len() > 40);
    assert_told(said, begin..end, "call it inside `evenloop::block_on`");
    // It was bound before it was found to be nowhere.
    let _ = std::fs::remove_file(never);
}

/// An interval that ticks in an hour.
fn later() -> time::Interval {
    let far = Duration::from_secs(3_600);
    time::interval_at(time::Instant::now() + far, far)
}

/// A loop inside a loop is refused where it is asked for, and so are guards and clocks misused.
#[test]
fn inside_a_runtime() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    block_on(async {
        let begin = line!();
        let said = panics![
            block_on(async {}),
            runtime.block_on(async {}),
            handle.block_on(async {}),
            Runtime::new().unwrap().shutdown(Duration::ZERO),
            Runtime::new().unwrap().shutdown_timeout(Duration::ZERO),
        ];
        assert_told(said, begin..line!(), "a loop inside a loop would stop the outer one");
        let begin = line!();
        let said = panics![time::resume(), poll(time::advance(Duration::ZERO))];
        assert!(said.iter().all(|(_, (text, ..))| text.contains("is not paused")), "{said:?}");
        assert!(said.iter().all(|(_, (_, _, line))| *line == begin + 1), "{said:?}");
        time::pause();
        let begin = line!();
        let said = panics![time::pause()];
        assert_told(said, begin..line!(), "is paused already");
    });
}

/// On another thread than the loop's the advice is to spawn, at the caller's line as well.
#[test]
fn on_another_thread() {
    let said = block_on(async {
        let job = spawn_blocking(|| {
            let begin = line!();
            let said = panics![
                spawn(async {}),
                spawn_in("x", async {}),
                Partition::named("x"),
                poll(async { TcpStream::connect("127.0.0.1:1").await }),
                UnixStream::pair(),
                poll(async { switch_to("x").await }),
                time::pause(),
            ];
            (said, begin..line!())
        });
        job.await.unwrap()
    });
    assert_told(said.0, said.1, "spawn by `Handle::spawn`");
}
