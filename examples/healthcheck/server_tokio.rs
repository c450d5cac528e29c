//! The peer: the same service on tokio's `current_thread` runtime, the way its users write it.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;
use std::thread;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::service::{ACCEPT_PAUSE, Doors, Session, report_accept, serve};

/// Serves on this thread until the session is stopped; the health check `apart` on a thread and a
/// runtime of its own, which go on until the process ends.
///
/// # Errors
///
/// If a runtime or thread cannot be made or an address cannot be bound.
pub(crate) fn run(session: Session, apart: bool) -> io::Result<()> {
    let Session { listen, work, ready, stop } = session;
    let runtime = runtime()?;
    runtime.block_on(async {
        let bulk = TcpListener::bind(listen.bulk).await?;
        let mut doors = Doors { bulk: bulk.local_addr()?, health: None };
        tokio::spawn(accept(bulk, work));
        if let Some(addr) = listen.health {
            let health = TcpListener::bind(addr).await?;
            doors.health = Some(health.local_addr()?);
            if apart {
                serve_apart(health.into_std()?, work)?;
            } else {
                tokio::spawn(accept(health, work));
            }
        }
        // Whoever waited for the addresses may be gone: then `stop` is too.
        let _ = ready.send(doors);
        let _ = stop.await;
        Ok(())
    })
}

fn serve_apart(listener: StdListener, work: Duration) -> io::Result<()> {
    let runtime = runtime()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let thread = thread::Builder::new().name("health".to_owned());
    thread.spawn(move || runtime.block_on(accept(listener, work))).map(drop)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
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
