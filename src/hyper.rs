//! Serving and asking HTTP with `hyper` (feature `hyper`).
//!
//! Streams implement `hyper::rt::Read` and `hyper::rt::Write` themselves. Here are the two other
//! things hyper asks of a runtime: a [`Timer`] and an [`Executor`].
//!
//! # Examples
//!
//! ```
//! use evenloop::hyper::Timer;
//! use evenloop::net::{TcpListener, TcpStream};
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::body::Bytes;
//! use hyper::{Request, Response, client, server, service::service_fn};
//!
//! # evenloop::block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let addr = listener.local_addr()?;
//! evenloop::spawn_in("healthcheck", async move {
//!     let (stream, _) = listener.accept().await?;
//!     let alive = |_| async { Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("alive"))) };
//!     let mut http = server::conn::http1::Builder::new();
//!     let served = http.timer(Timer::new()).serve_connection(stream, service_fn(alive)).await;
//!     served.map_err(std::io::Error::other)
//! });
//!
//! let stream = TcpStream::connect(addr).await?;
//! let (mut http, connection) = client::conn::http1::handshake(stream).await?;
//! evenloop::spawn(connection);
//! let request = Request::get("/health").body(Empty::<Bytes>::new())?;
//! let answer = http.send_request(request).await?.into_body().collect().await?;
//! assert_eq!(answer.to_bytes(), "alive");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::future::Future;
use std::pin::Pin;
use std::time::Instant as StdInstant;

use crate::time::{Duration, Instant, Sleep, sleep, sleep_until};

/// Gives hyper the time.
///
/// A timeout belongs to the partition of the connection that waits for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer(());

impl Timer {
    /// Makes a timer.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(sleep(duration))
    }

    fn now(&self) -> StdInstant {
        Instant::now().into()
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(sleep_until(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: StdInstant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.get_mut().reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

impl hyper::rt::Sleep for Sleep {}

/// Spawns what hyper wants run beside a connection, in the partition of that connection.
///
/// Futures need not be `Send`.
///
/// # Panics
///
/// `execute` panics outside a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor(());

impl Executor {
    /// Makes an executor.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        crate::spawn(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::{Executor as _, Timer as _};

    /// A reset timer is the same timer, and ends at its new deadline.
    #[test]
    fn reset_moves_the_deadline() {
        crate::block_on(async {
            let start = Instant::now();
            let mut sleep = Timer::new().sleep(Duration::from_secs(3600));
            let before = std::ptr::from_ref(&*sleep).cast::<()>();
            Timer::new().reset(&mut sleep, (start + Duration::from_millis(5)).into());
            assert_eq!(std::ptr::from_ref(&*sleep).cast::<()>(), before);
            sleep.await;
            assert!(start.elapsed() >= Duration::from_millis(5));
        });
    }

    /// What is executed need not be `Send`, and runs.
    #[test]
    fn executes_futures_of_one_thread() {
        crate::block_on(async {
            let done = std::rc::Rc::new(std::cell::Cell::new(false));
            let ran = done.clone();
            Executor::new().execute(async move { ran.set(true) });
            while !done.get() {
                crate::yield_now().await;
            }
        });
    }
}
