//! Bulk work and a health check on ONE port, each request in its own partition.
//!
//! ```text
//!              ┌─ "acceptor": peeks ─┬─ told: bulk ───► "bulk"    8 connections, 1 ms a request
//!   port 0 ────┤                     └─ told: health ─► "health"
//!              └ kept alive: the task of a connection switches partition when its next request is
//!                of the other kind
//! ```
//!
//! `cargo run --release --example shared_port` prints about this:
//!
//! ```text
//! bulk     served  1486 requests of /report
//! health   served   200 requests of /health
//! health, a new connection each:  p50    2.3 ms, worst   25.6 ms
//! health, after bulk on the same: p50   16.4 ms, worst   37.9 ms
//! ```
//!
//! A kept-alive connection waits for its next request where it was served last: the move of a
//! health check that comes after bulk work begins in the bulk's queue. If that matters, see
//! `evenloop::net::http` for the other way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenloop::net::http::Routes;
use evenloop::net::{TcpListener, TcpStream};
use evenloop::{JoinHandle, Partition, spawn_in, switch_to};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

type Failure = Box<dyn Error + Send + Sync>;
/// How many requests of each path were served in each partition.
type Served = Rc<RefCell<BTreeMap<(String, String), usize>>>;

const BULK_CLIENTS: usize = 8;
const PROBES: usize = 100;
const WORK: Duration = Duration::from_millis(1);

fn main() -> Result<(), Failure> {
    evenloop::block_on(async {
        let served = Served::default();
        let addr = serve(served.clone()).await?;
        let bulk: Vec<_> = (0..BULK_CLIENTS).map(|_| spawn_in("clients", load(addr))).collect();
        let (fresh, kept) = spawn_in("probes", probe(addr)).await??;

        for ((partition, path), count) in served.borrow().iter() {
            println!("{partition:<8} served {count:>5} requests of {path}");
            assert_eq!(path == "/health", partition == "health", "each in its own partition");
        }
        report("health, a new connection each: ", fresh);
        report("health, after bulk on the same:", kept);
        bulk.iter().for_each(JoinHandle::abort);
        Ok(())
    })
}

/// Starts to serve, and says where.
async fn serve(served: Served) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let routes =
        Routes::otherwise(Partition::named("bulk")).path("/health", Partition::named("health"));
    let routes = Rc::new(routes);
    let told = routes.clone();
    // It goes on until the runtime ends.
    drop(
        listener
            .classified(move |start| told.tell(start).cloned())
            .partition(Partition::named("acceptor"))
            .patience(Duration::from_secs(5))
            .serve(move |stream, _, partition| {
                partition.spawn(connection(stream, routes.clone(), served.clone()));
            }),
    );
    Ok(addr)
}

async fn connection(stream: TcpStream, routes: Rc<Routes<Partition>>, served: Served) {
    let service = service_fn(move |request| answer(request, routes.clone(), served.clone()));
    // A connection that breaks is its peer's affair.
    let _ = http1::Builder::new().serve_connection(stream, service).await;
}

async fn answer(
    request: Request<Incoming>,
    routes: Rc<Routes<Partition>>,
    served: Served,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let host = request.headers().get("host").map(|host| host.as_bytes());
    // The first request is where it belongs already: no move, no wait.
    switch_to(routes.of(request.method().as_str(), path, host)).await;
    if path != "/health" {
        let start = Instant::now();
        while start.elapsed() < WORK {
            std::hint::spin_loop();
        }
    }
    let key = (Partition::current().name(), path.to_owned());
    *served.borrow_mut().entry(key).or_default() += 1;
    Ok(Response::new(Full::from("done")))
}

/// Asks for one report after the other.
async fn load(addr: SocketAddr) -> Result<(), Failure> {
    let mut http = connect(addr).await?;
    loop {
        get(&mut http, "/report").await?;
    }
}

/// Checks health on new connections, and on one that serves bulk between the checks.
async fn probe(addr: SocketAddr) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let (mut fresh, mut kept) = (Vec::new(), Vec::new());
    let mut both = connect(addr).await?;
    for _ in 0..PROBES {
        let start = Instant::now();
        get(&mut connect(addr).await?, "/health").await?;
        fresh.push(start.elapsed());
        get(&mut both, "/report").await?;
        let start = Instant::now();
        get(&mut both, "/health").await?;
        kept.push(start.elapsed());
    }
    Ok((fresh, kept))
}

async fn connect(addr: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, Failure> {
    let (http, connection) = handshake(TcpStream::connect(addr).await?).await?;
    evenloop::spawn(connection);
    Ok(http)
}

async fn get(http: &mut SendRequest<Empty<Bytes>>, path: &str) -> Result<(), Failure> {
    http.ready().await?;
    let request = Request::get(path).header("host", "localhost").body(Empty::new())?;
    http.send_request(request).await?.into_body().collect().await?;
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (p50, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what} p50 {:>6.1} ms, worst {:>6.1} ms", ms(p50), ms(worst));
}
