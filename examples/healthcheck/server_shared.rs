//! The service on evenloop behind one listener: connections are told apart by their first bytes,
//! before any of them is served.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use evenloop::net::{Classified, TcpListener, TcpStream};
use evenloop::{spawn, spawn_in};

use crate::server_evenloop::accept;
use crate::service::{Doors, Session, serve};

/// How long a new connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where those are served that say nothing to the point.
const OTHERS: &str = "others";

/// Tells the partition's name by the first bytes; `None` as long as more of them are needed.
pub(crate) type Tell = fn(&[u8]) -> Option<Cow<'static, str>>;

/// Serves on this thread until the session is stopped: each connection in the partition that
/// `tell` names, by `bytes_max` bytes or fewer.
///
/// # Errors
///
/// If the runtime cannot be made or the address cannot be bound.
pub(crate) fn run(session: Session, bytes_max: usize, tell: Tell) -> io::Result<()> {
    let Session { listen, work, ready, stop } = session;
    let runtime = evenloop::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen.bulk).await?;
        let doors = Doors { bulk: listener.local_addr()?, health: None };
        let admitted = move |stream| drop(spawn(admit(stream, bytes_max, tell, work)));
        spawn_in("acceptor", accept(listener, admitted));
        // Whoever waited for the address may be gone: then `stop` is too.
        let _ = ready.send(doors);
        let _ = stop.await;
        Ok(())
    })
}

/// Serves a connection where it belongs. What tells that stays in the stream: nothing is read of
/// it before.
async fn admit(stream: TcpStream, bytes_max: usize, tell: Tell, work: Duration) {
    let partition = match stream.classify(bytes_max, PATIENCE, tell).await {
        Ok(Classified::Told(partition)) => partition,
        Ok(Classified::Unknown) => Cow::Borrowed(OTHERS),
        // A peer that broke off or stayed silent is not served.
        Ok(Classified::TimedOut) | Err(_) => return,
    };
    spawn_in(partition, serve(stream, work));
}
