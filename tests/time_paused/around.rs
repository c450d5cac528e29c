//! What else there is while time stands still: blocking jobs, sockets, threads, other runtimes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::{Handle, sim};

use super::*;

/// What the panic of `f` says.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it went well") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}

/// A blocking job under way keeps the time from passing, however short or long it takes; when it is
/// done, time passes again, even if nobody waited for it.
#[test]
fn blocking_jobs_hold_the_time() {
    paused(|| async {
        let start = Instant::now();
        let (go, wait) = mpsc::channel::<()>();
        let job = spawn_blocking(move || {
            let waited = wait.recv_timeout(PATIENCE);
            assert!(waited.is_ok(), "nobody let it go");
        });
        // In the queue of the loop until that is idle, with a timer to go to.
        let limited = spawn(timeout(HOUR, job));
        let real = thread::spawn(move || {
            thread::sleep(ms(50));
            go.send(()).unwrap();
        });
        limited.await.unwrap().expect("the job was done before the limit").unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        real.join().unwrap();

        // Nobody waits for this one, and nothing else would wake the loop when it ends.
        drop(spawn_blocking(|| thread::sleep(ms(30))));
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), HOUR);

        // One that panics, and one that never starts, are not under way either.
        drop(spawn_blocking(|| panic!("expected")));
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), 2 * HOUR);
    });
    bounded(|| {
        let builder = Runtime::builder().start_paused(true).blocking_threads(1);
        builder.build().unwrap().block_on(async {
            let (go, wait) = mpsc::channel::<()>();
            let job = spawn_blocking(move || wait.recv().unwrap_or(()));
            let queued = spawn_blocking(|| ());
            queued.abort();
            assert!(queued.await.unwrap_err().is_cancelled());
            drop(go);
            job.await.unwrap();
            sleep(HOUR).await;
        });
    });
}

/// A job that ends just as the loop goes to sleep was in time: what it said is heard first.
#[test]
fn jobs_that_end_just_now_are_in_time() {
    paused(|| async {
        let start = Instant::now();
        for n in 0..3_000 {
            timeout(secs(1), spawn_blocking(|| ())).await.unwrap().unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO, "in round {n}");
        }
    });
}

/// What a job finds when it looks at the clock is the time of its runtime.
#[test]
fn blocking_jobs_are_in_the_time_of_their_runtime() {
    paused(|| async {
        let start = Instant::now();
        advance(HOUR).await;
        let told = spawn_blocking(Instant::now).await.unwrap();
        assert_eq!(told - start, HOUR);
    });
}

/// An `advance` is not held by a blocking job.
#[test]
fn an_advance_waits_for_no_job() {
    paused(|| async {
        let (go, wait) = mpsc::channel::<()>();
        let job = spawn_blocking(move || wait.recv().unwrap_or(()));
        let nap = spawn(sleep(secs(30)));
        advance(secs(60)).await;
        assert!(nap.is_finished() && !job.is_finished());
        drop(go);
        job.await.unwrap();
    });
}

/// What the kernel has ready comes before the next timer: a conversation takes no time at all, and
/// no limit on it is hit.
#[test]
fn ready_sockets_come_first() {
    paused(|| async {
        let start = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn_in("server", async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).await.unwrap() > 0 {
                stream.write_all(&byte).await.unwrap();
            }
        });
        // Somebody always has a timer that the clock could go to.
        let stream = TcpStream::connect(addr).await.unwrap();
        for n in 0..200 {
            let nap = spawn(sleep(secs(1)));
            stream.write_all(&[n]).await.unwrap();
            let mut byte = [0];
            timeout(secs(1), stream.read_exact(&mut byte)).await.unwrap().unwrap();
            assert_eq!(byte, [n]);
            drop(nap);
        }
        let spent = start.elapsed();
        drop(stream);
        server.await.unwrap();
        assert_eq!(spent, Duration::ZERO, "time passed while there was something to do");
    });
}

/// A socket that stays silent does not hold the time.
#[test]
fn silent_sockets_do_not_hold_the_time() {
    paused(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        assert!(timeout(HOUR, listener.accept()).await.is_err());
        assert_eq!(start.elapsed(), HOUR);
    });
}

/// With nothing to go to, the loop sleeps until another thread wakes it, and time does not pass.
#[test]
fn without_timers_the_loop_sleeps() {
    paused(|| async {
        let start = Instant::now();
        let handle = Handle::current();
        let (send, receive) = mpsc::channel();
        let other = thread::spawn(move || {
            thread::sleep(ms(50));
            send.send(handle.spawn(async { 7 })).unwrap();
        });
        let before = Handle::current().metrics().ticks;
        let task = spawn_blocking(move || receive.recv().unwrap()).await.unwrap();
        assert_eq!(task.await.unwrap(), 7);
        other.join().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        // It may look again now and then, but does not spin.
        assert!(Handle::current().metrics().ticks - before < 50);
    });
}

/// A thread that has entered the runtime, or waits in it, goes by its time; one that has not, does
/// not. A timer goes by the clock of its runtime on any thread.
#[test]
fn the_time_on_other_threads() {
    bounded(|| {
        let runtime = Runtime::builder().start_paused(true).build().unwrap();
        let handle = runtime.handle();
        let start = runtime.block_on(async {
            let start = Instant::now();
            advance(HOUR).await;
            start
        });
        let nap = runtime.block_on(async { sleep(secs(5)) });
        assert!(start.elapsed() < HOUR, "outside, the time is that of the system");
        {
            let _guard = runtime.enter();
            assert_eq!(start.elapsed(), HOUR);
        }
        let other = thread::spawn({
            let handle = handle.clone();
            move || {
                let outside = start.elapsed();
                let _guard = handle.enter();
                (outside, start.elapsed(), handle.block_on(async { Instant::now() - start }))
            }
        });
        let (outside, entered, waiting) = other.join().unwrap();
        assert!(outside < HOUR);
        assert_eq!((entered, waiting), (HOUR, HOUR));

        // Polled on a thread that is in no runtime.
        assert!(!nap.is_elapsed());
        let mut nap = Box::pin(nap);
        let mut poll = || nap.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        runtime.block_on(async { advance(secs(4)).await });
        assert!(poll().is_pending());
        runtime.block_on(async { advance(secs(1)).await });
        assert!(poll().is_ready());
        assert!(nap.is_elapsed());

        // What waits elsewhere is woken when the loop gets there by itself.
        let done: Arc<Mutex<(Option<Duration>, Option<Waker>)>> = Arc::default();
        let out = done.clone();
        let waits = thread::spawn(move || {
            let waited = handle.block_on(async {
                sleep(HOUR).await;
                Instant::now() - start
            });
            let mut out = out.lock().unwrap();
            out.0 = Some(waited);
            if let Some(waker) = out.1.take() {
                waker.wake();
            }
        });
        let waited = runtime.block_on(poll_fn(|cx| {
            let mut done = done.lock().unwrap();
            done.1 = Some(cx.waker().clone());
            done.0.map_or(Poll::Pending, Poll::Ready)
        }));
        waits.join().unwrap();
        assert_eq!(waited, 2 * HOUR + secs(5));
    });
}

/// Runtimes on one thread have each their own time.
#[test]
fn each_runtime_has_its_own_time() {
    bounded(|| {
        let one = Runtime::builder().start_paused(true).build().unwrap();
        let two = Runtime::builder().start_paused(true).build().unwrap();
        let start = one.block_on(async {
            let start = Instant::now();
            sleep(HOUR).await;
            start
        });
        let (_one, ahead) = (one.enter(), start.elapsed());
        let behind = {
            let _two = two.enter();
            start.elapsed()
        };
        assert_eq!(ahead, HOUR);
        assert!(behind < HOUR);
        let nap = one.block_on(async { sleep(secs(1)) });
        let text = panic_of(|| two.block_on(nap));
        assert!(text.contains("paused time of one runtime"), "{text}");
        let outside = {
            drop(_one);
            sleep(secs(1))
        };
        let text = panic_of(|| two.block_on(outside));
        assert!(text.contains("`block_on(async { sleep(time).await })`"), "{text}");
    });
}

/// The limits of shutdown are in real time: nobody waits for a clock that stands still.
#[test]
fn shutdown_goes_by_real_time() {
    bounded(|| {
        let runtime = Runtime::builder().start_paused(true).build().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let (begins, begun) = mpsc::channel();
        runtime.block_on(async {
            drop(spawn(sleep(HOUR)));
            drop(spawn_blocking(move || {
                begins.send(()).unwrap();
                wait.recv().unwrap_or(());
            }));
        });
        begun.recv().unwrap();
        let start = std::time::Instant::now();
        let report = runtime.shutdown(ms(30));
        assert!(start.elapsed() >= ms(30));
        assert_eq!((report.pending().len(), report.blocking_running()), (1, 1));
        drop(go);
    });
}

/// What makes no sense says so, in a sentence.
#[test]
fn misuse() {
    let outside = [panic_of(time::pause), panic_of(time::resume), panic_of(|| poll_once(HOUR))];
    for text in outside {
        assert!(text.contains("needs a running evenloop"), "{text}");
    }
    block_on(async {
        let said = panic_of(time::resume);
        assert!(said.contains("is not paused: pause it by `time::pause`"), "{said}");
        let said = panic_of(|| poll_once(HOUR));
        assert!(said.contains("before it is advanced"), "{said}");
        time::pause();
        let said = panic_of(time::pause);
        assert!(said.contains("is paused already"), "{said}");
        sleep(HOUR).await;
        let elsewhere = spawn_blocking(|| panic_of(time::resume)).await.unwrap();
        assert!(elsewhere.contains("needs the thread of its evenloop"), "{elsewhere}");
        time::resume();
    });
    let said = sim::Runtime::new(1).block_on(async {
        [panic_of(time::pause), panic_of(time::resume), panic_of(|| poll_once(HOUR))]
    });
    for text in said {
        assert!(text.contains("time of a simulation"), "{text}");
    }

    fn poll_once(duration: Duration) -> Poll<()> {
        std::pin::pin!(advance(duration)).poll(&mut Context::from_waker(Waker::noop()))
    }
}

/// A future that moves the time belongs to one runtime, and may be dropped anywhere.
#[test]
fn an_advance_belongs_to_its_runtime() {
    bounded(|| {
        let one = Runtime::builder().start_paused(true).build().unwrap();
        let two = Runtime::builder().start_paused(true).build().unwrap();
        let begun = || {
            one.block_on(async {
                let mut begun = Box::pin(advance(HOUR));
                poll_fn(|cx| {
                    assert!(begun.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                begun
            })
        };
        let foreign = begun();
        let text = panic_of(|| two.block_on(foreign));
        assert!(text.contains("poll it there to its end"), "{text}");
        let (dropped, kept) = (begun(), begun());
        thread::spawn(move || drop(dropped)).join().unwrap();
        one.block_on(async {
            let start = Instant::now();
            kept.await;
            assert_eq!(start.elapsed(), HOUR);
        });
        let late = begun();
        drop(one);
        drop(late);
    });
}
