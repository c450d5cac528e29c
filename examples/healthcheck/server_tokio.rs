//! The peer: the same service on tokio's `current_thread` runtime, the way its users write it.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::service::{ACCEPT_PAUSE, Doors, Session, report_accept, serve};

/// Serves on this thread until the session is stopped.
///
/// # Errors
///
/// If the runtime cannot be made or an address cannot be bound.
pub(crate) fn run(session: Session) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bulk = TcpListener::bind(session.listen.bulk).await?;
        let mut doors = Doors { bulk: bulk.local_addr()?, health: None };
        tokio::spawn(accept(bulk, session.work));
        if let Some(addr) = session.listen.health {
            let health = TcpListener::bind(addr).await?;
            doors.health = Some(health.local_addr()?);
            tokio::spawn(accept(health, session.work));
        }
        // Whoever waited for the addresses may be gone: then `stop` is too.
        let _ = session.ready.send(doors);
        let _ = session.stop.await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, work: Duration) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(TokioIo::new(stream), work));
            }
            Err(error) => {
                report_accept(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
