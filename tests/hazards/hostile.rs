//! Wakers that do everything foreign code can do, whenever they are cloned, called or dropped: no
//! lock and no borrow of the loop may be held at that moment, whatever the waker was left with.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use evenloop::net::{AsyncFd, Direction, TcpListener, TcpStream, UdpSocket, UnixDatagram};
use evenloop::time::{Instant, Sleep, interval, sleep, timeout};
use evenloop::{Handle, JoinHandle, JoinSet, Partition, Runtime, spawn, spawn_blocking, spawn_in};

use futures::FutureExt;

use crate::{Count, HOUR, PATIENCE, bounded, settle};

/// What a hostile waker keeps to meddle with, and what became of it.
struct Meddler {
    home: ThreadId,
    handle: Handle,
    /// A waker of a task of the loop: somebody else.
    other: Waker,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    timers: Mutex<Vec<Sleep>>,
    /// Uses the very thing that the waker was left with.
    touch: Mutex<Option<Touch>>,
    /// Done at the first wake, on top of the rest.
    last_straw: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    clones: AtomicUsize,
    wakes: AtomicUsize,
    drops: AtomicUsize,
    /// What threw while it meddled: a borrow that was held, say.
    failures: Mutex<Vec<String>>,
}

type Touch = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    /// A meddler whose own wakers are cloned does not meddle with that.
    static MEDDLES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Meddler {
    fn new(other: Waker) -> Arc<Self> {
        Arc::new(Self {
            home: thread::current().id(),
            handle: Handle::current(),
            other,
            tasks: Mutex::default(),
            timers: Mutex::default(),
            touch: Mutex::default(),
            last_straw: Mutex::default(),
            clones: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
            drops: AtomicUsize::new(0),
            failures: Mutex::default(),
        })
    }

    fn waker(self: &Arc<Self>) -> Waker {
        let data = Arc::into_raw(self.clone()).cast();
        // SAFETY: the functions of the table take the pointer for what it is, an `Arc<Meddler>`
        // turned raw: `clone` makes one more, `wake` and `drop` give theirs up. It is `Send + Sync`.
        #[allow(unsafe_code)]
        unsafe {
            Waker::from_raw(RawWaker::new(data, &TABLE))
        }
    }

    fn meddle(self: &Arc<Self>, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
        if MEDDLES.replace(true) {
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.meddle_anywhere();
            let touch = self.touch.lock().unwrap().clone();
            if let Some(touch) = touch {
                touch();
            }
            if thread::current().id() == self.home {
                // Queued jobs of the pool are dropped when the loop has been left.
                if catch_unwind(Handle::current).is_ok() {
                    self.meddle_on_the_loop();
                }
            } else {
                // The loop goes on meanwhile.
                let task = self.handle.spawn(async {});
                while !task.is_finished() {
                    thread::yield_now();
                }
            }
        }));
        MEDDLES.set(false);
        if let Err(payload) = result {
            let text = payload.downcast::<String>().map_or("a panic".into(), |text| *text);
            self.failures.lock().unwrap().push(text);
        }
    }

    /// What may be done on any thread.
    fn meddle_anywhere(self: &Arc<Self>) {
        self.other.wake_by_ref();
        drop(self.other.clone());
        let task = self.handle.spawn_in("hostile", async {});
        task.abort();
        // Taken out first: what is dropped may well call this again.
        let before = std::mem::replace(&mut *self.tasks.lock().unwrap(), vec![task]);
        let timers = std::mem::take(&mut *self.timers.lock().unwrap());
        before.iter().for_each(JoinHandle::abort);
        drop((before, timers));
        drop(self.handle.spawn(std::future::ready(())));
        drop(self.handle.spawn_blocking(|| ()));
        assert!(!self.handle.partitions().is_empty());
        assert!(self.handle.load() <= 1.0);
    }

    /// What needs a loop.
    fn meddle_on_the_loop(self: &Arc<Self>) {
        drop(spawn(async {}));
        let task = spawn_in("hostile", std::future::pending());
        let here = Partition::current();
        here.set_weight(here.weight());
        drop(here.spawn(async {}));
        drop(Partition::anonymous());
        let mut set = JoinSet::new();
        set.spawn(std::future::pending::<()>());
        drop(set);
        // Armed with a waker like this one, moved, and kept until the next time.
        let mut nap = sleep(HOUR);
        let waker = self.waker();
        if !task.is_finished() {
            assert!(Pin::new(&mut nap).poll(&mut Context::from_waker(&waker)).is_pending());
            nap.reset(Instant::now() + HOUR);
            let (near, far) = UnixDatagram::pair().unwrap();
            let mut cx = Context::from_waker(&waker);
            assert!(pin!(near.recv(&mut [0])).poll(&mut cx).is_pending());
            drop((near, far));
        }
        drop(waker);
        self.timers.lock().unwrap().push(nap);
        let before = std::mem::replace(&mut *self.tasks.lock().unwrap(), vec![task]);
        before.iter().for_each(JoinHandle::abort);
    }

    fn wake(self: &Arc<Self>) {
        self.meddle(&self.wakes);
        let last_straw = self.last_straw.lock().unwrap().take();
        if let Some(act) = last_straw {
            act();
        }
    }

    /// Lets go of what it kept, and meddles with none of that.
    fn rest(&self) {
        let meddled = MEDDLES.replace(true);
        drop(self.touch.lock().unwrap().take());
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let timers = std::mem::take(&mut *self.timers.lock().unwrap());
        tasks.iter().for_each(JoinHandle::abort);
        drop((tasks, timers));
        MEDDLES.set(meddled);
    }

    fn woken(&self) -> bool {
        self.wakes.load(Ordering::SeqCst) > 0
    }

    fn assert_unhurt(&self, case: &str) {
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{case}: {failures:?}");
    }
}

fn borrowed(data: *const ()) -> std::mem::ManuallyDrop<Arc<Meddler>> {
    std::mem::ManuallyDrop::new(owned(data))
}

fn owned(data: *const ()) -> Arc<Meddler> {
    // SAFETY: only called with what `Arc::into_raw` gave; who calls it has one count to give up, or
    // forgets the result.
    #[allow(unsafe_code)]
    unsafe {
        Arc::from_raw(data.cast())
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let meddler = borrowed(data);
        meddler.meddle(&meddler.clones);
        RawWaker::new(Arc::into_raw(Arc::clone(&meddler)).cast(), &TABLE)
    },
    |data| owned(data).wake(),
    |data| borrowed(data).wake(),
    |data| {
        let meddler = owned(data);
        meddler.meddle(&meddler.drops);
    },
);

type Waits = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something to wait for with a hostile waker, and how to bring it about.
struct Subject {
    name: &'static str,
    waits: Waits,
    fire: Box<dyn FnOnce()>,
    touch: Option<Touch>,
    /// What has to live for as long as it is waited for.
    _alive: Box<dyn std::any::Any>,
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
async fn subjects(lead: Duration) -> Vec<Subject> {
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

const KINDS: usize = 13;

/// Polls with one waker, with another in its place, and with that one again. Returns whether it
/// pends all the time: on a busy machine a timer may be due before.
fn poll_thrice(waits: &mut Waits, meddlers: &[Arc<Meddler>; 2]) -> bool {
    [&meddlers[0], &meddlers[1], &meddlers[1]].into_iter().all(|meddler| {
        let waker = meddler.waker();
        waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
    })
}

async fn meddlers() -> [Arc<Meddler>; 2] {
    let other = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    [Meddler::new(other.clone()), Meddler::new(other)]
}

/// What happens to a wait with a hostile waker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Fired,
    /// Fired, and its own waker drops it when it is called.
    DroppedByItsWaker,
    Dropped,
    DroppedElsewhere,
    /// Polled, fired and dropped on a thread without a loop.
    FiredElsewhere,
    RuntimeGone,
}

/// Waits for one subject of each kind in turn, all with the same end.
fn meddle_with_all(ends: Ends) {
    for kind in 0..KINDS {
        let mut leads = [20, 200, 2_000, 20_000].map(Duration::from_millis).into_iter();
        assert!(leads.any(|lead| meddle_with(kind, ends, lead)), "{kind} does not wait");
    }
}

/// Returns `false` if the wait was over before it began.
fn meddle_with(kind: usize, ends: Ends, lead: Duration) -> bool {
    let runtime = Runtime::new().unwrap();
    let outcome = runtime.block_on(async {
        let mut all = subjects(lead).await;
        assert_eq!(all.len(), KINDS);
        let Subject { name, mut waits, fire, touch, _alive } = all.swap_remove(kind);
        drop(all);
        let case = format!("{name}, {ends:?}");
        if name == "accept" && ends == Ends::FiredElsewhere {
            // An accepted stream needs a loop to belong to, and says so.
            return Ok(None);
        }
        let meddlers = meddlers().await;
        for meddler in &meddlers {
            *meddler.touch.lock().unwrap() = touch.clone();
        }
        drop(touch);
        let mut left = None;
        // The others see to it that the task waits.
        settle().await;
        if ends != Ends::FiredElsewhere && !poll_thrice(&mut waits, &meddlers) {
            return Err(meddlers);
        }
        match ends {
            Ends::Fired => {
                fire();
                wait_for(&meddlers).await;
                waits.await;
            }
            Ends::DroppedByItsWaker => {
                *meddlers[1].last_straw.lock().unwrap() = Some(Box::new(move || drop(waits)));
                fire();
                wait_for(&meddlers).await;
            }
            Ends::Dropped => drop(waits),
            Ends::DroppedElsewhere => ended(thread::spawn(move || drop(waits))).await,
            Ends::FiredElsewhere => {
                let hostile = meddlers.clone();
                let (polled, begun) = futures::channel::oneshot::channel();
                let waiter = thread::spawn(move || {
                    let waiting = poll_thrice(&mut waits, &hostile);
                    polled.send(waiting).unwrap();
                    if !waiting {
                        return;
                    }
                    while !hostile[1].woken() {
                        thread::sleep(Duration::from_millis(1));
                    }
                    futures::executor::block_on(waits);
                });
                let waiting = begun.await.unwrap();
                fire();
                ended(waiter).await;
                if !waiting {
                    return Err(meddlers);
                }
            }
            Ends::RuntimeGone => left = Some((waits, _alive)),
        }
        settle().await;
        if ends != Ends::RuntimeGone {
            meddlers.iter().for_each(|meddler| meddler.rest());
            settle().await;
        }
        Ok(Some((case, meddlers, left)))
    });
    drop(runtime);
    let (case, meddlers, mut left) = match outcome {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return true,
        Err(meddlers) => {
            meddlers.iter().for_each(|meddler| meddler.rest());
            return false;
        }
    };
    left.take();
    for meddler in &meddlers {
        meddler.rest();
        meddler.assert_unhurt(&case);
        assert!(meddler.clones.load(Ordering::SeqCst) > 0, "{case}: it was never cloned");
        assert!(meddler.drops.load(Ordering::SeqCst) > 0, "{case}: it was never dropped");
    }
    let fired = matches!(ends, Ends::Fired | Ends::DroppedByItsWaker | Ends::FiredElsewhere);
    assert!(meddlers[1].woken() || !fired, "{case}: it was never called");
    // What a meddler itself waits for is over with the runtime, too.
    let replaced = !meddlers[0].woken() || ends == Ends::RuntimeGone;
    assert!(replaced, "{case}: the one before was called");
    true
}

/// Waits for a thread while the loop goes on.
async fn ended(thread: thread::JoinHandle<()>) {
    while !thread.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap();
}

async fn wait_for(meddlers: &[Arc<Meddler>; 2]) {
    while !meddlers[1].woken() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A wait that comes to its end calls a waker which re-enters the loop.
#[test]
fn hostile_wakers_may_be_woken() {
    bounded(|| meddle_with_all(Ends::Fired));
}

/// The waker may drop the very thing that calls it.
#[test]
fn hostile_wakers_may_drop_what_calls_them() {
    bounded(|| meddle_with_all(Ends::DroppedByItsWaker));
}

/// A wait that is given up drops such a waker, on the loop and on another thread.
#[test]
fn hostile_wakers_may_be_dropped() {
    bounded(|| {
        meddle_with_all(Ends::Dropped);
        meddle_with_all(Ends::DroppedElsewhere);
    });
}

/// The same where the waits are polled on a thread that runs no loop.
#[test]
fn hostile_wakers_may_wait_on_other_threads() {
    bounded(|| meddle_with_all(Ends::FiredElsewhere));
}

/// The end of the runtime wakes or drops such wakers.
#[test]
fn hostile_wakers_may_outlive_the_runtime() {
    bounded(|| meddle_with_all(Ends::RuntimeGone));
}

/// A member of a set may end while the set takes a waker, or lets go of one: the two do not wait
/// for each other.
#[test]
fn members_may_end_while_a_waker_is_cloned() {
    bounded(|| {
        let runtime = Runtime::builder().blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let [meddler, _] = meddlers().await;
            let mut set = JoinSet::new();
            let (go, gone) = mpsc::channel::<()>();
            set.spawn_blocking(move || assert!(gone.recv().is_err()));
            set.spawn(std::future::pending());
            let (go, handle) = (Mutex::new(Some(go)), Handle::current());
            *meddler.touch.lock().unwrap() = Some(Arc::new(move || {
                drop(go.lock().unwrap().take());
                // The one thread there is does this when it has told of the job before.
                let next = handle.spawn_blocking(|| ());
                while !next.is_finished() {
                    thread::yield_now();
                }
            }));
            for waker in [Waker::noop().clone(), meddler.waker(), Waker::noop().clone()] {
                let polled = set.poll_join_next(&mut Context::from_waker(&waker));
                if let Poll::Ready(joined) = polled {
                    joined.unwrap().unwrap();
                }
            }
            assert_eq!(set.len(), 1, "one has ended");
            drop(set);
            settle().await;
            meddler.rest();
            meddler.assert_unhurt("join set");
        });
    });
}

/// Panics when it is called, or only when it is dropped.
struct Fragile {
    in_drop: bool,
}

impl Wake for Fragile {
    fn wake(self: Arc<Self>) {
        if !self.in_drop {
            resume_unwind(Box::new("a waker of somebody else's"));
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if self.in_drop {
            resume_unwind(Box::new("a destructor of somebody else's"));
        }
    }
}

/// A runtime that counts what panics on it, and what nobody else hears.
fn counting() -> (Runtime, Count) {
    let stray = Count::default();
    let counted = stray.clone();
    let runtime = Runtime::builder().on_unhandled_panic(move |_| counted.add()).build().unwrap();
    (runtime, stray)
}

/// Of forty who wait for one thing two have wakers that panic, one when it is called and one when
/// it is dropped; the other 38 are woken all the same, in one batch, and so is the loop's work.
#[test]
fn of_forty_wakers_two_may_panic() {
    const ALL: usize = 40;
    bounded(|| {
        for kind in ["timers", "listed fd", "tasks", "join set"] {
            let (runtime, stray) = counting();
            runtime.block_on(async {
                let woken = Count::default();
                let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
                let near = AsyncFd::new(near).unwrap();
                let naps: Vec<_> = (0..ALL).map(|_| Mutex::new(sleep(HOUR))).collect();
                let (tell, told) = futures::channel::oneshot::channel::<()>();
                let told = told.map(|_| ()).shared();
                let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
                for nap in &naps {
                    let near = &near;
                    match kind {
                        "timers" => waits.push(Box::pin(poll_fn(|cx| {
                            Pin::new(&mut *nap.lock().unwrap()).poll(cx)
                        }))),
                        "listed fd" => {
                            waits.push(Box::pin(async move { drop(near.readable().await) }));
                        }
                        "tasks" => {
                            let task = spawn(told.clone());
                            waits.push(Box::pin(async { task.await.unwrap() }));
                        }
                        _ => {
                            let mut set = JoinSet::new();
                            set.spawn(told.clone());
                            let joins = async move { set.join_next().await.unwrap().unwrap() };
                            waits.push(Box::pin(joins));
                        }
                    }
                }
                settle().await;
                for (i, wait) in waits.iter_mut().enumerate() {
                    let waker = match i {
                        7 => Waker::from(Arc::new(Fragile { in_drop: false })),
                        11 => Waker::from(Arc::new(Fragile { in_drop: true })),
                        _ => woken.waker(),
                    };
                    let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(polled.is_pending(), "{kind}");
                }
                drop(tell);
                let now = Instant::now();
                naps.iter().for_each(|nap| nap.lock().unwrap().reset(now));
                std::io::Write::write_all(&mut &far, b"x").unwrap();
                while woken.get() < ALL - 2 {
                    sleep(Duration::from_millis(1)).await;
                }
                settle().await;
                assert_eq!(woken.get(), ALL - 2, "{kind}");
                for wait in waits {
                    wait.await;
                }
            });
            assert!(stray.get() >= 1, "{kind}: nobody was told of the panics");
            assert!(runtime.shutdown(Duration::ZERO).is_clean());
        }
    });
}

/// Nor does it hurt if such a waker is dropped with what holds it: a socket, a timer, a task's
/// handle, a set; here, on another thread, or with the runtime.
#[test]
fn wakers_that_panic_when_dropped_harm_nobody() {
    bounded(|| {
        for kind in 0..KINDS {
            for ends in [Ends::Dropped, Ends::DroppedElsewhere, Ends::RuntimeGone] {
                let (runtime, stray) = counting();
                let (name, left) = runtime.block_on(async {
                    let Subject { name, mut waits, fire, touch, _alive } =
                        subjects(HOUR).await.swap_remove(kind);
                    drop(touch);
                    settle().await;
                    let waker = Waker::from(Arc::new(Fragile { in_drop: true }));
                    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    drop(waker);
                    let mut left = None;
                    let dropped = match ends {
                        Ends::Dropped => catch_unwind(AssertUnwindSafe(|| drop(waits))),
                        Ends::DroppedElsewhere => thread::spawn(move || drop(waits)).join(),
                        _ => {
                            left = Some(waits);
                            Ok(())
                        }
                    };
                    // Whoever drops what holds the waker may be told, as of any destructor. The
                    // loop may not: it goes on.
                    if dropped.is_err() {
                        stray.add();
                    }
                    settle().await;
                    assert_eq!(spawn_in("next", async { 5 }).await.unwrap(), 5);
                    fire();
                    settle().await;
                    (name, left)
                });
                let report = runtime.shutdown(PATIENCE);
                assert_eq!(report.blocking_running(), 0);
                drop(left);
                // The threads of the pool have no loop whose hook they could tell.
                let told = if name == "blocking job" { 0..=1 } else { 1..=1 };
                assert!(told.contains(&stray.get()), "{name}, {ends:?}: {}", stray.get());
            }
        }
    });
}
