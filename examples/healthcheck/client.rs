//! The least HTTP/1.1 client that keeps a connection alive: light, so that the load generator
//! costs next to nothing beside the server it loads.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, for one request at a time.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// What was read of the answer so far.
    answer: Vec<u8>,
}

impl Client {
    /// Connects to `server`.
    pub(crate) async fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Takes over a connection on which a request was sent already.
    pub(crate) fn over_asked(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::over(TcpStream::from_std(stream)?))
    }

    fn over(stream: TcpStream) -> Self {
        Self { stream, answer: Vec::with_capacity(512) }
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If the connection breaks or the answer is not a `200` with a length. Either way the
    /// connection is of no further use.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    /// Reads the whole answer to the request that was sent.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub(crate) async fn answer(&mut self) -> io::Result<()> {
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = head_len(&self.answer) {
                let whole = head + body_len(&self.answer[..head])?;
                while self.answer.len() < whole {
                    if self.stream.read_buf(&mut self.answer).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                return Ok(());
            }
        }
    }
}

/// Returns the length of the status line and headers, once they are there in full.
fn head_len(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn body_len(head: &[u8]) -> io::Result<usize> {
    let strange = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let head = std::str::from_utf8(head).map_err(|_| strange("a header is not text"))?;
    let mut lines = head.lines();
    match lines.next() {
        Some(status) if status.starts_with("HTTP/1.1 200 ") => {}
        other => return Err(strange(&format!("not a 200: {}", other.unwrap_or_default()))),
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .ok_or_else(|| strange("an answer without Content-Length"))
}
