//! Sockets on the loop: TCP, UDP, Unix, and fds of your own.
//!
//! | type | is |
//! |---|---|
//! | [`TcpListener`], [`TcpStream`] | TCP |
//! | [`Acceptor`] | TCP connections of several kinds at one port, told apart by their first bytes |
//! | [`UdpSocket`] | UDP |
//! | [`UnixListener`], [`UnixStream`], [`UnixDatagram`] | sockets in the file system (Unix) |
//! | [`AsyncFd`] | any other fd that can be polled: a pipe, an eventfd, a device (Unix) |
//! | [`ReadHalf`], [`WriteHalf`], [`OwnedReadHalf`], [`OwnedWriteHalf`] | the two directions of a stream, apart |
//!
//! # Whose it is
//!
//! Each direction of a socket belongs to the partition of the task that last had to wait for it,
//! and is delivered in that partition's turns. So a stream that one partition accepted and moved
//! into a task of another belongs to the other from its first read on; nothing need be said. The
//! poller of an isolated partition watches what its tasks wait to read, and what they wait to write
//! if nobody ever waited to read it.
//!
//! # Threads
//!
//! A socket is made on a loop's thread and belongs to that loop. It is `Send + Sync`: it may be
//! moved to, used and dropped on any thread. A socket that outlives its runtime answers every
//! operation with an error.
//!
//! # Reading and writing
//!
//! The methods of the types themselves (`read`, `write_all`, …) need no trait in scope and take
//! `&self`; when several tasks wait for the same direction, all of them are woken and the first
//! one is served. The traits of `futures-io`, of `tokio` (feature `tokio-io`) and of `hyper`
//! (feature `hyper`) are implemented directly. Their poll functions, and all others called
//! `poll_…`, remember one waiting task per direction: the last.
//!
//! # Examples
//!
//! ```
//! use evenloop::net::{TcpListener, TcpStream};
//!
//! # evenloop::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let addr = listener.local_addr()?;
//! evenloop::spawn(async move {
//!     let (stream, _) = listener.accept().await?;
//!     evenloop::spawn_in("greetings", async move { stream.write_all(b"hello").await });
//!     std::io::Result::Ok(())
//! });
//! let mut greeting = String::new();
//! TcpStream::connect(addr).await?.read_to_string(&mut greeting).await?;
//! assert_eq!(greeting, "hello");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod accept;
mod acceptor;
mod addr;
#[cfg(unix)]
mod async_fd;
mod classify;
#[cfg(unix)]
mod handles;
pub mod http;
mod methods;
mod socket;
mod sockets;
mod split;
mod stream;
mod tcp_listener;
mod tcp_stream;
mod udp;
#[cfg(unix)]
mod unix;

pub use crate::sched::Direction;
pub use acceptor::{Accepting, Acceptor, AcceptorMetrics};
pub use addr::{ToSocketAddrs, lookup_host};
#[cfg(unix)]
pub use async_fd::{AsyncFd, AsyncFdError, FdReady};
pub use classify::Classified;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::ByteStream;
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
