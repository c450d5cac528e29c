//! Whatever asks the kernel for something, refused: an error, nothing left behind, and the next
//! attempt works.
//!
//! Descriptors that have run out are tried by these tests themselves. `.ci/refusals` has strace
//! refuse each system call of each constructor in turn, as `one_constructor` makes it.

use std::cell::RefCell;
use std::env;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::thread;

use evenloop::net::{
    AsyncFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
};
use evenloop::time::{sleep, timeout};
use evenloop::{Partition, Runtime, block_on, spawn_blocking, spawn_in};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::rig::{MS, alone, bounded, descriptors, figure, open_timer, tell};

/// One attempt: makes something, and uses it so that one that is half made shows.
type Attempt = Pin<Box<dyn Future<Output = io::Result<()>>>>;
/// Makes attempts, after what they need has been made.
type Constructor = Box<dyn Fn() -> Attempt>;

/// A place in the file system for a socket.
fn place(name: &str) -> PathBuf {
    env::temp_dir().join(format!("evenloop-{}-{name}", std::process::id()))
}

fn attempt<F: Future<Output = io::Result<()>> + 'static>(
    make: impl Fn() -> F + 'static,
) -> Constructor {
    Box::new(move || Box::pin(make()))
}

/// Returns a constructor by its name. What it needs besides is made here, ahead of the attempts.
async fn constructor(name: &str) -> io::Result<Constructor> {
    Ok(match name {
        "runtime" => unreachable!("it is made outside of all runtimes"),
        "tcp_listener" => attempt(|| async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            listener.local_addr().map(drop)
        }),
        "tcp_connect" => {
            let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
            attempt(move || {
                let listener = listener.clone();
                async move {
                    let stream = TcpStream::connect(listener.local_addr()?).await?;
                    stream.write_all(b"x").await
                }
            })
        }
        "tcp_accept" => {
            let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
            attempt(move || {
                let listener = listener.clone();
                async move {
                    // By the standard library, on a thread that strace is told to leave alone.
                    let address = listener.local_addr()?;
                    let client = spawn_blocking(move || std::net::TcpStream::connect(address));
                    let _client = client.await.expect("a thread for it")?;
                    marked("begins");
                    let accepted = listener.accept().await;
                    marked("ends");
                    accepted.map(drop)
                }
            })
        }
        "udp_socket" => attempt(|| async {
            let socket = UdpSocket::bind("127.0.0.1:0").await?;
            let here = socket.local_addr()?;
            socket.send_to(b"x", here).await.map(drop)
        }),
        "unix_listener" => attempt(|| async {
            let path = place("listener");
            let listener = UnixListener::bind(&path);
            let _ = fs::remove_file(&path);
            listener.map(drop)
        }),
        "unix_connect" => {
            let path = place("connect");
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path)?;
            let kept = Rc::new((listener, path));
            attempt(move || {
                let kept = kept.clone();
                async move {
                    let stream = UnixStream::connect(&kept.1).await?;
                    stream.write_all(b"x").await
                }
            })
        }
        "unix_pair" => attempt(|| async {
            let (near, far) = UnixStream::pair()?;
            near.write_all(b"x").await?;
            far.read_exact(&mut [0]).await
        }),
        "unix_datagram" => attempt(|| async {
            let path = place("datagram");
            let bound = UnixDatagram::bind(&path);
            let _ = fs::remove_file(&path);
            bound.map(drop)
        }),
        "unix_datagram_pair" => attempt(|| async {
            let (near, far) = UnixDatagram::pair()?;
            near.send(b"x").await?;
            far.recv(&mut [0]).await.map(drop)
        }),
        "async_fd" => {
            let (reader, writer) = rustix::pipe::pipe()?;
            let kept = Rc::new((reader, writer));
            attempt(move || {
                let kept = kept.clone();
                async move {
                    let fd = AsyncFd::new(kept.0.as_fd())?;
                    let waits = timeout(MS, fd.readable()).await;
                    assert!(waits.is_err(), "nothing was written");
                    Ok(())
                }
            })
        }
        "isolated_partition" => attempt(|| async {
            let partition = Partition::builder("isolated").isolated_io(true).try_build()?;
            let served = partition.spawn(async {
                let (near, far) = UnixStream::pair()?;
                near.write_all(b"x").await?;
                far.read_exact(&mut [0]).await
            });
            served.await.expect("it does not panic")
        }),
        "isolated_move" => {
            let partition = Partition::builder("isolated").isolated_io(true).try_build()?;
            attempt(move || {
                let partition = partition.clone();
                async move {
                    // Made here and waited for there, so the fd moves from poller to poller.
                    let (near, far) = UnixStream::pair()?;
                    let reads = partition.spawn(async move { far.read_exact(&mut [0]).await });
                    sleep(MS).await;
                    near.write_all(b"x").await?;
                    reads.await.expect("it does not panic")
                }
            })
        }
        "blocking_thread" => attempt(|| async {
            match spawn_blocking(|| 7).await {
                Ok(seven) => {
                    assert_eq!(seven, 7);
                    Ok(())
                }
                Err(error) if error.is_refused() => Err(io::Error::other("refused")),
                Err(error) => panic!("{error}"),
            }
        }),
        "first_sleep" => attempt(|| async {
            sleep(MS / 2).await;
            Ok(())
        }),
        name => panic!("there is no constructor called {name}"),
    })
}

const ALL: [&str; 15] = [
    "runtime",
    "tcp_listener",
    "tcp_connect",
    "tcp_accept",
    "udp_socket",
    "unix_listener",
    "unix_connect",
    "unix_pair",
    "unix_datagram",
    "unix_datagram_pair",
    "async_fd",
    "isolated_partition",
    "isolated_move",
    "blocking_thread",
    "first_sleep",
];

/// Makes a system call that does nothing and that a trace shows.
fn marked(what: &str) {
    let _ = fs::metadata(format!("/evenloop/{what}"));
}

/// Returns the constructors that are to be told of their attempt's end themselves.
fn marks_itself(name: &str) -> bool {
    name == "tcp_accept"
}

/// Runs an attempt between two marks; says how it ended, and that nothing is left.
async fn watched(name: &str, make: &Constructor) -> Result<(), io::ErrorKind> {
    let base = descriptors();
    let all = !marks_itself(name);
    if all {
        marked("begins");
    }
    let made = make().await;
    if all {
        marked("ends");
    }
    // A partition is freed between two handles, and what a task held with it.
    for _ in 0..5 {
        sleep(MS).await;
    }
    assert!(descriptors() <= base, "descriptors are left behind by {name}: {made:?}");
    made.map_err(|error| error.kind())
}

/// Makes system calls of every kind that threads have in common. strace counts the calls of each
/// thread apart, and a refusal is of the how-many-eth: this one's come after all of the others'.
fn pull_ahead() {
    for _ in 0..100 {
        let mut nowhere = File::options().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(nowhere.read(&mut [0]).unwrap(), 0);
        assert_eq!(nowhere.write(&[0]).unwrap(), 1);
        nowhere.metadata().unwrap();
        // Too large for the C library to keep for the next thread.
        thread::Builder::new().stack_size(64 << 20).spawn(|| {}).unwrap().join().unwrap();
    }
}

/// An attempt that may be refused, then one that is not.
fn one(name: &str) {
    let outcome = |made: &Result<(), io::ErrorKind>| match made {
        Ok(()) => tell("outcome", "made"),
        Err(kind) => tell("outcome", format_args!("error {kind:?}")),
    };
    if name == "runtime" {
        let base = descriptors();
        let make = || {
            marked("begins");
            let runtime = Runtime::new();
            marked("ends");
            runtime.map(|runtime| runtime.block_on(async { spawn_in(7, async {}).await.unwrap() }))
        };
        outcome(&make().map_err(|error| error.kind()));
        assert_eq!(descriptors(), base, "descriptors are left behind");
        make().expect("the next attempt works");
        assert_eq!(descriptors(), base, "descriptors are left behind");
        return;
    }
    block_on(async {
        // To open the timer's descriptor is a constructor too.
        if name != "first_sleep" {
            open_timer().await;
        }
        let make = constructor(name).await.expect("what an attempt needs is there");
        if name == "first_sleep" {
            marked("begins");
            make().await.expect("a sleep never fails");
            marked("ends");
            tell("outcome", "made");
        } else {
            outcome(&watched(name, &make).await);
        }
        watched(name, &make).await.expect("the next attempt works");
    });
}

/// The constructor that `EVENLOOP_CONSTRUCTOR` names, or each in turn; then nothing is refused.
#[test]
fn one_constructor() {
    alone("constructors::one_constructor", || match env::var("EVENLOOP_CONSTRUCTOR") {
        Ok(name) => {
            pull_ahead();
            one(&name);
        }
        Err(_) => ALL.into_iter().for_each(one),
    });
}

/// Lets this process have `more` descriptors than it has, while `body` runs.
fn with_few<R>(more: usize, body: impl FnOnce() -> R) -> R {
    // The limit is on the highest number, so the holes below it are filled.
    let numbers = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<i32>().unwrap());
    let highest = numbers.max().unwrap();
    let mut fillers = Vec::new();
    let first_free = loop {
        let filler = File::open("/dev/null").unwrap();
        let number = filler.as_raw_fd();
        if number > highest {
            break number;
        }
        fillers.push(filler);
    };
    let before = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: Some((first_free as usize + more) as u64), ..before };
    setrlimit(Resource::Nofile, limit).unwrap();
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    setrlimit(Resource::Nofile, before).unwrap();
    result.unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// With no descriptor left, and with one, two and three, each constructor gives an error or works;
/// it leaves none behind, and works when there are enough.
#[test]
fn constructors_without_descriptors() {
    alone("constructors::constructors_without_descriptors", || {
        let refused = RefCell::new(0);
        for name in ALL {
            for more in 0..4 {
                if name == "runtime" {
                    let base = descriptors();
                    let made = with_few(more, Runtime::new);
                    *refused.borrow_mut() += usize::from(made.is_err());
                    drop(made);
                    assert_eq!(descriptors(), base, "{name} with {more}");
                    continue;
                }
                block_on(async {
                    open_timer().await;
                    let make = constructor(name).await.unwrap();
                    let base = descriptors();
                    let mut future = make();
                    // The client of an accept needs descriptors itself.
                    if name == "tcp_accept" {
                        return;
                    }
                    let made = timeout(
                        2_000 * MS,
                        std::future::poll_fn(|cx| with_few(more, || future.as_mut().poll(cx))),
                    );
                    let made = made.await.expect("it does not hang");
                    drop(future);
                    *refused.borrow_mut() += usize::from(made.is_err());
                    for _ in 0..5 {
                        sleep(MS).await;
                    }
                    assert!(descriptors() <= base, "{name} with {more}: {made:?}");
                    make().await.unwrap_or_else(|error| panic!("{name} after {more}: {error}"));
                });
            }
        }
        let refused = refused.take();
        figure(
            "2 constructors",
            format_args!("{refused} of {} refused for lack of descriptors", ALL.len() * 4),
        );
        assert!(refused >= ALL.len(), "few were refused: {refused}");
    });
}

/// Without a descriptor for its poller an isolated partition is an error or a panic that says so,
/// as the caller chose, and none is left with that name.
#[test]
fn isolated_partitions_without_descriptors() {
    alone("constructors::isolated_partitions_without_descriptors", || {
        bounded(|| {
            block_on(async {
                let build = || Partition::builder("cut off").isolated_io(true);
                let error = with_few(0, || build().try_build()).expect_err("no descriptor is left");
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                let panic = panic::catch_unwind(|| with_few(0, || build().build()));
                let text = *panic.unwrap_err().downcast::<String>().unwrap();
                assert!(text.contains("no poller could be made"), "{text}");
                sleep(MS).await;
                let known = evenloop::Handle::current().partitions();
                assert!(known.iter().all(|it| it.name() != "cut off"), "it is gone");
                let made = build().try_build().expect("there are descriptors again");
                assert_eq!(made.spawn(async { 3 }).await.unwrap(), 3);
            });
        });
    });
}
