//! Probes, in *open loop*: a metronome says when each one is due, and it is sent also if the
//! one before is still unanswered (then on another connection). A closed loop would send fewer
//! probes the worse the server is, and so hide the very waits it is to measure ("coordinated
//! omission").

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::Client;
use crate::stats::{Ended, Stats};

/// How long the last probes may still be answered.
const GRACE: Duration = Duration::from_secs(5);

/// One probe.
#[derive(Debug)]
pub(crate) struct Probe {
    due: Instant,
    /// Its wait counts from here.
    from: Instant,
    /// The connection it was sent on, if it was sent by the metronome.
    sent: Option<io::Result<TcpStream>>,
}

impl Probe {
    /// A probe to be sent on a connection that is kept alive. It counts from when it was due.
    pub(crate) fn due(at: Instant) -> Self {
        Self { due: at, from: at, sent: None }
    }

    /// Sends a probe that was due `at` on a connection of its own. It counts from its connect: the
    /// caller waits for no answer, so the one before has not held it up, and how late the caller
    /// itself was is no wait for the server.
    pub(crate) fn send(at: Instant, server: SocketAddr, request: &[u8]) -> Self {
        let from = Instant::now();
        Self { due: at, from, sent: Some(ask(server, request)) }
    }
}

fn ask(server: SocketAddr, request: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.write_all(request)?;
    Ok(stream)
}

/// Who sends probes that ask for the same, on connections of their own.
pub(crate) struct Prober {
    /// What it is counted by.
    pub(crate) number: usize,
    pub(crate) server: SocketAddr,
    pub(crate) request: Rc<[u8]>,
    pub(crate) stats: Rc<RefCell<Stats>>,
}

/// Takes each probe when it is due, sends it unless it was sent, and waits for the answers.
pub(crate) async fn run(mut probes: UnboundedReceiver<Probe>, prober: Prober) {
    let Prober { number, server, request, stats } = prober;
    let idle = Rc::new(RefCell::new(Vec::new()));
    let mut out = JoinSet::new();
    while let Some(Probe { due, from, sent }) = probes.recv().await {
        let at = if sent.is_some() { from } else { Instant::now() };
        stats.borrow_mut().probe_sent(due, at);
        let (idle, request, stats) = (idle.clone(), request.clone(), stats.clone());
        let mut waiting = Waiting { number, due, from, answered: false, stats };
        out.spawn_local(async move {
            let answered = match sent {
                Some(sent) => answer(sent).await.map(|()| None),
                None => {
                    let kept = idle.borrow_mut().pop();
                    ask_again(kept, server, &request).await.map(Some)
                }
            };
            match answered {
                Ok(kept) => {
                    waiting.answered = true;
                    drop(waiting);
                    idle.borrow_mut().extend(kept);
                }
                Err(error) => waiting.stats.borrow_mut().failed(&error),
            }
        });
        while out.try_join_next().is_some() {}
    }
    let _ = timeout(GRACE, async { while out.join_next().await.is_some() {} }).await;
    out.shutdown().await;
}

async fn answer(sent: io::Result<TcpStream>) -> io::Result<()> {
    Client::over_asked(sent?)?.answer().await
}

async fn ask_again(kept: Option<Client>, server: SocketAddr, request: &[u8]) -> io::Result<Client> {
    let mut client = match kept {
        Some(client) => client,
        None => Client::connect(server).await?,
    };
    client.ask(request).await?;
    Ok(client)
}

/// A probe on its way. Dropped without an answer, it still counts, with the time it waited.
struct Waiting {
    number: usize,
    due: Instant,
    from: Instant,
    answered: bool,
    stats: Rc<RefCell<Stats>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let ended = Ended { waited: self.from.elapsed(), answered: self.answered };
        self.stats.borrow_mut().probe_ended(self.number, self.due, ended);
    }
}
