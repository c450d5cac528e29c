//! Every tenant in a partition of its own, behind one listener.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::{sleep, timeout};
use evenloop::{spawn, spawn_in};

use crate::service::{ACCEPT_PAUSE, Doors, Session, report_accept, serve};

/// What the tenants are known by: their numbers, below this.
pub(crate) const TENANTS: u64 = 50;
/// The header that says who asks.
const HEADER: &str = "x-tenant";
/// How much of a request is looked at for it, and how long.
const HEAD_MAX: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves on this thread until the session is stopped.
///
/// # Errors
///
/// If the runtime cannot be made or the address cannot be bound.
pub(crate) fn run(session: Session) -> io::Result<()> {
    let Session { listen, work, ready, stop } = session;
    let runtime = evenloop::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen.bulk).await?;
        let doors = Doors { bulk: listener.local_addr()?, health: None };
        spawn_in("acceptor", accept(listener, work));
        // Whoever waited for the address may be gone: then `stop` is too.
        let _ = ready.send(doors);
        let _ = stop.await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, work: Duration) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                spawn(admit(stream, work));
            }
            Err(error) => {
                report_accept(&error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection in the partition of the tenant that its first request names. The request
/// stays in the stream: nothing is read of it before.
async fn admit(stream: TcpStream, work: Duration) {
    let told = timeout(PATIENCE, stream.classify(HEAD_MAX, asker)).await;
    match told {
        Ok(Ok(Some(Asker::Tenant(tenant)))) => drop(spawn_in(tenant, serve(stream, work))),
        // Together they are one more tenant: names that anyone can make up make no shares.
        Ok(Ok(Some(Asker::Stranger) | None)) => drop(spawn_in("strangers", serve(stream, work))),
        // A peer that hung up, broke off or stayed silent is not served.
        Ok(Err(_)) | Err(_) => {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Tenant(u64),
    Stranger,
}

/// Says who asks, as soon as the head of the request tells.
fn asker(head: &[u8]) -> Option<Asker> {
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let line = &rest[..end];
        if line.is_empty() {
            return Some(Asker::Stranger);
        }
        if let Some(tenant) = tenant(line) {
            return Some(tenant);
        }
        rest = &rest[end + 2..];
    }
    None
}

/// Reads the number from the line of the header that carries it.
fn tenant(line: &[u8]) -> Option<Asker> {
    let (name, number) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case(HEADER).then(|| match number.trim().parse() {
        Ok(tenant @ 0..TENANTS) => Asker::Tenant(tenant),
        _ => Asker::Stranger,
    })
}
