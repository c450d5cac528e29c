//! What lies on the desk: pure, so that each step is one call under the lock.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::task::Waker;

use super::{AHEAD_MAX, PIECE_MAX, PIECE_MIN, WRITTEN_MAX};

/// The most bytes that one call copies: what takes no longer than a few dozen microseconds.
const COPIED_MAX: usize = 1 << 18;

#[derive(Debug, Default)]
pub(super) struct State {
    job: Job,
    /// What was read and not yet taken, in order.
    ahead: VecDeque<Piece>,
    /// How much somebody waits to read; zero if nobody does.
    wanted: usize,
    /// How much is read ahead at a time.
    piece: usize,
    /// Reads in a row that had to wait. From the second on it is read ahead.
    misses: u32,
    /// What is to be written.
    written: Vec<u8>,
    /// Whether anything ever was.
    wrote: bool,
    seek: Option<SeekFrom>,
    /// Where a seek has led.
    sought: Option<(SeekFrom, io::Result<u64>)>,
    /// What a job has come to, for the next one who asks.
    error: Option<io::Error>,
    wakers: Vec<Waker>,
    /// Nobody uses the stream any more.
    closed: bool,
    /// Buffers to be used again.
    spare: Vec<u8>,
    spare_written: Vec<u8>,
}

/// What the job of a file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Job {
    /// There is none.
    #[default]
    None,
    /// It was started, and looks for something to do.
    Looks,
    Reads,
    Writes,
    Seeks,
}

/// What a job is to do next.
#[derive(Debug)]
pub(super) enum Task {
    /// Read, as much as fits.
    Read(Vec<u8>, usize),
    Write(Vec<u8>),
    Seek(SeekFrom),
}

/// Whether the kernel was asked for bytes without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    NotYet,
    InVain,
}

/// Bytes that were read, or why not; none at the end of the file.
#[derive(Debug)]
struct Piece {
    buf: Vec<u8>,
    /// The first and one past the last byte that is left to be taken.
    start: usize,
    end: usize,
    error: Option<io::Error>,
}

impl Piece {
    fn is_last(&self) -> bool {
        self.end == 0
    }
}

impl State {
    /// Takes bytes that lie here. If there are none and the kernel has none either, a job is to read
    /// some.
    pub(super) fn take_bytes(&mut self, buf: &mut [u8], asked: Asked) -> Option<io::Result<usize>> {
        let Some(piece) = self.ahead.front_mut() else {
            if asked == Asked::InVain && self.is_quiet() {
                self.misses += 1;
                self.wanted = buf.len();
            }
            return None;
        };
        let len = buf.len().min(piece.end - piece.start).min(COPIED_MAX);
        buf[..len].copy_from_slice(&piece.buf[piece.start..piece.start + len]);
        piece.start += len;
        if piece.start < piece.end {
            return Some(Ok(len));
        }
        let Some(piece) = self.ahead.pop_front() else { unreachable!("a piece was just there") };
        if piece.is_last() {
            // The stream begins anew: the file may have grown, or the fault may have passed.
            self.forget_ahead();
        } else {
            self.spare = piece.buf;
        }
        Some(piece.error.map_or(Ok(len), Err))
    }

    /// Takes bytes to be written, if there is room.
    pub(super) fn put_bytes(&mut self, buf: &[u8]) -> Option<usize> {
        let room = WRITTEN_MAX - self.written.len();
        let len = buf.len().min(room).min(COPIED_MAX);
        if len == 0 && !buf.is_empty() {
            return None;
        }
        self.written.extend_from_slice(&buf[..len]);
        self.wrote |= len > 0;
        Some(len)
    }

    /// Whether nothing lies here, and no job is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_idle() && self.ahead.is_empty()
    }

    /// Whether no job is under way, or due.
    pub(super) fn is_idle(&self) -> bool {
        self.job == Job::None && self.written.is_empty() && self.seek.is_none()
    }

    /// Whether all is written.
    pub(super) fn is_flushed(&self) -> bool {
        self.job != Job::Writes && self.written.is_empty()
    }

    /// Has nothing more read. Returns whether nothing is being read, nor sought.
    pub(super) fn stop_reading(&mut self) -> bool {
        self.wanted = 0;
        self.misses = 0;
        !matches!(self.job, Job::Reads | Job::Seeks) && self.seek.is_none()
    }

    pub(super) fn bytes_ahead(&self) -> usize {
        self.ahead.iter().map(|piece| piece.end - piece.start).sum()
    }

    /// Forgets what was read ahead, and that it was.
    pub(super) fn forget_ahead(&mut self) {
        self.ahead.clear();
        self.spare = Vec::new();
        self.misses = 0;
        self.piece = 0;
    }

    pub(super) fn seek(&mut self, to: SeekFrom) {
        self.seek = Some(to);
    }

    /// Takes where a seek of this kind has led, and forgets one that was given up.
    pub(super) fn take_sought(&mut self, to: SeekFrom) -> Option<io::Result<u64>> {
        let (asked, sought) = self.sought.take()?;
        (asked == to).then_some(sought)
    }

    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Has `waker` woken when a job has done something. Gives it back if that is so already.
    pub(super) fn wait(&mut self, waker: Waker) -> Option<Waker> {
        if self.wakers.iter().any(|waiting| waiting.will_wake(&waker)) {
            return Some(waker);
        }
        self.wakers.push(waker);
        None
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// Notes that a job begins, if there is none and something to do.
    pub(super) fn begin_if_needed(&mut self, regular: Option<bool>) -> bool {
        let begins = self.job == Job::None && self.has_work(regular.unwrap_or_default());
        if begins {
            self.job = Job::Looks;
        }
        begins
    }

    fn has_work(&self, regular: bool) -> bool {
        !self.written.is_empty() || self.seek.is_some() || self.reads_on(regular)
    }

    fn reads_on(&self, regular: bool) -> bool {
        if self.closed {
            return false;
        }
        match self.ahead.back() {
            None if self.wanted > 0 => true,
            Some(last) if last.is_last() => false,
            _ => regular && self.misses > 1 && self.ahead.len() < AHEAD_MAX,
        }
    }

    /// What the job does next. `None` ends it.
    pub(super) fn next_task(&mut self, regular: bool) -> Option<Task> {
        if !self.written.is_empty() {
            self.job = Job::Writes;
            let empty = std::mem::take(&mut self.spare_written);
            return Some(Task::Write(std::mem::replace(&mut self.written, empty)));
        }
        if let Some(to) = self.seek.take() {
            self.job = Job::Seeks;
            return Some(Task::Seek(to));
        }
        if !self.reads_on(regular) {
            self.job = Job::None;
            return None;
        }
        self.job = Job::Reads;
        // Of anything but a file no more is read than was asked for.
        let least = if regular { PIECE_MIN.max(self.piece) } else { 1 };
        let len = self.wanted.clamp(least, PIECE_MAX);
        self.wanted = 0;
        self.piece = (2 * len).min(PIECE_MAX);
        let mut buf = std::mem::take(&mut self.spare);
        if buf.len() < len {
            // Not grown: there is nothing in it to be copied.
            buf = vec![0; len];
        }
        Some(Task::Read(buf, len))
    }

    pub(super) fn has_read(&mut self, buf: Vec<u8>, read: io::Result<usize>) {
        let (end, error) = match read {
            Ok(read) => (read, None),
            Err(error) => (0, Some(error)),
        };
        self.ahead.push_back(Piece { buf, start: 0, end, error });
        self.job = Job::Looks;
    }

    /// After a failure what else was taken is given up: it would follow a gap.
    pub(super) fn has_written(&mut self, mut buf: Vec<u8>, written: io::Result<()>) {
        buf.clear();
        self.spare_written = buf;
        if let Err(error) = written {
            self.written.clear();
            self.error = Some(error);
        }
        self.job = Job::Looks;
    }

    pub(super) fn has_sought(&mut self, to: SeekFrom, sought: io::Result<u64>) {
        self.sought = Some((to, sought));
        self.job = Job::Looks;
    }

    /// Notes that the job was given up before its end. What is to be written stays.
    pub(super) fn given_up(&mut self, error: io::Error) {
        self.job = Job::None;
        self.wanted = 0;
        self.misses = 0;
        self.seek = None;
        self.error.get_or_insert(error);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Notes that nobody uses the stream any more. Returns whether a job is to be started: to write
    /// what is left, or only to close a file that was written, for which the disk may be waited for.
    pub(super) fn close(&mut self) -> bool {
        self.closed = true;
        self.wanted = 0;
        let starts = self.job == Job::None && self.wrote;
        if starts {
            self.job = Job::Looks;
        }
        starts
    }
}
