//! The service on evenloop. With partitions, one word at each acceptor keeps the health check
//! apart from the bulk; its connections inherit the partition.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use evenloop::net::TcpListener;

use crate::service::{ACCEPT_PAUSE, Doors, Session, report_accept, serve};

/// Serves on this thread until the session is stopped: in two partitions, or all in one.
///
/// # Errors
///
/// If the runtime cannot be made or an address cannot be bound.
pub(crate) fn run(session: Session, partitions: bool) -> io::Result<()> {
    let runtime = evenloop::Runtime::new()?;
    runtime.block_on(async {
        let bulk = TcpListener::bind(session.listen.bulk).await?;
        let health = TcpListener::bind(session.listen.health).await?;
        let doors = Doors { bulk: bulk.local_addr()?, health: health.local_addr()? };
        if partitions {
            evenloop::spawn_in("bulk", accept(bulk, session.work));
            evenloop::spawn_in("health", accept(health, session.work));
        } else {
            evenloop::spawn(accept(bulk, session.work));
            evenloop::spawn(accept(health, session.work));
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
                evenloop::spawn(serve(stream, work));
            }
            Err(error) => {
                report_accept(&error);
                evenloop::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
