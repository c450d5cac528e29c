//! Programs as bytes: one decoder for random tests and for fuzzing.
//!
//! Each step is one word. So whoever makes a program smaller, proptest or a fuzzer, takes a step
//! away by taking a word away, and every string of bytes is a program.

/// One step, before anybody knows of what: a kind, and what it is done with.
pub(crate) type Word = [u8; 4];

/// Cuts bytes into words; what is left over is filled up with zeros.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = Word> + '_ {
    bytes.chunks(4).map(|chunk| {
        let mut word = Word::default();
        word[..chunk.len()].copy_from_slice(chunk);
        word
    })
}

/// The most steps of a program; more are left unread, so that a fuzzer does not run for hours.
pub(crate) const STEPS_MAX: usize = 256;

/// Times about which something may change: where a counter of 32 bits, a float or a wheel would
/// come to its end. In nanoseconds.
pub(crate) fn edge(class: u8, fine: u8) -> u64 {
    const DAY: u64 = 86_400_000_000_000;
    let fine = u64::from(fine);
    match class % 10 {
        0 => fine,
        1 => fine * 1_000,
        2 => fine * 1_000_000,
        3 => fine * 1_000_000_000,
        // Either side of each power of two, from 2^0 to 2^63.
        4 => (1 << (fine % 64)) - 1,
        5 => 1 << (fine % 64),
        // 2^20 s and 2^32 ms, the ends of wheels of 20 and 32 bits, and a clock of ten years.
        6 => 12 * DAY + 11_776_000_000_000 + fine,
        7 => (1 << 32) * 1_000_000 - 128 + fine,
        8 => 3_650 * DAY + fine,
        _ => u64::MAX - fine,
    }
}
