//! What a thousand runtimes leave behind: no descriptor, no thread, no memory. And what idle
//! partitions and pending tasks take as long as they are there.
//!
//! What is counted belongs to the process, so there is one test in this binary.

#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::pending;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::{sleep, timeout};
use evenloop::{
    Handle, Partition, PartitionBuilder, Runtime, spawn, spawn_blocking, spawn_in, yield_now,
};

/// The system's allocator, and the bytes that are out.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator as it came, and its answer back.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the process has of everything.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    bytes: isize,
}

impl Held {
    fn now() -> Self {
        let count = |directory| std::fs::read_dir(directory).unwrap().count();
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            bytes: BYTES.load(Ordering::Relaxed),
        }
    }
}

#[test]
fn nothing_is_left_behind() {
    idle_partitions_and_pending_tasks();
    a_thousand_runtimes();
    many_runtimes_at_a_time();
    threads_with_runtimes();
    visits();
    sockets_that_outlive_their_runtime();
}

/// An idle partition takes no more than 200 bytes with its handle, and little more if it is found by
/// a number or a name. Counted are the bytes that were asked for, room to grow included.
fn idle_partitions_and_pending_tasks() {
    // Nearly a power of two: vectors that grow by doubling are nearly full.
    const COUNT: u64 = 65_000;
    let weigh = |what, at_most, make: &dyn Fn(u64) -> Option<Partition>| {
        Runtime::new().unwrap().block_on(async {
            let mut held = Vec::with_capacity(COUNT as usize);
            let before = Held::now().bytes - (held.capacity() * size_of::<Partition>()) as isize;
            held.extend((0..COUNT).filter_map(make));
            // Whatever runs has run up to its wait.
            for _ in 0..COUNT / 10 {
                yield_now().await;
            }
            let each = (Held::now().bytes - before) as f64 / COUNT as f64;
            assert!(each <= at_most, "{what} takes {each:.1} bytes");
        });
    };
    weigh("an idle partition", 200.0, &|_| Some(Partition::anonymous()));
    weigh("one with a number", 208.0, &|i| Some(PartitionBuilder::numbered(i).build()));
    weigh("one with a name", 232.0, &|i| Some(Partition::named(&i.to_string())));
    weigh("a task in a partition of its own", 448.0, &|i| {
        drop(spawn_in(i, pending::<()>()));
        None
    });
}

/// Asserts that `round`, once it was done a few times, takes nothing more each further time.
#[track_caller]
fn assert_flat(rounds: usize, mut round: impl FnMut(usize)) {
    // Whatever is made once for all.
    for n in 0..20 {
        round(n);
    }
    let before = Held::now();
    for n in 0..rounds {
        round(n);
    }
    // Threads that have ended may take a moment to be gone.
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let after = Held::now();
        let flat = after.descriptors <= before.descriptors
            && after.threads <= before.threads
            // A byte each time would be more.
            && after.bytes - before.bytes < rounds as isize;
        if flat {
            return;
        }
        assert!(Instant::now() < patience, "{before:?} became {after:?} in {rounds} rounds");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runtimes that did everything there is to do, ended in every way there is to end.
fn a_thousand_runtimes() {
    assert_flat(1_000, |n| {
        let runtime = Runtime::new().unwrap();
        let handle = runtime.handle();
        let kept = {
            let _guard = runtime.enter();
            spawn_in("entered", pending::<()>())
        };
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            drop(spawn_in("isolated", pending::<()>()));
            let partition = Partition::builder("nested").isolated_io(true).group("g").build();
            let task = partition.spawn(async move {
                let limit = Duration::from_micros(10);
                assert!(timeout(limit, listener.accept()).await.is_err());
            });
            spawn(async { sleep(Duration::from_micros(1)).await }).await.unwrap();
            task.await.unwrap();
            if n % 4 == 0 {
                spawn_blocking(|| Handle::current().load()).await.unwrap();
            }
        });
        match n % 4 {
            0 => drop(runtime),
            1 => assert_eq!(runtime.shutdown(Duration::MAX).pending().len(), 2),
            2 => runtime.shutdown_timeout(Duration::ZERO),
            _ => runtime.shutdown_background(),
        }
        drop((handle, kept));
    });
}

/// Runtimes that are made all at once, and ended in another order.
fn many_runtimes_at_a_time() {
    assert_flat(20, |n| {
        let mut runtimes: Vec<Runtime> = (0..50).map(|_| Runtime::new().unwrap()).collect();
        for runtime in &runtimes {
            drop(runtime.spawn_in("bulk", pending::<()>()));
            runtime.block_on(yield_now());
        }
        while !runtimes.is_empty() {
            drop(runtimes.swap_remove(n % runtimes.len()));
        }
    });
}

/// Threads that have a runtime each, entered and kept until the thread ends.
fn threads_with_runtimes() {
    thread_local! {
        static RUNTIME: Runtime = Runtime::new().unwrap();
    }
    assert_flat(300, |_| {
        let thread = thread::spawn(|| {
            RUNTIME.with(|runtime| {
                let _guard = runtime.enter();
                drop(spawn(pending::<()>()));
                runtime.block_on(async { sleep(Duration::from_micros(1)).await });
            });
        });
        thread.join().unwrap();
    });
}

/// Threads that wait for a runtime elsewhere, or are in it for a while.
fn visits() {
    let runtime = Runtime::new().unwrap();
    // Its first sleep until a timer opens a descriptor.
    runtime.block_on(async { sleep(Duration::from_micros(5_500)).await });
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let handle = runtime.handle();
    let visits = thread::spawn(move || {
        assert_flat(300, |_| {
            let handle = handle.clone();
            let visit = thread::spawn(move || {
                let _guard = handle.enter();
                let inside = Handle::current();
                inside.block_on(async { sleep(Duration::from_micros(10)).await });
                inside.block_on(inside.spawn(async { 1 })).unwrap()
            });
            assert_eq!(visit.join().unwrap(), 1);
        });
        drop(stop);
    });
    let over = runtime.handle().spawn_blocking(move || stopped.recv().unwrap_or(()));
    runtime.block_on(over).unwrap();
    visits.join().unwrap();
}

/// Sockets that outlive their runtime, and take their descriptors along when they go.
fn sockets_that_outlive_their_runtime() {
    assert_flat(100, |_| {
        let runtime = Runtime::new().unwrap();
        let sockets = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            (listener, client)
        });
        drop(runtime);
        drop(sockets);
    });
}
