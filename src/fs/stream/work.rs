//! The job that works for a file.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::task::Waker;

use super::Desk;
use super::state::Task;
use crate::Handle;

/// The right to work for a file, which a desk gives to one at a time.
///
/// It may never come to run: if the pool takes no jobs any more it is dropped.
pub(super) struct Work {
    desk: Arc<Desk>,
    /// Whether it has ended as it should.
    ended: bool,
}

impl Work {
    /// Made by who was told to begin.
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, ended: false }
    }

    /// Hands it to the pool of the runtime this thread is in. Where there is none it is done here:
    /// only the drop of a file comes to that.
    pub(super) fn start(self) {
        match Handle::try_current() {
            // The job tells by itself what comes of it.
            Ok(runtime) if runtime.has_threads() => {
                drop(runtime.spawn_blocking(move || self.run()))
            }
            _ => self.run(),
        }
    }

    fn run(mut self) {
        while self.step() {}
        self.ended = true;
    }

    /// Does one thing. Returns whether there may be more.
    fn step(&self) -> bool {
        let desk = &*self.desk;
        let regular = desk.is_regular();
        let mut state = desk.lock();
        let Some(task) = state.next_task(regular) else {
            let wakers = state.take_wakers();
            drop(state);
            wake(wakers);
            return false;
        };
        drop(state);
        let mut file = &desk.file;
        let mut state = match task {
            Task::Read(mut buf, len) => {
                let read = read_some(file, &mut buf[..len]);
                let mut state = desk.lock();
                state.has_read(buf, read);
                state
            }
            Task::Write(buf) => {
                let written = file.write_all(&buf);
                let mut state = desk.lock();
                state.has_written(buf, written);
                state
            }
            Task::Seek(to) => {
                let sought = file.seek(to);
                let mut state = desk.lock();
                state.has_sought(to, sought);
                state
            }
        };
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
        true
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let desk = self.desk.clone();
        let mut state = desk.lock();
        if state.is_closed() {
            // Nobody is left who could be told, and no byte that was taken is dropped.
            drop(state);
            while self.step() {}
            return;
        }
        state.given_up(io::Error::other(
            "the file was not read or written: the runtime has shut down, or has no thread for it",
        ));
        let wakers = state.take_wakers();
        drop(state);
        wake(wakers);
    }
}

fn read_some(mut file: &File, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// With nothing locked, as a waker may do anything.
fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
