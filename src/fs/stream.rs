//! A file as a stream of bytes, and the jobs of the pool that read and write it.
//!
//! ```text
//!                  what is in memory, into the caller's buffer
//!        ┌───────────────────────────────────────────────────┐
//!        ▼                                                   │
//!   task ◄──── pieces read ahead ◄────┐                      │
//!        │                            ├── a job ◄─────────► file
//!        └───► bytes to be written ───┘
//! ```
//!
//! At most one job of a file is under way, and then nobody else touches the cursor. The [`Desk`] is
//! what the job has in common with the task. It goes on while there is something to do: what the task
//! writes meanwhile goes out with its next call, and pieces are read ahead until as many lie there as
//! may. A caller who is gone has lost nothing, as the next one finds what was read.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use crate::fs::at_once::{self, BYTES_MAX};
use crate::fs::stream::state::{Asked, State};
use crate::fs::stream::work::Work;
use crate::runtime::context;
use crate::runtime::coop;

mod state;
mod work;

/// The first and the largest piece that is read ahead.
const PIECE_MIN: usize = 1 << 16;
pub(super) const PIECE_MAX: usize = 1 << 20;

/// Pieces that lie ready, besides the one that is being read.
const AHEAD_MAX: usize = 2;

/// Bytes that may wait to be written, besides those that are being written.
const WRITTEN_MAX: usize = 1 << 20;

/// A file, and what its tasks and the job that works for them have in common.
pub(super) struct Desk {
    pub(super) file: File,
    /// Nothing lies here and no job is under way, so the file can be read at once.
    ///
    /// Who finds it set needs no lock: only the owner of the stream starts jobs, and only that one
    /// reads.
    quiet: AtomicBool,
    /// Whether the kernel can be asked for bytes without waiting.
    can_ask: AtomicBool,
    /// Whether this is a regular file, whose cursor can be set back.
    regular: OnceLock<bool>,
    state: Mutex<State>,
}

impl Desk {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            quiet: AtomicBool::new(true),
            can_ask: AtomicBool::new(true),
            regular: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// Leaves all reads to the pool: others move the cursor, too, and have it locked meanwhile.
    pub(super) fn never_ask(&self) {
        self.can_ask.store(false, Ordering::Relaxed);
    }

    pub(super) fn can_ask(&self) -> bool {
        self.can_ask.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, and asks the file system, at the first call. A file that does not tell is not regular.
    fn is_regular(&self) -> bool {
        *self.regular.get_or_init(|| self.file.metadata().is_ok_and(|found| found.is_file()))
    }

    /// Reads the next bytes of the stream.
    pub(super) fn poll_read(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        refuse_simulation();
        let progress = ready!(coop::poll_proceed(cx));
        let result = ready!(self.poll_bytes(cx, buf));
        progress.made();
        if let Ok(read) = &result {
            coop::spend(super::operations(*read));
        }
        Poll::Ready(result)
    }

    fn poll_bytes(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.quiet.load(Ordering::Relaxed) {
            if let Some(result) = self.read_at_once(buf) {
                return Poll::Ready(result);
            }
            return self.poll_on_desk(cx, |desk, state| {
                desk.quiet.store(false, Ordering::Relaxed);
                state.take_bytes(buf, Asked::InVain)
            });
        }
        let taken = self.poll_on_desk(cx, |desk, state| {
            let taken = state.take_bytes(buf, Asked::NotYet);
            if taken.is_none() && state.is_quiet() {
                desk.quiet.store(true, Ordering::Relaxed);
                return Some(Ok(None));
            }
            taken.map(|taken| taken.map(Some))
        });
        match ready!(taken)? {
            Some(taken) => Poll::Ready(Ok(taken)),
            // Everything that lay here was taken: the rest may be in memory by now.
            None => self.poll_bytes(cx, buf),
        }
    }

    fn read_at_once(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.can_ask() {
            return None;
        }
        let len = buf.len().min(BYTES_MAX);
        match at_once::read(&self.file, &mut buf[..len]) {
            at_once::Read::Done(result) => return Some(result),
            at_once::Read::NotNow => {}
            at_once::Read::Never => self.never_ask(),
        }
        None
    }

    /// Takes some bytes to be written.
    pub(super) fn poll_write(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        refuse_simulation();
        let progress = ready!(coop::poll_proceed(cx));
        let result = ready!(self.poll_on_desk(cx, |desk, state| {
            match desk.unread(state) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Some(Err(error)),
                None => return None,
            }
            desk.quiet.store(false, Ordering::Relaxed);
            state.put_bytes(buf).map(Ok)
        }));
        progress.made();
        if let Ok(written) = &result {
            coop::spend(super::operations(*written));
        }
        Poll::Ready(result)
    }

    /// Waits until all that was taken is written.
    pub(super) fn poll_flush(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_on_desk(cx, |_, state| state.is_flushed().then_some(Ok(())))
    }

    /// Waits until all that was taken is written, and nothing is read ahead: the cursor is where the
    /// stream is.
    pub(super) fn poll_settled(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_on_desk(cx, |desk, state| {
            let settled = desk.unread(state)?;
            (settled.is_err() || state.is_idle()).then_some(settled)
        })
    }

    /// Moves the cursor; returns where it is then.
    pub(super) fn poll_seek(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        ready!(self.poll_flush(cx))?;
        self.poll_on_desk(cx, |desk, state| {
            if let Some(sought) = state.take_sought(to) {
                return Some(sought);
            }
            if let Err(error) = desk.unread(state)? {
                return Some(Err(error));
            }
            if !matches!(to, SeekFrom::End(_)) {
                return Some(io::Seek::seek(&mut &desk.file, to));
            }
            // Where the end is, the file system may have to ask elsewhere.
            desk.quiet.store(false, Ordering::Relaxed);
            state.seek(to);
            None
        })
    }

    /// Gives back what was read ahead, so that the cursor is where the stream is. `None` if a job
    /// has to end first.
    fn unread(&self, state: &mut State) -> Option<io::Result<()>> {
        if !state.stop_reading() {
            return None;
        }
        // Nothing lies here before a job has looked what kind of file this is.
        let regular = self.regular.get().copied().unwrap_or_default();
        match state.bytes_ahead() {
            0 => {}
            // What came out of a pipe or a terminal does not go back. It is still to be read.
            _ if !regular => return Some(Ok(())),
            bytes => {
                let seek = io::Seek::seek(&mut &self.file, SeekFrom::Current(-(bytes as i64)));
                if let Err(error) = seek {
                    return Some(Err(error));
                }
            }
        }
        state.forget_ahead();
        Some(Ok(()))
    }

    /// Does something with the state until it comes to something; starts a job if there is any work
    /// then.
    fn poll_on_desk<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        act: impl FnOnce(&Self, &mut State) -> Option<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // Before anything is noted that a job would have to do.
        let runtime = context::expect_shared("fs::File");
        runtime.refuse_simulation("fs::File");
        // Cloned before and dropped after the state is locked: both may run foreign code.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        let acted = match state.take_error() {
            Some(error) => Some(Err(error)),
            None => act(self, &mut state),
        };
        let spare = match &acted {
            Some(_) => Some(waker),
            None => state.wait(waker),
        };
        let starts = state.begin_if_needed(self.regular.get().copied());
        drop(state);
        drop(spare);
        if starts {
            Work::new(self.clone()).start();
        }
        acted.map_or(Poll::Pending, Poll::Ready)
    }

    /// Notes that nobody uses the stream any more. What was taken is written yet.
    pub(super) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        let starts = state.close();
        let wakers = state.take_wakers();
        drop(state);
        drop(wakers);
        if starts {
            Work::new(self.clone()).start();
        }
    }
}

/// Refuses to read what does not come from the simulation.
fn refuse_simulation() {
    #[cfg(feature = "sim")]
    if let Some(local) = context::get() {
        local.shared.refuse_simulation("fs::File");
    }
}
