//! Being in a runtime: by a guard, by a handle on another thread, in a blocking job; and what each
//! of them leaves behind.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::{interval, sleep, timeout};
use evenloop::{
    EnterGuard, Handle, Partition, Runtime, TryCurrentError, block_on, spawn, spawn_blocking,
    spawn_in, yield_now,
};

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the panic of `f` says.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it went well") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}

/// Runs a test on a thread of its own and fails if it does not come to an end.
fn bounded<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    let thread = thread::spawn(move || drop(done.send(test())));
    match outcome.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("a test that ends sends its outcome or panics"),
        },
    }
}

/// A runtime of its own that runs on a thread of its own until this is dropped.
struct Driven {
    handle: Handle,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Driven {
    fn new() -> Self {
        let (send, receive) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            send.send(runtime.handle()).unwrap();
            let over = runtime.handle().spawn_blocking(move || stopped.recv().unwrap_or(()));
            runtime.block_on(over).unwrap();
        });
        Self { handle: receive.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the thread of the loop has panicked");
    }
}

/// Whether this thread is in `runtime`.
fn is_in(runtime: &Runtime) -> bool {
    let Ok(current) = Handle::try_current() else { return false };
    let _guard = runtime.enter();
    let mark = Partition::anonymous();
    current.partitions().contains(&mark)
}

/// Inside a guard everything works that does inside the runtime, but for running it; what is spawned
/// runs in the next `block_on`.
#[test]
fn a_guard_puts_a_thread_into_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let ran: Rc<Cell<u32>> = Rc::default();
    let note = ran.clone();
    let (task, jobs, mut nap) = {
        let _guard = runtime.enter();
        assert_eq!(Partition::current(), Partition::root());
        // Not `Send`, and at home in its partition.
        let task = spawn_in("bulk", async move {
            note.set(note.get() + 1);
            Partition::current().name()
        });
        (task, spawn_blocking(|| 7), sleep(Duration::from_millis(1)))
    };
    assert!(Handle::try_current().is_err());
    assert_eq!(ran.get(), 0, "nothing runs before the runtime does");
    runtime.block_on(async move {
        assert_eq!(task.await.unwrap(), "bulk");
        assert_eq!(jobs.await.unwrap(), 7);
        (&mut nap).await;
    });
    assert_eq!(ran.get(), 1);
}

/// By way of a handle the same happens on the thread of the runtime, and a runtime may run while its
/// thread has entered it, or another one.
#[test]
fn a_runtime_runs_inside_of_guards() {
    let (one, two) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let handle = one.handle();
    let _outer = handle.enter();
    let task = spawn(async { Partition::current().name() });
    assert_eq!(one.block_on(task).unwrap(), "ROOT");
    let _inner = two.enter();
    assert_eq!(one.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
    assert!(is_in(&two), "the guard counts again");
    assert_eq!(handle.block_on(async { spawn(async { 2 }).await.unwrap() }), 2);
}

/// Guards of several runtimes nest, and each gives back what was there before it.
#[test]
fn guards_nest() {
    let (one, two) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let a = one.enter();
    assert!(is_in(&one) && !is_in(&two));
    let b = two.enter();
    assert!(is_in(&two) && !is_in(&one));
    let c = one.enter();
    assert!(is_in(&one));
    drop(c);
    assert!(is_in(&two));
    drop(b);
    assert!(is_in(&one));
    drop(a);
    assert!(Handle::try_current().is_err());
}

/// Dropped in the wrong order a guard panics, and all is well again when the last one is gone.
#[test]
fn guards_in_disorder() {
    let (one, two, three) =
        (Runtime::new().unwrap(), Runtime::new().unwrap(), Runtime::new().unwrap());
    let (a, b, c) = (one.enter(), two.enter(), three.enter());
    let text = panic_of(|| drop(b));
    assert!(text.contains("drop guards in reverse order"), "{text}");
    assert!(is_in(&three), "the last one entered stays");
    drop(c);
    assert!(is_in(&one), "the one that was left is not gone back to");
    drop(a);
    assert!(Handle::try_current().is_err());

    let (a, b) = (one.enter(), two.enter());
    let text = panic_of(|| drop(a));
    assert!(text.contains("EnterGuard"), "{text}");
    drop(b);
    assert!(Handle::try_current().is_err());
    assert_eq!(one.block_on(async { 1 }) + two.block_on(async { 2 }), 3);
}

/// A panic that drops guards in the wrong order is not made into an abort by another one.
#[test]
fn guards_do_not_panic_in_a_panic() {
    struct Holds<'a> {
        // Fields are dropped from the top.
        _first: EnterGuard<'a>,
        _second: EnterGuard<'a>,
    }
    let (one, two) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let text = panic_of(|| {
        let first = one.enter();
        let _holds = Holds { _first: first, _second: two.enter() };
        panic!("the first panic");
    });
    assert_eq!(text, "the first panic");
    assert!(Handle::try_current().is_err());
}

/// A guard that a task keeps while it waits puts others into the wrong runtime, but breaks neither:
/// tasks end, wakes arrive, and both shut down.
#[test]
fn a_guard_across_an_await_breaks_nothing() {
    bounded(|| {
        let far = Driven::new();
        let other = Runtime::new().unwrap();
        for handle in [far.handle.clone(), other.handle()] {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let holds = spawn(async move {
                    let _guard = handle.enter();
                    for _ in 0..5 {
                        yield_now().await;
                    }
                });
                let others: Vec<_> = (0..10).map(|n| spawn_in("others", short(n))).collect();
                for other in others {
                    other.await.unwrap();
                }
                holds.await.unwrap();
            });
            assert!(Handle::try_current().is_err());
            let mut left = runtime.handle().partitions();
            left.retain(|partition| partition.metrics().tasks > 0);
            assert!(left.is_empty(), "{left:?}");
            assert!(runtime.shutdown(Duration::ZERO).is_clean());
        }
    });

    async fn short(n: u32) -> u32 {
        for _ in 0..n {
            yield_now().await;
        }
        n
    }
}

/// So does one that is dropped with its task when the runtime ends.
#[test]
fn a_guard_in_a_task_that_never_ends() {
    let (panics, heard) = mpsc::channel();
    let other = Runtime::new().unwrap();
    let handle = other.handle();
    let runtime = Runtime::builder()
        .on_unhandled_panic(move |panic| panics.send(panic.to_string()).unwrap())
        .build()
        .unwrap();
    runtime.block_on(async {
        drop(spawn(async move {
            let _guard = handle.enter();
            pending::<()>().await;
        }));
        yield_now().await;
    });
    assert_eq!(runtime.shutdown(Duration::ZERO).pending().len(), 1);
    let said: Vec<String> = heard.try_iter().collect();
    assert!(said.len() == 1 && said[0].contains("reverse order"), "{said:?}");
    assert!(Handle::try_current().is_err());
    assert_eq!(other.block_on(async { 1 }), 1);
}

/// A thread may enter a runtime that has ended, or is still in it when it ends: what it asks for is
/// refused.
#[test]
fn entering_what_has_ended() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let guard = handle.enter();
    drop(runtime);
    assert!(block_on_own(spawn(async {})).unwrap_err().is_refused());
    drop(guard);
    let _guard = handle.enter();
    let text = panic_of(|| spawn(async {}));
    assert!(text.contains("Handle::spawn"), "{text}");
    let refused = Handle::current().spawn(async {});
    assert!(block_on_own(refused).unwrap_err().is_refused());

    fn block_on_own<F: Future>(future: F) -> F::Output {
        Runtime::new().unwrap().block_on(future)
    }
}

/// The error is a type, and says what the panic says.
#[test]
fn there_may_be_no_current_runtime() {
    let error: TryCurrentError = Handle::try_current().unwrap_err();
    let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    let text = error.to_string();
    assert!(text.contains("Handle::current needs a running evenloop"), "{text}");
    assert_eq!(text, panic_of(Handle::current));
    let current = block_on(async { Handle::try_current().unwrap() });
    assert!(current.load() >= 0.0);
}

/// A handle waits for what is not `Send`, on a thread that is not the loop's: for timers, tasks,
/// threads and sockets of the loop.
#[test]
fn waiting_on_another_thread() {
    bounded(|| {
        let driven = Driven::new();
        let sum = driven.handle.block_on(async {
            let local = Rc::new(Cell::new(1));
            let started = Instant::now();
            sleep(Duration::from_millis(20)).await;
            assert!(started.elapsed() >= Duration::from_millis(20));
            assert!(timeout(Duration::from_millis(5), pending::<()>()).await.is_err());
            let mut ticks = interval(Duration::from_millis(1));
            for _ in 0..3 {
                ticks.tick().await;
            }
            let there = Handle::current().spawn(async { Partition::current().name() });
            assert_eq!(there.await.unwrap(), "ROOT");
            local.set(local.get() + spawn_blocking(|| 2).await.unwrap());
            local.get()
        });
        assert_eq!(sum, 3);
        let (client, server) = driven.handle.block_on(driven.handle.spawn(connected())).unwrap();
        let said = driven.handle.block_on(async {
            client.write_all(b"from afar").await.unwrap();
            let mut said = [0; 9];
            server.read_exact(&mut said).await.unwrap();
            said
        });
        assert_eq!(&said, b"from afar");
        let handle = driven.handle.clone();
        drop(driven);
        // Now the loop is gone.
        assert!(handle.block_on(handle.spawn(async {})).unwrap_err().is_refused());
        assert!(handle.block_on(client.read(&mut [0; 1])).is_err());
        let text = panic_of(|| handle.block_on(async { sleep(Duration::from_secs(1)).await }));
        assert!(text.contains("had shut down"), "{text}");
    });

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, server)
    }
}

/// Many threads may wait at a time, each for its own.
#[test]
fn waiting_on_many_threads() {
    bounded(|| {
        let driven = Driven::new();
        let done = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (handle, done) = (driven.handle.clone(), done.clone());
                thread::spawn(move || {
                    for i in 0..50 {
                        let task = handle.spawn_in(n, async move {
                            yield_now().await;
                            i
                        });
                        assert_eq!(handle.block_on(task).unwrap(), i);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(done.load(Ordering::Relaxed), 8 * 50);
    });
}

/// What only the loop's thread can do says so elsewhere, and how to get there.
#[test]
fn what_belongs_to_the_thread_of_the_loop() {
    bounded(|| {
        let driven = Driven::new();
        let said = driven.handle.block_on(async {
            let connect = pin!(TcpStream::connect("127.0.0.1:1"));
            let mut connect = Some(connect);
            [
                panic_of(|| spawn(async {})),
                panic_of(|| spawn_in("x", async {})),
                panic_of(|| Partition::named("x")),
                panic_of(|| {
                    let mut cx = Context::from_waker(Waker::noop());
                    connect.take().unwrap().poll(&mut cx)
                }),
            ]
        });
        for text in said {
            assert!(text.contains("needs the thread of its evenloop"), "{text}");
            assert!(text.contains("`Handle::spawn`"), "{text}");
        }
    });
}

/// On the thread of its runtime a handle runs the loop, as nobody else does.
#[test]
fn waiting_on_the_own_thread_runs_the_loop() {
    let runtime = Runtime::new().unwrap();
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    let task = runtime.spawn_in("bulk", async move {
        yield_now().await;
        counted.set(1);
    });
    runtime.handle().block_on(task).unwrap();
    assert_eq!(count.get(), 1);
}

/// A loop inside a loop is refused in every form, where it is asked for; in a blocking job it is not
/// inside.
#[test]
fn nested_waits() {
    bounded(|| {
        let driven = Driven::new();
        let handle = driven.handle.clone();
        let other = Runtime::new().unwrap();
        let said = [
            panic_of(|| block_on(async { block_on(async {}) })),
            panic_of(|| block_on(async { handle.block_on(async {}) })),
            panic_of(|| block_on(async { other.block_on(async {}) })),
            panic_of(|| block_on(async { Handle::current().block_on(async {}) })),
            panic_of(|| handle.block_on(async { handle.block_on(async {}) })),
            panic_of(|| handle.block_on(async { other.block_on(async {}) })),
            panic_of(|| handle.block_on(async { block_on(async {}) })),
            panic_of(|| block_on(async { Runtime::new().unwrap().shutdown(Duration::ZERO) })),
            panic_of(|| {
                block_on(async { Runtime::new().unwrap().shutdown_timeout(Duration::ZERO) })
            }),
        ];
        for text in said {
            assert!(text.contains("a loop inside a loop would stop the outer one"), "{text}");
        }
        assert!(Handle::try_current().is_err(), "every one was left again");
        let job = handle.spawn_blocking({
            let handle = handle.clone();
            move || handle.block_on(async { 1 }) + block_on(async { 2 })
        });
        assert_eq!(handle.block_on(job).unwrap(), 3);
    });
}

/// A panic of what is waited for goes through, and the thread is as it was.
#[test]
fn panics_while_waiting_elsewhere() {
    bounded(|| {
        let driven = Driven::new();
        let text = panic_of(|| driven.handle.block_on(async { panic!("expected") }));
        assert_eq!(text, "expected");
        assert!(Handle::try_current().is_err());
        assert_eq!(driven.handle.block_on(async { 1 }), 1);
    });
}

/// A blocking job is in its runtime, and its thread is not once the job is done.
#[test]
fn blocking_jobs_know_their_runtime() {
    let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
    let name = runtime.block_on(async {
        let there = spawn_blocking(|| {
            let nested = spawn_blocking(|| 1);
            Handle::current().spawn_in("bulk", async move {
                assert_eq!(nested.await.unwrap(), 1);
                Partition::current().name()
            })
        });
        there.await.unwrap().await.unwrap()
    });
    assert_eq!(name, "bulk");
}

/// A wake that comes just before the thread waits is not lost.
#[test]
fn waits_do_not_miss_wakes() {
    bounded(|| {
        let driven = Driven::new();
        let mut polls = 0;
        driven.handle.block_on(poll_fn(|cx| {
            polls += 1;
            // Parks in between, as a future should not: its token must not be the bell.
            thread::park_timeout(Duration::from_micros(10));
            cx.waker().wake_by_ref();
            if polls == 1_000 { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert_eq!(polls, 1_000);
    });
}

/// Runtimes come one after the other, and several at a time, on one thread; each has its own tasks.
#[test]
fn several_runtimes_on_a_thread() {
    let runtimes: Vec<Runtime> = (0..5).map(|_| Runtime::new().unwrap()).collect();
    let log: Rc<RefCell<Vec<(usize, u32)>>> = Rc::default();
    for (n, runtime) in runtimes.iter().enumerate() {
        let log = log.clone();
        drop(runtime.spawn(async move {
            for step in 0..3 {
                log.borrow_mut().push((n, step));
                yield_now().await;
            }
        }));
    }
    for runtime in &runtimes {
        runtime.block_on(async {
            yield_now().await;
            yield_now().await;
        });
    }
    for runtime in runtimes.into_iter().rev() {
        assert!(runtime.shutdown(Duration::MAX).pending().len() <= 1);
    }
    let log = log.borrow();
    assert!(log.is_sorted() && log.len() >= 10, "{log:?}");
    assert_eq!(block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}
