//! Those who use the service, and what they may do.

use std::net::SocketAddr;
use std::time::Duration;

use evenloop::net::TcpStream;
use evenloop::{spawn, spawn_in};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use proptest::collection::vec;
use proptest::strategy::Strategy;

/// What a tenant does: through each of its connections it asks for so many reports of so many
/// pages, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    connections: u32,
    reports: u32,
    pages: u32,
    page: Duration,
}

/// Up to twenty tenants that do anything.
pub(crate) fn any() -> impl Strategy<Value = Vec<Tenant>> {
    let tenant = (1..=20_u32, 1..=5_u32, 0..=50_u32, 0..=500_u64);
    let tenant = tenant.prop_map(|(connections, reports, pages, micros)| {
        let page = Duration::from_micros(micros);
        Tenant { connections, reports, pages, page }
    });
    vec(tenant, 1..=20)
}

impl Tenant {
    /// Begins to do it. Clients are somebody else's machines, so they are in nobody's way.
    pub(crate) fn start(&self, number: usize, server: SocketAddr) {
        for _ in 0..self.connections {
            let path = format!("/tenant-{number}/{}/{}", self.pages, self.page.as_micros());
            let reports = self.reports;
            spawn_in("clients", async move { get(server, &path, reports).await.unwrap() });
        }
    }
}

/// Asks for the same so many times, through one connection; returns the last answer.
pub(crate) async fn get(server: SocketAddr, path: &str, times: u32) -> hyper::Result<Bytes> {
    let stream = TcpStream::connect(server).await.expect("the service listens");
    let (mut http, connection) = http1::handshake(stream).await?;
    spawn(connection);
    let mut answer = Bytes::new();
    for _ in 0..times {
        let request = Request::get(path).body(Empty::<Bytes>::new()).expect("a path is a path");
        answer = http.send_request(request).await?.into_body().collect().await?.to_bytes();
    }
    Ok(answer)
}
