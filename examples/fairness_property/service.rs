//! The service: HTTP, for many tenants at one port, and a health check.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::{Partition, spawn, spawn_in, yield_now};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

/// How long a new connection may say nothing to the point.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to compute for so long: `evenloop::sim::spend` in a simulation.
pub(crate) type Compute = fn(Duration);

/// Who shares a queue with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All with all.
    Together,
    /// Nobody with anybody: a partition for each tenant, and one for the health check.
    Apart,
}

/// Starts the service, and returns where it listens.
pub(crate) async fn start(at: &str, layout: Layout, compute: Compute) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(at).await?;
    let addr = listener.local_addr()?;
    spawn_in("service", accept(listener, layout, compute));
    Ok(addr)
}

async fn accept(listener: TcpListener, layout: Layout, compute: Compute) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(async move {
            let whose = match layout {
                Layout::Together => Some(Partition::current()),
                Layout::Apart => stream.classify(100, PATIENCE, whose).await?.told(),
            };
            // Who asks for nothing gets nothing.
            if let Some(partition) = whose {
                partition.spawn(serve(stream, compute));
            }
            io::Result::Ok(())
        });
    }
}

/// Tells whose a connection is by its first bytes, once there are enough of them.
fn whose(start: &[u8]) -> Option<Partition> {
    let path = std::str::from_utf8(start).ok()?.strip_prefix("GET /")?;
    match path.split_once(['/', ' '])? {
        ("health", _) => Some(Partition::named("health")),
        (tenant, _) => Some(Partition::builder(tenant).group("tenants").build()),
    }
}

async fn serve(stream: TcpStream, compute: Compute) {
    let answer = service_fn(move |request| answer(request, compute));
    // A connection that breaks is its peer's affair.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, answer).await;
}

/// Answers `/health`, and `/tenant/pages/micros` with a report of so many pages.
async fn answer(
    request: Request<Incoming>,
    compute: Compute,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    let (status, body) = match path[..] {
        ["health"] => (StatusCode::OK, "alive".to_owned()),
        [tenant, pages, micros] => match (pages.parse(), micros.parse()) {
            (Ok(pages), Ok(micros)) => {
                let page = Duration::from_micros(micros);
                (StatusCode::OK, report(tenant, pages, page, compute).await)
            }
            _ => (StatusCode::BAD_REQUEST, "how many pages?".to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, "ask for a report".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}

async fn report(tenant: &str, pages: u32, page: Duration, compute: Compute) -> String {
    let mut report = format!("the report of {tenant}");
    for number in 1..=pages {
        compute(page);
        report += &format!("\npage {number}");
        yield_now().await;
    }
    report
}
