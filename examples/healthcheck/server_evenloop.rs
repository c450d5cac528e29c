//! The service on evenloop. With partitions, one word at each acceptor keeps the health check
//! apart from the bulk; its connections inherit the partition.

use std::convert::Infallible;
use std::io;

use evenloop::net::{TcpListener, TcpStream};
use evenloop::time::sleep;
use evenloop::{Partition, spawn};

use crate::service::{ACCEPT_PAUSE, Doors, Session, report_accept, serve};

/// Serves on this thread until the session is stopped: in two partitions, or all in one.
///
/// # Errors
///
/// If the runtime cannot be made or an address cannot be bound.
pub(crate) fn run(session: Session, partitions: bool) -> io::Result<()> {
    let Session { listen, work, ready, stop } = session;
    let runtime = evenloop::Runtime::new()?;
    runtime.block_on(async {
        // The control has all in ROOT.
        let partition = |name| if partitions { Partition::named(name) } else { Partition::root() };
        let served = move |stream| drop(spawn(serve(stream, work)));
        let listener = TcpListener::bind(listen.bulk).await?;
        let mut doors = Doors { bulk: listener.local_addr()?, health: None };
        partition("bulk").spawn(accept(listener, served));
        if let Some(addr) = listen.health {
            let listener = TcpListener::bind(addr).await?;
            doors.health = Some(listener.local_addr()?);
            partition("health").spawn(accept(listener, served));
        }
        // Whoever waited for the addresses may be gone: then `stop` is too.
        let _ = ready.send(doors);
        let _ = stop.await;
        Ok(())
    })
}

/// Accepts connections and hands them on, for ever.
pub(crate) async fn accept(listener: TcpListener, then: impl Fn(TcpStream)) -> Infallible {
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
