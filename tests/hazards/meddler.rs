//! A waker that does everything foreign code can do, whenever it is cloned, called or dropped.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::thread::{self, ThreadId};

use evenloop::net::UnixDatagram;
use evenloop::time::{Instant, Sleep, sleep};
use evenloop::{Handle, JoinHandle, JoinSet, Partition, spawn, spawn_in};

use crate::HOUR;

/// What a hostile waker keeps to meddle with, and what became of it.
pub(crate) struct Meddler {
    home: ThreadId,
    handle: Handle,
    /// A waker of a task of the loop: somebody else.
    other: Waker,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    timers: Mutex<Vec<Sleep>>,
    /// Uses the very thing that the waker was left with.
    pub(crate) touch: Mutex<Option<Touch>>,
    /// Done at the first wake, on top of the rest.
    pub(crate) last_straw: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    pub(crate) clones: AtomicUsize,
    wakes: AtomicUsize,
    pub(crate) drops: AtomicUsize,
    /// What threw while it meddled: a borrow that was held, say.
    failures: Mutex<Vec<String>>,
}

pub(crate) type Touch = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    /// A meddler whose own wakers are cloned does not meddle with that.
    static MEDDLES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Meddler {
    pub(crate) fn new(other: Waker) -> Arc<Self> {
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

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
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

    pub(crate) fn wake(self: &Arc<Self>) {
        self.meddle(&self.wakes);
        let last_straw = self.last_straw.lock().unwrap().take();
        if let Some(act) = last_straw {
            act();
        }
    }

    /// Lets go of what it kept, and meddles with none of that.
    pub(crate) fn rest(&self) {
        let meddled = MEDDLES.replace(true);
        drop(self.touch.lock().unwrap().take());
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let timers = std::mem::take(&mut *self.timers.lock().unwrap());
        tasks.iter().for_each(JoinHandle::abort);
        drop((tasks, timers));
        MEDDLES.set(meddled);
    }

    pub(crate) fn woken(&self) -> bool {
        self.wakes.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn assert_unhurt(&self, case: &str) {
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
