//! Random programs by proptest. A failure prints the least program that fails, and the seed by
//! which the same case is tried again.

use std::fmt::{self, Debug};
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::program::Word;

/// Attempts to make a program that fails smaller.
const SHRINKS_MAX: u32 = 4_096;
const SHRINKING_MAX_MS: u32 = 20_000;

const SEED: &str = "EVENLOOP_PROPTEST_SEED";

/// Tries `cases` programs of up to `steps` words, times `EVENLOOP_PROPTEST_CASES`; or the one that
/// `EVENLOOP_PROPTEST_SEED` names.
pub(crate) fn check<P: Clone + Debug>(
    cases: u64,
    steps: usize,
    decode: fn(&[u8]) -> P,
    run: impl Fn(&P),
) {
    let number = |name| std::env::var(name).ok().map(|n| parse(&n).expect("a number"));
    let (first, cases) = match number(SEED) {
        Some(seed) => (seed, 1),
        None => (
            RandomState::new().hash_one(0),
            cases.saturating_mul(number("EVENLOOP_PROPTEST_CASES").unwrap_or(1)),
        ),
    };
    for seed in (0..cases).map(|case| first.wrapping_add(case)) {
        if let Err(failure) = one(seed, steps, decode, &run) {
            panic!("{failure}\nagain: {SEED}={seed:#x} cargo test --test models {}", name());
        }
    }
}

/// Tries the case of one seed, and makes it smaller if it fails.
pub(crate) fn one<P: Clone + Debug>(
    seed: u64,
    steps: usize,
    decode: fn(&[u8]) -> P,
    run: impl Fn(&P),
) -> Result<(), String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: SHRINKS_MAX,
        max_shrink_time: SHRINKING_MAX_MS,
        ..ProptestConfig::with_cases(1)
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let programs = prop::collection::vec(any::<Word>(), 1..steps);
    let programs = programs.prop_map(|words| Shown(decode(words.as_flattened())));
    let outcome = runner.run(&programs, |Shown(program)| {
        run(&program);
        Ok(())
    });
    outcome.map_err(|failure| failure.to_string())
}

/// A program on one line.
#[derive(Clone)]
struct Shown<P>(P);

impl<P: Debug> Debug for Shown<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// A failure names the least program, and its seed fails again, in the same way.
#[test]
fn a_seed_replays_its_failure() {
    let decode = |bytes: &[u8]| bytes.to_vec();
    let fails = |bytes: &Vec<u8>| assert!(bytes.iter().all(|byte| *byte < 200), "too much");
    let (seed, said) = (0..100)
        .find_map(|seed| Some((seed, one(seed, 20, decode, fails).err()?)))
        .expect("one of a hundred programs has a byte that large");
    assert!(said.contains("too much") && said.contains("200"), "{said}");
    assert_eq!(one(seed, 20, decode, fails), Err(said));
    assert_eq!(one(seed, 20, decode, |_| {}), Ok(()));
}
