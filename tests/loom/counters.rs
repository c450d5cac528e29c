//! The lock by which readers take counters that belong together.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::sequence::Sequence;
use crate::{Outcomes, model};

#[derive(Default)]
struct Pair {
    sequence: Sequence,
    words: [AtomicU64; 2],
}

impl Pair {
    fn set(&self, n: u64) {
        self.sequence.write(|| self.words.iter().for_each(|word| word.store(n, Ordering::Relaxed)));
    }

    fn get(&self) -> [u64; 2] {
        self.sequence.read(|| [0, 1].map(|i| self.words[i].load(Ordering::Relaxed)))
    }
}

/// A reader never takes words of two writes together, nor goes back in time.
#[test]
fn reads_are_of_one_write() {
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    model(move || {
        let pair = Arc::new(Pair::default());
        let writer = {
            let pair = pair.clone();
            thread::spawn(move || {
                pair.set(1);
                pair.set(2);
            })
        };
        let [first, second] = pair.get();
        assert_eq!(first, second, "torn");
        noted.note(first as usize);
        writer.join().unwrap();
        assert_eq!(pair.get(), [2, 2], "what was written is seen");
    });
    outcomes.assert(&[0, 1, 2]);
}
