//! What every server here serves: `/work` burns CPU, `/work?100` so many microseconds of it, and
//! `/health` answers at once.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

/// Pause of an acceptor that got an error: most often the process is out of files for a while.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The addresses of a server. All serve both routes; what differs is who is asked to call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    pub(crate) bulk: SocketAddr,
    /// `None` if the health check has to go through the door of the bulk.
    pub(crate) health: Option<SocketAddr>,
}

impl Doors {
    /// Asks for `port` alone, or for any if it is zero.
    pub(crate) fn shared(port: u16) -> Self {
        Self { bulk: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), health: None }
    }

    /// Where to ask for `/health`.
    pub(crate) fn health(&self) -> SocketAddr {
        self.health.unwrap_or(self.bulk)
    }
}

/// What a server is started with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) listen: Doors,
    /// CPU time that each `/work` burns.
    pub(crate) work: Duration,
    /// Told once where the server listens.
    pub(crate) ready: mpsc::Sender<Doors>,
    /// Ends the server, when told or dropped.
    pub(crate) stop: oneshot::Receiver<()>,
}

/// Serves one connection until the peer hangs up.
pub(crate) async fn serve<I>(io: I, work: Duration)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(move |request| answer(request, work));
    // A connection that breaks is its peer's affair: the peer counts it.
    let _ = http1::Builder::new().serve_connection(io, service).await;
}

/// Says what went wrong with an accept; the acceptor goes on.
pub(crate) fn report_accept(error: &io::Error) {
    eprintln!("a connection was not accepted: {error}");
}

async fn answer(
    request: Request<Incoming>,
    work: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/work" => {
            let asked = request.uri().query().and_then(|micros| micros.parse().ok());
            burn(asked.map_or(work, Duration::from_micros));
            (StatusCode::OK, "worked\n")
        }
        "/health" => (StatusCode::OK, "healthy\n"),
        _ => (StatusCode::NOT_FOUND, "ask for /work or /health\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    Ok(response)
}

/// Keeps the thread busy, as parsing, rendering or hashing would.
fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
