//! The servers that are compared. All of them serve the same.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use crate::server_evenloop;
use crate::server_shared;
use crate::server_tokio;
use crate::service::{Doors, Session};

/// A way to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// In two partitions, each with a listener of its own.
    Evenloop,
    /// In two partitions behind one listener.
    EvenloopShared,
    /// All in one partition: the control.
    EvenloopPlain,
    /// All on one thread.
    Tokio,
    /// The health check on a thread of its own.
    TokioThread,
}

impl Server {
    pub(crate) const ALL: [Self; 5] =
        [Self::Evenloop, Self::EvenloopShared, Self::EvenloopPlain, Self::Tokio, Self::TokioThread];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Evenloop => "evenloop",
            Self::EvenloopShared => "evenloop_shared",
            Self::EvenloopPlain => "evenloop_plain",
            Self::Tokio => "tokio",
            Self::TokioThread => "tokio_thread",
        }
    }

    /// Finds the server by its name; the error lists the names.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|server| server.name() == name);
        known.ok_or_else(|| format!("the servers are {}", Self::ALL.map(Self::name).join(", ")))
    }

    /// Where it is to listen: at `port` and the one above it, or at any two if `port` is zero; at
    /// one alone if it is made for that, or if it is all the same to it and `shared` asks for it.
    pub(crate) fn doors(self, port: u16, shared: bool) -> Doors {
        let one = Doors::shared(port);
        match self {
            Self::EvenloopShared => one,
            Self::EvenloopPlain | Self::Tokio if shared => one,
            _ => {
                let above = if port == 0 { 0 } else { port.saturating_add(1) };
                Doors { health: Some(SocketAddr::new(one.bulk.ip(), above)), ..one }
            }
        }
    }

    /// Serves on this thread until the session is stopped.
    ///
    /// # Errors
    ///
    /// If the runtime cannot be made or an address cannot be bound.
    pub(crate) fn run(self, session: Session) -> io::Result<()> {
        match self {
            Self::Evenloop => server_evenloop::run(session, true),
            Self::EvenloopShared => server_shared::run(session, HEALTH.len(), by_path),
            Self::EvenloopPlain => server_evenloop::run(session, false),
            Self::Tokio => server_tokio::run(session, false),
            Self::TokioThread => server_tokio::run(session, true),
        }
    }
}

/// What a health check begins with.
const HEALTH: &[u8] = b"GET /health ";

/// Names the partition of a request as soon as its bytes tell.
fn by_path(start: &[u8]) -> Option<Cow<'static, str>> {
    if start.starts_with(HEALTH) {
        return Some("health".into());
    }
    (!HEALTH.starts_with(start)).then(|| "bulk".into())
}
