//! Reads and writes at a place of their own, which leave the cursor alone.

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::task::{Poll, ready};

use super::File;
use crate::fs::at_once::{self, BYTES_MAX};
use crate::fs::stream::PIECE_MAX;
use crate::fs::{operations, pool};
use crate::runtime::coop;

impl File {
    /// Reads some bytes from `offset` on; none at the end. Any number of tasks may do so at once.
    ///
    /// What was taken to be written is written first. What is in memory is read at once, if the
    /// system can be asked for that; else a job of the pool reads up to 1 MiB.
    ///
    /// # Errors
    ///
    /// Those of [`std::os::unix::fs::FileExt::read_at`], and what a write has come to.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.flushed().await?;
        if let Some(result) = self.read_at_once(buf, offset).await {
            return result;
        }
        let (desk, len) = (self.desk.clone(), buf.len().min(PIECE_MAX));
        let bytes = pool::ask(move || {
            let mut bytes = vec![0; len];
            let read = desk.file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes)
        })
        .await?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    async fn read_at_once(&self, buf: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
        // To the kernel the largest number is the cursor.
        if !self.desk.can_ask() || i64::try_from(offset).is_err() {
            return None;
        }
        let len = buf.len().min(BYTES_MAX);
        let buf = &mut buf[..len];
        let read = poll_fn(|cx| {
            let progress = ready!(coop::poll_proceed(cx));
            let read = at_once::read_at(&self.desk.file, buf, offset);
            progress.made();
            Poll::Ready(read)
        })
        .await;
        match read {
            at_once::Read::Done(result) => {
                coop::spend(operations(result.as_ref().copied().unwrap_or_default()));
                Some(result)
            }
            at_once::Read::NotNow => None,
            at_once::Read::Never => {
                self.desk.never_ask();
                None
            }
        }
    }

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of [`read_at`](Self::read_at), and of kind
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file ends before.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost, as the file is as it was; the buffer may be filled in part.
    pub async fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => (buf, offset) = (&mut buf[read..], offset + read as u64),
            }
        }
        Ok(())
    }

    /// Writes some bytes, up to 1 MiB, from `offset` on, after what was taken to be written before.
    /// Returns how many.
    ///
    /// A file that was opened for appending is appended to on Linux, whatever the offset.
    ///
    /// # Errors
    ///
    /// Those of [`std::os::unix::fs::FileExt::write_at`], and what an earlier write has come to.
    ///
    /// # Cancel safety
    ///
    /// Once what was taken before is written it is done, for nobody; how much is not told.
    pub async fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.settled().await?;
        let desk = self.desk.clone();
        let bytes = buf[..buf.len().min(PIECE_MAX)].to_vec();
        pool::run(move || desk.file.write_at(&bytes, offset)).await
    }

    /// Writes all bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of [`write_at`](Self::write_at), and of kind [`WriteZero`](io::ErrorKind::WriteZero) if
    /// the file takes no more.
    ///
    /// # Cancel safety
    ///
    /// It is not: a part may have been written, and how much is not told.
    pub async fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, offset).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => (buf, offset) = (&buf[written..], offset + written as u64),
            }
        }
        Ok(())
    }
}
