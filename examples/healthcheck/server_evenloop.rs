//! The service on evenloop. With partitions the health check is kept apart from the bulk: by one
//! word at its acceptor if it has a port of its own, by its first bytes if it shares the bulk's.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::{sleep, timeout};
use evenloop::{spawn, spawn_in};

use crate::service::{ACCEPT_PAUSE, Doors, Session, report_accept, serve};

/// How long a new connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves on this thread until the session is stopped: in partitions, or all in one.
///
/// # Errors
///
/// If the runtime cannot be made or an address cannot be bound.
pub(crate) fn run(session: Session, partitions: bool) -> io::Result<()> {
    let Session { listen, work, ready, stop } = session;
    let runtime = evenloop::Runtime::new()?;
    runtime.block_on(async {
        let bulk = TcpListener::bind(listen.bulk).await?;
        let health = match listen.health {
            Some(addr) => Some(TcpListener::bind(addr).await?),
            None => None,
        };
        let doors = Doors {
            bulk: bulk.local_addr()?,
            health: health.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        let served = move |stream| drop(spawn(serve(stream, work)));
        match health {
            Some(health) if partitions => {
                spawn_in("bulk", accept(bulk, served));
                spawn_in("health", accept(health, served));
            }
            None if partitions => {
                let admitted = move |stream| drop(spawn(admit(stream, work)));
                spawn_in("acceptor", accept(bulk, admitted));
            }
            health => {
                spawn(accept(bulk, served));
                health.map(|health| spawn(accept(health, served)));
            }
        }
        // Whoever waited for the addresses may be gone: then `stop` is too.
        let _ = ready.send(doors);
        let _ = stop.await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, then: impl Fn(TcpStream)) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                then(stream);
            }
            Err(error) => {
                report_accept(&error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection in the partition that its first bytes are for. The bytes stay in the
/// stream: nothing is read of it before.
async fn admit(stream: TcpStream, work: Duration) {
    let told = timeout(PATIENCE, stream.classify(HEALTH.len(), partition_of)).await;
    // A peer that hung up, broke off or stayed silent is not served.
    if let Ok(Ok(Some(partition))) = told {
        spawn_in(partition, serve(stream, work));
    }
}

const HEALTH: &[u8] = b"GET /health ";

/// Names the partition as soon as the bytes tell it.
fn partition_of(start: &[u8]) -> Option<&'static str> {
    if start.starts_with(HEALTH) {
        return Some("health");
    }
    (!HEALTH.starts_with(start)).then_some("bulk")
}
