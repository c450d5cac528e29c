//! The methods of the stream, which need no trait in scope.

use std::future::poll_fn;
use std::io::{self, SeekFrom};

use super::File;

/// The first and the largest piece by which a buffer grows.
const GROWS_MIN: usize = 1 << 12;
const GROWS_MAX: usize = 1 << 18;

impl File {
    /// Reads some bytes from the cursor on; none at the end.
    ///
    /// # Errors
    ///
    /// Those of [`std::io::Read::read`], and what an earlier write has come to.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was being read comes to the next read.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.desk.poll_read(cx, buf)).await
    }

    /// Reads until the buffer is full.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and of kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if
    /// the file ends before.
    ///
    /// # Cancel safety
    ///
    /// It is not: what was read is in the buffer, and how much that is, is not told.
    pub async fn read_exact(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buf = &mut buf[read..],
            }
        }
        Ok(())
    }

    /// Reads to the end, and appends it to the buffer. Returns how much that was.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read); what was read until then is in the buffer.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what was read is in the buffer.
    pub async fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let start = buf.len();
        let mut grows = GROWS_MIN;
        loop {
            let mut filled = Filled { len: buf.len(), buf: &mut *buf };
            filled.buf.resize(filled.len + grows, 0);
            let read = self.read(&mut filled.buf[filled.len..]).await?;
            filled.len += read;
            drop(filled);
            if read == 0 {
                return Ok(buf.len() - start);
            }
            if read == grows {
                grows = GROWS_MAX.min(grows * 2);
            }
        }
    }

    /// Reads to the end, and appends it to the buffer if it is UTF-8. Returns how many bytes that
    /// was.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and of kind [`InvalidData`](io::ErrorKind::InvalidData) if it
    /// is not UTF-8. The buffer is as it was then.
    ///
    /// # Cancel safety
    ///
    /// It is not: what was read is lost.
    pub async fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).await?;
        let text = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))?;
        buf.push_str(&text);
        Ok(text.len())
    }

    /// Takes some bytes to be written from the cursor on. Returns how many.
    ///
    /// # Errors
    ///
    /// What an earlier write has come to.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: it has taken nothing.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.desk.poll_write(cx, buf)).await
    }

    /// Takes all bytes to be written.
    ///
    /// # Errors
    ///
    /// What an earlier write has come to.
    ///
    /// # Cancel safety
    ///
    /// It is not: a part may have been taken, and how much is not told.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = self.write(buf).await?;
            buf = &buf[written..];
        }
        Ok(())
    }

    /// Waits until all that was taken is written: handed to the kernel, that is.
    ///
    /// # Errors
    ///
    /// What a write has come to.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.flushed().await
    }

    /// Moves the cursor, once all is written. Returns where it is then, from the beginning.
    ///
    /// # Errors
    ///
    /// What a write has come to, and those of [`std::io::Seek::seek`].
    ///
    /// # Cancel safety
    ///
    /// The cursor may have been moved.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        poll_fn(|cx| self.desk.poll_seek(cx, to)).await
    }

    /// Moves the cursor to the beginning, once all is written.
    ///
    /// # Errors
    ///
    /// Those of [`seek`](Self::seek).
    ///
    /// # Cancel safety
    ///
    /// The cursor may have been moved.
    pub async fn rewind(&mut self) -> io::Result<()> {
        self.seek(SeekFrom::Start(0)).await.map(drop)
    }

    /// Returns where the cursor is, once all is written.
    ///
    /// # Errors
    ///
    /// Those of [`seek`](Self::seek).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn stream_position(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::Current(0)).await
    }
}

/// Cuts the buffer back to what was read, also when the future is dropped.
struct Filled<'a> {
    buf: &'a mut Vec<u8>,
    len: usize,
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        self.buf.truncate(self.len);
    }
}
