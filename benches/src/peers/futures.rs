//! `LocalPool` of `futures`: an executor without IO and timers.

use std::cell::RefCell;

use ::futures::executor::{LocalPool, LocalSpawner};
use ::futures::task::LocalSpawnExt;

use crate::peer::Peer;

thread_local! {
    static SPAWNER: RefCell<Option<LocalSpawner>> = const { RefCell::new(None) };
}

/// `futures::executor::LocalPool`.
#[derive(Debug)]
pub struct Futures;

impl Peer for Futures {
    const NAME: &str = "futures";

    fn block_on<F>(fut: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut pool = LocalPool::new();
        SPAWNER.set(Some(pool.spawner()));
        pool.run_until(fut)
    }

    fn spawn<F>(fut: F) -> impl Future<Output = F::Output> + 'static
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        SPAWNER.with_borrow(|spawner| {
            let spawner = spawner.as_ref().expect("a pool runs on this thread");
            spawner.spawn_local_with_handle(fut).expect("the pool is there")
        })
    }
}
