use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use super::*;

/// Longer than any test should take; reached only when one fails.
const LONG: Duration = Duration::from_secs(30);

struct Boxed {
    id: u64,
    work: Box<dyn FnOnce() + Send>,
}

impl Job for Boxed {
    fn id(&self) -> u64 {
        self.id
    }

    fn run(self) {
        (self.work)();
    }
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.id)
    }
}

fn job(id: u64, work: impl FnOnce() + Send + 'static) -> Boxed {
    Boxed { id, work: Box::new(work) }
}

/// A job that says it began, then waits for the gate to open.
fn gated(id: u64, began: &Sender<u64>) -> (Boxed, Sender<()>) {
    let (open, gate) = mpsc::channel::<()>();
    let began = began.clone();
    let job = job(id, move || {
        began.send(id).unwrap();
        let _ = gate.recv_timeout(LONG);
    });
    (job, open)
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LONG).expect("a job that should run does not")
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + LONG)
}

fn ids(jobs: &[Boxed]) -> Vec<u64> {
    jobs.iter().map(|job| job.id).collect()
}

/// One thread runs jobs in the order they came, and is used again and again.
#[test]
fn one_thread_runs_jobs_in_order() {
    let pool = BlockingPool::new(1);
    let (done, order) = mpsc::channel();
    for id in 0..100 {
        let done = done.clone();
        let work = move || done.send((id, thread::current().name().map(str::to_owned))).unwrap();
        pool.push(job(id, work)).unwrap();
    }
    for id in 0..100 {
        assert_eq!(next(&order), (id, Some("evenloop-blocking-1".to_owned())));
    }
}

/// Each job gets a thread while there may be more; then jobs wait, however many.
#[test]
fn threads_are_bounded_and_jobs_are_not() {
    let pool = BlockingPool::new(3);
    let (began, begun) = mpsc::channel();
    let mut gates = Vec::new();
    for id in 0..10 {
        let (job, open) = gated(id, &began);
        pool.push(job).unwrap();
        gates.push(open);
    }
    // Three run at once, though none has ended.
    let mut running = [next(&begun), next(&begun), next(&begun)];
    running.sort_unstable();
    assert_eq!(running, [0, 1, 2]);
    let state = pool.shared.lock();
    assert_eq!((state.threads, state.queue.len()), (3, 7));
    drop(state);

    // Each end lets one more begin, first in first.
    for (gate, begins) in gates.iter().zip(3..10) {
        gate.send(()).unwrap();
        assert_eq!(next(&begun), begins);
    }
}

/// An idle thread takes the next job; no second one is started for it.
#[test]
fn an_idle_thread_is_used_again() {
    let pool = BlockingPool::new(8);
    for id in 0..50 {
        let (done, ended) = mpsc::channel();
        pool.push(job(id, move || done.send(()).unwrap())).unwrap();
        next(&ended);
        // The job has ended; its thread may be about to say so.
        while pool.shared.lock().running() > 0 {
            thread::yield_now();
        }
    }
    assert_eq!(pool.shared.lock().started, 1);
}

/// A queued job can be taken back, one that runs cannot; the others keep their order.
#[test]
fn queued_jobs_can_be_cancelled() {
    let pool = BlockingPool::new(1);
    let (began, begun) = mpsc::channel();
    let (first, open) = gated(0, &began);
    pool.push(first).unwrap();
    next(&begun);
    let (done, order) = mpsc::channel();
    for id in 1..=4 {
        let done = done.clone();
        pool.push(job(id, move || done.send(id).unwrap())).unwrap();
    }
    assert!(pool.cancel(0).is_none(), "it runs");
    assert_eq!(pool.cancel(2).map(|job| job.id), Some(2));
    assert!(pool.cancel(2).is_none(), "it was taken already");
    open.send(()).unwrap();
    assert_eq!([next(&order), next(&order), next(&order)], [1, 3, 4]);
    assert!(pool.cancel(4).is_none(), "it has run");
}

/// A panic ends its job; the thread goes on.
#[test]
fn a_panic_does_not_end_the_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("so does its payload");
        }
    }

    let pool = BlockingPool::new(1);
    pool.push(job(1, || panic::panic_any("a job panics"))).unwrap();
    pool.push(job(2, || panic::panic_any(Bomb))).unwrap();
    let (done, ended) = mpsc::channel();
    pool.push(job(3, move || done.send(()).unwrap())).unwrap();
    next(&ended);
    assert_eq!(pool.shared.lock().started, 1);
}

/// Shutdown gives back what is queued, counts what still runs, and takes no more.
#[test]
fn shutdown_gives_back_what_is_queued() {
    let pool = BlockingPool::new(2);
    let (began, begun) = mpsc::channel();
    let mut gates = Vec::new();
    for id in 0..5 {
        let (job, open) = gated(id, &began);
        pool.push(job).unwrap();
        gates.push(open);
    }
    next(&begun);
    next(&begun);
    let (queued, running) = pool.shutdown(Some(Instant::now()));
    assert_eq!((ids(&queued), running), (vec![2, 3, 4], 2));

    let rejected = pool.push(job(9, || ())).unwrap_err();
    assert!(matches!(rejected.cause, Cause::ShutDown));
    assert_eq!(rejected.job.id, 9);

    gates.clear();
    let (queued, running) = pool.shutdown(None);
    assert!(queued.is_empty());
    assert_eq!((running, pool.shared.lock().threads), (0, 0));
}

/// Idle threads do not hold a shutdown up for as long as they would wait for work.
#[test]
fn shutdown_ends_idle_threads() {
    let pool = BlockingPool::new(4);
    let ran = Arc::new(AtomicU64::new(0));
    for id in 0..4 {
        let ran = Arc::clone(&ran);
        pool.push(job(id, move || {
            ran.fetch_add(1, Ordering::Relaxed);
        }))
        .unwrap();
    }
    while ran.load(Ordering::Relaxed) < 4 {
        thread::yield_now();
    }
    let (queued, running) = pool.shutdown(soon());
    assert_eq!((queued.len(), running, pool.shared.lock().threads), (0, 0, 0));
}

/// Without any thread a job comes back with the system's reason; with one it waits for it.
#[test]
fn a_job_comes_back_if_no_thread_can_start() {
    fn refuse(_: &Arc<Shared<Boxed>>, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::OutOfMemory.into())
    }
    fn start_first_only(shared: &Arc<Shared<Boxed>>, number: u64) -> io::Result<()> {
        if number == 1 { start_thread(shared, number) } else { refuse(shared, number) }
    }

    let pool = BlockingPool::with_start(4, refuse);
    let rejected = pool.push(job(1, || ())).unwrap_err();
    assert_eq!(rejected.job.id, 1);
    match rejected.cause {
        Cause::NoThread(error) => assert_eq!(error.kind(), io::ErrorKind::OutOfMemory),
        Cause::ShutDown => panic!("it was not shut down"),
    }

    let pool = BlockingPool::with_start(4, start_first_only);
    let (began, begun) = mpsc::channel();
    let (first, open) = gated(1, &began);
    let (second, _gate) = gated(2, &began);
    pool.push(first).unwrap();
    pool.push(second).unwrap();
    assert_eq!(next(&begun), 1);
    open.send(()).unwrap();
    assert_eq!(next(&begun), 2);
}
