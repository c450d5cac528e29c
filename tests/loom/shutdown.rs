//! The end of a loop against what other threads still ask of it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use crate::injector::{Injector, Pushed};
use crate::{Outcomes, model};

/// Tasks that two threads spawn as a sleeping loop wakes and shuts down are each taken in, or
/// handed back to be refused: none is lost, and none is both.
#[test]
fn spawns_against_shutdown() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = Arc::new(Injector::new());
        let wakes = Arc::new(AtomicUsize::new(0));
        assert!(injector.try_sleep());
        let spawning = [1, 2].map(|task| {
            let (injector, wakes) = (injector.clone(), wakes.clone());
            thread::spawn(move || match injector.push(task) {
                Ok(Pushed::WakeLoop) => {
                    wakes.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Ok(Pushed::Seen) => None,
                Err(refused) => Some(refused),
            })
        });
        injector.awake();
        // As `Local::shut_down` does: what waits is taken in, and what comes after that is refused
        // task by task; then the door is closed.
        let admitted: Vec<i32> = injector.drain().collect();
        let late: Vec<i32> = injector.close().collect();
        let refused: Vec<i32> =
            spawning.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
        noted.note(admitted.len() + 3 * late.len());
        let mut all = [admitted, late, refused].concat();
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
        assert!(wakes.load(Ordering::Relaxed) <= 1, "one wakes it");
    });
    // Of the two tasks so many were admitted, plus three for each that came late.
    outcomes.assert(&[0, 1, 2, 3, 4, 6]);
}

/// A wake that has taken a task's handle as the loop ends every task is waited for: the handle is
/// run on the loop's thread, once, and the way in closes behind it.
#[test]
fn wake_against_shutdown() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let injector = Arc::new(Injector::new());
        // What the task cell knows: whether its handle was taken, by whoever wakes it first.
        let taken = Arc::new(AtomicBool::new(false));
        let waking = {
            let (injector, taken) = (injector.clone(), taken.clone());
            thread::spawn(move || {
                if !taken.swap(true, Ordering::AcqRel) {
                    assert!(injector.push(()).is_ok(), "the handle of a live task is refused");
                    return 1;
                }
                0
            })
        };
        // As `Local::drop_tasks` does: an abort is a wake, and then the last handle has to come in.
        let mut handles = usize::from(!taken.swap(true, Ordering::AcqRel));
        let ours = handles;
        while handles < 1 {
            handles += injector.drain().count();
            thread::yield_now();
        }
        assert_eq!(injector.close().count(), 0);
        assert_eq!((handles, ours + waking.join().unwrap()), (1, 1));
        noted.note(ours);
    });
    outcomes.assert(&[0, 1]);
}
